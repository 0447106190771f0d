// Header names of fal's protocol, in lower case, and how the two that matter to a queue are read.
// Source: fal's "Platform Headers" page and its official clients.

import type { IncomingHttpHeaders } from 'node:http'

export const falHeaders = {
  requestId: 'x-fal-request-id',
  billableUnits: 'x-fal-billable-units',
  errorType: 'x-fal-error-type',
  needsRetry: 'x-fal-needs-retry',
  timeoutType: 'x-fal-request-timeout-type',
  queuePriority: 'x-fal-queue-priority',
  noRetry: 'x-fal-no-retry',
  startTimeout: 'x-fal-request-start-timeout',
  /** Older name of the start timeout, still the one both clients send. */
  startTimeoutOld: 'x-fal-request-timeout',
  runnerHint: 'x-fal-runner-hint',
  storeIo: 'x-fal-store-io',
  objectLifecycle: 'x-fal-object-lifecycle-preference',
  /** The same of a file that is given to fal: fal's JavaScript client. */
  uploadLifecycle: 'x-fal-object-lifecycle',
  noFallback: 'x-app-fal-disable-fallback',
  targetUrl: 'x-fal-target-url'
} as const

/** Those of answers. */
export const falAnswerHeaders = [falHeaders.requestId, falHeaders.billableUnits, falHeaders.errorType, falHeaders.needsRetry, falHeaders.timeoutType] as const

/** What a start timeout has to be. */
export const START_TIMEOUT_RULE = 'The start timeout has to be a number of seconds above 0.1'

/** Longer than a timer can run is as good as for ever. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** Whole milliseconds that a request may wait before it starts: absent, or `null` when the header is no such number. The newer name wins. */
export function startTimeoutMsIn (headers: IncomingHttpHeaders): number | undefined | null {
  const text = headers[falHeaders.startTimeout] ?? headers[falHeaders.startTimeoutOld]
  if (text === undefined) return undefined
  const seconds = Number(text)
  return seconds > 0.1 ? Math.min(Math.round(seconds * 1000), MAX_TIMEOUT_MS) : null
}

/** Only `low` changes anything; other words are ignored. */
export function asksForLowPriority (headers: IncomingHttpHeaders): boolean {
  return headers[falHeaders.queuePriority] === 'low'
}
