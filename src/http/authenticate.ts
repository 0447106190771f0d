// Who calls, and whether it calls too often: the hooks in front of every protected route, before any body is read.

import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { identify } from '../tenants/keys.ts'
import type { TenantBook } from '../tenants.ts'
import { refuseForeignOrigin } from './cross-origin.ts'
import { addLimit } from './rate-limit-headers.ts'
import { callerOf } from './request-facts.ts'

/** Tenants whose calls are counted at once; more than any tenants file is expected to have. */
const COUNTED_TENANTS = 10_000

/** Every route of this scope, also one that is added later, wants a known key and stays within its tenant's calls. */
export async function protect (scope: FastifyInstance, tenants: () => TenantBook): Promise<void> {
  scope.addHook('onRequest', (request: FastifyRequest, _reply: FastifyReply, done) => {
    const found = identify(tenants(), request.headers.authorization, Date.now())
    if (typeof found === 'string') throw new Problem(found, found === 'key-missing' ? { detail: 'Send `Authorization: Bearer <key>`.' } : {})
    request.facts.caller = { ...found, subject: '' }
    refuseForeignOrigin(request)
    done()
  })

  await scope.register(rateLimit, {
    global: false,
    cache: COUNTED_TENANTS,
    keyGenerator: request => callerOf(request).tenant.id,
    max: request => callerOf(request).tenant.callLimit.max,
    timeWindow: request => callerOf(request).tenant.callLimit.windowSeconds * 1000
  })
  const countCall = scope.createRateLimit()

  scope.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    const count = await countCall(request)
    if (count.isAllowed) return
    const resetSeconds = Math.max(1, count.ttlInSeconds)
    addLimit(reply, 'calls', { max: count.max, windowSeconds: Math.round(count.timeWindow / 1000), remaining: count.remaining, resetSeconds })
    if (count.isExceeded) throw new Problem('rate-limited', { detail: 'Too many calls in this window.', retryAfterSeconds: resetSeconds })
  })
}
