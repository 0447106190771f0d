// The sandbox's storage: files that callers give come back as they were, inputs may name them, and they are few.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { createModels } from '../../src/models/models.ts'
import { DOCUMENT_ID } from '../support/fal-documents.ts'
import { modelWith } from '../support/image-models.ts'
import { fieldOf, startSandbox, type RunningSandbox } from '../support/sandbox.ts'
import { until } from '../support/until.ts'

const INITIATE = '/storage/upload/initiate?storage_type=fal-cdn-v3'

/** Where the next file goes. */
async function placeIn ({ call }: RunningSandbox, name = 'a.png', type = 'image/png'): Promise<{ readonly uploadUrl: string, readonly fileUrl: string }> {
  const { status, body, text } = await call(INITIATE, { method: 'POST', body: JSON.stringify({ content_type: type, file_name: name }) })
  if (status !== 200) throw new Error(`${status} ${text}`)
  return { uploadUrl: fieldOf(body, 'upload_url'), fileUrl: fieldOf(body, 'file_url') }
}

async function put (url: string, bytes: Buffer): Promise<number> {
  return (await fetch(url, { method: 'PUT', body: bytes })).status
}

async function giveTo (sandbox: RunningSandbox, bytes: Buffer): Promise<string> {
  const { uploadUrl, fileUrl } = await placeIn(sandbox)
  if (await put(uploadUrl, bytes) !== 200) throw new Error('it was not taken')
  return fileUrl
}

async function statusOf (url: string): Promise<number> {
  const response = await fetch(url)
  await response.arrayBuffer()
  return response.status
}

t.test('a file that was given is there as it was, for everybody who has its address', async t => {
  const sandbox = await startSandbox(t)
  const bytes = randomBytes(1_000_003)
  const { uploadUrl, fileUrl } = await placeIn(sandbox, 'Holiday of Mrs Example.JPG', 'image/jpeg')
  t.ok(uploadUrl.startsWith(`${sandbox.base}/storage/upload/`) && fileUrl.startsWith(`${sandbox.base}/files/`) && fileUrl.endsWith('.jpg'))
  t.notMatch(uploadUrl + fileUrl, 'Example')
  t.equal(await statusOf(fileUrl), 404, 'not before it came')
  t.equal(await put(uploadUrl, bytes), 200, 'without a key')
  const response = await fetch(fileUrl)
  t.equal(response.headers.get('content-type'), 'image/jpeg')
  t.ok(Buffer.from(await response.arrayBuffer()).equals(bytes))
  t.equal(await put(uploadUrl, bytes), 404, 'a place is for one file')
})

t.test('who asks for a place shows a key, and says what it is for', async t => {
  const sandbox = await startSandbox(t, { keys: ['id:secret'] })
  t.equal((await sandbox.call(INITIATE, { method: 'POST', headers: { authorization: 'Key other' }, body: '{"content_type":"image/png","file_name":"a.png"}' })).status, 401)
  for (const body of ['', '[]', '{}', 'x', '{"content_type":"image/png"}', '{"content_type":1,"file_name":"a.png"}']) t.equal((await sandbox.call(INITIATE, { method: 'POST', body })).status, 422, body)
  t.equal(await put(`${sandbox.base}/storage/upload/00000000-0000-4000-8000-000000000000`, Buffer.alloc(10)), 404)
})

t.test('an input may name a file that was given, and one that never came is told by its place in the input', async t => {
  const sandbox = await startSandbox(t, { models: createModels([modelWith({ image_urls: { type: 'array', items: { type: 'string' } } })]), storage: { files: 3, fileBytes: 1000, bytes: 3000 } })
  const run = async (addresses: readonly string[]) => await sandbox.call(`/run/${DOCUMENT_ID}`, { method: 'POST', body: JSON.stringify({ prompt: 'a heron', image_urls: addresses }) })
  const given = await giveTo(sandbox, randomBytes(100))
  const other = 'https://pictures.example/files/uploads/a.png'
  t.equal((await run([given, other])).status, 200)
  for (let more = 0; more < 3; more++) await giveTo(sandbox, randomBytes(100))
  t.equal(await statusOf(given), 404)
  t.equal((await run([given, other])).status, 200, 'what was given once is good for an input, since nobody looks into it')
  const { fileUrl } = await placeIn(sandbox)
  t.match(await run([given, fileUrl]), { status: 422, body: { detail: [{ loc: ['body', 'image_urls', 1], type: 'file_download_error' }] } })
})

t.test('what came first goes first when there are too many files, or they are too long together', async t => {
  const sandbox = await startSandbox(t, { storage: { files: 3, fileBytes: 1000, bytes: 1800 } })
  const first = await Promise.all([1, 2, 3].map(async () => await giveTo(sandbox, randomBytes(10))))
  await giveTo(sandbox, randomBytes(10))
  t.same((await Promise.all(first.map(statusOf))).toSorted(), [200, 200, 404])
  const [one, two] = [await giveTo(sandbox, randomBytes(900)), await giveTo(sandbox, randomBytes(901))]
  t.same([await statusOf(one), await statusOf(two)], [404, 200])

  const places = [await placeIn(sandbox), await placeIn(sandbox), await placeIn(sandbox), await placeIn(sandbox)]
  const statuses: number[] = []
  for (const { uploadUrl } of places) statuses.push(await put(uploadUrl, randomBytes(10)))
  t.same(statuses, [404, 200, 200, 200], 'and so do places that nobody has come to')
})

/** A PUT whose body never ends, and what was answered to it. */
async function openPut (t: Test, url: string, head: string): Promise<{ readonly socket: Socket, readonly answered: () => Promise<string> }> {
  const { hostname, port, pathname } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => { socket.destroy() })
  await once(socket, 'connect')
  socket.write(`PUT ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\n${head}\r\n\r\n`)
  return { socket, answered: async () => String(await once(socket, 'data')).split('\r\n', 1)[0] ?? '' }
}

t.test('how much comes at once is bounded, before it comes', async t => {
  const sandbox = await startSandbox(t, { storage: { files: 3, fileBytes: 1000, bytes: 1800 } })
  const places = [await placeIn(sandbox), await placeIn(sandbox), await placeIn(sandbox)].map(({ uploadUrl }) => uploadUrl)
  const [one = '', two = '', three = ''] = places
  t.equal(await (await openPut(t, one, 'transfer-encoding: chunked')).answered(), 'HTTP/1.1 411 Length Required')
  t.equal(await (await openPut(t, one, 'content-length: 1001')).answered(), 'HTTP/1.1 413 Payload Too Large')
  const slow = await openPut(t, one, 'content-length: 1000\r\nexpect: 100-continue')
  t.equal(await slow.answered(), 'HTTP/1.1 100 Continue')
  const alsoSlow = await openPut(t, two, 'content-length: 800\r\nexpect: 100-continue')
  t.equal(await alsoSlow.answered(), 'HTTP/1.1 100 Continue')
  t.equal(await put(three, randomBytes(1)), 503)
  slow.socket.write(randomBytes(1000))
  t.equal(await slow.answered(), 'HTTP/1.1 200 OK')
  t.equal(await put(three, randomBytes(1)), 200, 'there is room again when one has come')
})

t.test('who leaves while a file is coming gives its room back', async t => {
  const sandbox = await startSandbox(t, { storage: { files: 3, fileBytes: 1000, bytes: 1000 } })
  const leaving = await openPut(t, (await placeIn(sandbox)).uploadUrl, 'content-length: 1000\r\nexpect: 100-continue')
  t.equal(await leaving.answered(), 'HTTP/1.1 100 Continue')
  const { uploadUrl } = await placeIn(sandbox)
  t.equal(await put(uploadUrl, randomBytes(1000)), 503)
  leaving.socket.destroy()
  await until(async () => await put(uploadUrl, randomBytes(1000)) === 200)
})

t.test('what could run in a browser is handed out as something to save', async t => {
  const sandbox = await startSandbox(t)
  for (const type of ['text/html', 'image/svg+xml', 'text/javascript', 'image/png; x=<script>']) {
    const { uploadUrl, fileUrl } = await placeIn(sandbox, 'a.html', type)
    t.equal(await put(uploadUrl, Buffer.from('<script>alert(1)</script>')), 200)
    const { headers } = await fetch(fileUrl)
    t.same([headers.get('content-type'), headers.get('x-content-type-options'), headers.get('content-security-policy')], ['application/octet-stream', 'nosniff', 'default-src \'none\'; sandbox'])
  }
})
