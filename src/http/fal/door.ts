// fal's own protocol as a door: synchronous calls, the queue and the server proxy, for clients that were written for fal.

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import { falHeaders } from '../../fal-wire/headers.ts'
import { FAL_PREFIX, targetOf } from './address.ts'
import type { FalHosts } from './hosts.ts'
import type { PollDeps } from './poll.ts'
import { queueRoutes } from './queue-routes.ts'
import { createFalProblems } from './render.ts'
import { proxySchema } from './schema.ts'
import { runRoute, type SubmitDeps } from './submit.ts'

export interface FalDeps extends Omit<SubmitDeps, 'queueBase'>, Omit<PollDeps, 'queueBase'> {
  /** Base of the addresses that are handed out; `null`: as the caller reached the gateway. */
  readonly publicUrl: string | null
  readonly falHosts: FalHosts
}

/** Has to be registered where callers are authenticated. */
export async function falDoor (scope: FastifyInstance, deps: FalDeps): Promise<void> {
  const publicBase = deps.publicUrl === null ? null : queueAt(deps.publicUrl)
  let isWarned = false
  /** The base that was made last. Nearly all callers reach the gateway in the same way, so most polls find it here. */
  let last = { protocol: '', host: '', base: '' }

  /** The base as this caller reached the gateway, as far as can be told. */
  function baseOf (request: FastifyRequest): string {
    if (!isWarned && request.protocol === 'http' && request.headers['x-forwarded-proto'] === 'https') {
      isWarned = true
      request.log.warn('a proxy ends TLS in front of this process, and the addresses that /fal hands out begin with http:// all the same: set PUBLIC_URL, or TRUST_PROXY')
    }
    const { protocol, host } = request
    if (protocol !== last.protocol || host !== last.host) last = { protocol, host, base: queueAt(`${protocol}://${host}`) }
    return last.base
  }

  const withAddresses: SubmitDeps & PollDeps = {
    ...deps,
    queueBase: request => deps.falHosts.queueBaseOf(request) ?? publicBase ?? baseOf(request)
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

function queueAt (base: string): string {
  return `${base}${FAL_PREFIX}/queue`
}
