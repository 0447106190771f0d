// What fal's clients say in headers and in the query: what is honoured, what is refused because leaving it out would break a promise, and the rest, which is
// left out. Nothing is passed on to fal.

import { Problem } from '../../errors.ts'
import type { FastifyRequest } from 'fastify'
import { START_TIMEOUT_RULE, asksForLowPriority, falHeaders, startTimeoutMsIn } from '../../fal-wire/headers.ts'
import type { Manner } from '../ask.ts'
import { purchaseWishesOf } from '../generate-headers.ts'

/** Headers that mean more than a hint, and why they are refused. */
const refusedHeaders: readonly (readonly [name: string, isRefused: (value: string) => boolean, why: string])[] = [
  [falHeaders.objectLifecycle, () => true, 'The gateway cannot limit how long fal keeps a picture, or who may see it.'],
  [falHeaders.storeIo, value => value.trim() === '0', 'The gateway keeps input and output until the result has expired.'],
  [falHeaders.noFallback, value => value.trim() !== 'false', 'The gateway cannot keep fal from falling back to another runner.']
]

/** Parameters of the query that change what happens, and why they are refused. */
const refusedParameters: Readonly<Record<string, string>> = {
  fal_webhook: 'The gateway calls no webhooks; ask for the status, or stream it.',
  fal_max_queue_length: 'The line here is bounded by the tenant\'s maxQueued.'
}

/** How a call of fal's protocol wants to be served. Throws `bad-header` or `bad-query` for what can neither be honoured nor left out. */
export function falWishesOf (request: FastifyRequest<{ Querystring: Readonly<Record<string, unknown>> }>): Pick<Manner, 'mode' | 'idempotencyKey' | 'startWithinMs'> & { readonly isLow: boolean } {
  const { headers, query } = request
  for (const [name, why] of Object.entries(refusedParameters)) {
    if (Object.hasOwn(query, name)) throw new Problem('bad-query', { detail: `${name} is not offered. ${why}` })
  }
  for (const [name, isRefused, why] of refusedHeaders) {
    const value = headers[name]
    if (value !== undefined && isRefused(String(value))) throw new Problem('bad-header', { detail: `${name} cannot be honoured. ${why}` })
  }
  const startWithinMs = startTimeoutMsIn(headers)
  if (startWithinMs === null) throw new Problem('bad-header', { detail: `${START_TIMEOUT_RULE}.` })
  return { startWithinMs: startWithinMs ?? null, isLow: asksForLowPriority(headers), ...purchaseWishesOf(headers) }
}
