// Evidence about a submit attempt (rule 2) and about the purchase that came of it (rule 21): taken from every process that has it, lease or not. The first wins, and
// it ends an `unknown`.

import { hash } from 'node:crypto'
import { bookingOf } from '../../generation/bill.ts'
import type { BreakerReport } from '../../generation/breaker-state.ts'
import { doubtAfter, doubtSince, type Doubt } from '../../generation/doubt.ts'
import type { Ending, Unsent, Weighed } from '../../generation/evidence.ts'
import type { Failure, Large, Generation } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isAtUpstream } from '../../generation/phases.ts'
import type { LogPiece } from '../../generation/upstream.ts'
import type { MicroUsd } from '../../money.ts'
import { longBytesOf } from '../aside.ts'
import { knowAccount, lowerSlots } from './accounts.ts'
import { putAside } from './aside.ts'
import { isFinal, isUnbilledEnd } from './books.ts'
import { clear, isElsewhere, takeReportFor, weighBill, yieldProbe } from './breakers.ts'
import type { Entry } from './entry.ts'
import { keepLog } from './logs.ts'
import { cacheLead, takeCacheName } from './names.ts'
import { addEvent } from './outbox.ts'
import { firstDue } from './media.ts'
import { firstQuestion } from './questions.ts'
import { bookIfDouble, correctDouble, isOthers, isWanted, swapDouble } from './requests.ts'
import { adjust, assign, change, show } from './rows.ts'
import type { State } from './state.ts'

type Evidence = Weighed | null

/** A row of which nothing is in doubt. */
const certain = { doubt: null, doubtSinceMs: null } as const

/** The ledger's `recordAccepted`. */
export function recordAccepted (state: State, id: string, attempt: number, requestId: string, upstream?: string | null): Evidence {
  return weighPurchase(state, { id, attempt, requestId, upstream }, (entry, isDouble) => {
    const { row } = entry
    if (isDouble) return
    if (isFinal(row)) return noteAfterEnd(state, entry, requestId)
    if (row.phase === 'submitting') clear(state, row)
    if (row.phase === 'submitting' || row.phase === 'unknown') becomeAtUpstream(state, entry, { phase: 'accepted', requestId })
  })
}

/**
 * The row has ended, and fal has a request for it after all. No process follows an ended row to its bill, so one that cost nothing is booked at its price, as an
 * assumption.
 */
function noteAfterEnd (state: State, entry: Entry, requestId: string): void {
  if (entry.row.requestId !== null) return
  if (isUnbilledEnd(entry.row) && !entry.row.corrected) bookAfterAll(state, entry, requestId)
  else change(state, entry, { requestId })
}

/** The row ended as not bought, by an operator's word or in a copy from before a rollback, and was bought all the same. */
export function bookAfterAll (state: State, entry: Entry, requestId: string): void {
  const { phase, price } = entry.row
  change(state, entry, { requestId, cost: price, costAssumed: true })
  addEvent(state, entry, 'late', phase, price)
}

/** The ledger's `recordNotSent`. It says nothing about a row that has a request id. A generation whose cancel was wished meanwhile does not go back into the queue. */
export function recordNotSent (state: State, id: string, attempt: number, then: Unsent, report?: BreakerReport): Evidence {
  return weighAttempt(state, id, attempt, entry => {
    const { phase, cancelWished } = entry.row
    if (phase !== 'submitting' && phase !== 'unknown') return
    if (report !== undefined) takeReportFor(state, entry.row, report)
    if ('busy' in then && then.busy === true) lowerSlots(state, entry.row, then.retryAfterMs)
    const finishedAtMs = state.now()
    if (cancelWished) return change(state, entry, { phase: 'cancelled', owner: null, failure: null, cost: 0, finishedAtMs })
    const goesElsewhere = (('failure' in then && then.elsewhere === true) || ('busy' in then && then.busy === true)) && isElsewhere(state, entry.row)
    const isOver = 'failure' in then && !goesElsewhere
    if (isOver) return change(state, entry, { phase: 'failed', owner: null, failure: then.failure, cost: 0, finishedAtMs })
    // One that was put back as it ended, and had not, may have nothing left to send.
    if (entry.row.input === null) return
    change(state, entry, { phase: 'waiting', owner: null, failure: null, upstream: state.upstream }, { claimId: null, retryAtMs: finishedAtMs + (goesElsewhere || 'failure' in then ? 0 : then.retryAfterMs) })
    yieldProbe(state, entry)
  })
}

/**
 * The ledger's `recordUnknown`. Without a request id a submit got no answer, which says nothing about a row that has one. With a request id the trace of that
 * purchase was lost, which says nothing about another purchase.
 */
export function recordUnknown (state: State, id: string, attempt: number, requestId: string | null, failure: Failure, report?: BreakerReport, upstream?: string | null): Evidence {
  const loseTrace = (entry: Entry): void => {
    if (!isAtUpstream(entry.row.phase)) return
    if (report !== undefined) takeReportFor(state, entry.row, report)
    becomeUnknown(state, entry, failure)
  }
  if (requestId === null) return weighAttempt(state, id, attempt, loseTrace)
  return weighPurchase(state, { id, attempt, requestId, upstream }, (entry, isDouble) => {
    if (isDouble) return
    if (isFinal(entry.row)) return noteAfterEnd(state, entry, requestId)
    if (entry.row.requestId === null) change(state, entry, { requestId })
    loseTrace(entry)
  })
}

/** The ledger's `recordProgress`. */
export function recordProgress (
  state: State, id: string, attempt: number, requestId: string, seen: { readonly kind: 'queued', readonly position: number | null } | { readonly kind: 'running' }, log?: LogPiece,
  upstream?: string | null
): Evidence {
  return weighPurchase(state, { id, attempt, requestId, upstream }, (entry, isDouble) => {
    const { phase, queuePosition, startedAtMs } = entry.row
    if (isDouble) return
    if (isFinal(entry.row)) return noteAfterEnd(state, entry, requestId)
    if (phase === 'submitting') clear(state, entry.row)
    const logged = keepLog(state, entry, log)
    if (phase === 'running') {
      if (logged !== entry.row.logged || entry.row.doubt !== null) change(state, entry, { logged, ...certain })
    } else if (seen.kind === 'running') {
      becomeAtUpstream(state, entry, { phase: 'running', requestId, queuePosition: null, startedAtMs: startedAtMs ?? state.now(), logged })
    } else if (phase !== 'accepted' || queuePosition !== seen.position || entry.row.doubt !== null || logged !== entry.row.logged) {
      becomeAtUpstream(state, entry, { phase: 'accepted', requestId, queuePosition: seen.position, logged })
    }
  })
}

/** The ledger's `recordDoubt`. */
export function recordDoubt (state: State, id: string, attempt: number, requestId: string, seen: Doubt, log?: LogPiece, upstream?: string | null): Evidence {
  return weighPurchase(state, { id, attempt, requestId, upstream }, (entry, isDouble) => {
    if (isDouble) return
    if (isFinal(entry.row)) return noteAfterEnd(state, entry, requestId)
    if (entry.row.requestId === null) becomeAtUpstream(state, entry, { phase: 'accepted', requestId })
    const { row } = entry
    if (!isAtUpstream(row.phase)) return
    const logged = keepLog(state, entry, log)
    const doubt = doubtAfter(row.doubt, seen)
    if (doubt !== row.doubt || logged !== row.logged) change(state, entry, { doubt, doubtSinceMs: doubtSince(row.doubt, row.doubtSinceMs, seen, state.now()), logged })
  })
}

/** The ledger's `finish`. */
export function finish (state: State, id: string, attempt: number, requestId: string, ending: Ending, log?: LogPiece, upstream?: string | null): Evidence {
  const purchase = { id, attempt, requestId, upstream }
  const bytes = ending.kind === 'succeeded' ? longBytesOf(ending.output) : null
  if (ending.kind !== 'succeeded' || bytes === null) return endPurchase(state, purchase, ending, log)
  const large = { bytes, sha256: hash('sha256', ending.output) }
  putAside(state, id, large, ending.output)
  const weighed = endPurchase(state, purchase, { ...ending, large }, log)
  return weighed?.large?.sha256 === large.sha256 ? { ...weighed, output: ending.output } : weighed
}

/** The first end of the row's own purchase ends the row. After that only a higher bill counts, and a picture of what was settled by hand. */
function endPurchase (state: State, purchase: NamedPurchase, ending: Ended, log?: LogPiece): Evidence {
  const { requestId } = purchase
  return weighPurchase(state, purchase, (entry, isDouble) => {
    if (isDouble) return finishDouble(state, entry, requestId, ending)
    const { row } = entry
    const facts = { ...billOf(row, ending), requestId }
    if (!isFinal(row)) {
      end(state, entry, ending, { ...facts, logged: keepLog(state, entry, log) })
      weighBill(state, row, ending.cost)
      return
    }
    const before = row.cost ?? 0
    const booked = facts.cost - before
    // A bill above the reservation that only grew was weighed already, unless it is absurd now.
    const isDearer = booked > 0 && (before <= row.price || facts.costAssumed)
    if (entry.hidden.settled && ending.kind === 'succeeded') {
      end(state, entry, ending, { ...facts, logged: keepLog(state, entry, log) })
      addEvent(state, entry, 'found', row.phase, booked)
    } else if (booked > 0) {
      change(state, entry, facts)
      addEvent(state, entry, 'late', row.phase, booked)
    } else if (row.requestId === null) {
      change(state, entry, { requestId })
    }
    if (isDearer) weighBill(state, row, ending.cost)
  })
}

/** What is booked of an ending's cost: an operator's word stays. */
function billOf (row: Generation, { cost }: Ending): { readonly cost: MicroUsd, readonly costAssumed: boolean } {
  return row.corrected ? { cost: row.cost ?? 0, costAssumed: false } : bookingOf(row, cost)
}

/** A double ended. Its picture is paid for, so a row that has none takes it: the two purchases change places, and what is booked for the other one is corrected when that ends. */
export function finishDouble (state: State, entry: Entry, requestId: string, ending: Ended): void {
  if (!isWanted(entry, requestId, ending)) return correctDouble(state, entry, requestId, ending)
  swapDouble(state, entry, requestId)
  // The lines that the row has are those of the other purchase.
  end(state, entry, ending, { ...bookingOf(entry.row, ending.cost), requestId, logged: entry.row.logged })
  weighBill(state, entry.row, ending.cost)
}

/** It may have been bought: the money stays held until evidence or an operator says what became of it. */
export function becomeUnknown (state: State, entry: Entry, failure: Failure): void {
  change(state, entry, { phase: 'unknown', owner: null, failure, queuePosition: null, ...certain, answersUntilMs: state.now() + ledgerConstants.answerMs }, {
    claimId: null, unknownSinceMs: state.now(), ...firstQuestion(state, entry.row.requestId)
  })
}

/** An ending whose output may lie aside. */
export type Ended = Ending & { readonly large?: Large | null }

function end (state: State, entry: Entry, ending: Ended, facts: Pick<Generation, 'cost' | 'costAssumed' | 'requestId' | 'logged'>): void {
  const closed = { ...facts, ...certain, phase: ending.kind, owner: null, queuePosition: null, finishedAtMs: state.now() }
  if (ending.kind !== 'succeeded') {
    const failure = ending.kind === 'failed' ? ending.failure : null
    return change(state, entry, { ...closed, failure, answersUntilMs: state.now() + ledgerConstants.answerMs }, { claimId: null })
  }
  const { mode, cacheName, reuseName } = entry.hidden
  const large = ending.large ?? null
  let { learnedName } = entry.hidden
  // Until this moment a refresh left its cache name to the old result, and what was called off left it to others.
  const takesName = entry.row.cancelWished ? cacheName !== null && cacheLead(state, cacheName) === null : mode === 'refresh'
  if (large === null && mode !== 'bypass' && cacheName !== null && takesName) takeCacheName(state, cacheName, entry.row.id)
  if (large === null && mode !== 'bypass' && ending.learnedName !== null && cacheLead(state, ending.learnedName) === null) {
    learnedName = ending.learnedName
    takeCacheName(state, learnedName, entry.row.id)
  }
  const takesReuseName = reuseName !== null && (!entry.row.cancelWished || cacheLead(state, reuseName) === null)
  if (large === null && mode !== 'bypass' && takesReuseName) takeCacheName(state, reuseName, entry.row.id)
  const files = Math.min(ending.files ?? Infinity, entry.row.files)
  change(state, entry, { ...closed, failure: null, output: large === null ? ending.output : null, large, bases: ending.bases ?? null, media: ending.media ?? null, seed: ending.seed ?? entry.row.seed, files }, {
    claimId: null, learnedName, settled: false, ...firstDue(state, ending.media ?? null)
  })
}

/**
 * Weighs evidence about an attempt of which no purchase is known. `take` acts on it when it is about the row's latest attempt and the row has no request id. A
 * newer attempt proves a rollback; the row then catches up first.
 */
function weighAttempt (state: State, id: string, attempt: number, take: (entry: Entry) => void): Evidence {
  const entry = state.rows.get(id)
  if (entry === undefined) return null
  const from = entry.row.phase
  if (entry.row.requestId === null) {
    if (attempt > entry.row.attempt) catchUp(state, entry, attempt)
    if (attempt === entry.row.attempt) take(entry)
  }
  return { ...show(state, entry), from }
}

/** What evidence names: a generation, the attempt, fal's id, and the account that it was bought with, left out: the row's. */
interface NamedPurchase { readonly id: string, readonly attempt: number, readonly requestId: string, readonly upstream: string | null | undefined }

/**
 * Weighs evidence about the purchase that fal knows under `requestId`, from whatever attempt it came. A row without a purchase takes it for its own. Beside
 * another purchase it is a double. An id that belongs to another generation is refused. `take` acts on the rest.
 */
function weighPurchase (state: State, { id, attempt, requestId, upstream }: NamedPurchase, take: (entry: Entry, isDouble: boolean) => void): Evidence {
  knowAccount(state, upstream)
  const entry = state.rows.get(id)
  if (entry === undefined) return null
  const from = entry.row.phase
  if (isOthers(state, id, requestId)) {
    refuseRequest(state, entry, attempt, requestId)
  } else {
    const isDouble = bookIfDouble(state, entry, requestId, upstream)
    if (entry.row.requestId === null) {
      catchUp(state, entry, attempt)
      if (upstream !== undefined && upstream !== null && upstream !== entry.row.upstream) assign(state, entry, upstream)
    }
    take(entry, isDouble)
  }
  return { ...show(state, entry), from }
}

/**
 * fal gave this generation the request id of another one. Whether it was bought cannot be asked about under that id, and what lies behind it is the other
 * one's.
 */
export function refuseRequest (state: State, entry: Entry, attempt: number, requestId: string): void {
  const { row, hidden } = entry
  if (hidden.clashes.includes(requestId)) return
  adjust(state, entry, { clashes: [...hidden.clashes, requestId] })
  if (row.requestId === null && !isFinal(row) && row.phase !== 'unknown') {
    catchUp(state, entry, attempt)
    becomeUnknown(state, entry, shared)
  }
  addEvent(state, entry, 'shared', row.phase, 0)
}

/** What a generation ends with whose request id belongs to another one. */
export const shared: Failure = { code: 'outcome-unknown', detail: 'The upstream answered with the request id of another generation.' }

/** The row is older than the evidence: the attempt was granted, and the store forgot it. */
function catchUp (state: State, entry: Entry, attempt: number): void {
  const { row } = entry
  if (attempt <= row.attempt && row.phase !== 'waiting') return
  if (isFinal(row)) return change(state, entry, { attempt })
  const forgotten = { attempt: Math.max(attempt, row.attempt), ...certain, runUntilMs: row.runUntilMs ?? state.now() + state.times.runMs }
  if (row.phase !== 'waiting') return change(state, entry, forgotten)
  change(state, entry, { ...forgotten, phase: 'submitting' }, { claimId: null, retryAtMs: 0, leaseUntilMs: state.now() })
}

/** The row is at fal, still or again. No replica looks after one that was `unknown`: its lease ends now, so the next sweep takes it over. */
function becomeAtUpstream (state: State, entry: Entry, row: Partial<Generation>): void {
  if (entry.row.phase === 'unknown') change(state, entry, { ...row, failure: null }, { leaseUntilMs: state.now() })
  else change(state, entry, { ...row, ...certain }, { claimId: null })
}
