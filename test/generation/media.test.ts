// Places of files in outputs: found however they are written, filled one by one, and served as links.

import t from 'tap'
import { addressesIn, hasMissing, keepMissing, media as field, placesOf, withoutInner, type Kept, type Media } from '../../src/generation/media.ts'
import { servedOutput } from '../../src/generation/served-output.ts'

const first = 'https://v3.fal.media/files/a.png?x=1&y=2'
const second = 'https://v3.fal.media/files/b.png'
const never = new AbortController().signal

/** As a gateway at this base serves it. */
function served (output: string, media: Media | null): string {
  const asText = servedOutput(output, { bases: null, media }, { base: null, linkOf: file => `https://pictures.example/media/${file}?e=1&s="`, stamp: '1' })
  const asBytes = servedOutput(Buffer.from(output), { bases: null, media }, { base: null, linkOf: file => `https://pictures.example/media/${file}?e=1&s="`, stamp: '1' })
  t.equal(String(asBytes), asText, 'bytes and text are alike')
  return String(asText)
}

t.test('an address is found however its text is escaped, as often as it stands there, and nowhere else', async t => {
  const output = `{"prompt":"é ${second}","images":[{"url":"https:\\/\\/v3.fal.media\\/files\\/a.png?x=1\\u0026y=2"},{"url":"${second}"}],"again":"${second}"}`
  const places = placesOf(output, [first, second])
  t.same(addressesIn(output, places), [first, second, second])
  t.ok(places.every(({ file }) => file === null) && hasMissing(places))
  t.same(field.read(field.write(places)), places, 'they are kept as one text')
  const kept = places.map((place, n) => ({ ...place, file: `${n}.png` }))
  t.same(JSON.parse(served(output, kept)), {
    prompt: `é ${second}`,
    images: [{ url: 'https://pictures.example/media/0.png?e=1&s="' }, { url: 'https://pictures.example/media/1.png?e=1&s="' }],
    again: 'https://pictures.example/media/2.png?e=1&s="'
  })
})

t.test('a picture of many megabytes inside an output is found, and what stands behind it', async t => {
  const inner = 'data:image/png;base64,' + 'iVBOR\\/w0'.repeat(3_000_000)
  const places = placesOf(`{"said":"a \\"quote\\" and a \\\\","url":"${inner}","next":"${second}"}`, [JSON.parse(`"${inner}"`), second])
  t.same(places.map(({ bytes }) => bytes), [inner.length, second.length])
})

t.test('what is not stored is served as it is, byte for byte, and so is everything around what is', async t => {
  const output = `{ "images" : [ {"url":"${first}"} , {"url":"${second}"}],  "seed":12345678901234567890 }`
  const [one, other] = placesOf(output, [first, second])
  if (one === undefined || other === undefined) throw new Error('two addresses')
  t.equal(served(output, [one, other]), output)
  t.equal(served(output, [one, { ...other, file: 'b.png' }]), output.replace(second, 'https://pictures.example/media/b.png?e=1&s=\\"'))
  t.equal(served(output, null), output)
})

t.test('each missing file is asked for; what is stored fills its place, what never will be is no place any more', async t => {
  const output = `{"a":"${first}","b":"${second}","c":"https://elsewhere.example/c"}`
  const asked: string[] = []
  const answers = new Map<string, Kept>([[first, { kind: 'kept', file: 'a.png' }], [second, { kind: 'later' }], ['https://elsewhere.example/c', { kind: 'never' }]])
  const places = placesOf(output, [...answers.keys()])
  const kept = await keepMissing(output, places, async address => {
    asked.push(address)
    return answers.get(address) ?? { kind: 'never' }
  }, never)
  t.same(asked, [...answers.keys()])
  t.same(kept.map(({ file }) => file), ['a.png', null])
  const again: string[] = []
  await keepMissing(output, kept, async address => {
    again.push(address)
    return { kind: 'later' }
  }, never)
  t.same(again, [second], 'what is stored is not asked for again')
})

t.test('a file that stood inside the output is taken out once it is stored, and everything behind it moves', async t => {
  const inner = 'data:image/png;base64,AAAA'
  const output = `{"é":"${inner}","url":"${second}","own":"http://here/sandbox/x","other":"${inner.replace('AAAA', 'BBBB')}"}`
  const places = placesOf(output, [inner, second, inner.replace('AAAA', 'BBBB')]).map((place, n) => n === 2 ? place : { ...place, file: `${n}.png` })
  const own = Buffer.from(output).indexOf('http://here')
  const { output: short, media, bases } = withoutInner({ output, media: places, bases: { bytes: 11, at: [own] } })
  t.equal(short, output.replace(inner, ''))
  t.equal(bases?.at[0], Buffer.from(short).indexOf('http://here'))
  t.match(JSON.parse(served(short, media)), { é: 'https://pictures.example/media/0.png?e=1&s="', url: 'https://pictures.example/media/1.png?e=1&s="', other: inner.replace('AAAA', 'BBBB') })
  t.same(withoutInner({ output, media: [], bases: null }), { output, media: [], bases: null })
})
