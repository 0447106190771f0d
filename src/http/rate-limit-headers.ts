// The `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers-11): structured lists with one item a policy.

import type { FastifyReply } from 'fastify'
import type { RateState } from '../generation/admission.ts'
import type { Limit } from '../tenants/book.ts'
import { answerHeaders } from './headers.ts'

/** Calls are counted in two kinds: those that ask how something stands, and all others. */
export type CallKind = 'calls' | 'polls'

type LimitName = CallKind | 'purchases'

/** The item of `RateLimit-Policy` for a limit. */
export function policyOf (name: LimitName, { max, windowSeconds }: Limit): string {
  return `"${name}";q=${max};w=${windowSeconds}`
}

/** What is left of the tenant's calls, or of its polls; every answer behind authentication begins its limits with this one. */
export function setCallLimit (reply: FastifyReply, { kind, policy }: { readonly kind: CallKind, readonly policy: string }, remaining: number, resetSeconds: number): void {
  reply.header(answerHeaders.rateLimitPolicy, policy)
  reply.header(answerHeaders.rateLimit, stateOf(kind, remaining, resetSeconds))
}

/** Adds the tenant's purchases, known only on answers that went through admission. */
export function addPurchaseLimit (reply: FastifyReply, rate: RateState): void {
  append(reply, answerHeaders.rateLimitPolicy, policyOf('purchases', rate))
  append(reply, answerHeaders.rateLimit, stateOf('purchases', Math.max(0, rate.max - rate.used), rate.resetSeconds))
}

function stateOf (name: LimitName, remaining: number, resetSeconds: number): string {
  // In one piece: a template is kept in seven, and callers may wait with this one.
  return ['"', name, '";r=', remaining, ';t=', resetSeconds].join('')
}

function append (reply: FastifyReply, name: string, item: string): void {
  const before = reply.getHeader(name)
  reply.header(name, typeof before === 'string' ? `${before}, ${item}` : item)
}
