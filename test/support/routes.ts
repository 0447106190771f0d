// Routes on a server of their own, with the parts that they need and nothing of the gateway around them: for tests that stand between a route and its ledger.

import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Ledger } from '../../src/generation/ledger.ts'
import { createFollow, type Follow } from '../../src/generation/watch/follow.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { watchConnection } from '../../src/http/connection.ts'
import { createEventStreams, type EventStreams } from '../../src/http/event-stream.ts'
import { freshFacts } from '../../src/http/request-facts.ts'
import type { OnTrouble } from '../../src/trouble.ts'
import { bookOf, tenant } from './gateway.ts'

/** What routes are made with. */
export interface RouteParts {
  readonly ledger: Ledger
  readonly follow: Follow
  readonly eventStreams: EventStreams
  readonly onTrouble: OnTrouble
  readonly fileAddresses: null
}

export interface Served {
  readonly base: string
  readonly follow: Follow
  /** Requests that are over, and event streams that are open. */
  readonly over: () => number
  readonly openStreams: () => number
}

/** Serves the routes that `register` makes to the tenant `studio`, until the test ends; closes the ledger then. Trouble fails the test. */
export async function serveRoutes (t: Test, ledger: Ledger, register: (app: FastifyInstance, parts: RouteParts) => void): Promise<Served> {
  const onTrouble: OnTrouble = (operation, error) => { t.fail(operation, { found: error }) }
  const watch = createWatch(ledger, error => { onTrouble('read-awaited', error) })
  const follow = createFollow({ ledger, watch, onTrouble })
  let openStreams = 0
  let over = 0
  const eventStreams = createEventStreams({ heartbeatMs: 1000, idleTimeoutMs: 1000, onTrouble, metrics: { eventStreams: count => { openStreams = count }, eventStreamDropped: () => {} } })
  const studio = bookOf({ tenants: [tenant('studio')] }).tenants.get('studio')
  if (studio === undefined) throw new Error('there is no tenant')
  const app = Fastify()
  app.setSerializerCompiler(() => JSON.stringify)
  app.decorateRequest('facts')
  app.addHook('onRequest', async (request, reply) => {
    request.facts = freshFacts(watchConnection(request, reply, () => { over += 1 }), request.routeOptions, { route: '/', isPoll: false }, null)
    request.facts.caller = { tenant: studio, keyId: 'studio', token: null, subject: '' }
  })
  register(app, { ledger, follow, eventStreams, onTrouble, fileAddresses: null })
  const base = await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    app.server.closeAllConnections()
    await app.close()
    follow.close()
    watch.close()
    await ledger.close()
  })
  return { base, follow, over: () => over, openStreams: () => openStreams }
}
