// Rows that are written again after the store went back in time, from what replicas know (rule 16), with the names that led to them (rule 22).

import type { Fact } from '../../generation/evidence.ts'
import { hiddenUnder, type Hidden, type Generation, type Terms } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isAtUpstream } from '../../generation/phases.ts'
import { knowAccount } from './accounts.ts'
import { putAside } from './aside.ts'
import { isCalledOff, isFinal, isUnbilledEnd } from './books.ts'
import type { Entry } from './entry.ts'
import { isErased } from './erase.ts'
import { finishDouble, refuseRequest, type Ended } from './evidence.ts'
import { carryHooks } from './hooks.ts'
import { cacheLead, idempotencyLead, isAnswerOver, takeCacheName } from './names.ts'
import { firstDue } from './media.ts'
import { firstQuestion } from './questions.ts'
import { bookIfDouble, isOthers, isUnheardOf } from './requests.ts'
import { adjust, findById, giveWay, insert, keptUntilMs, replace } from './rows.ts'
import type { State } from './state.ts'

/**
 * Does a replica know more of this generation than the store, so that the store went back in time? The version alone does not tell: others may have changed the
 * row since. A missing row proves nothing when its retention is over, or when it was forgotten as the replica knows it. A row that has ended is never opened
 * again: late evidence books what it missed.
 */
export function isRollback (state: State, entry: Entry | undefined, { row }: Pick<Fact, 'row'>): boolean {
  if (entry === undefined) return !isRightlyGone(state, row)
  if (row.requestId !== null && isOthers(state, row.id, row.requestId)) return !entry.hidden.clashes.includes(row.requestId)
  if (row.requestId !== null && entry.row.requestId !== null && entry.row.requestId !== row.requestId) return isUnheardOf(entry, row.requestId)
  if (isFinal(entry.row)) return false
  const lacksRequest = entry.row.requestId === null && row.requestId !== null
  return entry.row.version < row.version || entry.row.attempt < row.attempt || lacksRequest
}

function isRightlyGone (state: State, row: Generation): boolean {
  if (isErased(state, row.id)) return true
  const tombstone = state.tombstones.get(row.id)
  if (tombstone !== undefined) return tombstone.version >= row.version && (row.requestId === null || row.requestId === tombstone.requestId)
  return isFinal(row) && keptUntilMs(state, row) <= state.now()
}

/** The ledger's `restore`. Where the store has another request id, both were bought: the row stays, the second is booked as a double. */
export function restore (state: State, replica: string, facts: readonly Fact[]): { readonly contested: number } {
  let contested = 0
  for (const fact of facts) {
    const { id, large, output } = fact.row
    if (large !== null && output !== null) putAside(state, id, large, output)
    const entry = state.rows.get(fact.row.id)
    knowAccount(state, fact.row.upstream)
    if (!isRollback(state, entry, fact)) continue
    const { attempt, requestId } = fact.row
    if (entry === undefined) {
      contested += takeNames(state, write(state, replica, fact))
    } else if (requestId !== null && isOthers(state, fact.row.id, requestId)) {
      refuseRequest(state, entry, attempt, requestId)
    } else if (requestId !== null && bookIfDouble(state, entry, requestId, fact.row.upstream)) {
      if (isFinal(fact.row)) finishDouble(state, entry, requestId, endingOf(fact))
    } else if (requestId === null && entry.row.requestId !== null) {
      // What names no purchase says nothing about a row that has one.
      replace(state, entry, { ...entry.row, attempt: Math.max(attempt, entry.row.attempt), version: Math.max(fact.row.version, entry.row.version) + 1 }, {})
    } else {
      // How many lines were told is known, which ones is not.
      state.logs.delete(fact.row.id)
      const learnedName = entry.hidden.learnedName ?? fact.terms.learnedName
      replace(state, entry, restoredRow(state, replica, fact, entry.row), { learnedName, ...restoredLease(state, fact) })
      carryHooks(state, fact.terms.hooks, entry)
      contested += takeNames(state, entry)
    }
  }
  return { contested }
}

/** The end that a replica knows, as evidence. */
function endingOf ({ row: { phase, output, large, bases, media, seed, failure, cost, costAssumed }, terms: { learnedName } }: Fact): Ended {
  const billed = costAssumed ? null : cost
  if (phase === 'succeeded' && (output !== null || large !== null)) return { kind: 'succeeded', output: output ?? '', large, bases, media, seed, learnedName, cost: billed }
  return phase === 'failed' && failure !== null ? { kind: 'failed', failure, cost: billed } : { kind: 'cancelled', cost: billed }
}

/** Writes a row that is missing. */
function write (state: State, replica: string, fact: Fact): Entry {
  state.counter += 1
  const entry: Entry = { row: restoredRow(state, replica, fact, null), hidden: { ...hiddenUnder(fact.terms), number: state.counter, ...restoredLease(state, fact) } }
  const { attempt, requestId } = fact.row
  const isShared = requestId !== null && isOthers(state, fact.row.id, requestId)
  // What lies behind the id is another one's, an output that was fetched under it too.
  if (isShared) {
    entry.row = { ...entry.row, ...nothingHeard, runUntilMs: entry.row.runUntilMs ?? state.now() }
    entry.hidden = { ...entry.hidden, filesAtMs: null }
  }
  insert(state, entry)
  if (isShared) refuseRequest(state, entry, attempt, requestId)
  return entry
}

/** A submit of which nothing came back. */
const nothingHeard = { phase: 'submitting', requestId: null, output: null, large: null, bases: null, media: null, failure: null, cost: null, costAssumed: false, finishedAtMs: null } as const

function restoredRow (state: State, replica: string, { row, holds }: Fact, found: Generation | null): Generation {
  return {
    ...row,
    output: row.large === null ? row.output : null,
    upstream: row.phase === 'waiting' ? state.upstream : row.upstream,
    version: Math.max(row.version, found?.version ?? 0) + 1,
    attempt: Math.max(row.attempt, found?.attempt ?? 0),
    owner: holds && isAtUpstream(row.phase) ? replica : null,
    token: row.token !== null && state.tokens.get(row.token) !== undefined ? row.token : null
  }
}

/** Its holder goes on with it; one that nobody holds is due at once. */
function restoredLease (state: State, { row, holds }: Fact): Pick<Hidden, 'claimId' | 'leaseUntilMs' | 'retryAtMs' | 'unknownSinceMs' | 'askAtMs' | 'questions' | 'filesAtMs'> {
  const now = state.now()
  return {
    ...firstDue(state, row.media),
    ...firstQuestion(state, row.phase === 'unknown' ? row.requestId : null),
    claimId: null,
    leaseUntilMs: holds ? now + state.times.leaseMs : now,
    retryAtMs: 0,
    unknownSinceMs: now
  }
}

/** Lets the names that led to a row lead there again, as far as it answers for them. Gives how many other rows keep. */
function takeNames (state: State, entry: Entry): number {
  const { row, hidden } = entry
  if (isUnbilledEnd(row) || isCalledOff(row)) return 0
  const cacheNames = isAnswerOver(state, entry) || row.large !== null ? 0 : takeCacheNames(state, entry, hidden)
  return cacheNames + takeIdempotencyName(state, entry, hidden)
}

function takeCacheNames (state: State, entry: Entry, { mode, cacheName, learnedName, reuseName }: Terms): number {
  const { row } = entry
  const hasSucceeded = row.phase === 'succeeded'
  let contested = 0
  if (cacheName !== null && !(hasSucceeded && cacheName === reuseName) && (mode === 'normal' || (mode === 'refresh' && hasSucceeded))) {
    const lead = cacheLead(state, cacheName)
    // A refresh takes its name from what was there before it, and what was called off leaves it to others.
    const isNewer = mode === 'refresh' && lead !== null && lead.entry.row.createdAtMs <= row.createdAtMs
    const mayTake = lead === null || isNewer || (!row.cancelWished && makeWay(state, lead.entry, entry))
    // That a success has the name of what is reused is no second purchase of it: any success takes that.
    const isReused = cacheName === reuseName && lead?.entry.row.phase === 'succeeded'
    if (mayTake) takeCacheName(state, cacheName, row.id)
    else if (lead.entry !== entry && !isReused) contested += 1
  }
  if (learnedName !== null && hasSucceeded && mode !== 'bypass' && cacheLead(state, learnedName) === null) takeCacheName(state, learnedName, row.id)
  if (reuseName !== null && hasSucceeded && mode !== 'bypass') takeReuseName(state, entry, reuseName)
  return contested
}

/** The newest success has it. Of what was asked for with `reuse` meanwhile, that which still waits gives way, and the rest takes the name when it succeeds. */
function takeReuseName (state: State, entry: Entry, reuseName: string): void {
  const { row } = entry
  const lead = cacheLead(state, reuseName)?.entry
  if (lead !== undefined && (row.cancelWished || isNewerSuccess(lead.row, row))) return
  if (lead !== undefined) makeWay(state, lead, entry)
  takeCacheName(state, reuseName, row.id)
}

function isNewerSuccess (one: Generation, other: Generation): boolean {
  return one.phase === 'succeeded' && (one.finishedAtMs ?? 0) > (other.finishedAtMs ?? 0)
}

function takeIdempotencyName (state: State, { row }: Entry, { idempotencyName, fingerprint }: Terms): number {
  const untilMs = row.createdAtMs + ledgerConstants.idempotencyMs
  const entry = state.rows.get(row.id)
  if (idempotencyName === null || fingerprint === null || untilMs <= state.now() || entry === undefined) return 0
  const lead = idempotencyLead(state, idempotencyName)
  const found = lead === null ? null : findById(state, lead.id)
  if (found?.entry === entry) return 0
  const isSame = found !== null && found.alias === null && lead?.fingerprint === fingerprint
  if (lead !== null && !(isSame && makeWay(state, found.entry, entry))) return 1
  state.names.set(idempotencyName, { id: row.id, fingerprint }, untilMs)
  if (entry.hidden.keyedUntilMs < untilMs) adjust(state, entry, { keyedUntilMs: untilMs })
  return 0
}

/** Does this row, which a name leads to, give way to the restored one? Only what still waits, and of which nobody may have begun a submit, can. */
function makeWay (state: State, entry: Entry, restored: Entry): boolean {
  if (entry === restored || entry.row.phase !== 'waiting' || entry.row.attempt > 0) return false
  const { row } = restored
  // Those who wait for it know its version, and join the restored one; a key of theirs holds as long as it did.
  const joined = row.phase === 'waiting' || isAtUpstream(row.phase) ? { joined: true, startUntilMs: null, waitUntilMs: row.createdAtMs + state.times.queueMs } : {}
  replace(state, restored, { ...row, ...joined, version: Math.max(row.version, entry.row.version) + 1 }, { keyedUntilMs: Math.max(restored.hidden.keyedUntilMs, entry.hidden.keyedUntilMs) })
  const { hooks } = entry.hidden
  giveWay(state, entry, restored)
  carryHooks(state, hooks, restored)
  return true
}
