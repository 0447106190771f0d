// What fal's clients say in headers and in the query: what is honoured, what is refused because leaving it out would break a promise, and the rest, which is
// left out. Nothing is passed on to fal.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import { START_TIMEOUT_RULE, asksForLowPriority, falHeaders, startTimeoutMsIn } from '../../fal-wire/headers.ts'
import type { HeaderOptions } from '../call-options.ts'
import { purchaseOptionsOf } from '../generate-headers.ts'

/** Headers that mean more than a hint, and why they are refused. */
const refusedHeaders: readonly (readonly [name: string, isRefused: (value: string) => boolean, why: string])[] = [
  [falHeaders.objectLifecycle, () => true, 'The gateway cannot limit how long fal keeps a picture, or who may see it.'],
  [falHeaders.storeIo, value => value.trim() === '0', 'The gateway keeps input and output until the result has expired.'],
  [falHeaders.noFallback, value => value.trim() !== 'false', 'The gateway cannot keep fal from falling back to another runner.']
]

/** Parameters of the query that change what happens, and why they are refused. */
const refusedParameters: Readonly<Record<string, string>> = {
  fal_max_queue_length: 'The line here is bounded by the tenant\'s maxQueued.'
}

const WEBHOOK = 'fal_webhook'

type FalRequest = Pick<FastifyRequest<{ Querystring: Readonly<Record<string, unknown>> }>, 'headers' | 'query'>

/** How a synchronous call wants to be served. Throws `bad-header` or `bad-query` for what can neither be honoured nor left out. */
export function runOptionsOf (request: FalRequest, waitMs: number): HeaderOptions {
  if (webhookIn(request) !== undefined) throw new Problem('bad-query', { detail: 'fal_webhook is for what is submitted to the queue; this call is answered with its result.' })
  return { ...sharedOptionsOf(request, 'interactive'), waitMs, async: false, needsId: false }
}

/** The same of a submit to the queue. An id that was asked for is an answer, so nobody is kept waiting. */
export function submitOptionsOf (request: FalRequest): HeaderOptions {
  return { ...sharedOptionsOf(request, 'background'), waitMs: 0, async: true, needsId: true }
}

/** The address that a submit wants to be told at, as it stands in the query. */
export function webhookIn ({ query }: Pick<FalRequest, 'query'>): unknown {
  return Object.hasOwn(query, WEBHOOK) ? query[WEBHOOK] : undefined
}

function sharedOptionsOf ({ headers, query }: FalRequest, usual: HeaderOptions['priority']): Omit<HeaderOptions, 'waitMs' | 'async' | 'needsId'> {
  for (const [name, why] of Object.entries(refusedParameters)) {
    if (Object.hasOwn(query, name)) throw new Problem('bad-query', { detail: `${name} is not offered. ${why}` })
  }
  for (const [name, isRefused, why] of refusedHeaders) {
    const value = headers[name]
    if (value !== undefined && isRefused(String(value))) throw new Problem('bad-header', { detail: `${name} cannot be honoured. ${why}` })
  }
  const startWithinMs = startTimeoutMsIn(headers)
  if (startWithinMs === null) throw new Problem('bad-header', { detail: `${START_TIMEOUT_RULE}.` })
  return { ...purchaseOptionsOf(headers), preferenceApplied: null, priority: asksForLowPriority(headers) ? 'low' : usual, startWithinMs: startWithinMs ?? null, hook: null }
}
