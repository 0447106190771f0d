// Asking fal to stop, and letting go of everything.

import t from 'tap'
import { scriptedServer, type Reply } from '../support/scripted-server.ts'
import { MODEL, queueClient, REQUEST_ID, REQUEST_PATH } from './queue-client.ts'

t.test('a wish to cancel ends as fal answers it', async t => {
  const cases: { readonly script: (reply: Reply) => void, readonly expected: string, readonly cancelMs?: number }[] = [
    { script: reply => reply.answer(202, { status: 'CANCELLATION_REQUESTED' }), expected: 'asked' },
    { script: reply => reply.answer(200, { status: 'OK' }), expected: 'asked' },
    { script: reply => reply.answer(200, { success: true }), expected: 'asked' },
    { script: reply => reply.answer(202, ''), expected: 'asked' },
    { script: reply => reply.answer(200, { status: 'ALREADY_COMPLETED' }), expected: 'too-late' },
    { script: reply => reply.answer(400, { status: 'ALREADY_COMPLETED' }), expected: 'too-late' },
    { script: reply => reply.answer(200, { status: 'NOT_FOUND' }), expected: 'missing' },
    { script: reply => reply.answer(404, { status: 'NOT_FOUND' }), expected: 'missing' },
    { script: reply => reply.answer(401, { detail: 'x' }), expected: 'unavailable' },
    { script: reply => reply.answer(500, { detail: 'x' }), expected: 'unavailable' },
    { script: reply => reply.reset(), expected: 'unavailable' },
    { script: () => {}, expected: 'unavailable', cancelMs: 50 }
  ]
  for (const { script, expected, cancelMs = 30_000 } of cases) {
    const { upstream, server } = await queueClient(t, { request: (_request, reply) => script(reply) }, { timeouts: { cancelMs } })
    t.equal(await upstream.cancel(MODEL, REQUEST_ID), expected, String(script))
    t.match(server.requests, [{ method: 'PUT', path: `${REQUEST_PATH}/cancel` }])
    t.equal(server.requests[0]?.headers.get('content-length'), '0')
  }
})

t.test('reading uses connections again', async t => {
  const { upstream, server, signal } = await queueClient(t, { request: (_request, reply) => reply.answer(404, { status: 'NOT_FOUND' }) })
  for (let n = 0; n < 10; n++) await upstream.result(MODEL, REQUEST_ID, signal)
  // An answer may be handed over a moment before its connection is free, so it need not be one.
  t.equal(Math.max(...server.requests.map(request => request.connection)) <= 2, true)
})

t.test('close ends whatever is under way, and twice is harmless', async t => {
  let arrived = 0
  let allArrived: () => void = () => {}
  const everything = new Promise<void>(resolve => { allArrived = resolve })
  const closed: Promise<unknown>[] = []
  const { upstream, signal } = await queueClient(t, {
    connection: socket => { closed.push(new Promise(resolve => socket.on('close', resolve))) },
    request: () => { if (++arrived === 4) allArrived() }
  })
  const submitted = upstream.submit(MODEL, '{}')
  const read = upstream.result(MODEL, REQUEST_ID, signal)
  const cancelled = upstream.cancel(MODEL, REQUEST_ID)
  const sighting = upstream.openStatusReader(MODEL, REQUEST_ID).next(signal)
  const sightingEnds = t.rejects(sighting)
  await everything
  await Promise.all([upstream.close(), upstream.close()])
  t.match(await submitted, { kind: 'lost', requestId: null })
  t.match(await read, { kind: 'unavailable' })
  t.equal(await cancelled, 'unavailable')
  await sightingEnds
  await upstream.close()
  await Promise.all(closed)
})

t.test('close does not wait for connections that are being established', async t => {
  let connected: () => void = () => {}
  const connecting = new Promise<void>(resolve => { connected = resolve })
  let sockets = 0
  const closed: Promise<unknown>[] = []
  const silent = await scriptedServer(t, {
    connection: socket => {
      closed.push(new Promise(resolve => socket.on('close', resolve)))
      if (++sockets === 2) connected()
    }
  })
  const { upstream, signal } = await queueClient(t, {}, { queueUrl: () => silent.url.replace('http:', 'https:'), timeouts: { connectMs: 600_000 } })
  const submitted = upstream.submit(MODEL, '{}')
  const read = upstream.result(MODEL, REQUEST_ID, signal)
  await connecting
  await upstream.close()
  t.match(await submitted, { kind: 'unsent' })
  t.match(await read, { kind: 'unavailable' })
  await Promise.all(closed)
})

t.test('after close nothing is sent', async t => {
  const { upstream, server, signal } = await queueClient(t, {})
  await upstream.close()
  t.match(await upstream.submit(MODEL, '{}'), { kind: 'unsent' })
  t.match(await upstream.result(MODEL, REQUEST_ID, signal), { kind: 'unavailable' })
  t.equal(await upstream.cancel(MODEL, REQUEST_ID), 'unavailable')
  await t.rejects(upstream.openStatusReader(MODEL, REQUEST_ID).next(signal), /closed/)
  t.same(server.requests, [])
})
