// Header names of fal's protocol, in lower case. Source: fal's "Platform Headers" page and its official clients.

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
  targetUrl: 'x-fal-target-url'
} as const
