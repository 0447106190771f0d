// The end of a generation: what fal's result means, and the row with it.

import { bookingOf, costOf } from '../bill.ts'
import type { Ending } from '../evidence.ts'
import type { Generation } from '../generation.ts'
import { learnedName, type CacheVersionOf } from '../key.ts'
import { ledgerConstants } from '../ledger-constants.ts'
import type { Result } from '../upstream.ts'

/** A result that may be an end. */
export type Final = Exclude<Result, { kind: 'pending' } | { kind: 'unavailable' }>

export function endingOf (row: Generation, result: Final, cacheVersionOf: CacheVersionOf): Ending {
  switch (result.kind) {
    case 'succeeded': {
      // An unseeded generation gets the cache name of the seed that its answer names.
      const learned = row.seed === null ? learnedName(row, result.seed, cacheVersionOf) : null
      return { kind: 'succeeded', output: result.body, seed: result.seed, learnedName: learned, cost: costOf(row, result.units), ...(result.bases === undefined ? {} : { bases: result.bases }), ...(result.media === undefined || result.media.length === 0 ? {} : { media: result.media }) }
    }
    case 'failed':
      return { kind: 'failed', failure: result.failure, cost: result.units === null && result.free ? 0 : costOf(row, result.units) }
    case 'cancelled':
      // Whether fal bills a cancelled request is not documented: without a unit header the price table decides.
      return { kind: 'cancelled', cost: costOf(row, result.units) }
    case 'no-output':
      return { kind: 'failed', failure: { code: 'upstream-failed', detail: 'The model\'s answer was not an output of this model.' }, cost: costOf(row, result.units) }
    case 'expired':
      return { kind: 'failed', failure: { code: 'result-expired', detail: 'The upstream no longer has the result. It may have been billed.' }, cost: null }
  }
}

/** The row as the ledger will have it. */
export function endedBy (row: Generation, ending: Ending, nowMs: number): Generation {
  return {
    ...row,
    phase: ending.kind,
    version: row.version + 1,
    output: ending.kind === 'succeeded' ? ending.output : null,
    bases: ending.kind === 'succeeded' ? ending.bases ?? null : null,
    media: ending.kind === 'succeeded' ? ending.media ?? null : null,
    failure: ending.kind === 'failed' ? ending.failure : null,
    ...bookingOf(row, ending.cost),
    finishedAtMs: nowMs,
    answersUntilMs: nowMs + ledgerConstants.answerMs,
    doubt: null,
    doubtSinceMs: null
  }
}
