// Leases say who looks after a generation, nothing more: signs of life, letting go, taking over, and rows written again after a rollback.

import type { Ending, Fact } from '../../generation/ports.ts'
import type { Hidden, Row } from '../../generation/row.ts'
import { ledgerConstants } from '../../generation/ports.ts'
import { isAtUpstream } from '../../generation/phases.ts'
import { isFinal, isUnbilledEnd, tidyBooks } from './books.ts'
import { bringBack, expire } from './claim.ts'
import { becomeUnknown, bookAfterAll, finishDouble, refuseRequest } from './evidence.ts'
import { freeProbe } from './guards.ts'
import { tell } from './news.ts'
import { firstQuestion, isQuestionDue, takeQuestion } from './questions.ts'
import { bookIfDouble, isOthers, isUnheardOf } from './requests.ts'
import { adjust, change, forget, insert, replace, show } from './rows.ts'
import { TIDY_PER_CALL, type Entry, type State } from './state.ts'

/** The ledger's `renew`. */
export function renew (state: State, replica: string, facts: readonly Fact[]): { gone: string[], rolledBack: string[] } {
  const gone: string[] = []
  const rolledBack: string[] = []
  for (const fact of facts) {
    const entry = state.rows.get(fact.row.id)
    if (entry !== undefined && endedTooSoon(entry, fact) && fact.row.requestId !== null && !isOthers(state, fact.row.id, fact.row.requestId)) bookAfterAll(state, entry, fact.row.requestId)
    if (isRollback(state, entry, fact)) rolledBack.push(fact.row.id)
    else if (fact.holds && entry !== undefined && entry.row.owner === replica) adjust(state, entry, { leaseUntilMs: leaseOf(state) })
    else if (fact.holds && !isOpenDouble(entry, fact.row.requestId)) gone.push(fact.row.id)
  }
  return { gone, rolledBack }
}

/**
 * The ledger's `restore`: what is missing or older than the facts is written, over the budget if need be. What only the lost row knew (its names) stays
 * lost. Where the store has another request id, both were bought: the row stays, the second is booked as a double.
 */
export function restore (state: State, replica: string, facts: readonly Fact[]): void {
  for (const fact of facts) {
    const entry = state.rows.get(fact.row.id)
    if (!isRollback(state, entry, fact)) continue
    const { attempt, requestId } = fact.row
    if (entry === undefined) write(state, replica, fact)
    else if (requestId !== null && isOthers(state, fact.row.id, requestId)) refuseRequest(state, entry, attempt, requestId)
    else if (requestId !== null && bookIfDouble(state, entry, requestId)) {
      if (isFinal(fact.row)) finishDouble(state, entry, requestId, endingOf(fact.row))
    } else if (requestId === null && entry.row.requestId !== null) {
      // What names no purchase says nothing about a row that has one.
      replace(state, entry, { ...entry.row, attempt: Math.max(attempt, entry.row.attempt), version: Math.max(fact.row.version, entry.row.version) + 1 }, {})
    } else {
      // How many lines were told is known, which ones is not.
      state.logs.delete(fact.row.id)
      replace(state, entry, restoredRow(state, replica, fact, entry.row), restoredLease(state, fact))
    }
  }
}

/** The ledger's `release`. To let go is no sign of trouble, so the next owner's taking over is not counted. */
export function release (state: State, replica: string, ids: readonly string[]): void {
  for (const id of ids) {
    const entry = state.rows.get(id)
    if (entry === undefined || entry.row.owner !== replica) continue
    freeProbe(state, entry.row)
    change(state, entry, { owner: null }, { leaseUntilMs: state.now() })
  }
}

/** The ledger's `sweep`. Also the place where everything that has an end is tidied away. */
export function sweep (state: State, replica: string, max: number): Row[] {
  const taken: Row[] = []
  bringBack(state)
  for (const id of state.due.first(max, state.now())) {
    const entry = state.rows.get(id)
    if (entry === undefined) continue
    if (isQuestionDue(state, entry)) {
      if (takeQuestion(state, entry)) taken.push(show(state, entry))
    } else if (entry.row.phase === 'waiting') expire(state, entry)
    else if (isFinal(entry.row)) forget(state, entry)
    else if (takeOver(state, entry, replica)) taken.push(show(state, entry))
  }
  for (const expiring of [state.names, state.aliases, state.answers, state.ends, state.tokens]) expiring.purge(TIDY_PER_CALL)
  tidyBooks(state)
  return taken
}

/**
 * Gives a generation whose lease ran out to `replica`. Its own owner gets it back as it was; one that was let go costs nothing; one whose owner
 * went silent counts, because what kills five owners is not given to a sixth.
 */
function takeOver (state: State, entry: Entry, replica: string): boolean {
  const { phase, owner, takeovers } = entry.row
  const leaseUntilMs = leaseOf(state)
  if (owner === replica) {
    adjust(state, entry, { leaseUntilMs })
    return true
  }
  freeProbe(state, entry.row)
  if (owner !== null && takeovers >= ledgerConstants.maxTakeovers) {
    becomeUnknown(state, entry, { code: 'outcome-unknown', detail: 'Every process that looked after it went silent.' })
    tell(state, entry, 'ended', phase, 0)
    return false
  }
  change(state, entry, { owner: replica, takeovers: owner === null ? takeovers : takeovers + 1 }, { leaseUntilMs })
  return true
}

/**
 * Is the row missing, or older than what a replica knows? Its version alone does not tell: others may have pushed it past what this replica saw.
 * Missing is right for a row whose retention is over, and one that has ended is never opened again; late evidence books what it missed.
 */
function isRollback (state: State, entry: Entry | undefined, fact: Fact): boolean {
  const { row } = fact
  if (entry === undefined) return !isFinal(row) || (row.finishedAtMs ?? 0) + state.times.resultTtlMs > state.now()
  if (row.requestId !== null && isOthers(state, row.id, row.requestId)) return !entry.hidden.clashes.includes(row.requestId)
  if (row.requestId !== null && entry.row.requestId !== null && entry.row.requestId !== row.requestId) return isUnheardOf(entry, row.requestId)
  if (isFinal(entry.row)) return false
  const lacksRequest = entry.row.requestId === null && row.requestId !== null
  return entry.row.version < row.version || entry.row.attempt < row.attempt || lacksRequest
}

/** Did an older copy of it come back from a rollback and leave the line unspent, while a replica knows that fal accepted it? */
function endedTooSoon (entry: Entry, { row }: Fact): boolean {
  return isUnbilledEnd(entry.row) && entry.row.requestId === null && row.requestId !== null && (!isFinal(row) || row.phase === 'succeeded')
}

/** Is it a second purchase that has not ended at fal, so that whoever holds it goes on following it? */
function isOpenDouble (entry: Entry | undefined, requestId: string | null): boolean {
  return entry !== undefined && entry.hidden.doubles.some(double => double.requestId === requestId && !double.ended)
}

/** The end that a replica knows, as evidence. */
function endingOf ({ phase, output, seed, failure, cost, costAssumed }: Row): Ending {
  const billed = costAssumed ? null : cost
  if (phase === 'succeeded' && output !== null) return { kind: 'succeeded', output, seed, learnedName: null, cost: billed }
  return phase === 'failed' && failure !== null ? { kind: 'failed', failure, cost: billed } : { kind: 'cancelled', cost: billed }
}

function write (state: State, replica: string, fact: Fact): void {
  state.counter += 1
  const unknowable = {
    number: state.counter, cacheName: null, learnedName: null, twinName: null, keyless: false, keyedUntilMs: 0, mode: 'normal', doubles: [], clashes: [], settled: false, outputSha256: null
  } as const
  const entry = { row: restoredRow(state, replica, fact, null), hidden: { ...unknowable, ...restoredLease(state, fact) } }
  const { attempt, requestId } = fact.row
  if (requestId === null || !isOthers(state, fact.row.id, requestId)) return insert(state, entry)
  // What lies behind the id is another one's, an output that was fetched under it too.
  const open = { phase: 'submitting', requestId: null, output: null, failure: null, cost: null, costAssumed: false, finishedAtMs: null } as const
  const row: Row = { ...entry.row, ...open, runUntilMs: entry.row.runUntilMs ?? state.now() }
  insert(state, { ...entry, row })
  const written = state.rows.get(row.id)
  if (written !== undefined) refuseRequest(state, written, attempt, requestId)
}

function restoredRow (state: State, replica: string, { row, holds }: Fact, now: Row | null): Row {
  return {
    ...row,
    version: Math.max(row.version, now?.version ?? 0) + 1,
    attempt: Math.max(row.attempt, now?.attempt ?? 0),
    owner: holds && isAtUpstream(row.phase) ? replica : null,
    token: row.token !== null && state.tokens.get(row.token) !== undefined ? row.token : null
  }
}

/** Who holds it goes on with it; one that nobody holds is due at once. */
function restoredLease (state: State, { row, holds }: Fact): Pick<Hidden, 'claimId' | 'leaseUntilMs' | 'retryAtMs' | 'unknownSinceMs' | 'answersUntilMs' | 'askAtMs' | 'questions'> {
  return { ...firstQuestion(state, row.phase === 'unknown' ? row.requestId : null), claimId: null, leaseUntilMs: holds ? leaseOf(state) : state.now(), retryAtMs: 0, unknownSinceMs: state.now(), answersUntilMs: state.now() + ledgerConstants.verdictMs }
}

function leaseOf (state: State): number {
  return state.now() + state.times.leaseMs
}
