// Leases say who looks after a generation, nothing more: signs of life, letting go, taking over, and rows written again after a rollback.

import type { Fact } from '../../generation/ports.ts'
import type { Hidden, Row } from '../../generation/row.ts'
import { ledgerConstants } from '../../generation/ports.ts'
import { isAtUpstream } from '../../generation/phases.ts'
import { isFinal, isUnbilledEnd, tidyBooks } from './books.ts'
import { bringBack, expire } from './claim.ts'
import { becomeUnknown, bookAfterAll, bookIfDouble } from './evidence.ts'
import { freeProbe } from './guards.ts'
import { tell } from './news.ts'
import { adjust, change, forget, insert, replace, show } from './rows.ts'
import { TIDY_PER_CALL, type Entry, type State } from './state.ts'

/** The ledger's `renew`. */
export function renew (state: State, replica: string, facts: readonly Fact[]): { gone: string[], rolledBack: string[] } {
  const gone: string[] = []
  const rolledBack: string[] = []
  for (const fact of facts) {
    const entry = state.rows.get(fact.row.id)
    if (entry !== undefined && endedTooSoon(entry, fact)) bookAfterAll(state, entry, fact.row.requestId)
    if (isRollback(state, entry, fact)) rolledBack.push(fact.row.id)
    else if (fact.holds && entry !== undefined && entry.row.owner === replica) adjust(state, entry, { leaseUntilMs: leaseOf(state) })
    else if (fact.holds) gone.push(fact.row.id)
  }
  return { gone, rolledBack }
}

/**
 * The ledger's `restore`: what is missing or older than the facts is written, over the budget if need be. What only the lost row knew (its names) stays
 * lost. Where the store has another request id for the same attempt, both were bought: the row stays, the second is booked as a double.
 */
export function restore (state: State, replica: string, facts: readonly Fact[]): void {
  for (const fact of facts) {
    const entry = state.rows.get(fact.row.id)
    if (!isRollback(state, entry, fact)) continue
    if (entry === undefined) write(state, replica, fact)
    else if (isSecondRequest(entry, fact)) bookIfDouble(state, entry, fact.row.requestId)
    else {
      // How many lines were told is known, which ones is not.
      state.logs.delete(fact.row.id)
      replace(state, entry, restoredRow(state, replica, fact, entry.row.version), restoredLease(state, fact))
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
    if (entry.row.phase === 'waiting') expire(state, entry)
    else if (isFinal(entry.row)) forget(state, entry)
    else if (takeOver(state, entry, replica)) taken.push(show(state, entry))
  }
  for (const expiring of [state.names, state.aliases, state.answers, state.tokens]) expiring.purge(TIDY_PER_CALL)
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
  if (isSecondRequest(entry, fact)) return row.requestId !== null && !entry.hidden.doubles.includes(row.requestId)
  if (isFinal(entry.row)) return false
  const lacksRequest = entry.row.requestId === null && row.requestId !== null && entry.row.attempt === row.attempt
  return entry.row.version < row.version || entry.row.attempt < row.attempt || lacksRequest
}

/** Did an older copy of it come back from a rollback and leave the line unspent, while a replica knows that fal accepted it? */
function endedTooSoon (entry: Entry, { row }: Fact): boolean {
  return isUnbilledEnd(entry.row) && entry.row.requestId === null && row.requestId !== null && (!isFinal(row) || row.phase === 'succeeded')
}

function isSecondRequest (entry: Entry, { row }: Fact): boolean {
  return entry.row.attempt === row.attempt && entry.row.requestId !== null && row.requestId !== null && entry.row.requestId !== row.requestId
}

function write (state: State, replica: string, fact: Fact): void {
  state.counter += 1
  const unknowable = { number: state.counter, cacheName: null, learnedName: null, twinName: null, keyless: false, mode: 'normal', doubles: [], outputSha256: null } as const
  insert(state, { row: restoredRow(state, replica, fact, 0), hidden: { ...unknowable, ...restoredLease(state, fact) } })
}

function restoredRow (state: State, replica: string, { row, holds }: Fact, version: number): Row {
  return {
    ...row,
    version: Math.max(row.version, version) + 1,
    owner: holds && isAtUpstream(row.phase) ? replica : null,
    token: row.token !== null && state.tokens.get(row.token) !== undefined ? row.token : null
  }
}

/** Who holds it goes on with it; one that nobody holds is due at once. */
function restoredLease (state: State, { holds }: Fact): Pick<Hidden, 'claimId' | 'leaseUntilMs' | 'retryAtMs' | 'unknownSinceMs' | 'answersUntilMs'> {
  return { claimId: null, leaseUntilMs: holds ? leaseOf(state) : state.now(), retryAtMs: 0, unknownSinceMs: state.now(), answersUntilMs: state.now() + ledgerConstants.verdictMs }
}

function leaseOf (state: State): number {
  return state.now() + state.times.leaseMs
}
