// Results that lie aside, while the store does not give them: a caller that was told so did not get them, so they stay reattachable and can be had later.

import { connect } from 'node:net'
import t from 'tap'
import { Problem } from '../../src/errors.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { eventRoute } from '../../src/http/events.ts'
import { pollHandlers } from '../../src/http/fal/poll.ts'
import { pollRoutes } from '../../src/http/fal/queue-routes.ts'
import { generationRoutes } from '../../src/http/generations.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, successOf, times } from '../support/admission.ts'
import { serveRoutes } from '../support/routes.ts'
import { until } from '../support/until.ts'

const QUEUE = '/queue/fal-ai/imagen4/requests'

/** Readers who send a question and never read the answer. */
const SLOW_READERS = 12

t.test('a result that could not be read just now is not delivered, the next question gets it, and readers who take their time share one copy', async t => {
  const memory = createMemoryLedger({ times, now: () => Date.now() })
  let isAway = false
  let isSeen = false
  const aside: Ledger['aside'] = async id => {
    if (isAway) throw new Problem('store-unavailable')
    return await memory.aside(id)
  }
  const seen: Ledger['seen'] = async (id, connection) => {
    isSeen = true
    await memory.seen(id, connection)
  }
  const ledger: Ledger = { ...memory, aside, seen }
  const admitted = await ledger.admit(admissionOf())
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
  const { id } = admitted.row
  await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  const output = JSON.stringify({ images: [{ url: 'data:' + 'x'.repeat(300_000) }] })
  await ledger.finish(id, 1, 'request', successOf({ output }))
  const long = freshId()
  await ledger.admit(admissionOf({ id: long }))
  await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  const longBytes = 16 * 1_048_576
  await ledger.finish(long, 1, 'long', successOf({ output: JSON.stringify({ images: [{ url: 'data:' + 'x'.repeat(longBytes) }] }) }))

  let sent = 0
  const { base, over } = await serveRoutes(t, ledger, (app, parts) => {
    app.setErrorHandler((error, _request, reply) => reply.code(error instanceof Problem ? 503 : 500).send('{}'))
    app.addHook('onSend', async () => { sent += 1 })
    generationRoutes(app, parts)
    eventRoute(app, parts)
    pollRoutes(app, [builtInModels.default.endpointId], pollHandlers({ ...parts, queueBase: () => '' }))
  })

  isAway = true
  const paths = [`/generations/${id}`, `${QUEUE}/${id}`]
  for (const [n, path] of paths.entries()) {
    const response = await fetch(base + path)
    const text = await response.text()
    t.equal(response.status, 503)
    t.notMatch(text, 'succeeded', 'nobody is told the end without the picture')
    await until(() => over() === n + 1)
  }
  t.match(await (await fetch(`${base}/generations/${id}/events`)).text(), `"output":null,"output_bytes":${Buffer.byteLength(output)}`)
  await until(() => over() === paths.length + 1)
  t.equal(isSeen, false, 'an event is too short for it')

  isAway = false
  for (const path of paths) {
    isSeen = false
    t.ok((await (await fetch(base + path)).text()).includes(output))
    await until(() => isSeen)
  }

  const longPaths = [`/generations/${long}`, `${QUEUE}/${long}`]
  const before = { sent, bytes: process.memoryUsage().rss }
  for (let reader = 0; reader < SLOW_READERS; reader += 1) {
    const socket = connect(Number(new URL(base).port), '127.0.0.1')
    t.teardown(() => { socket.destroy() })
    socket.pause().write(`GET ${longPaths[reader % 2]} HTTP/1.1\r\nhost: x\r\n\r\n`)
  }
  await until(() => sent === before.sent + SLOW_READERS)
  const grown = process.memoryUsage().rss - before.bytes
  t.ok(grown < SLOW_READERS / 2 * longBytes, `${Math.round(grown / 1_048_576)} MiB for ${SLOW_READERS} readers of ${longBytes / 1_048_576} MiB`)
})
