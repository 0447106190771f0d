// The steps that end a generation: with what fal answered, or as unknown.

import type { Failure, Followed, Generation } from '../generation.ts'
import type { LogPiece } from '../upstream.ts'
import { endedBy, endingOf, type Final } from './ending.ts'
import { recorded, type StepContext, type StepResult } from './step-context.ts'

export const OUTCOME_UNKNOWN: Failure = { code: 'outcome-unknown', detail: 'The request went out and no answer came back.' }

/** With its result, and with the last lines of its log. */
export async function close (row: Followed, result: Final, { ledger, record, cacheVersionOf, withFiles }: StepContext, log?: LogPiece): Promise<StepResult> {
  const ending = endingOf(row, result.kind === 'succeeded' ? await withFiles(result) : result, cacheVersionOf)
  return recorded(await record(row, () => ledger.finish(row.id, row.attempt, row.requestId, ending, log, row.upstream), endedBy(row, ending, ledger.now())))
}

/** As unknown. What was learned here is all that is told: of a submit its attempt, of a run its request id. What another process heard of meanwhile stays, and is followed. */
export async function lose (row: Generation, { ledger, record }: StepContext, failure = OUTCOME_UNKNOWN): Promise<StepResult> {
  return recorded(await record(row, () => ledger.recordUnknown(row.id, row.attempt, row.requestId, failure, undefined, row.upstream)))
}

/** Is its time to run over? */
export function isOverdue ({ runUntilMs }: Pick<Generation, 'runUntilMs'>, nowMs: number): boolean {
  return runUntilMs !== null && nowMs >= runUntilMs
}
