// The step of a generation that fal is done with: fetches its result and ends it. What would throw the picture away is looked at again (rule 25): the doubt and
// its time stand in the row, so a process that takes it over goes on with the same looks.
//
//   the result                                  | what is done
//   --------------------------------------------|-----------------------------------------------------------------------------
//   succeeded; cancelled, as was asked for      | it ends so
//   failed                                      | it ends so; when that costs nothing, only the third time in a row that it is said
//   pending, unavailable                        | a doubt; again after a pause, until its time and that of all looks are over: unknown
//   no output; gone; cancelled by nobody        | a doubt; again after the pause of each look; after the last one it ends so if fal itself said the
//                                               | same each time, and is unknown if it did not
//
// Between two looks fal is asked where it stands, unless it said that it is done: what it shows at work again is followed again.

import { backoffMs } from '../../backoff.ts'
import { BELIEVE_PAUSE_MS, LOOK_FOR_MS, looksOver, TRIES_TO_BELIEVE, type Doubt } from '../doubt.ts'
import type { Failure, Followed, Generation } from '../generation.ts'
import type { LogPiece, Result } from '../upstream.ts'
import type { Final } from './ending.ts'
import type { Progress } from './progress-piece.ts'
import { over, type StepContext, type StepResult } from './step-context.ts'
import { close, isOverdue, lose } from './step-end.ts'

/** Between two looks for a result that fal does not hand out: the first pause, and the longest that it grows to by itself. */
const BACKOFF = { firstMs: 500, mostMs: 30_000 }

/** The longest pause between two such looks: fal keeps a result for an hour at most, whatever Retry-After says. */
const MAX_RESULT_PAUSE_MS = 10_000

const LOOKED_IN_VAIN: Failure = { code: 'outcome-unknown', detail: 'It was done, and its result could not be had.' }

/** A result that is no end, or would throw a picture away. */
type Unusable = Exclude<Result, { readonly kind: 'succeeded' } | { readonly kind: 'failed' }>

/** What a result means for its generation. `too-soon`: an end that is believed once it was said often enough. */
type Verdict = { readonly kind: 'end', readonly result: Final } | { readonly kind: 'too-soon' } | { readonly kind: 'unusable', readonly result: Unusable }

/** `completed`: fal said that it is done. `log`: lines that came with that. */
export async function collect (row: Followed, context: StepContext, said: 'completed' | 'not-completed', log?: LogPiece): Promise<StepResult> {
  // What lies behind an id that the ledger has for another generation is that one's.
  if (!await context.isOurs()) return over
  const looks = createLooks(row, context)
  for (let isCompleted = said === 'completed'; ;) {
    const result = await context.fetchResult(row)
    if (result.kind === 'interrupted') return { kind: 'interrupted', row }

    const verdict = looks.verdictOn(result, row)
    if (verdict.kind === 'end') return await close(row, verdict.result, context, log)
    if (verdict.kind === 'too-soon') {
      if (await context.pause(BELIEVE_PAUSE_MS) === 'interrupted') return { kind: 'interrupted', row }
      continue
    }

    row = context.doubt(row, doubtIn(verdict.result), log)
    const pauseMs = looks.pauseBeforeNext(verdict.result, row)
    if (pauseMs === null) return await conclude(verdict.result, row, context, log)
    if (await context.rest(pauseMs) === 'interrupted') return { kind: 'interrupted', row }
    if (isCompleted) continue

    const state = await context.fetchState(row)
    if (state === 'interrupted') return { kind: 'interrupted', row }
    // fal did not know it yet, and now it does.
    if (state === 'queued' || state === 'running') return context.progress(row, atWork(state))
    isCompleted = state === 'completed'
  }
}

interface Looks {
  readonly verdictOn: (result: Result, row: Generation) => Verdict
  /** How long until the next look; null when it was looked for long enough. */
  readonly pauseBeforeNext: (result: Unusable, row: Generation) => number | null
}

/** Counts the looks, from where the row's doubt stands. */
function createLooks ({ doubtSinceMs }: Generation, { ledger, lookAgainMs }: Pick<StepContext, 'ledger' | 'lookAgainMs'>): Looks {
  let looks = doubtSinceMs === null ? 0 : looksOver(lookAgainMs, ledger.now() - doubtSinceMs)
  let troubles = 0
  let frees = 0

  function isOver ({ doubtSinceMs }: Generation): boolean {
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
        if (askedMs === null) troubles += 1
        return pauseAfterTrouble(askedMs, troubles)
      }
      const pauseMs = lookAgainMs[looks++]
      return pauseMs === undefined || isOver(row) ? null : pauseMs
    }
  }
}

/** Before the next look for a result that could not be had. `askedMs`: what fal asks for; `troubles`: how often it could not be had and fal asked for nothing. */
export function pauseAfterTrouble (askedMs: number | null, troubles: number): number {
  return Math.min(askedMs ?? backoffMs(troubles, BACKOFF), MAX_RESULT_PAUSE_MS)
}

function doubtIn ({ kind }: Unusable): Doubt {
  return kind === 'pending' ? 'unavailable' : kind
}

/** Only what fal itself said, and never anything else, is believed against a picture. */
async function conclude (result: Unusable, row: Followed, context: StepContext, log?: LogPiece): Promise<StepResult> {
  const isBelieved = result.kind !== 'pending' && result.kind !== 'unavailable' && result.kind === row.doubt && result.isClear
  return isBelieved ? await close(row, result, context, log) : await lose(row, context, LOOKED_IN_VAIN)
}

function atWork (kind: 'queued' | 'running'): Progress {
  const log = { from: 0, lines: [] }
  return kind === 'queued' ? { kind, position: null, log } : { kind, log }
}
