// The ledger's clock as this process knows it: the time that Redis last told, and monotonic time since.

import { performance } from 'node:perf_hooks'

export interface LedgerClock {
  readonly now: () => number
  /** Takes over a time that Redis told just now. */
  readonly learn: (timeMs: number) => void
}

/**
 * An answer travels, so the estimate is never ahead of Redis: deadlines made of it err on the side of too early. Between two answers that took
 * differently long it would jump back by the difference; then it stands still instead. Only Redis' own going back is followed.
 */
export function createLedgerClock (): LedgerClock {
  let known = { timeMs: Date.now(), atMs: performance.now() }
  let shownMs = 0

  return {
    now: () => {
      shownMs = Math.max(shownMs, Math.floor(known.timeMs + performance.now() - known.atMs))
      return shownMs
    },
    learn: timeMs => {
      if (timeMs < known.timeMs) shownMs = 0
      known = { timeMs, atMs: performance.now() }
    }
  }
}
