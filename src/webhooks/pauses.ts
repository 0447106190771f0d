// When a webhook that was not taken is sent again.

import { jittered } from '../backoff.ts'

const MINUTE_MS = 60_000

/** Between ten tries, about two hours in all. */
export const PAUSES_MS: readonly number[] = [5000, 30_000, ...[2, 5, 10, 15, 20, 30, 35].map(minutes => minutes * MINUTE_MS)]

/** A receiver that names its own time is left alone for so long at most: it has no say about when a webhook is given up. */
const MAX_RETRY_AFTER_MS = 5 * MINUTE_MS

/** How long to wait, when so many tries of an event have failed before this one; `null`: this was the last. `retryAfterMs`: what the receiver asked for. */
export function pauseAfter (failedBefore: number, retryAfterMs: number | null, pausesMs = PAUSES_MS): number | null {
  const pauseMs = pausesMs[failedBefore]
  return pauseMs === undefined ? null : Math.round(Math.max(jittered(pauseMs), Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)))
}

/** What `Retry-After` says, in milliseconds: seconds or a date (RFC 9110, section 10.2.3); `null`: nothing that can be read. */
export function retryAfterMsIn (header: string | string[] | undefined, nowMs: number): number | null {
  if (typeof header !== 'string') return null
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000
  const atMs = Date.parse(header)
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs)
}
