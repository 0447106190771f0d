// Readers of event streams that hang up before there is anything to write: nothing goes on for them.

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import type { Ledger } from '../../src/generation/ledger.ts'
import { eventRoute } from '../../src/http/events.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, times } from '../support/admission.ts'
import { serveRoutes } from '../support/routes.ts'
import { until } from '../support/until.ts'

t.test('a reader that hangs up while the ledger is asked is neither written to nor followed for', async t => {
  const memory = createMemoryLedger({ times, now: () => Date.now() })
  let answer = (): void => {}
  let isAsked = false
  // The ledger answers when the test says so.
  const read: Ledger['read'] = async (id, reader) => {
    isAsked = true
    await new Promise<void>(resolve => { answer = resolve })
    isAsked = false
    return await memory.read(id, reader)
  }
  const ledger = new Proxy<Ledger>(memory, { get: (target, name) => name === 'read' ? read : Reflect.get(target, name) })
  const admitted = await ledger.admit(admissionOf())
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
  const { base, follow, over, openStreams } = await serveRoutes(t, ledger, (app, parts) => { eventRoute(app, parts) })

  const socket = connect(Number(new URL(base).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write(`GET /generations/${admitted.row.id}/events HTTP/1.1\r\nHost: x\r\n\r\n`)
  await until(() => isAsked)
  socket.destroy()
  await until(() => over() === 1)
  answer()
  await until(() => !isAsked)
  await until(() => openStreams() === 0)
  t.equal(follow.streams, 0)
})
