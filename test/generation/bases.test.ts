// Addresses that are made for who asks: found where they stand and nowhere else, and put in as bytes.

import t from 'tap'
import { bases, basesIn, type Bases } from '../../src/generation/bases.ts'
import { servedOutput } from '../../src/generation/served-output.ts'

const BASE = 'http://127.0.0.1:8080/sandbox'
const first = `${BASE}/files/koala/a_output.png`
const second = `${BASE}/files/zebra/b_output.png`

function sent (output: string, addresses: readonly string[], base: string): string {
  const noted = basesIn(output, addresses, BASE)
  if (noted === null) return output
  const text = String(withBase(output, noted, base))
  t.equal(String(withBase(Buffer.from(output), noted, base)), text, 'bytes and text are alike')
  t.same(bases.read(bases.write(noted)), noted, 'it is kept')
  return text
}

/** An output as it is sent to somebody who reaches the gateway here. */
function withBase (output: string | Buffer, noted: Bases, base: string): string | Buffer {
  return servedOutput(output, { bases: noted, media: null }, { base, linkOf: null, stamp: base })
}

t.test('every address gets the new base, and everything else keeps its bytes', async t => {
  const output = `{"note":"häßlich 🚲", "images":[{"url":"${first}"},\n{"url": "${second}"}],"seed":196619188014358660}`
  t.equal(sent(output, [first, second], 'https://studio.example/sandbox'), output.replaceAll(BASE, 'https://studio.example/sandbox'))
  t.equal(sent(output, [first, second], BASE), output)
  t.equal(sent(output, [first, second], 'x'), output.replaceAll(BASE, 'x'), 'a shorter one')
})

t.test('what is no file of the answer stays, however it looks', async t => {
  const output = JSON.stringify({ prompt: `see "${first}"`, link: `${BASE}/about`, images: [{ url: first }], other: 'https://files.example/c.png' })
  t.equal(sent(output, [first, 'https://files.example/c.png'], 'https://studio.example'), output.replace(`"url":"${BASE}`, '"url":"https://studio.example'))
  for (const none of ['{}', '', `{"images":[{"url":"${BASE}elsewhere/a.png"}]}`]) t.equal(basesIn(none, [`${BASE}elsewhere/a.png`], BASE), null)
})

t.test('a base that no JSON could hold is written as JSON writes it', async t => {
  const output = `{"images":[{"url":"${first}"}]}`
  t.same(JSON.parse(sent(output, [first], 'http://a"b\\c/sandbox')), { images: [{ url: 'http://a"b\\c/sandbox/files/koala/a_output.png' }] })
})

t.test('the same output with the same base is the same bytes, not made again', async t => {
  const output = Buffer.from(`{"images":[{"url":"${first}"}]}`)
  const noted = basesIn(output.toString(), [first], BASE)
  if (noted === null) throw new Error('nothing was found')
  t.equal(withBase(output, noted, 'http://a.example'), withBase(output, noted, 'http://a.example'))
  t.not(String(withBase(output, noted, 'http://b.example')), String(withBase(output, noted, 'http://a.example')))
})
