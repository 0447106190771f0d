// The step that buys: sends one attempt, and records what came of it (rules 3 and 18).
//
//   fal's answer                                | recorded
//   --------------------------------------------|--------------------------------------------------------------------
//   accepted                                    | sent: it is followed
//   unsent: certainly not accepted              | unsent: another attempt after a pause; when its time is over, its end
//   refused: it would not be accepted again     | unsent: its end; where only the account is refused and there are others: another attempt
//   lost: perhaps accepted                      | lost: unknown
//   unsent or lost, and the answer named an id  | as fal says of that id: accepted, unsent, or lost

import { backoffMs } from '../../backoff.ts'
import type { Unsent } from '../evidence.ts'
import type { Failure, Generation } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import type { Interrupted, Sighting, Submitted, Suspect, Upstream } from '../upstream.ts'
import { endedBy } from './ending.ts'
import { recorded, type StepContext, type StepResult } from './step-context.ts'
import { lose, OUTCOME_UNKNOWN } from './step-end.ts'

/** Submits of one generation that were certainly not accepted before it is given up. */
const MAX_ATTEMPTS = 5

/** Between attempts, unless fal asks for more: the first pause, and the longest. */
const BACKOFF = { firstMs: 500, mostMs: 30_000 }

/** How long an id named by an error answer is looked for, before its outcome counts as unknown. */
const LOOK_FOR_LOST_MS = 10_000

/** The ledger does not have any more what there was to send; see `falgate ledger mend`. */
const INPUT_LOST: Failure = { code: 'generation-lost', detail: 'The disk of the ledger lost its input before it was sent to the model, so nothing was bought.' }

export async function submit (row: Generation, context: StepContext): Promise<StepResult> {
  const { ledger, upstreamOf } = context
  const permit = context.takePermit()
  const { input } = row
  // A dead process may have sent it, or this one did and the ledger forgot what came of it.
  if (permit === null) return await lose(row, context)
  if (input === null) return await refused(row, INPUT_LOST, context)
  if (!permit.isValid()) return recorded(await context.record(row, () => ledger.recordNotSent(row.id, row.attempt, { retryAfterMs: 0 })))

  const submitted = await context.undisturbed(() => send(row, input, upstreamOf(row.upstream)))
  switch (submitted.kind) {
    case 'accepted': return recorded(await context.recordAccepted(row, submitted.requestId))
    case 'unsent': return await notSent(row, submitted, context)
    case 'refused': return await refused(row, submitted.failure, context)
    case 'lost': return await lost(row, submitted.suspect, context)
  }
}

/** What became of a submit, once fal was asked about an id that an error answer named. */
async function send (row: Generation, input: string, upstream: Upstream): Promise<Submitted> {
  const submitted = await upstream.submit(row.model, input, row)
  if (submitted.kind !== 'unsent' && submitted.kind !== 'lost') return submitted
  const requestId = submitted.requestId ?? null
  if (requestId === null) return submitted
  switch (await kindOf(row, requestId, upstream)) {
    case 'missing': return submitted
    // With an id that fal says nothing about it is not certain that it was not accepted: sent again, it might be bought twice.
    case 'interrupted': return { kind: 'lost', requestId, suspect: submitted.suspect, cause: 'answered with a request id that fal says nothing about' }
    case 'queued':
    case 'running':
    case 'completed': return { kind: 'accepted', requestId, position: null }
  }
}

/** What fal says of an id that came with an error answer; `interrupted`: it did not say in time. */
async function kindOf (row: Generation, requestId: string, upstream: Upstream): Promise<(Sighting | Interrupted)['kind']> {
  const reader = upstream.openStatusReader(row.model, requestId, { ...row, requestId })
  try {
    const { kind } = await reader.next(AbortSignal.timeout(LOOK_FOR_LOST_MS))
    return kind
  } catch {
    return 'interrupted' // the upstream is closed
  } finally {
    reader.close()
  }
}

async function notSent (row: Generation, submitted: Extract<Submitted, { kind: 'unsent' }>, { ledger, breakers, record }: StepContext): Promise<StepResult> {
  const then = afterNotSent(row, submitted, ledger.now())
  // fal that is merely busy is no failure of fal.
  const report = submitted.busy === true ? undefined : breakers.reportOn(row.model, submitted.failure.code, submitted.suspect)
  return recorded(await record(row, () => ledger.recordNotSent(row.id, row.attempt, then, report), 'failure' in then ? unbought(row, then.failure, ledger) : undefined))
}

/**
 * A pause and another attempt, or the end: after a few failures, and when its time in the queue is over before the pause is. While fal is only busy its time
 * in the queue alone decides.
 */
function afterNotSent (row: Generation, { failure, retryAfterMs, busy }: Extract<Submitted, { kind: 'unsent' }>, nowMs: number): Unsent {
  const pauseMs = pauseBefore(row.attempt, retryAfterMs)
  const isOver = (busy !== true && row.attempt >= MAX_ATTEMPTS) || nowMs + pauseMs >= row.waitUntilMs
  return isOver ? { failure } : { retryAfterMs: pauseMs, ...(busy === true ? { busy } : {}) }
}

async function refused (row: Generation, failure: Failure, { ledger, breakers, record, hasOtherAccounts }: StepContext): Promise<StepResult> {
  // What fal has against our account is nothing against the request, which may go to another one.
  const elsewhere = failure.code === 'upstream-account-blocked' && hasOtherAccounts?.() === true
  const report = breakers.reportOn(row.model, failure.code)
  return recorded(await record(row, () => ledger.recordNotSent(row.id, row.attempt, { failure, elsewhere }, report), elsewhere ? undefined : unbought(row, failure, ledger)))
}

/** It went out, and nobody knows whether fal has it. */
async function lost (row: Generation, suspect: Suspect, { ledger, breakers, record }: StepContext): Promise<StepResult> {
  const report = breakers.reportOn(row.model, OUTCOME_UNKNOWN.code, suspect)
  return recorded(await record(row, () => ledger.recordUnknown(row.id, row.attempt, null, OUTCOME_UNKNOWN, report), { ...row, phase: 'unknown', failure: OUTCOME_UNKNOWN }))
}

/** The row as the ledger will have it when fal would not take it. */
function unbought (row: Generation, failure: Failure, ledger: Ledger): Generation {
  return endedBy(row, { kind: 'failed', failure, cost: 0 }, ledger.now())
}

/** No sooner than fal asks for, and no sooner than after the usual pause; never at the same moment as others that fal told the same. */
function pauseBefore (attempt: number, askedMs: number | null): number {
  return Math.round(Math.max(backoffMs(attempt, BACKOFF), (askedMs ?? 0) * (1 + Math.random() / 4)))
}
