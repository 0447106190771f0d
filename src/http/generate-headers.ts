// What callers say in headers about how they want to be served: `Prefer`, `Idempotency-Key`, `Falgate-Cache`.

import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '../errors.ts'
import type { CallOptions } from '../generation/request/call.ts'
import type { HeaderOptions } from './call-options.ts'
import { cacheModes, requestHeaders } from './headers.ts'

const VISIBLE = /^[\x21-\x7e]{1,255}$/
/** One preference of RFC 7240: a name and perhaps a value, quoted or not; parameters are ignored. */
const PREFERENCE = /^\s*([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*"?([^";]*)"?)?/

/** How a call wants to be served; `maxWaitMs` is what the gateway is ready to wait. Throws `bad-header`. */
export function headerOptionsOf (headers: IncomingHttpHeaders, maxWaitMs: number): HeaderOptions {
  const { async, waitMs, preferenceApplied } = patienceOf(headers[requestHeaders.prefer], maxWaitMs)
  const { mode, idempotencyKey, callerRetry } = purchaseOptionsOf(headers)
  // Written out: spreading objects is the dearest thing that a hit could do here.
  return { mode, idempotencyKey, callerRetry, async, waitMs, preferenceApplied, priority: async ? 'background' : 'interactive', startWithinMs: null, needsId: false, hook: null }
}

/** The same of a call that is answered with its generation: without `Prefer` nobody waits, and what is stored has to have an id. */
export function generationOptionsOf (headers: IncomingHttpHeaders, maxWaitMs: number): HeaderOptions {
  const options = headerOptionsOf(headers, maxWaitMs)
  return { ...options, ...(options.async ? {} : { async: true, waitMs: 0, priority: 'background' }), needsId: true }
}

/** The headers that every door understands. Throws `bad-header`. */
export function purchaseOptionsOf (headers: IncomingHttpHeaders): Pick<CallOptions, 'mode' | 'idempotencyKey' | 'callerRetry'> {
  return { mode: modeOf(headers[requestHeaders.cache]), idempotencyKey: idempotencyKeyOf(headers[requestHeaders.idempotencyKey]), callerRetry: callerRetryOf(headers[requestHeaders.retryCount]) }
}

/** How often the client repeated this call. What is no count is nobody's fault that a caller could mend: it says nothing. */
function callerRetryOf (header: string | string[] | undefined): number {
  return typeof header === 'string' && /^\d{1,4}$/.test(header) ? Number(header) : 0
}

function modeOf (header: string | string[] | undefined): CallOptions['mode'] {
  if (header === undefined) return 'normal'
  const mode = cacheModes.find(mode => mode === header)
  if (mode === undefined) throw new Problem('bad-header', { detail: `Falgate-Cache is one of ${cacheModes.join(', ')}.` })
  return mode
}

function idempotencyKeyOf (header: string | string[] | undefined): string | null {
  if (header === undefined) return null
  if (typeof header === 'string' && VISIBLE.test(header)) return header
  throw new Problem('bad-header', { detail: 'Idempotency-Key has 1 to 255 visible ASCII characters.' })
}

/** `respond-async` alone does not wait; `wait=n` waits n seconds at most. What is not understood is ignored, as RFC 7240 asks. */
function patienceOf (header: string | string[] | undefined, maxWaitMs: number): Pick<CallOptions, 'async' | 'waitMs' | 'preferenceApplied'> {
  if (header === undefined) return { async: false, waitMs: maxWaitMs, preferenceApplied: null }
  let isAsync = false
  let waitSeconds: number | null = null
  for (const part of (typeof header === 'string' ? header : header.join(',')).split(',')) {
    const [, name, value] = PREFERENCE.exec(part) ?? []
    if (name?.toLowerCase() === 'respond-async') isAsync = true
    if (name?.toLowerCase() === 'wait' && value !== undefined && /^\d{1,6}$/.test(value)) waitSeconds ??= Number(value)
  }
  if (!isAsync && waitSeconds === null) return { async: false, waitMs: maxWaitMs, preferenceApplied: null }
  const waitMs = Math.min((waitSeconds ?? 0) * 1000, maxWaitMs)
  const applied = [...(isAsync ? ['respond-async'] : []), ...(waitSeconds === null ? [] : [`wait=${Math.round(waitMs / 1000)}`])]
  return { async: true, waitMs, preferenceApplied: applied.join(', ') }
}
