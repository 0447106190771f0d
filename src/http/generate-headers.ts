// What callers say in headers about how they want to be served: `Prefer`, `Idempotency-Key`, `Falgate-Cache`.

import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '../errors.ts'

/** How a call wants to be served. */
export interface Wishes {
  readonly mode: 'normal' | 'refresh' | 'bypass' | 'only'
  readonly idempotencyKey: string | null
  /** Time up is a 202. */
  readonly async: boolean
  readonly waitMs: number
  /** What of `Prefer` was honoured, for `Preference-Applied`. */
  readonly applied: string | null
}

const VISIBLE = /^[\x21-\x7e]{1,255}$/
/** One preference of RFC 7240: a name and perhaps a value, quoted or not; parameters are ignored. */
const PREFERENCE = /^\s*([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*"?([^";]*)"?)?/

/** Reads the wishes of a call; `maxWaitMs` is what the gateway is ready to wait. Throws `bad-header`. */
export function wishesOf (headers: IncomingHttpHeaders, maxWaitMs: number): Wishes {
  const { async, waitMs, applied } = patienceOf(headers['prefer'], maxWaitMs)
  return { mode: modeOf(headers['falgate-cache']), idempotencyKey: idempotencyKeyOf(headers['idempotency-key']), async, waitMs, applied }
}

/** The wishes that every door understands. Throws `bad-header`. */
export function purchaseWishesOf (headers: IncomingHttpHeaders): Pick<Wishes, 'mode' | 'idempotencyKey'> {
  return { mode: modeOf(headers['falgate-cache']), idempotencyKey: idempotencyKeyOf(headers['idempotency-key']) }
}

function modeOf (header: string | string[] | undefined): Wishes['mode'] {
  switch (header) {
    case undefined: return 'normal'
    case 'refresh':
    case 'bypass':
    case 'only': return header
    default: throw new Problem('bad-header', { detail: 'Falgate-Cache is one of refresh, bypass, only.' })
  }
}

function idempotencyKeyOf (header: string | string[] | undefined): string | null {
  if (header === undefined) return null
  if (typeof header === 'string' && VISIBLE.test(header)) return header
  throw new Problem('bad-header', { detail: 'Idempotency-Key has 1 to 255 visible ASCII characters.' })
}

/** `respond-async` alone does not wait; `wait=n` waits n seconds at most. What is not understood is ignored, as RFC 7240 asks. */
function patienceOf (header: string | string[] | undefined, maxWaitMs: number): Pick<Wishes, 'async' | 'waitMs' | 'applied'> {
  if (header === undefined) return { async: false, waitMs: maxWaitMs, applied: null }
  let isAsync = false
  let waitSeconds: number | null = null
  for (const part of (typeof header === 'string' ? header : header.join(',')).split(',')) {
    const [, name, value] = PREFERENCE.exec(part) ?? []
    if (name?.toLowerCase() === 'respond-async') isAsync = true
    if (name?.toLowerCase() === 'wait' && value !== undefined && /^\d{1,6}$/.test(value)) waitSeconds ??= Number(value)
  }
  if (!isAsync && waitSeconds === null) return { async: false, waitMs: maxWaitMs, applied: null }
  const waitMs = Math.min((waitSeconds ?? 0) * 1000, maxWaitMs)
  const applied = [...(isAsync ? ['respond-async'] : []), ...(waitSeconds === null ? [] : [`wait=${Math.round(waitMs / 1000)}`])]
  return { async: true, waitMs, applied: applied.join(', ') }
}
