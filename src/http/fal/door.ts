// fal's own protocol as a door: synchronous calls, the queue and the server proxy, for clients that were written for fal.

import type { FastifyInstance } from 'fastify'
import { Problem } from '../../errors.ts'
import { falHeaders } from '../../fal-wire/headers.ts'
import type { BaseUrl } from '../base-url.ts'
import { FAL_PREFIX, targetOf } from './address.ts'
import type { FalHosts } from './hosts.ts'
import type { PollDeps } from './poll.ts'
import { queueRoutes } from './queue-routes.ts'
import { createFalProblems } from './render.ts'
import { proxySchema } from './schema.ts'
import { runRoute, type SubmitDeps } from './submit.ts'

export interface FalDeps extends Omit<SubmitDeps, 'queueBase'>, Omit<PollDeps, 'queueBase'> {
  readonly baseUrl: BaseUrl
  readonly falHosts: FalHosts
}

/** Has to be registered where callers are authenticated. */
export async function falDoor (scope: FastifyInstance, deps: FalDeps): Promise<void> {
  /** The base that was made last: most polls find it here. */
  let last = { base: '', queue: '' }

  function queueBelow (base: string): string {
    if (base !== last.base) last = { base, queue: `${base}${FAL_PREFIX}/queue` }
    return last.queue
  }

  const withAddresses: SubmitDeps & PollDeps = {
    ...deps,
    queueBase: request => deps.falHosts.queueBaseOf(request) ?? queueBelow(deps.baseUrl(request))
  }

  await scope.register(async fal => {
    fal.addHook('onRequest', (request, reply, done) => {
      reply.header(falHeaders.requestId, request.id)
      done()
    })
    fal.setErrorHandler(createFalProblems(deps.models))
    // So that an address that does not exist is answered in fal's manner, too.
    fal.setNotFoundHandler(() => { throw new Problem('no-such-route') })

    runRoute(fal, withAddresses)
    queueRoutes(fal, withAddresses)
    // What the proxy serves was routed to its own address before; only what it does not serve arrives here.
    fal.route({
      method: ['GET', 'POST', 'PUT', 'DELETE'],
      url: '/proxy',
      schema: proxySchema,
      handler: async request => {
        const target = targetOf(request.headers[falHeaders.targetUrl], deps.models())
        throw new Problem('target-refused', 'refusal' in target ? { detail: target.refusal } : {})
      }
    })
  }, { prefix: FAL_PREFIX })
}
