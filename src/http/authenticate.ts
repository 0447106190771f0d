// Who calls, and whether it calls too often: the hooks in front of every protected route, before any body is read.

import { timingSafeEqual } from 'node:crypto'
import type { Socket } from 'node:net'
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { identify } from '../tenants/keys.ts'
import type { Limit, TenantBook } from '../tenants.ts'
import { foreignOriginRefuser } from './cross-origin.ts'
import { policyOf, setCallLimit } from './rate-limit-headers.ts'
import { callerOf, type Caller } from './request-facts.ts'

/** Tenants whose calls are counted at once; more than any tenants file is expected to have. */
const COUNTED_TENANTS = 10_000

/**
 * Status polls that a tenant may make for each call that it may make. fal's Python client asks ten times a second for each picture it follows, and a call
 * limit that lets a tenant have so many under way must not keep it from collecting them; a poll costs a fraction of any other call.
 */
const POLLS_PER_CALL = 20

/** Every route of this scope, also one that is added later, wants a known key and stays within its tenant's calls. `publicUrl`: where the gateway's own pages are, if it was told. */
export async function protect (scope: FastifyInstance, tenants: () => TenantBook, publicUrl: string | null): Promise<void> {
  const refuseForeignOrigin = foreignOriginRefuser(publicUrl)

  scope.addHook('onRequest', (request: FastifyRequest, _reply: FastifyReply, done) => {
    request.facts.caller = recognise(tenants(), request)
    refuseForeignOrigin(request)
    done()
  })

  await scope.register(rateLimit, {
    global: false,
    keyGenerator: request => callerOf(request).tenant.id
  })
  // A counter for each limit that some tenant has, so that it need not be asked for the limit of each call, which costs as much as counting.
  const counters = new Map<string, ReturnType<typeof scope.createRateLimit>>()

  function counterFor (policy: string, { max, windowSeconds }: Limit): ReturnType<typeof scope.createRateLimit> {
    let counter = counters.get(policy)
    if (counter === undefined) {
      const options = { max, timeWindow: windowSeconds * 1000, cache: COUNTED_TENANTS } // the last one is read, but missing in the type
      counters.set(policy, counter = scope.createRateLimit(options))
    }
    return counter
  }

  scope.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    const { callLimit: { max, windowSeconds } } = callerOf(request).tenant
    const limit = request.facts.isPoll ? { max: max * POLLS_PER_CALL, windowSeconds } : { max, windowSeconds }
    const kind = request.facts.isPoll ? 'polls' : 'calls'
    const policy = policyOf(kind, limit)
    counterFor(policy, limit)(request).then(count => {
      if (count.isAllowed) return done()
      const resetSeconds = Math.max(1, count.ttlInSeconds)
      setCallLimit(reply, { kind, policy }, count.remaining, resetSeconds)
      done(count.isExceeded ? new Problem('rate-limited', { detail: 'Too many calls in this window.', retryAfterSeconds: resetSeconds }) : undefined)
    }, done)
  })
}

/** Whom a connection spoke for the last time. */
interface Recognised {
  readonly book: TenantBook
  readonly authorization: Buffer
  readonly caller: Caller
  readonly expiresAtMs: number
}

/** Callers keep their connections and say the same on each request: it is compared with what was right the last time, instead of being hashed and looked up. */
const recognised = new WeakMap<Socket, Recognised>()

/** Who sent this request. Throws a `Problem` when its key is not known, or not any more. */
function recognise (book: TenantBook, { headers: { authorization }, socket }: FastifyRequest): Caller {
  const nowMs = Date.now()
  const said = Buffer.from(authorization ?? '')
  const last = recognised.get(socket)
  if (last !== undefined && last.book === book && nowMs < last.expiresAtMs && said.length === last.authorization.length && timingSafeEqual(said, last.authorization)) return last.caller

  const found = identify(book, authorization, nowMs)
  if (typeof found === 'string') throw new Problem(found, found === 'key-missing' ? { detail: 'Send `Authorization: Bearer <key>`.' } : {})
  const caller = { tenant: found.tenant, keyId: found.keyId, subject: '' }
  recognised.set(socket, { book, authorization: said, caller, expiresAtMs: book.find(found.keyId)?.expiresAtMs ?? Infinity })
  return caller
}
