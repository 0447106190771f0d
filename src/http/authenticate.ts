// Who calls, and whether it calls too often: the hooks in front of every protected route, before any body is read.

import { timingSafeEqual } from 'node:crypto'
import type { Socket } from 'node:net'
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { Ledger } from '../generation/ledger.ts'
import type { Limit, Tenant, TenantBook } from '../tenants/book.ts'
import { identify, isInForce, namedKeyId, type Identity, type Unidentified } from '../tenants/keys.ts'
import { tokenIn } from '../tenants/tokens.ts'
import { foreignOriginRefuser } from './cross-origin.ts'
import { namesKey, refuseKeyInAddress } from './key-in-address.ts'
import { policyOf, setCallLimit, type CallKind } from './rate-limit-headers.ts'
import { callerOf, type Caller } from './request-facts.ts'
import { ticketIn, useTicket } from './tickets.ts'
import type { TokenCaller, TokenCallers } from './token-callers.ts'

/** Tenants whose calls are counted at once; more than any tenants file is expected to have. */
const COUNTED_TENANTS = 10_000

/**
 * Status polls that a tenant may make for each call that it may make. fal's Python client asks ten times a second for each picture it follows, and a call
 * limit that bounds what a tenant has under way must not keep it from collecting them; a poll costs a fraction of any other call.
 */
const POLLS_PER_CALL = 20

export interface ProtectDeps {
  readonly tenants: () => TenantBook
  readonly tokens: TokenCallers
  readonly ledger: Pick<Ledger, 'takeTicket'>
  /** Where the gateway's own pages are, if it was told. */
  readonly publicUrl: string | null
}

/** Every route of this scope, also one that is added later, wants a known key and stays within its tenant's calls. */
export async function protect (scope: FastifyInstance, { tenants, tokens, ledger, publicUrl }: ProtectDeps): Promise<void> {
  const refuseForeignOrigin = foreignOriginRefuser(publicUrl)

  function enter (request: FastifyRequest, caller: Caller): void {
    request.facts.caller = caller
    refuseForeignOrigin(request)
  }

  scope.addHook('onRequest', (request: FastifyRequest, _reply: FastifyReply, done) => {
    refuseKeyInAddress(request.url)
    const ticket = ticketIn(request)
    const caller = ticket === null ? recognise(tenants(), tokens, request) : useTicket(ticket, String(Reflect.get(Object(request.params), 'id')), tenants(), tokens, ledger)
    if (caller instanceof Promise) {
      caller.then(caller => { enter(request, caller) }).then(() => { done() }, done)
      return
    }
    enter(request, caller)
    done()
  })

  await scope.register(rateLimit, {
    global: false,
    // The holder of a token must not use up the calls of the tenant's own programs, with which it ends the token. No tenant's id holds a space.
    keyGenerator: request => {
      const { tenant, token } = callerOf(request)
      return token === null ? tenant.id : `${tenant.id} tokens`
    }
  })
  type Counter = ReturnType<typeof scope.createRateLimit>
  interface Counted { readonly kind: CallKind, readonly policy: string, readonly count: Counter }

  // A counter for each limit that some tenant has, so that it need not be asked for the limit of each call, which costs as much as counting.
  const counters = new Map<string, Counter>()
  const countedOf = new WeakMap<Tenant, Readonly<Record<CallKind, Counted>>>()

  function countedFor (tenant: Tenant): Readonly<Record<CallKind, Counted>> {
    let counted = countedOf.get(tenant)
    if (counted === undefined) {
      const { max, windowSeconds } = tenant.callLimit
      counted = { calls: counter('calls', { max, windowSeconds }), polls: counter('polls', { max: max * POLLS_PER_CALL, windowSeconds }) }
      countedOf.set(tenant, counted)
    }
    return counted
  }

  function counter (kind: CallKind, limit: Limit): Counted {
    const policy = policyOf(kind, limit)
    let count = counters.get(policy)
    if (count === undefined) {
      const options = { max: limit.max, timeWindow: limit.windowSeconds * 1000, cache: COUNTED_TENANTS } // the last one is read, but missing in the type
      counters.set(policy, count = scope.createRateLimit(options))
    }
    return { kind, policy, count }
  }

  scope.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    const counted = countedFor(callerOf(request).tenant)[request.facts.isPoll ? 'polls' : 'calls']
    counted.count(request).then(count => {
      if (count.isAllowed) return done()
      const resetSeconds = Math.max(1, count.ttlInSeconds)
      setCallLimit(reply, counted, count.remaining, resetSeconds)
      done(count.isExceeded ? new Problem('rate-limited', { detail: 'Too many calls in this window.', retryAfterSeconds: resetSeconds }) : undefined)
    }, done)
  })
}

/** Would this request's key still be taken? An answer that goes on and on is asked, because the key may have been revoked or have expired since. */
export function isStillCaller (book: TenantBook, tokens: TokenCallers, request: FastifyRequest): boolean {
  const { token, tenant, keyId } = callerOf(request)
  if (token !== null) return tokens.isInForce(book, token.id)
  const { authorization } = request.headers
  // It came with a ticket, of which only the key's id is known.
  if (authorization === undefined) return isInForce(book, keyId, tenant.id, Date.now())
  const found = identify(book, authorization, Date.now())
  return typeof found !== 'string' && found.tenant.id === tenant.id
}

/** What is said to a caller that nobody knows. How a key looks is no secret; which part of one is wrong stays untold. */
function refusalOf (why: Unidentified, url: string): Problem {
  switch (why) {
    case 'key-missing': return new Problem(why, { detail: namesKey(url) ? 'A key in the address is not taken, because proxies and logs write addresses down: send `Authorization: Bearer <key>`.' : 'Send `Authorization: Bearer <key>`.' })
    case 'no-credential': return new Problem('key-unknown', { detail: 'The header has no key in it: send `Authorization: Bearer <key>`, or `Key <key>`.' })
    case 'no-key': return new Problem('key-unknown', { detail: 'Keys of this gateway have the form `fg_<id>:<secret>`; what was sent has another. fal\'s own keys are not for callers.' })
    case 'key-unknown':
    case 'key-expired': return new Problem(why)
  }
}

/** Whom a connection spoke for the last time. */
interface Recognised {
  readonly book: TenantBook
  readonly authorization: Uint8Array
  readonly caller: Caller
  readonly expiresAtMs: number
  /** By the monotonic clock: what is known of a token is asked for again. */
  readonly believedUntilMs: number
}

/** Callers keep their connections and say the same on each request: it is compared with what was right the last time, instead of being hashed and looked up. */
const recognised = new WeakMap<Socket, Recognised>()

/** What was right the last time for each key of a book: all connections of a program share it, and those of a proxy, on which tenants take turns, need not have keys hashed each time. */
const recognisedKeys = new WeakMap<TenantBook, Map<string, Recognised>>()

/** Who sent this request. Throws a `Problem` when its key or token is not known, or not any more; a promise where the ledger has to be asked about a token. */
function recognise (book: TenantBook, tokens: TokenCallers, { headers: { authorization }, socket, url }: FastifyRequest): Caller | Promise<Caller> {
  const nowMs = Date.now()
  const said = Buffer.from(authorization ?? '')
  const last = recognised.get(socket)
  if (isSaidBy(last, book, said, nowMs)) return last.caller

  const token = tokenIn(authorization)
  if (token !== null) {
    const remember = ({ caller, expiresAtMs, believedUntilMs }: TokenCaller): Caller => {
      recognised.set(socket, { book, authorization: said, caller, expiresAtMs, believedUntilMs })
      return caller
    }
    const known = tokens.recognise(book, token)
    return known instanceof Promise ? known.then(remember) : remember(known)
  }
  const shared = recognisedKeys.get(book)?.get(namedKeyId(authorization) ?? '')
  if (isSaidBy(shared, book, said, nowMs)) {
    recognised.set(socket, shared)
    return shared.caller
  }
  const found = identify(book, authorization, nowMs)
  if (typeof found === 'string') throw refusalOf(found, url)
  const one = rememberKey(book, found, said)
  recognised.set(socket, one)
  return one.caller
}

/** Is this the one who says it, and still is? Whether there is one to compare with takes no less time. */
function isSaidBy (one: Recognised | undefined, book: TenantBook, said: Buffer, nowMs: number): one is Recognised {
  const isSame = timingSafeEqual(said, one?.authorization.length === said.length ? one.authorization : said)
  return isSame && one !== undefined && one.authorization.length === said.length && one.book === book && nowMs < one.expiresAtMs && performance.now() < one.believedUntilMs
}

/** Remembers a key that was just found to be right. It may be said in several ways, of which the latest is known. */
function rememberKey (book: TenantBook, { keyId, tenant }: Identity, said: Buffer): Recognised {
  let ofBook = recognisedKeys.get(book)
  if (ofBook === undefined) recognisedKeys.set(book, ofBook = new Map())
  // Bytes of their own: those of a short text are a part of a larger block, which would be kept with them.
  const one = { book, authorization: Uint8Array.from(said), caller: { tenant, keyId, subject: '', token: null }, expiresAtMs: book.find(keyId)?.expiresAtMs ?? Infinity, believedUntilMs: Infinity }
  ofBook.set(keyId, one)
  return one
}
