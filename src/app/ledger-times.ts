// What the ledger is told of a configuration, wherever it is kept.

import type { Config } from '../config.ts'
import type { LedgerTimes } from '../generation/ledger.ts'

/** Durations and bounds of the ledger in this configuration. */
export function timesOf ({ resultTtlMs, queueMs, runMs, leaseMs, largeResultBytes }: Config): LedgerTimes {
  return { resultTtlMs, queueMs, runMs, leaseMs, largeResultBytes }
}
