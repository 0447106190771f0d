// Evidence about a submit attempt (rule 2): taken from whoever has it, lease or not. The first wins, it names the attempt, and it ends an `unknown`.

import type { Ending, Ledger, LogPiece, Unsent, Verdict, Weighed } from '../../generation/ports.ts'
import type { Failure, Row } from '../../generation/row.ts'
import { doubtAfter, doubtSince, type Doubt } from '../../generation/doubt.ts'
import { isAtUpstream } from '../../generation/phases.ts'
import { ledgerConstants } from '../../generation/ports.ts'
import { bookDouble, isFinal, isUnbilledEnd } from './books.ts'
import { clear, judgeFor, yieldProbe } from './guards.ts'
import { lowerPlaces } from './line.ts'
import { keepLog } from './logs.ts'
import { cacheLead, takeCacheName } from './names.ts'
import { tell } from './news.ts'
import { change, show } from './rows.ts'
import type { Entry, State } from './state.ts'

type Evidence = Weighed | null

/** A row of which nothing is in doubt. */
const certain = { doubt: null, doubtSinceMs: null } as const

/** The ledger's `sent`. */
export function sent (state: State, id: string, attempt: number, requestId: string): Evidence {
  return weigh(state, id, attempt, entry => {
    const { row } = entry
    if (row.phase === 'waiting' || bookIfDouble(state, entry, requestId)) return
    if (row.phase === 'submitting') clear(state, row)
    if (row.phase === 'submitting' || row.phase === 'unknown') atUpstream(state, entry, { phase: 'accepted', requestId })
    else if (isUnbilledEnd(row) && row.requestId === null) bookAfterAll(state, entry, requestId)
    else if (row.requestId === null) change(state, entry, { requestId })
  })
}

/** It ended as not bought, by an operator's word or in a copy from a rollback, and fal turns out to have it. Nobody follows what has ended, so the price is booked, as an assumption. */
export function bookAfterAll (state: State, entry: Entry, requestId: string | null): void {
  const { phase, price } = entry.row
  change(state, entry, { requestId, cost: price, costAssumed: true })
  tell(state, entry, 'late', phase, price)
}

/** The ledger's `unsent`: no evidence against a request id. A generation whose cancel was wished meanwhile does not go back into the line. */
export function unsent (state: State, id: string, attempt: number, then: Unsent, verdict?: Verdict): Evidence {
  return weigh(state, id, attempt, entry => {
    const { phase, requestId, cancelWished } = entry.row
    if (phase !== 'submitting' && (phase !== 'unknown' || requestId !== null)) return
    if (verdict !== undefined) judgeFor(state, entry.row, verdict)
    if ('busy' in then && then.busy === true) lowerPlaces(state, then.retryAfterMs)
    const finishedAtMs = state.now()
    if (cancelWished) return change(state, entry, { phase: 'cancelled', owner: null, failure: null, cost: 0, finishedAtMs })
    if ('failure' in then) return change(state, entry, { phase: 'failed', owner: null, failure: then.failure, cost: 0, finishedAtMs })
    change(state, entry, { phase: 'waiting', owner: null, failure: null }, { claimId: null, retryAtMs: finishedAtMs + then.retryAfterMs })
    yieldProbe(state, entry)
  })
}

/** The ledger's `lost`: that a submit was not answered here is no evidence against a request id that came elsewhere. */
export function lost (state: State, id: string, attempt: number, failure: Failure, { what = 'run', verdict }: Parameters<Ledger['lost']>[3] = {}): Evidence {
  return weigh(state, id, attempt, entry => {
    const { phase, requestId } = entry.row
    if (!isAtUpstream(phase) || (what === 'submit' && requestId !== null)) return
    if (verdict !== undefined) judgeFor(state, entry.row, verdict)
    becomeUnknown(state, entry, failure)
  })
}

/** The ledger's `progressed`. Nothing can be seen of a generation without its request id, so such a sighting is no evidence. */
export function progressed (
  state: State, id: string, attempt: number, seen: { readonly kind: 'queued', readonly position: number | null } | { readonly kind: 'running' }, log?: LogPiece
): Evidence {
  return weigh(state, id, attempt, entry => {
    const { phase, requestId, queuePosition, startedAtMs } = entry.row
    if (requestId === null || phase === 'waiting' || isFinal(entry.row)) return
    const logged = keepLog(state, entry, log)
    if (phase === 'running') {
      if (logged !== entry.row.logged || entry.row.doubt !== null) change(state, entry, { logged, ...certain })
    } else if (seen.kind === 'running') {
      atUpstream(state, entry, { phase: 'running', queuePosition: null, startedAtMs: startedAtMs ?? state.now(), logged })
    } else if (phase === 'unknown' || queuePosition !== seen.position || entry.row.doubt !== null || logged !== entry.row.logged) {
      atUpstream(state, entry, { phase: 'accepted', queuePosition: seen.position, logged })
    }
  })
}

/** The ledger's `doubted`. */
export function doubted (state: State, id: string, attempt: number, requestId: string, seen: Doubt, log?: LogPiece): Evidence {
  return weigh(state, id, attempt, entry => {
    const { row } = entry
    if (row.requestId !== requestId || !isAtUpstream(row.phase)) return
    const logged = keepLog(state, entry, log)
    const doubt = doubtAfter(row.doubt, seen)
    if (doubt !== row.doubt || logged !== row.logged) change(state, entry, { doubt, doubtSinceMs: doubtSince(row.doubt, row.doubtSinceMs, seen, state.now()), logged })
  })
}

/** The ledger's `finish`. */
export function finish (state: State, id: string, attempt: number, requestId: string | null, ending: Ending, log?: LogPiece): Evidence {
  return weigh(state, id, attempt, entry => {
    const { row } = entry
    if (row.phase === 'waiting') return
    const isSecond = bookIfDouble(state, entry, requestId)
    const facts = { cost: ending.cost ?? row.price, costAssumed: ending.cost === null, requestId: row.requestId ?? requestId }
    if (!isFinal(row)) return end(state, entry, ending, { ...facts, logged: keepLog(state, entry, log) })
    // A double was booked in full when it was noticed.
    const booked = facts.cost - (row.cost ?? 0)
    if (isSecond || booked <= 0) return
    change(state, entry, facts)
    tell(state, entry, 'late', row.phase, booked)
  })
}

/** It may have been bought: the money stays held until evidence or an operator says what became of it. */
export function becomeUnknown (state: State, entry: Entry, failure: Failure): void {
  change(state, entry, { phase: 'unknown', owner: null, failure, queuePosition: null, ...certain }, { claimId: null, unknownSinceMs: state.now(), answersUntilMs: state.now() + ledgerConstants.verdictMs })
}

function end (state: State, entry: Entry, ending: Ending, facts: Pick<Row, 'cost' | 'costAssumed' | 'requestId' | 'logged'>): void {
  const closed = { ...facts, ...certain, phase: ending.kind, owner: null, queuePosition: null, finishedAtMs: state.now() }
  if (ending.kind !== 'succeeded') {
    return change(state, entry, { ...closed, failure: ending.kind === 'failed' ? ending.failure : null }, { claimId: null, answersUntilMs: state.now() + ledgerConstants.verdictMs })
  }
  const { mode, cacheName } = entry.hidden
  let { learnedName } = entry.hidden
  // Until this moment a refresh left its cache name to the old result, and what was called off left it to others.
  const takesName = entry.row.cancelWished ? cacheName !== null && cacheLead(state, cacheName) === null : mode === 'refresh'
  if (mode !== 'bypass' && cacheName !== null && takesName) takeCacheName(state, cacheName, entry.row.id)
  if (mode !== 'bypass' && ending.learnedName !== null && cacheLead(state, ending.learnedName) === null) {
    learnedName = ending.learnedName
    takeCacheName(state, learnedName, entry.row.id)
  }
  const files = Math.min(ending.files ?? Infinity, entry.row.files)
  change(state, entry, { ...closed, failure: null, output: ending.output, seed: ending.seed ?? entry.row.seed, files }, { claimId: null, learnedName })
}

/** Finds the row and lets `take` act on it when the evidence is about its attempt; a newer attempt proves a rollback, and the row catches up. */
function weigh (state: State, id: string, attempt: number, take: (entry: Entry) => void): Evidence {
  const entry = state.rows.get(id)
  if (entry === undefined) return null
  const from = entry.row.phase
  if (attempt > entry.row.attempt) catchUp(state, entry, attempt)
  if (attempt === entry.row.attempt) take(entry)
  return { ...show(state, entry), from }
}

/** The row is older than the evidence: the attempt was granted, and the store forgot it. */
function catchUp (state: State, entry: Entry, attempt: number): void {
  if (isFinal(entry.row)) return change(state, entry, { attempt })
  const forgotten = { attempt, requestId: null, ...certain, runUntilMs: entry.row.runUntilMs ?? state.now() + state.times.runMs }
  if (entry.row.phase !== 'waiting') return change(state, entry, forgotten)
  change(state, entry, { ...forgotten, phase: 'submitting' }, { claimId: null, retryAtMs: 0, leaseUntilMs: state.now() })
}

/** At fal again or still. Nobody looks after what was `unknown`, so the next sweep gives it to its replica at once. */
function atUpstream (state: State, entry: Entry, row: Partial<Row>): void {
  if (entry.row.phase === 'unknown') change(state, entry, { ...row, failure: null }, { leaseUntilMs: state.now() })
  else change(state, entry, { ...row, ...certain }, { claimId: null })
}

/** Has this attempt another request id already? Then this one is a second purchase, and booked once. */
export function bookIfDouble (state: State, entry: Entry, requestId: string | null): boolean {
  const { row, hidden } = entry
  if (requestId === null || row.requestId === null || row.requestId === requestId) return false
  if (!hidden.doubles.includes(requestId)) {
    bookDouble(state, row, requestId)
    tell(state, entry, 'double', row.phase, row.price)
    entry.hidden = { ...hidden, doubles: [...hidden.doubles, requestId] }
  }
  return true
}
