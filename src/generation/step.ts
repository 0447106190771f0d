// The generation's story: one step from any phase. Fresh generations and those taken over from a dead process run through the same code.

import { setTimeout } from 'node:timers/promises'
import { backoffMs } from '../backoff.ts'
import { bookingOf, costOf } from './bill.ts'
import { LOOK_FOR_MS, looksOver } from './doubt.ts'
import type { Guard } from './guard.ts'
import { learnedName, type SchemaVersionOf } from './key.ts'
import { ledgerConstants, type Ending, type Ledger, type LogPiece, type Result, type StatusReader, type Submitted, type Suspect, type Unsent, type Upstream } from './ports.ts'
import type { Recorder } from './recorder.ts'
import { hasRequestId, type Failure, type Followed, type Row } from './row.ts'

/** The right to begin a submit, from a claim that this process made. */
export interface Permit { readonly isValid: () => boolean }

/** What a step works with. One per generation, attempt and process; `status` outlives a single step. */
export interface Hands extends Pick<Recorder, 'record' | 'recordAccepted' | 'isOurs' | 'recordProgress'> {
  readonly ledger: Ledger
  readonly upstream: Upstream
  readonly guard: Guard
  readonly schemaVersionOf: SchemaVersionOf
  /** The right to begin this attempt, once: whatever the ledger says afterwards, it is not begun again. `null` for a generation taken over, too. */
  readonly takePermit: () => Permit | null
  /** The reader of fal's status; the same one for all steps, so that nothing seen is lost. */
  readonly status: (row: Followed) => StatusReader
  /** Aborted when this process lets go of the generation. */
  readonly letGo: AbortSignal
  /** Aborted to interrupt waiting: a wish to cancel came in, its time to run is over, or `letGo`. */
  readonly wake: () => AbortSignal
  /** Asks fal to stop, the first time it is called; the answer is not waited for. */
  readonly askToCancel: (row: Followed) => void
  /** Told that fal has requests in front of this one. */
  readonly onBehind: (row: Row, position: number) => void
  /** The pauses before each look at a result that could not be used. */
  readonly lookAgainMs: readonly number[]
  /** Notes such an answer, and tells that it is looked again; gives the row to go on with. */
  readonly doubt: Recorder['recordDoubt']
  /** Resolves after this time, rejects when `letGo` fires. */
  readonly pause: (ms: number) => Promise<void>
  /** The same, but also resolves when `wake` fires. */
  readonly rest: (ms: number) => Promise<void>
  /** Does what this process must not end before: a submit, and what has to be asked until it is clear what came of it. */
  readonly undisturbed: <T>(work: () => Promise<T>) => Promise<T>
}

/** Submits of one generation that were certainly not accepted before it is given up. */
const MAX_ATTEMPTS = 5

/** How long an id named by an error answer is looked for, before its outcome counts as unknown. */
const LOOK_FOR_LOST_MS = 10_000

/** A failure that would cost nothing is believed when it was seen so often: a paid picture may lie behind it. */
const TRIES_TO_BELIEVE = 3
const BELIEVE_PAUSE_MS = 500

/** The longest pause between two looks for a result that fal does not hand out. */
const MAX_RESULT_PAUSE_MS = 10_000

/** Between submits that were not accepted, and between looks at what cannot be had. */
const BACKOFF = { firstMs: 500, mostMs: 30_000 }

const LOOKED_IN_VAIN: Failure = { code: 'outcome-unknown', detail: 'It was done, and its result could not be had.' }

const OUTCOME_UNKNOWN: Failure = { code: 'outcome-unknown', detail: 'The request went out and no answer came back.' }

/**
 * Does the one thing that the row's phase allows and gives the next row; `null` when there is nothing to do here any more:
 * it ended, it waits in line, or somebody else has it. Rejects only when `letGo` fires.
 */
export async function step (row: Row, hands: Hands): Promise<Row | null> {
  switch (row.phase) {
    case 'submitting':
      return await submit(row, hands)
    case 'accepted':
    case 'running':
      // Both phases have an id; a row without one lost its trace.
      if (!hasRequestId(row)) return await lose(row, hands)
      return row.doubt === null ? await follow(row, hands) : await collect(row, hands, false)
    case 'waiting': // leaves the line by a claim, never by a step
    case 'succeeded':
    case 'failed':
    case 'cancelled':
    case 'unknown':
      return null
  }
}

async function submit (row: Row, hands: Hands): Promise<Row | null> {
  const { ledger, upstream, guard, record, recordAccepted } = hands
  const permit = hands.takePermit()
  if (permit === null || row.input === null) return await lose(row, hands) // a dead process may have sent it, or this one did and the ledger forgot what came of it
  if (!permit.isValid()) return await record(row, () => ledger.unsent(row.id, row.attempt, { retryAfterMs: 0 }))

  const { input } = row
  const submitted = await hands.undisturbed(() => send(row, input, upstream))
  switch (submitted.kind) {
    case 'accepted':
      return await recordAccepted(row, submitted.requestId)
    case 'unsent': {
      const then = unsentThen(row, submitted, ledger.now())
      // fal that is merely busy is no failure of fal.
      const verdict = submitted.busy === true ? undefined : guard.verdictOn(row.model, submitted.failure.code, submitted.suspect)
      return await record(row, () => ledger.unsent(row.id, row.attempt, then, verdict), 'failure' in then ? unbought(row, then.failure, ledger) : undefined)
    }
    case 'refused': {
      const { failure } = submitted
      return await record(row, () => ledger.unsent(row.id, row.attempt, { failure }, guard.verdictOn(row.model, failure.code)), unbought(row, failure, ledger))
    }
    case 'lost':
      return await loseSubmit(row, submitted.suspect, hands)
  }
}

/** What became of a submit, once fal was asked about an id that an error answer named. */
async function send (row: Row, input: string, upstream: Upstream): Promise<Submitted> {
  const submitted = await upstream.submit(row.model, input)
  if (submitted.kind !== 'unsent' && submitted.kind !== 'lost') return submitted
  const requestId = submitted.requestId ?? null
  if (requestId === null) return submitted
  const known = await isKnown(row, requestId, upstream)
  if (known === 'yes') return { kind: 'accepted', requestId, position: null }
  // With an id that fal says nothing about it is not certain that it was not accepted: sent again, it might be bought twice.
  return known === 'no' ? submitted : { kind: 'lost', requestId, suspect: submitted.suspect, cause: 'answered with a request id that fal says nothing about' }
}

/**
 * A pause and another attempt, or the end: after a few failures, and when its time in line is over before the pause is. While fal is only busy its time
 * in line alone decides.
 */
function unsentThen (row: Row, { failure, retryAfterMs, busy }: Extract<Submitted, { kind: 'unsent' }>, nowMs: number): Unsent {
  const pauseMs = pauseBefore(row.attempt, retryAfterMs)
  const isOver = (busy !== true && row.attempt >= MAX_ATTEMPTS) || nowMs + pauseMs >= row.waitUntilMs
  return isOver ? { failure } : { retryAfterMs: pauseMs, ...(busy === true ? { busy } : {}) }
}

/** It went out, and nobody knows whether fal has it. */
async function loseSubmit (row: Row, suspect: Suspect, { ledger, guard, record }: Hands): Promise<Row | null> {
  const verdict = guard.verdictOn(row.model, OUTCOME_UNKNOWN.code, suspect)
  return await record(row, () => ledger.lost(row.id, row.attempt, null, OUTCOME_UNKNOWN, verdict), { ...row, phase: 'unknown', failure: OUTCOME_UNKNOWN })
}

/** The row as the ledger will have it when fal would not take it. */
function unbought (row: Row, failure: Failure, ledger: Ledger): Row {
  return endedBy(row, { kind: 'failed', failure, cost: 0 }, ledger.now())
}

/** Does fal know the id that came with an error answer? `perhaps`: it did not say in time. */
async function isKnown (row: Row, requestId: string, upstream: Upstream): Promise<'yes' | 'no' | 'perhaps'> {
  const reader = upstream.follow(row.model, requestId)
  try {
    const seen = await reader.next(AbortSignal.timeout(LOOK_FOR_LOST_MS))
    return seen.kind === 'missing' ? 'no' : 'yes'
  } catch {
    return 'perhaps'
  } finally {
    reader.close()
  }
}

async function follow (row: Followed, hands: Hands): Promise<Row | null> {
  const { ledger } = hands
  if (row.cancelWished) hands.askToCancel(row)
  if (isOverdue(row, ledger)) {
    hands.askToCancel(row)
    return await lose(row, hands)
  }
  const wake = hands.wake()
  let seen
  try {
    seen = await hands.status(row).next(wake)
  } catch (reason) {
    if (!wake.aborted) throw reason
    return row // the runner reads it again, or lets go of it
  }
  switch (seen.kind) {
    case 'queued':
      if (seen.position !== null && seen.position > 0) hands.onBehind(row, seen.position)
      return hands.recordProgress(row, seen)
    case 'running':
      return hands.recordProgress(row, seen)
    case 'completed':
      return await collect(row, hands, true, seen.log)
    case 'missing':
      return await collect(row, hands, false)
  }
}

function isOverdue (row: Row, ledger: Ledger): boolean {
  return row.runUntilMs !== null && ledger.now() >= row.runUntilMs
}

/** A result that is an end. */
type Final = Exclude<Result, { kind: 'pending' } | { kind: 'unavailable' }>

/**
 * Fetches the result of a completed generation and closes the row with it, and with the last lines of its log. What would throw the picture away is looked
 * at again (rule 25): the doubt and its time stand in the row, so whoever takes it over goes on with the same looks.
 */
async function collect (row: Followed, hands: Hands, isCompleted: boolean, log?: LogPiece): Promise<Row | null> {
  const { ledger, upstream } = hands
  // What lies behind an id that the ledger has for another generation is that one's.
  if (!await hands.isOurs()) return null
  const wake = hands.wake()
  let looks = row.doubtSinceMs === null ? 0 : looksOver(hands.lookAgainMs, ledger.now() - row.doubtSinceMs)
  let troubles = 0
  for (let frees = 0; ;) {
    const result = await upstream.result(row.model, row.requestId, hands.letGo)
    hands.letGo.throwIfAborted()
    if (result.kind === 'failed' && result.free && ++frees < TRIES_TO_BELIEVE) {
      // The first error may be a proxy's or a restart's; a generation that failed gives the same answer again.
      await hands.pause(BELIEVE_PAUSE_MS)
      continue
    }
    if (result.kind === 'succeeded' || result.kind === 'failed' || (result.kind === 'cancelled' && row.cancelWished)) return await close(row, result, hands, log)
    if (result.kind === 'pending' || result.kind === 'unavailable') {
      row = hands.doubt(row, 'unavailable', log)
      if (isOverdue(row, ledger) && isLookOver(row, ledger)) return await lose(row, hands, LOOKED_IN_VAIN)
      // fal keeps a result for an hour at most, so no pause may be long, whatever Retry-After says.
      const asked = result.kind === 'unavailable' ? result.retryAfterMs : null
      await hands.rest(Math.min(asked ?? backoffMs(++troubles, BACKOFF), MAX_RESULT_PAUSE_MS))
    } else {
      row = hands.doubt(row, result.kind, log)
      const pauseMs = hands.lookAgainMs[looks++]
      if (pauseMs === undefined || isLookOver(row, ledger)) {
        // Only what fal itself said, and never anything else, is believed against a picture.
        return row.doubt === result.kind && result.isClear ? await close(row, result, hands, log) : await lose(row, hands, LOOKED_IN_VAIN)
      }
      await hands.rest(pauseMs)
    }
    if (wake.aborted) return row // to be read again
    if (isCompleted) continue
    const state = await upstream.state(row.model, row.requestId, hands.letGo)
    hands.letGo.throwIfAborted()
    // fal did not know it yet, and now it does.
    if (state === 'queued' || state === 'running') return hands.recordProgress(row, { ...(state === 'queued' ? { kind: state, position: null } : { kind: state }), log: { from: 0, lines: [] } })
    isCompleted = state === 'completed'
  }
}

function isLookOver ({ doubtSinceMs }: Row, ledger: Ledger): boolean {
  return doubtSinceMs !== null && ledger.now() >= doubtSinceMs + LOOK_FOR_MS
}

async function close (row: Followed, result: Final, { ledger, record, schemaVersionOf }: Hands, log?: LogPiece): Promise<Row | null> {
  const ending = endingOf(row, result, schemaVersionOf)
  return await record(row, () => ledger.finish(row.id, row.attempt, row.requestId, ending, log), endedBy(row, ending, ledger.now()))
}

/**
 * What fal says became of a generation that is unknown here, asked once (rule 34); null: it says nothing that could be believed. One that is still at work
 * is asked about again: who follows it would find its time to run over.
 */
export async function endFound (row: Followed, { upstream, schemaVersionOf }: Pick<Hands, 'upstream' | 'schemaVersionOf'>, signal: AbortSignal): Promise<Ending | null> {
  const state = await upstream.state(row.model, row.requestId, signal)
  if (state !== 'completed' && state !== 'missing') return null
  for (let tries = 1; ; tries++) {
    const result = await upstream.result(row.model, row.requestId, signal)
    if (result.kind === 'succeeded') return endingOf(row, result, schemaVersionOf)
    if (result.kind === 'cancelled') return result.isClear && row.cancelWished ? endingOf(row, result, schemaVersionOf) : null
    if (result.kind !== 'failed') return null
    if (!result.free || tries >= TRIES_TO_BELIEVE) return endingOf(row, result, schemaVersionOf)
    await setTimeout(BELIEVE_PAUSE_MS, undefined, { signal })
  }
}

/** The row as the ledger will have it. */
function endedBy (row: Row, ending: Ending, nowMs: number): Row {
  return {
    ...row,
    phase: ending.kind,
    version: row.version + 1,
    output: ending.kind === 'succeeded' ? ending.output : null,
    failure: ending.kind === 'failed' ? ending.failure : null,
    ...bookingOf(row, ending.cost),
    finishedAtMs: nowMs,
    answersUntilMs: nowMs + ledgerConstants.verdictMs,
    doubt: null,
    doubtSinceMs: null
  }
}

function endingOf (row: Row, result: Final, schemaVersionOf: SchemaVersionOf): Ending {
  switch (result.kind) {
    case 'succeeded':
      return { kind: 'succeeded', output: result.body, seed: result.seed, learnedName: row.seed === null ? learnedName(row, result.seed, schemaVersionOf) : null, cost: costOf(row, result.units) }
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

/** What was learned here is all that is told: of a submit its attempt, of a run its request id. What another process heard of meanwhile stays, and is followed. */
async function lose (row: Row, { ledger, record }: Hands, failure = OUTCOME_UNKNOWN): Promise<Row | null> {
  return await record(row, () => ledger.lost(row.id, row.attempt, row.requestId, failure))
}

/** No sooner than fal asks for, and no sooner than after the usual pause; never at the same moment as others that fal told the same. */
function pauseBefore (attempt: number, askedMs: number | null): number {
  return Math.round(Math.max(backoffMs(attempt, BACKOFF), (askedMs ?? 0) * (1 + Math.random() / 4)))
}
