// What a circuit breaker may stand at. The ledger, its texts in Redis and the metrics take the words from here.

/** `ok` lets everything through; all others stop purchases. */
export const breakerStates = ['ok', 'open', 'account-blocked', 'retired', 'price-unsure'] as const
export type BreakerState = typeof breakerStates[number]
