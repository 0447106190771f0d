// The ledger's clock as this process knows it: the time that Redis last told, and monotonic time since.

import { performance } from 'node:perf_hooks'

export interface LedgerClock {
  readonly now: () => number
  /** Takes over a time that Redis told in answer to a call that was sent at `sentAtMs` of this process' monotonic clock. */
  readonly learn: (timeMs: number, sentAtMs: number) => void
}

/**
 * An answer travels, so the estimate is never ahead of Redis: deadlines made of it err on the side of too early. Between two answers that took
 * differently long it would jump back by the difference; then it stands still instead. Only Redis' own going back is followed: an earlier time that was
 * asked for after the known one was heard. Answers that lie together in the socket are not read in the order in which they were given.
 */
export function createLedgerClock (): LedgerClock {
  let known = { timeMs: Date.now(), atMs: performance.now() }
  let shownMs = 0

  return {
    now: () => {
      shownMs = Math.max(shownMs, Math.floor(known.timeMs + performance.now() - known.atMs))
      return shownMs
    },
    learn: (timeMs, sentAtMs) => {
      if (timeMs < known.timeMs) {
        if (sentAtMs <= known.atMs) return
        shownMs = 0
      }
      known = { timeMs, atMs: performance.now() }
    }
  }
}
