// Whatever a form holds, and however it comes: OpenAI's shape in every answer, nothing bought that was refused, and no file left.

import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { request, type OutgoingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createModels } from '../../src/models/models.ts'
import { parseObject, startGateway, STUDIO_KEY, type Gateway } from '../support/gateway.ts'
import { startFileServer } from '../support/file-server.ts'
import { anySize, count, modelWith } from '../support/image-models.ts'
import { pixel } from '../support/pixel.ts'
import { until } from '../support/until.ts'

const text = { type: 'string' }
const models = createModels([
  modelWith({ seed: { type: 'integer' } }, 'acme/painter'),
  modelWith({ image_size: anySize, num_images: count(4), seed: { type: 'integer' }, any: {}, tags: { type: 'array', items: text }, image_urls: { type: 'array', items: text }, mask_url: text }, 'acme/painter/edit')
])

const BOUNDARY = 'b0undary'
const picture = Buffer.from(pixel())

const name = fc.oneof(
  fc.constantFrom('prompt', 'model', 'image', 'image[]', 'images', 'image[0]', 'mask', 'mask[]', 'n', 'seed', 'size', 'stream', 'tags[]', 'any', 'any[a][]', 'any[__proto__][b]', '__proto__', '__proto__[a]', 'constructor', 'toString', '', 'a[[b]', 'any' + '[x]'.repeat(30), 'n'.repeat(300)),
  fc.string({ unit: 'binary', maxLength: 12 })
)

const content = fc.oneof(
  fc.constantFrom(picture, picture.subarray(0, 20), Buffer.from('acme/painter/edit'), Buffer.from('gpt-image-1'), Buffer.from('7'), Buffer.from('1e999'), Buffer.from('true'), Buffer.from('{"a":'), Buffer.from(`\r\n--${BOUNDARY}`), Buffer.from(`\r\n--${BOUNDARY}--`), Buffer.from('[[[[')),
  fc.integer({ min: 1, max: 300_000 }).map(size => Buffer.alloc(size, 'a')),
  fc.integer({ min: 1, max: 300_000 }).map(size => Buffer.concat([picture, Buffer.alloc(size)])),
  fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes))
)

const disposition = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(name, fc.constantFrom('', '; filename="a.png"', '; filename=""', '; filename="../a/b"', '; filename*=utf-8\'\'a%00')).map(([name, file]) => `form-data; name="${name}"${file}`) },
  { weight: 1, arbitrary: fc.constantFrom('form-data', 'form-data; filename="a.png"', 'attachment; name="image"', '', ';', 'form-data; name', 'form-data; name*=utf-16le\'\'a%00b', 'form-data; name="image"; name="mask"; filename="a"') }
)

const moreHeaders = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.constantFrom('Content-Type: application/json\r\n', 'Content-Type: image/png\r\n', 'Content-Type: ;\r\n', 'Content-Type: text/plain; charset=utf-16le\r\n', 'Content-Type: text/plain; charset=x\r\n', 'Content-Transfer-Encoding: base64\r\n', `X: ${'x'.repeat(65_536)}\r\n`, 'X: 1\r\n'.repeat(40), 'no header\r\n', '\r\n') }
)

const part = fc.tuple(disposition, moreHeaders, content).map(([disposition, more, content]) => partOf(disposition, content, more))

function partOf (disposition: string, content: Buffer, more = ''): Buffer {
  return Buffer.concat([Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: ${disposition}\r\n${more}\r\n`), content, Buffer.from('\r\n')])
}

/** Half of them would be bought, if it were not for one part more. */
const parts = fc.tuple(fc.boolean(), fc.array(part, { maxLength: 4 })).map(([isWhole, others]) => isWhole
  ? [partOf('form-data; name="prompt"', Buffer.from('p')), partOf('form-data; name="model"', Buffer.from('acme/painter/edit')), partOf('form-data; name="image"; filename="a.png"', picture), ...others]
  : others)

const form = fc.tuple(parts, fc.constantFrom(`--${BOUNDARY}--\r\n`, `--${BOUNDARY}--`, `--${BOUNDARY}--\r\nafterwards`, '', `--${BOUNDARY}`, `--${BOUNDARY}\r\nContent-`)).map(([parts, end]) => Buffer.concat([...parts, Buffer.from(end)]))

/** Places as parts of the whole. */
const place = fc.double({ min: 0, max: 1, noNaN: true })

const harm = fc.oneof(
  { weight: 4, arbitrary: fc.constant((bytes: Buffer) => bytes) },
  { weight: 1, arbitrary: place.map(at => (bytes: Buffer) => bytes.subarray(0, Math.floor(at * bytes.length))) },
  { weight: 1, arbitrary: fc.tuple(place, fc.nat(255)).map(([at, byte]) => (bytes: Buffer) => bytes.map((old, index) => index === Math.floor(at * bytes.length) ? byte : old)) },
  { weight: 1, arbitrary: fc.tuple(place, place).map(([from, to]) => (bytes: Buffer) => Buffer.concat([bytes.subarray(0, Math.floor(from * bytes.length)), bytes.subarray(Math.floor(to * bytes.length))])) },
  { weight: 1, arbitrary: fc.constantFrom(['\r\n', '\n'], ['\r\n', '\r']).map(([from = '', to = '']) => (bytes: Buffer) => Buffer.from(bytes.toString('latin1').replaceAll(from, to), 'latin1')) }
)

const type = fc.oneof(
  { weight: 12, arbitrary: fc.constant(`multipart/form-data; boundary=${BOUNDARY}`) },
  { weight: 1, arbitrary: fc.constantFrom('multipart/form-data', 'multipart/form-data; boundary=', 'multipart/form-data; boundary=""', `multipart/form-data; boundary=${'x'.repeat(300)}`, `multipart/form-data; boundary=${BOUNDARY}; boundary=x`, `Multipart/Form-Data; charset=x; Boundary="${BOUNDARY}"`, 'multipart/mixed; boundary=x') }
)

/** How its bytes come: in how many pieces, with their number or without it, and whether their sender stays to the end. */
const way = fc.record({ cuts: fc.array(place, { maxLength: 3 }), isChunked: fc.boolean(), leavesAt: fc.option(place, { freq: 5 }) })

interface Sent { readonly type: string, readonly bytes: Buffer, readonly cuts: readonly number[], readonly isChunked: boolean, readonly leavesAt: number | null }

/** `null`: its sender left. */
async function send ({ url }: Gateway, { type, bytes, cuts, isChunked, leavesAt }: Sent): Promise<{ readonly status: number, readonly body: string } | null> {
  const headers: OutgoingHttpHeaders = { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': type, ...(isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': bytes.length }) }
  const sending = request(`${url}/v1/images/edits`, { method: 'POST', headers, agent: false })
  const places = [0, ...cuts.map(cut => Math.floor(cut * bytes.length)).sort((one, other) => one - other), bytes.length]
  const last = leavesAt === null ? places.length - 1 : Math.floor(leavesAt * (places.length - 1))
  const answered = once(sending, 'response')
  answered.catch(() => {}) // its sender left
  for (let index = 0; index < last; index++) await new Promise(resolve => { sending.write(bytes.subarray(places[index], places[index + 1]), resolve) })
  if (leavesAt !== null) {
    sending.on('error', () => {})
    sending.flushHeaders()
    sending.destroy()
    return null
  }
  sending.end()
  const [response] = await answered
  let body = ''
  response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk })
  await once(response, 'end')
  return { status: Number(response.statusCode), body }
}

/** The files of callers that this process has on disk. */
async function filesLeft (): Promise<readonly string[]> {
  const folders = (await readdir(tmpdir())).filter(name => name.startsWith(`falgate-media-${process.pid}-`))
  return (await Promise.all(folders.map(async folder => await readdir(join(tmpdir(), folder))))).flat()
}

/** A gateway that brings files to a storage that takes them all. */
async function startBringing (t: Test): Promise<Gateway> {
  const storage = await startFileServer(t)
  storage.answer((request, response) => {
    request.resume().on('end', () => {
      if (request.method === 'POST') response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ upload_url: `${storage.url}/put`, file_url: `${storage.url}/a.png` }))
      else response.writeHead(200).end()
    })
  })
  return await startGateway(t, { models, env: { UPLOADS: 'on', FAL_REST_URL: storage.url } })
}

for (const [title, start] of [['stay in the input', async (t: Test) => await startGateway(t, { models })], ['are brought', startBringing]] as const) {
  t.test(`no form makes an odd answer, buys what it is refused, or leaves a file, where files ${title}`, async t => {
    const gateway = await start(t)
    const { bill } = gateway.sandbox
    await fc.assert(fc.asyncProperty(form, harm, type, way, async (form, harm, type, way) => {
      const before = bill.accepted
      const answer = await send(gateway, { type, bytes: Buffer.from(harm(form)), ...way })
      if (answer === null || answer.status === 200) return
      const { error } = parseObject(answer.body)
      if (answer.status < 400 || answer.status >= 500) throw new Error(`${answer.status} ${answer.body}`)
      if (Object.keys(Object(error)).join() !== 'message,type,param,code') throw new Error(answer.body)
      if (bill.accepted !== before) throw new Error(`${answer.status}, and it was bought`)
    }), { numRuns: 150 })
    await until(async () => (await filesLeft()).length === 0)
    const whole = Buffer.concat([partOf('form-data; name="prompt"', Buffer.from('p')), partOf('form-data; name="model"', Buffer.from('acme/painter/edit')), partOf('form-data; name="image"; filename="a.png"', Buffer.concat([picture, Buffer.alloc(300_000)])), Buffer.from(`--${BOUNDARY}--\r\n`)])
    const served = await Promise.all(Array.from({ length: 8 }, async () => await send(gateway, { type: `multipart/form-data; boundary=${BOUNDARY}`, bytes: whole, cuts: [], isChunked: true, leavesAt: null })))
    t.same(served.map(answer => answer?.status), Array.from({ length: 8 }, () => 200), 'eight long ones are served afterwards, all at once')
  })
}
