// The writing of event streams, on real sockets: nothing is queued for a reader that does not read, and it is dropped with a reason.

import net from 'node:net'
import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { watchConnection } from '../../src/http/connection.ts'
import { createEventStreams } from '../../src/http/event-stream.ts'
import { freshFacts } from '../../src/http/request-facts.ts'
import { until } from '../support/until.ts'

interface Scene {
  readonly port: number
  readonly dropped: string[]
  readonly logged: string[]
  readonly open: () => number
  /** How many texts were asked for, by the order of the requests. */
  readonly asked: number[]
}

/** A server whose only answer is an endless stream of texts of 64 KiB. */
async function scene (t: Test, options: { readonly heartbeatMs: number, readonly idleTimeoutMs: number, readonly now?: () => number }): Promise<Scene> {
  const dropped: string[] = []
  const logged: string[] = []
  const asked: number[] = []
  let open = 0
  const streams = createEventStreams({
    ...options,
    metrics: { eventStreams: count => { open = count }, eventStreamDropped: reason => { dropped.push(reason) } },
    onTrouble: (operation, error) => { t.fail(operation, { found: error }) }
  })
  const app: FastifyInstance = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { logged.push(line) } } } })
  app.decorateRequest('facts')
  app.get('/', async (request, reply) => {
    request.facts = freshFacts(watchConnection(request, reply, () => {}), request.routeOptions, { route: '/', isPoll: false }, null)
    const nth = asked.push(0) - 1
    async function * texts (): AsyncGenerator<string> {
      for (;;) {
        asked[nth] = (asked[nth] ?? 0) + 1
        yield `data: ${'x'.repeat(65_536)}\n\n`
      }
    }
    await streams.write(request, reply, texts())
    return reply
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    app.server.closeAllConnections()
    await app.close()
  })
  const address = app.server.address()
  return { port: typeof address === 'object' && address !== null ? address.port : 0, dropped, logged, asked, open: () => open }
}

/** A client that asks and then reads nothing. */
async function ask (t: Test, port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  socket.pause()
  await once(socket, 'connect')
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  return socket
}

t.test('a reader that never reads is dropped with a reason; little was made for it, and others get theirs meanwhile', async t => {
  // The clock goes on only when the other one has got more: how fast this machine is decides nothing.
  const idleTimeoutMs = 300
  let nowMs = 0
  const { port, dropped, logged, asked, open } = await scene(t, { heartbeatMs: 1, idleTimeoutMs, now: () => nowMs })
  const silent = await ask(t, port)
  await until(() => asked.length === 1)
  const reader = await ask(t, port)
  let read = 0
  reader.on('data', chunk => { read += chunk.length })
  reader.resume()
  await until(() => read > 200 * 65_536, { what: 'the other one gets its texts meanwhile' })
  t.same(dropped, [])
  while (dropped.length === 0) {
    const [, before = 0] = asked
    await until(() => dropped.length > 0 || (asked[1] ?? 0) > before)
    nowMs += idleTimeoutMs / 10
  }
  t.same(dropped, ['unread'])
  t.match(logged.join(''), /does not read/)
  t.ok((asked[0] ?? 0) < 200, `${asked[0]} texts of 64 KiB were made for it, which is what the system's buffers hold`)
  await until(() => open() === 1)
  silent.destroy()
  reader.destroy()
  await until(() => open() === 0)
})

t.test('a slow reader is not dropped as long as it reads', async t => {
  // The clock goes on only when something was read, so that a process that was kept waiting is not taken for a reader that does not read.
  const idleTimeoutMs = 400
  let nowMs = 0
  const { port, dropped, asked, open } = await scene(t, { heartbeatMs: 1, idleTimeoutMs, now: () => nowMs })
  const socket = await ask(t, port)
  let read = 0
  socket.on('data', chunk => {
    read += chunk.length
    socket.pause()
    setTimeout(() => { socket.resume() }, 5)
  })
  socket.resume()
  for (let round = 0; round < 10; round += 1) {
    const [before = 0] = asked
    await until(() => (asked[0] ?? 0) > before)
    nowMs += 0.8 * idleTimeoutMs
  }
  t.same(dropped, [])
  t.equal(open(), 1)
  t.ok(read > 0)
  socket.destroy()
  await until(() => open() === 0)
})
