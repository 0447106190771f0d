// Leases say who looks after a generation, nothing more: signs of life, letting go, taking over.

import type { Fact, Taken } from '../../generation/evidence.ts'
import { termsOf } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isAtUpstream } from '../../generation/phases.ts'
import { allAccounts, apart, keyOf, ownAccounts } from './accounts.ts'
import { tidyAsides } from './aside.ts'
import { isFinal, isUnbilledEnd, tidyBooks } from './books.ts'
import { freeProbe } from './breakers.ts'
import { bringBack, expire } from './claim.ts'
import type { Entry } from './entry.ts'
import { becomeUnknown, bookAfterAll } from './evidence.ts'
import { beat, isSilent, isThere, leave, lookAtServer, silentReplicas } from './history.ts'
import { addEvent } from './outbox.ts'
import { isQuestionDue, takeQuestion } from './questions.ts'
import { isOthers } from './requests.ts'
import { isRollback } from './restore.ts'
import { adjust, change, followedKeyOf, forget, lease, show } from './rows.ts'
import { type State } from './state.ts'

/** The ledger's `renew`. */
export function renew (state: State, replica: string, facts: readonly Omit<Fact, 'terms'>[], isPart = false): { gone: string[], rolledBack: string[] } {
  lookAtServer(state)
  const gone: string[] = []
  const rolledBack: string[] = []
  for (const fact of facts) {
    const entry = state.rows.get(fact.row.id)
    if (entry !== undefined && endedTooSoon(entry, fact) && fact.row.requestId !== null && !isOthers(state, fact.row.id, fact.row.requestId)) bookAfterAll(state, entry, fact.row.requestId)
    if (isRollback(state, entry, fact)) rolledBack.push(fact.row.id)
    else if (fact.holds && entry !== undefined && entry.row.owner === replica) lease(state, entry, leaseOf(state))
    else if (fact.holds && !isOpenDouble(entry, fact.row.requestId)) gone.push(fact.row.id)
  }
  // What it has to put back is known to nobody until then.
  if (rolledBack.length === 0 && !isPart) isThere(state, replica)
  return { gone, rolledBack }
}

/** The ledger's `release`. To let go is no sign of trouble, so the next owner's taking over is not counted. */
export function release (state: State, replica: string, ids: readonly string[]): void {
  leave(state, replica)
  for (const id of ids) {
    const entry = state.rows.get(id)
    if (entry === undefined || entry.row.owner !== replica) continue
    freeProbe(state, entry.row)
    change(state, entry, { owner: null }, { leaseUntilMs: state.now() })
  }
}

/** The ledger's `sweep`. Also the place where everything that has an end is tidied away. */
export function sweep (state: State, replica: string, max: number): Taken[] {
  const taken: Taken[] = []
  bringBack(state)
  tidyAsides(state)
  let looked = 0
  for (const account of allAccounts(state)) {
    const other = apart(state, account)
    const isOwn = ownAccounts(state).includes(account)
    // Those who have an account's key come first to what stands in its own set.
    const untilMs = other === null || isOwn ? state.now() : state.now() - state.times.leaseMs
    const due = state.due.get(keyOf(other))?.first(max - looked, untilMs) ?? []
    looked += due.length
    for (const id of due) {
      const entry = state.rows.get(id)
      if (entry === undefined) continue
      if (isQuestionDue(state, entry)) {
        if (!isOwn) leaveToOthers(state, entry)
        else if (takeQuestion(state, entry)) taken.push({ row: show(state, entry), terms: termsOf(entry.hidden) })
      } else if (entry.row.phase === 'waiting') expire(state, entry)
      else if (isFinal(entry.row)) forget(state, entry)
      else if (!isOwn) leaveToOthers(state, entry)
      else if (giveTo(state, entry, replica)) taken.push({ row: show(state, entry), terms: termsOf(entry.hidden) })
    }
  }
  for (const expiring of [state.names, state.aliases, state.answers, state.ends, state.tombstones, state.tokens]) expiring.purge(ledgerConstants.tidyPerCall)
  tidyBooks(state)
  return taken
}

/** The ledger's `heartbeat`. */
export function heartbeat (state: State, replica: string): string[] {
  const isHeld = lookAtServer(state) !== null
  beat(state, replica)
  // After a failover nobody could say anything for a while.
  return isHeld ? [] : silentReplicas(state).filter(silent => followedBy(state, silent, 1).length > 0)
}

/** The ledger's `takeOver`. */
export function takeOver (state: State, replica: string, silent: string, max: number): Taken[] {
  const taken: Taken[] = []
  if (silent === replica || !isSilent(state, silent)) return taken
  for (const id of followedBy(state, silent, max)) {
    const entry = state.rows.get(id)
    if (entry !== undefined && giveTo(state, entry, replica)) taken.push({ row: show(state, entry), terms: termsOf(entry.hidden) })
  }
  return taken
}

/** What that replica looks after with one of this process' accounts, and another one may take over before the lease runs out. */
function followedBy (state: State, replica: string, max: number): string[] {
  return ownAccounts(state).flatMap(account => state.followed.get(followedKeyOf(apart(state, account), replica))?.first(max) ?? []).slice(0, max)
}

/**
 * The process that asks has no key of the account that it is bought with, and asked with another one fal would not know it: it waits for a process that has the key,
 * and is put off so that it does not stand in front of what else is due. When its time to run is over nobody knows what became of it.
 */
function leaveToOthers (state: State, entry: Entry): void {
  const { phase, runUntilMs } = entry.row
  const putOffMs = state.now() + ledgerConstants.keylessMs
  if (!isAtUpstream(phase)) {
    const lastMs = (runUntilMs ?? state.now()) - state.times.runMs + ledgerConstants.askForMs
    return adjust(state, entry, { askAtMs: putOffMs <= lastMs ? putOffMs : null })
  }
  if (state.now() < (runUntilMs ?? 0) + state.times.leaseMs) return lease(state, entry, putOffMs)
  becomeUnknown(state, entry, { code: 'outcome-unknown', detail: 'No process had the key of the account that it was bought with.' })
  addEvent(state, entry, 'ended', phase, 0)
}

/**
 * Gives a generation whose lease ran out to `replica`. Its own owner gets it back as it was; one that was let go costs nothing; one whose owner
 * went silent counts, because after five such takeovers it is given to no other.
 */
function giveTo (state: State, entry: Entry, replica: string): boolean {
  const { phase, owner, takeovers } = entry.row
  const leaseUntilMs = leaseOf(state)
  if (owner === replica) {
    lease(state, entry, leaseUntilMs)
    return true
  }
  freeProbe(state, entry.row)
  if (owner !== null && takeovers >= ledgerConstants.maxTakeovers) {
    becomeUnknown(state, entry, { code: 'outcome-unknown', detail: 'Every process that looked after it went silent.' })
    addEvent(state, entry, 'ended', phase, 0)
    return false
  }
  change(state, entry, { owner: replica, takeovers: owner === null ? takeovers : takeovers + 1 }, { leaseUntilMs })
  return true
}

/** Did an older copy of it come back from a rollback and leave the queue unspent, while a replica knows that fal accepted it? */
function endedTooSoon (entry: Entry, { row }: Pick<Fact, 'row'>): boolean {
  return isUnbilledEnd(entry.row) && entry.row.requestId === null && !entry.row.corrected && row.requestId !== null && (!isFinal(row) || row.phase === 'succeeded')
}

/** Is it a second purchase that has not ended at fal, so that its replica goes on following it? */
function isOpenDouble (entry: Entry | undefined, requestId: string | null): boolean {
  return entry !== undefined && entry.hidden.doubles.some(double => double.requestId === requestId && !double.ended)
}

function leaseOf (state: State): number {
  return state.now() + state.times.leaseMs
}
