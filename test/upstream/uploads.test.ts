// Files of callers on their way to fal's storage, over real sockets: what arrives there, where nothing is sent, and what callers and operators are told.

import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Problem } from '../../src/errors.ts'
import type { FileToUpload } from '../../src/generation/uploads.ts'
import { lookUpPublic } from '../../src/public-address.ts'
import { createUploads, type Uploads } from '../../src/upstream/uploads.ts'
import { createConnector } from '../../src/upstream/way.ts'
import { startFileServer, type Answerer } from '../support/file-server.ts'
import { listenFor } from '../support/listen.ts'

const KEY = 'central-id:central-secret'
const SECOND_KEY = 'second-id:second-secret'

/** What came to the server. */
interface Came { readonly request: string, readonly headers: IncomingHttpHeaders, readonly body: Buffer }

interface Scene extends Uploads {
  readonly url: string
  /** Origins of the operators'. */
  readonly own: string[]
  /** How the storage answers when it is asked where a file goes, and when it is sent one. */
  readonly asked: (answerer: Answerer) => void
  readonly sent: (answerer: Answerer) => void
  readonly came: readonly Came[]
  readonly outcomes: readonly string[]
  /** Every line of the log, as text. */
  readonly lines: readonly string[]
}

interface SceneOptions { readonly keys?: readonly string[], readonly timeoutMs?: number }

/** A storage that does everything right, until a test says otherwise. */
async function scene (t: Test, { keys = [KEY], timeoutMs }: SceneOptions = {}): Promise<Scene> {
  const server = await startFileServer(t)
  const came: Came[] = []
  const outcomes: string[] = []
  const lines: string[] = []
  const own = [server.url]
  let asked: Answerer = (_request, response) => { answerJson(response, 200, { upload_url: `${server.url}/put?sig=s3cr3t`, file_url: `${server.url}/files/a.png` }) }
  let sent: Answerer = (_request, response) => { response.writeHead(200).end() }
  server.answer((request, response) => {
    read(request).then(body => {
      came.push({ request: `${request.method} ${request.url}`, headers: request.headers, body })
      if (request.method === 'POST') asked(request, response)
      else sent(request, response)
    }).catch(() => {}) // the other side left
  })
  const note = (facts: object, message: string): void => { lines.push(JSON.stringify({ ...facts, message })) }
  const straight = createConnector({ proxy: null, timeoutMs: 5000 })
  const uploads = createUploads({
    restUrl: () => server.url,
    accounts: () => keys.map((key, place) => ({ name: `account-${place + 1}`, key })),
    connect: { rest: straight, ours: straight, public: createConnector({ proxy: null, timeoutMs: 5000, lookup: lookUpPublic }) },
    ownOrigins: () => own,
    reached: address => address,
    onUpload: (outcome, bytes) => { outcomes.push(`${outcome} ${bytes}`) },
    log: { debug: note, warn: note, error: note },
    ...(timeoutMs === undefined ? {} : { timeoutMs })
  })
  t.teardown(uploads.close)
  return { ...uploads, url: server.url, own, asked: answerer => { asked = answerer }, sent: answerer => { sent = answerer }, came, outcomes, lines }
}

function answerJson (response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

async function read (request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function fileOf (t: Test, bytes: Buffer, { type, ending } = { type: 'image/png', ending: 'png' }): FileToUpload {
  const path = join(t.testdir({}), 'file')
  writeFileSync(path, bytes)
  return { path, bytes: bytes.length, type, ending }
}

const never = new AbortController().signal

/** The problem that an upload ends with. */
async function problemOf (upload: Promise<string>): Promise<Problem> {
  const error: unknown = await upload.then(address => new Error(`it went well: ${address}`), (error: unknown) => error)
  if (error instanceof Problem) return error
  throw error
}

t.test('a file arrives whole and unchanged, under a made-up name, for a day, and its bytes go without the key', async t => {
  const { upload, came, url, outcomes, lines } = await scene(t)
  const bytes = randomBytes(3_000_001)
  t.equal(await upload(fileOf(t, bytes, { type: 'image/heic', ending: 'heic' }), never), `${url}/files/a.png`)
  t.same(came.map(({ request }) => request), ['POST /storage/upload/initiate?storage_type=fal-cdn-v3', 'PUT /put?sig=s3cr3t'])
  const [asked, sent] = came
  t.match(asked?.headers, { authorization: `Key ${KEY}`, 'content-type': 'application/json', 'x-fal-object-lifecycle': '{"expiration_duration_seconds":86400}' })
  t.same(JSON.parse(String(asked?.body)), { content_type: 'image/heic', file_name: 'upload.heic' })
  t.ok(sent?.body.equals(bytes))
  t.match(sent?.headers, { 'content-type': 'image/heic', 'content-length': '3000001' })
  t.notMatch(JSON.stringify(sent?.headers), /authorization|central|lifecycle/i)
  t.same([outcomes, lines], [['uploaded 3000001'], []])
})

t.test('many files at once do not mix', async t => {
  const { upload, came, asked, url } = await scene(t)
  asked((_request, response) => { answerJson(response, 200, { upload_url: `${url}/put`, file_url: `${url}/files/a.png` }) })
  const files = Array.from({ length: 8 }, () => randomBytes(200_000))
  const paths = t.testdir({})
  await Promise.all(files.map(async (bytes, place) => {
    writeFileSync(join(paths, `${place}`), bytes)
    await upload({ path: join(paths, `${place}`), bytes: bytes.length, type: 'image/png', ending: 'png' }, never)
  }))
  const arrived = came.filter(({ request }) => request.startsWith('PUT')).map(({ body }) => body)
  t.equal(arrived.length, 8)
  t.ok(files.every(bytes => arrived.some(body => body.equals(bytes))))
})

t.test('an account that fal refuses is passed over for the next, and only when none is left the caller is refused', async t => {
  const { upload, asked, came, url, lines, outcomes } = await scene(t, { keys: [KEY, SECOND_KEY] })
  asked((request, response) => {
    if (request.headers.authorization === `Key ${SECOND_KEY}`) answerJson(response, 200, { upload_url: `${url}/put`, file_url: `${url}/files/a.png` })
    else answerJson(response, 403, { detail: 'User is locked. Reason: Exhausted balance.' })
  })
  const file = fileOf(t, randomBytes(1000))
  t.equal(await upload(file, never), `${url}/files/a.png`)
  t.same(lines.map(line => JSON.parse(line)), [{ operation: 'upload', status: 403, fal: 'User is locked', account: 'account-1', message: 'fal does not accept our account' }])

  asked((_request, response) => { answerJson(response, 401, { detail: 'No user found for Key ID and Secret' }) })
  const before = came.length
  t.match(await problemOf(upload(file, never)), { code: 'upstream-account-blocked', facts: { retryAfterSeconds: 60 } })
  t.equal(came.length, before + 2, 'each was tried, and nothing was sent')
  t.notMatch(lines.join('\n'), /secret|balance/i)
  t.same(outcomes, ['uploaded 1000', 'blocked 0'])
})

t.test('nothing is sent to an address that is not public and https, nor is such an address handed on', async t => {
  const { upload, asked, url, lines, came } = await scene(t)
  const knocks: string[] = []
  const sockets = new Set<Socket>()
  const port = await listenFor(t, createServer(socket => {
    sockets.add(socket)
    knocks.push('knocked')
  }), sockets)
  const file = fileOf(t, randomBytes(1000))
  const good = `${url}/files/a.png`
  const bad = [`http://127.0.0.1:${port}/x`, `https://127.0.0.1:${port}/x`, `https://[::1]:${port}/x`, `https://[::ffff:127.0.0.1]:${port}/x`, 'https://169.254.169.254/x', 'https://10.0.0.1/x', 'http://files.example/x', 'https://user@files.example/x', 'https://user:pass@files.example/x', url.replace('//', '//user:pass@'), 'data:image/png;base64,AA==', 'file:///etc/passwd']
  for (const address of bad) {
    for (const answer of [{ upload_url: address, file_url: good }, { upload_url: `${url}/put`, file_url: address }]) {
      asked((_request, response) => { answerJson(response, 200, answer) })
      t.match(await problemOf(upload(file, never)), { code: 'upload-failed', status: 502, facts: { retryAfterSeconds: 5 } }, JSON.stringify(answer))
      t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'ask', reason: 'address', bytes: 1000 })
    }
  }
  // Only when it is looked up it is found to lead here.
  asked((_request, response) => { answerJson(response, 200, { upload_url: `https://localhost:${port}/x?sig=s3cr3t`, file_url: good }) })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' })
  t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'send', reason: 'PRIVATE_ADDRESS' })
  t.same(knocks, [])
  t.notOk(came.some(({ request }) => request.startsWith('PUT')))
  t.notMatch(lines.join('\n'), /s3cr3t|example|127\.0\.0\.1|localhost/)
})

t.test('a redirect is not followed, with the key or with the file', async t => {
  const { upload, asked, sent, lines, came } = await scene(t)
  const elsewhere = await startFileServer(t)
  const file = fileOf(t, randomBytes(1000))
  for (const status of [301, 302, 303, 307, 308]) {
    sent((_request, response) => { response.writeHead(status, { location: `${elsewhere.url}/x` }).end() })
    t.match(await problemOf(upload(file, never)), { code: 'upload-failed' })
    t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'send', reason: `http-${status}` })
  }
  asked((_request, response) => { response.writeHead(307, { location: `${elsewhere.url}/x` }).end() })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' })
  t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'ask', reason: 'http-307' })
  t.equal(came.length, 11)
  t.same(elsewhere.asked, [])
})

t.test('answers that say nothing that can be used are failures, however they are wrong', async t => {
  const { upload, asked, url, lines, came } = await scene(t)
  const file = fileOf(t, randomBytes(1000))
  const good = `${url}/x`
  const odd: ReadonlyArray<readonly [body: string, reason: string]> = [
    ['', 'odd-answer'],
    ['<html>', 'odd-answer'],
    ['null', 'odd-answer'],
    ['[]', 'odd-answer'],
    ['{}', 'odd-answer'],
    [JSON.stringify({ upload_url: good }), 'odd-answer'],
    [JSON.stringify({ file_url: good }), 'odd-answer'],
    [JSON.stringify({ upload_url: [good], file_url: good }), 'odd-answer'],
    [JSON.stringify({ upload_url: good, file_url: 7 }), 'odd-answer'],
    [JSON.stringify({ upload_url: 'x', file_url: good }), 'odd-answer'],
    [JSON.stringify({ upload_url: good, file_url: '' }), 'odd-answer'],
    [JSON.stringify({ upload_url: good + 'x'.repeat(9000), file_url: good }), 'odd-answer'],
    [JSON.stringify({ upload_url: good, file_url: good, more: 'x'.repeat(70_000) }), 'too-long']
  ]
  for (const [body, reason] of odd) {
    asked((_request, response) => { response.end(body) })
    t.match(await problemOf(upload(file, never)), { code: 'upload-failed' }, body.slice(0, 50))
    t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'ask', reason })
  }
  asked((_request, response) => { response.end(Buffer.from([0x7b, 0xff, 0xfe, 0x7d])) })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' })
  t.match(JSON.parse(lines.at(-1) ?? ''), { reason: 'not-text' })
  t.notOk(came.some(({ request }) => request.startsWith('PUT')))
})

t.test('a storage that is busy or ill is a failure with a time to wait, of a minute at most', async t => {
  const { upload, asked, sent, url, lines, outcomes } = await scene(t)
  const file = fileOf(t, randomBytes(1000))
  for (const [status, retryAfter, seconds] of [[429, '3', 3], [500, undefined, 5], [502, 'soon', 5], [503, '0', 1], [503, '86400', 60], [404, undefined, 5], [422, undefined, 5]] as const) {
    const refuse: Answerer = (_request, response) => { response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end() }
    sent(refuse)
    t.match(await problemOf(upload(file, never)), { code: 'upload-failed', facts: { retryAfterSeconds: seconds } })
    t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'send', reason: `http-${status}` })
    asked(refuse)
    t.match(await problemOf(upload(file, never)), { code: 'upload-failed', facts: { retryAfterSeconds: seconds } })
    t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'ask', reason: `http-${status}` })
    asked((_request, response) => { answerJson(response, 200, { upload_url: `${url}/put`, file_url: `${url}/files/a.png` }) })
  }
  t.same([...new Set(outcomes)], ['failed 0'])
})

/** A server that does with what comes what the test says, of connections that it knows. */
async function rawServer (t: Test, onSocket: (socket: Socket) => void): Promise<{ readonly origin: string, readonly sockets: ReadonlySet<Socket> }> {
  const sockets = new Set<Socket>()
  const port = await listenFor(t, createServer(socket => {
    sockets.add(socket)
    onSocket(socket.on('error', () => {}))
  }), sockets)
  return { origin: `http://127.0.0.1:${port}`, sockets }
}

t.test('a connection that is cut is a failure, wherever it is cut, and nothing is tried twice', async t => {
  const { upload, asked, sent, own, url, lines, came } = await scene(t)
  const file = fileOf(t, randomBytes(5_000_000))
  sent(request => { request.socket.destroy() })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' }, 'all was sent')
  t.equal(came.length, 2)

  const halfway = await rawServer(t, socket => { socket.on('data', () => { if (socket.bytesRead > 1_000_000) socket.destroy() }) })
  own.push(halfway.origin)
  asked((_request, response) => { answerJson(response, 200, { upload_url: `${halfway.origin}/put`, file_url: `${url}/files/a.png` }) })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' }, 'halfway')
  t.equal(halfway.sockets.size, 1)
  t.match(lines.map(line => JSON.parse(line)), [{ step: 'send', bytes: 5_000_000 }, { step: 'send', bytes: 5_000_000 }])

  asked(request => { request.socket.destroy() })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' }, 'no answer')
  t.match(lines.map(line => JSON.parse(line)).slice(-2), [{ operation: 'upload', message: 'no answer from fal' }, { step: 'ask' }])
  asked((_request, response) => {
    response.writeHead(200, { 'content-length': '500' })
    response.write('{"upload_url":"', () => { response.socket?.destroy() })
  })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' }, 'half an answer')
  t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'ask', reason: 'cut' })
  t.equal(came.length, 5)
})

t.test('who says that all is well before all was sent is not believed', async t => {
  const { upload, asked, own, url, lines, outcomes } = await scene(t)
  const hasty = await rawServer(t, socket => { socket.once('data', () => { socket.pause().write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n') }) })
  own.push(hasty.origin)
  asked((_request, response) => { answerJson(response, 200, { upload_url: `${hasty.origin}/put`, file_url: `${url}/files/a.png` }) })
  t.match(await problemOf(upload(fileOf(t, randomBytes(20_000_000)), never)), { code: 'upload-failed' })
  t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'send', reason: 'early-answer' })
  t.same(outcomes, ['failed 0'])
})

t.test('a file that is not as long as it is said to be is not sent for another', async t => {
  const { upload, lines, outcomes } = await scene(t)
  const file = fileOf(t, randomBytes(100_000))
  for (const bytes of [99_999, 100_001]) {
    t.match(await problemOf(upload({ ...file, bytes }, never)), { code: 'upload-failed' })
    t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'send', bytes })
  }
  t.same(outcomes, ['failed 0', 'failed 0'])
  await t.rejects(upload({ ...file, path: `${file.path}-gone` }, never), { code: 'ENOENT' }, 'which is a fault of this machine')
})

t.test('what is silent is given up: when its caller leaves, when its time is over, and when the process ends', async t => {
  const { upload, close, asked, sent, url, lines, outcomes } = await scene(t)
  const file = fileOf(t, randomBytes(1000))
  for (const isSilent of [asked, sent]) {
    const leaving = new AbortController()
    isSilent(() => { leaving.abort(new Error('the caller left')) })
    await t.rejects(upload(file, leaving.signal), { message: 'the caller left' })
    asked((_request, response) => { answerJson(response, 200, { upload_url: `${url}/put`, file_url: `${url}/files/a.png` }) })
  }
  t.same([outcomes, lines], [['given-up 0', 'given-up 0'], []], 'which is nobody\'s fault')
  await t.rejects(upload(file, AbortSignal.abort(new Error('left before'))), { message: 'left before' })

  sent(() => { close() })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' })
  t.match(JSON.parse(lines.at(-1) ?? ''), { step: 'send', reason: 'stopped' })
  t.match(await problemOf(upload(file, never)), { code: 'upload-failed' }, 'nothing is begun after that')

  const hurried = await scene(t, { timeoutMs: 1 })
  hurried.asked(() => {})
  t.match(await problemOf(hurried.upload(file, never)), { code: 'upload-failed' })
  t.match(JSON.parse(hurried.lines.at(-1) ?? ''), { step: 'ask', reason: 'deadline' })
  // On a slow machine it may be over sooner.
  const slow = await scene(t, { timeoutMs: 300 })
  slow.sent(() => {})
  t.match(await problemOf(slow.upload(file, never)), { code: 'upload-failed' })
  t.match(JSON.parse(slow.lines.at(-1) ?? ''), { reason: 'deadline' })
})

t.test('without a key nothing is asked', async t => {
  const { upload, came } = await scene(t, { keys: [] })
  t.match(await problemOf(upload(fileOf(t, randomBytes(10)), never)), { code: 'upstream-account-blocked' })
  t.same(came, [])
})
