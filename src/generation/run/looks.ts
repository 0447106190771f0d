// The looks for one result: what each says, and how long until the next one. They go on from where the doubt of the row stands.

import { backoffMs } from '../../backoff.ts'
import { LOOK_FOR_MS, looksOver, TRIES_TO_BELIEVE } from '../doubt.ts'
import type { Generation } from '../generation.ts'
import type { Result } from '../upstream.ts'
import type { Final } from './ending.ts'
import type { StepDeps } from './step-context.ts'
import { isOverdue } from './step-end.ts'

/** A result that is no end, or would throw a picture away. */
export type Unusable = Exclude<Result, { readonly kind: 'succeeded' } | { readonly kind: 'failed' }>

/** What a result means for its generation. `too-soon`: an end that is believed once it was said often enough. */
export type Verdict = { readonly kind: 'end', readonly result: Final } | { readonly kind: 'too-soon' } | { readonly kind: 'unusable', readonly result: Unusable }

export interface Looks {
  readonly verdictOn: (result: Result, row: Pick<Generation, 'cancelWished'>) => Verdict
  /** How long until the next look; null when it was looked for long enough. */
  readonly pauseBeforeNext: (result: Unusable, row: Pick<Generation, 'doubtSinceMs' | 'runUntilMs'>) => number | null
}

export interface LooksDeps extends Pick<StepDeps, 'lookAgainMs'> {
  readonly ledger: Pick<StepDeps['ledger'], 'now'>
}

/** Between two looks for a result that fal does not hand out: the first pause, and the longest that it grows to by itself. */
const BACKOFF = { firstMs: 500, mostMs: 30_000 }

/** The longest pause between two such looks: fal keeps a result for an hour at most, whatever Retry-After says. */
const MAX_RESULT_PAUSE_MS = 10_000

export function createLooks ({ doubtSinceMs }: Pick<Generation, 'doubtSinceMs'>, { ledger, lookAgainMs }: LooksDeps): Looks {
  let looks = doubtSinceMs === null ? 0 : looksOver(lookAgainMs, ledger.now() - doubtSinceMs)
  let troubles = 0
  let frees = 0

  function isOver ({ doubtSinceMs }: Pick<Generation, 'doubtSinceMs'>): boolean {
    return doubtSinceMs !== null && ledger.now() >= doubtSinceMs + LOOK_FOR_MS
  }

  return {
    verdictOn: (result, row) => {
      switch (result.kind) {
        case 'succeeded': return { kind: 'end', result }
        // The first error may be a proxy's or a restart's; a generation that failed gives the same answer again.
        case 'failed': return result.free && ++frees < TRIES_TO_BELIEVE ? { kind: 'too-soon' } : { kind: 'end', result }
        case 'cancelled': return row.cancelWished ? { kind: 'end', result } : { kind: 'unusable', result }
        case 'no-output':
        case 'expired':
        case 'pending':
        case 'unavailable': return { kind: 'unusable', result }
      }
    },
    pauseBeforeNext: (result, row) => {
      if (result.kind === 'pending' || result.kind === 'unavailable') {
        if (isOverdue(row, ledger.now()) && isOver(row)) return null
        const askedMs = result.kind === 'unavailable' ? result.retryAfterMs : null
        return Math.min(askedMs ?? backoffMs(++troubles, BACKOFF), MAX_RESULT_PAUSE_MS)
      }
      const pauseMs = lookAgainMs[looks++]
      return pauseMs === undefined || isOver(row) ? null : pauseMs
    }
  }
}
