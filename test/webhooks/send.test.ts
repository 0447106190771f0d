// One try of a webhook: it ends in its time whatever the receiver does, and never leads to where none may go.

import dns from 'node:dns'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { createServer as createTcpServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { lookUpPublic } from '../../src/public-address.ts'
import { createConnector } from '../../src/upstream/way.ts'
import { pauseAfter, retryAfterMsIn } from '../../src/webhooks/pauses.ts'
import { createSend, type Sent } from '../../src/webhooks/send.ts'
import { listenFor } from '../support/listen.ts'

type Answerer = (request: IncomingMessage, response: ServerResponse) => void

interface Received { readonly method: string | undefined, readonly url: string | undefined, readonly headers: IncomingHttpHeaders, readonly body: string }

async function receiver (t: Test, answer: Answerer): Promise<{ readonly port: number, readonly received: Received[] }> {
  const received: Received[] = []
  const sockets = new Set<Socket>()
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    received.push({ method: request.method, url: request.url, headers: request.headers, body })
    answer(request, response)
  })
  server.on('connection', socket => { sockets.add(socket) })
  return { port: await listenFor(t, server, sockets), received }
}

/** Speaks by hand, or not at all. */
async function tcpServer (t: Test, onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createTcpServer(socket => {
    sockets.add(socket.on('error', () => {}).resume())
    onSocket(socket)
  })
  return await listenFor(t, server, sockets)
}

const deps = { connect: { public: createConnector({ proxy: null, timeoutMs: 5000, lookup: lookUpPublic }), here: createConnector({ proxy: null, timeoutMs: 5000 }) } }

async function sentTo (port: number, { timeoutMs = 15_000, path = '/hook?team=a' } = {}): Promise<Sent> {
  const send = createSend({ ...deps, timeoutMs })
  return await send({ address: new URL(`http://127.0.0.1:${port}${path}`), way: 'here', headers: { 'webhook-id': 'hook_1' }, body: Buffer.from('{"a":1}') }, new AbortController().signal)
}

t.test('a POST with its headers and body, and every 2xx has taken it', async t => {
  const { port, received } = await receiver(t, (request, response) => { response.writeHead(request.url === '/hook?team=a' ? 204 : 200).end() })
  t.same(await sentTo(port), { kind: 'taken' })
  t.same(await sentTo(port, { path: '/' }), { kind: 'taken' })
  t.match(received[0], { method: 'POST', url: '/hook?team=a', body: '{"a":1}', headers: { 'content-type': 'application/json', 'content-length': '7', 'webhook-id': 'hook_1', 'user-agent': 'falgate' } })
})

t.test('an error is tried again, when a receiver that is busy wants it; 410 wants no more', async t => {
  const { port } = await receiver(t, ({ url }, response) => { response.writeHead(Number(url?.slice(1)), { 'retry-after': '7' }).end('no') })
  t.same(await sentTo(port, { path: '/500' }), { kind: 'failed', why: 'http-500', retryAfterMs: null })
  for (const status of [429, 503]) t.same(await sentTo(port, { path: `/${status}` }), { kind: 'failed', why: `http-${status}`, retryAfterMs: 7000 })
  t.same(await sentTo(port, { path: '/410' }), { kind: 'refused', why: 'http-410' })
})

t.test('a redirect is not followed, wherever it leads', async t => {
  const other = await receiver(t, (_request, response) => { response.end() })
  for (const to of ['http://169.254.169.254/latest/meta-data/', `http://127.0.0.1:${other.port}/`, '/again']) {
    const { port, received } = await receiver(t, (_request, response) => { response.writeHead(307, { location: to }).end() })
    t.match(await sentTo(port), { kind: 'failed', why: 'http-307' })
    t.equal(received.length, 1)
  }
  t.same(other.received, [])
})

t.test('a receiver that hangs before its answer, or whose answer has no end, ends with the try', async t => {
  const silent = await receiver(t, () => {})
  t.match(await sentTo(silent.port, { timeoutMs: 200 }), { kind: 'failed', why: 'timeout' })
  t.match(await sentTo(await tcpServer(t, () => {}), { timeoutMs: 200 }), { kind: 'failed', why: 'timeout' })
  let sentBytes = 0
  const endless = await receiver(t, (_request, response) => {
    response.writeHead(200)
    const chunk = Buffer.alloc(65_536)
    const more = (): void => {
      for (let isTaken = true; isTaken && !response.destroyed; sentBytes += chunk.length) isTaken = response.write(chunk)
    }
    response.on('drain', more)
    more()
  })
  t.same(await sentTo(endless.port), { kind: 'taken' })
  t.ok(sentBytes > 0 && sentBytes < 50_000_000, `${sentBytes} bytes went out of the receiver`)
  const dripping = await receiver(t, (_request, response) => { response.writeHead(500).write('a') })
  t.match(await sentTo(dripping.port), { kind: 'failed', why: 'http-500' })
})

t.test('nobody listens, or what answers is no HTTP: a word, and nothing of the address', async t => {
  const garbage = await tcpServer(t, socket => { socket.end('no HTTP\r\n\r\n') })
  // Port 1 of loopback is nobody's.
  for (const port of [garbage, 1]) t.match(await sentTo(port), { kind: 'failed', why: /^[A-Z_]+$/ })
})

t.test('a name is looked up once for each try, and leads nowhere when one of its addresses is not public', async t => {
  const { port, received } = await receiver(t, (_request, response) => { response.end() })
  const looked: string[] = []
  const original = dns.lookup
  t.teardown(() => {
    dns.lookup = original
    syncBuiltinESMExports()
  })
  const answers = [[{ address: '127.0.0.1', family: 4 }], [{ address: '198.41.0.4', family: 4 }, { address: '127.0.0.1', family: 4 }], [{ address: '::ffff:127.0.0.1', family: 6 }], [{ address: '169.254.169.254', family: 4 }], [{ address: '64:ff9b::7f00:1', family: 6 }], [{ address: '100.64.0.1', family: 4 }]]
  Reflect.set(dns, 'lookup', (name: string, _options: unknown, callback: (error: null, found: unknown) => void) => {
    looked.push(name)
    callback(null, answers[looked.length - 1])
  })
  syncBuiltinESMExports()
  const send = createSend(deps)
  const outgoing = { address: new URL(`https://hooks.example:${port}/`), way: 'public', headers: {}, body: Buffer.from('{}') } as const
  while (looked.length < answers.length) t.match(await send(outgoing, new AbortController().signal), { kind: 'failed', why: 'private-address' })
  t.same(looked, answers.map(() => 'hooks.example'))
  t.same(received, [])
})

t.test('a try that the process has no time for any more ends at once', async t => {
  const leaving = new AbortController()
  const { port } = await receiver(t, () => { leaving.abort() })
  const send = createSend(deps)
  t.match(await send({ address: new URL(`http://127.0.0.1:${port}/`), way: 'here', headers: {}, body: Buffer.from('{}') }, leaving.signal), { kind: 'failed', why: 'stopped' })
})

t.test('ten tries over two hours, none of them twice at the same moment for all; a receiver has a say about five minutes', async t => {
  const pauses = Array.from({ length: 10 }, (_, failed) => pauseAfter(failed, null))
  t.equal(pauses[9], null, 'the tenth was the last')
  const usual = [5, 30, 120, 300, 600, 900, 1200, 1800, 2100]
  for (const [index, seconds] of usual.entries()) t.ok(Math.abs((pauses[index] ?? 0) / 1000 - seconds) <= seconds * 0.2, `${pauses[index]} ms after ${index + 1} tries`)
  t.ok(new Set(Array.from({ length: 50 }, () => pauseAfter(4, null))).size > 10)
  t.equal(pauseAfter(0, 60_000), 60_000)
  t.equal(pauseAfter(0, 86_400_000), 300_000)
  t.ok(Number(pauseAfter(8, 0)) >= 1_680_000)
  t.equal(retryAfterMsIn('120', 0), 120_000)
  t.equal(retryAfterMsIn('Thu, 01 Jan 1970 00:01:00 GMT', 20_000), 40_000)
  t.equal(retryAfterMsIn('Thu, 01 Jan 1970 00:01:00 GMT', 90_000), 0)
  for (const nothing of ['soon', '', undefined, ['1', '2']]) t.equal(retryAfterMsIn(nothing, 0), null)
})
