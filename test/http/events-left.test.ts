// Readers of event streams that hang up before there is anything to write: nothing goes on for them.

import { once } from 'node:events'
import { connect } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import { createFollow } from '../../src/generation/follow.ts'
import type { Ledger } from '../../src/generation/ports.ts'
import { createWatch } from '../../src/generation/watch.ts'
import { watchConnection } from '../../src/http/connection.ts'
import { createEventStreams } from '../../src/http/event-stream.ts'
import { eventRoute } from '../../src/http/events.ts'
import { freshFacts } from '../../src/http/request-facts.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, times } from '../support/admission.ts'
import { bookOf, tenant } from '../support/gateway.ts'
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
  const fail = (doing: string, error: unknown): void => { t.fail(doing, { found: error }) }
  const ledger = new Proxy<Ledger>(memory, { get: (target, name) => name === 'read' ? read : Reflect.get(target, name) })
  const watch = createWatch(ledger, error => { fail('looking', error) })
  const follow = createFollow({ ledger, watch, onTrouble: fail })
  let open = 0
  const eventStreams = createEventStreams({ beatMs: 1000, stallMs: 1000, onTrouble: fail, metrics: { eventStreams: count => { open = count }, eventStreamDropped: () => {} } })
  const studio = bookOf({ tenants: [tenant('studio')] }).tenants.get('studio')
  if (studio === undefined) throw new Error('there is no tenant')
  const admitted = await ledger.admit(admissionOf())
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)

  const app = Fastify()
  app.setSerializerCompiler(() => JSON.stringify)
  let over = 0
  app.decorateRequest('facts')
  app.addHook('onRequest', async (request, reply) => {
    request.facts = freshFacts(watchConnection(request, reply, () => { over += 1 }), false)
    request.facts.caller = { tenant: studio, keyId: 'studio', subject: '' }
  })
  eventRoute(app, { follow, eventStreams, ledger, onTrouble: fail })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    app.server.closeAllConnections()
    await app.close()
    follow.close()
    watch.close()
    await memory.close()
  })

  const address = app.server.address()
  const socket = connect(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(`GET /generations/${admitted.row.id}/events HTTP/1.1\r\nHost: x\r\n\r\n`)
  await until(() => isAsked)
  socket.destroy()
  await until(() => over === 1)
  answer()
  await until(() => !isAsked)
  await until(() => open === 0)
  t.equal(follow.readers, 0)
})
