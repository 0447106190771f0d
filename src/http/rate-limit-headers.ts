// The `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers-11): structured lists with one item a policy.

import type { FastifyReply } from 'fastify'
import type { RateState } from '../generation/ports.ts'

/** Adds a policy to what the answer already says about limits. */
export function addLimit (reply: FastifyReply, name: 'calls' | 'purchases', limit: { readonly max: number, readonly windowSeconds: number, readonly remaining: number, readonly resetSeconds: number }): void {
  append(reply, 'ratelimit-policy', `"${name}";q=${limit.max};w=${limit.windowSeconds}`)
  append(reply, 'ratelimit', `"${name}";r=${limit.remaining};t=${limit.resetSeconds}`)
}

/** The tenant's purchases, known only on answers that went through admission. */
export function addPurchaseLimit (reply: FastifyReply, rate: RateState): void {
  addLimit(reply, 'purchases', { ...rate, remaining: Math.max(0, rate.max - rate.used) })
}

function append (reply: FastifyReply, name: string, item: string): void {
  const before = reply.getHeader(name)
  reply.header(name, typeof before === 'string' ? `${before}, ${item}` : item)
}
