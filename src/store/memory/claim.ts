// Claims: the grant of one submit attempt, which is the journal line before the POST.

import { tenantScopeOf } from '../../generation/breaker-state.ts'
import type { Claimed } from '../../generation/evidence.ts'
import { termsOf, type Failure } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { accountsWithRoom, type Account } from './accounts.ts'
import { becomeProbe, freeProbe, probes, wayOf } from './breakers.ts'
import type { Entry } from './entry.ts'
import { lookAtServer } from './history.ts'
import { addEvent } from './outbox.ts'
import { charge, isQueueEmpty } from './queue.ts'
import { adjust, change, show } from './rows.ts'
import { tenantOf, type State } from './state.ts'

interface Claim { readonly claimId: string, readonly deadlineMs: number, readonly replica: string, readonly slots: number }

/** What a generation ends with whose time in our queue is over. */
const expired: Failure = { code: 'upstream-timeout', detail: 'It waited for a slot for as long as it may, and nothing was bought.' }

/** The same when its caller had set the time. */
const notStarted: Failure = { code: 'start-timeout', detail: 'It did not start in the time that the request gave it, and nothing was bought.' }

/** What a generation ends with whose model is gone: it would wait in vain, and before others. */
const retired: Failure = { code: 'model-retired', detail: 'The model is no longer offered upstream, and nothing was bought.' }

/** The ledger's `claim`: looks at no more than 32 tenants and 32 generations, closing those on the way that waited too long. */
export function claim (state: State, { claimId, deadlineMs, replica, slots }: Claim): Claimed {
  const granted = state.rows.get(state.claims.get(claimId) ?? '')
  if (granted !== undefined) return { outcome: 'go', row: show(state, granted), terms: termsOf(granted.hidden), isQueueEmpty: false }
  if (state.now() > deadlineMs) return { outcome: 'late' }
  const untilMs = lookAtServer(state)
  if (untilMs !== null) return { outcome: 'wait', untilMs }
  bringBack(state)
  const accounts = accountsWithRoom(state, slots)
  if (accounts.length === 0) return { outcome: 'busy' }

  let blocked = false
  /** Tenants whose own breaker is not ok. Their other generations are not looked at, since a claim looks at so few. */
  const passed = new Set<string>()
  for (const entry of candidates(state, passed)) {
    const way = wayOf(state, entry.row.id, entry.row, accounts, { isProbeFirst: true })
    const breaker = way.account === undefined ? way.breaker : undefined
    if (entry.row.waitUntilMs <= state.now()) {
      expire(state, entry)
    } else if (way.account !== undefined) {
      return grant(state, entry, way.account, claimId, replica)
    } else if (breaker?.state === 'retired') {
      giveUp(state, entry, retired)
    } else if (breaker?.state === 'price-unsure') {
      stepAside(state, entry)
      blocked = true
    } else {
      blocked = true
      if (breaker?.scope === tenantScopeOf(entry.row.tenant)) passed.add(entry.row.tenant)
    }
  }
  return { outcome: blocked ? 'breaker' : 'empty' }
}

/** Ends a generation that waited here past its deadline, unspent. */
export function expire (state: State, entry: Entry): void {
  const { startUntilMs } = entry.row
  const failure = startUntilMs !== null && startUntilMs <= state.now() ? notStarted : expired
  giveUp(state, entry, failure)
}

/** Lets others go before one whose model is not bought until an operator has looked. It keeps its position in the queue, and is nobody's probe. */
function stepAside (state: State, entry: Entry): void {
  freeProbe(state, entry.row)
  adjust(state, entry, { retryAtMs: state.now() + ledgerConstants.asideMs })
}

function giveUp (state: State, entry: Entry, failure: Failure): void {
  change(state, entry, { phase: 'failed', failure, cost: 0, finishedAtMs: state.now() })
  addEvent(state, entry, 'ended', 'waiting', 0)
}

/** Puts generations whose pause is over back into the queue, where they stood. */
export function bringBack (state: State): void {
  for (const id of state.later.first(ledgerConstants.tidyPerCall, state.now())) {
    const entry = state.rows.get(id)
    if (entry !== undefined) adjust(state, entry, { retryAtMs: 0 })
  }
}

/**
 * The generations to look at, in order: the probes, which nobody may go before, then tenants by virtual time and their generations by rank. A tenant that
 * the caller adds to `passed` meanwhile is left out from there on.
 */
function * candidates (state: State, passed: ReadonlySet<string>): Generator<Entry> {
  for (const id of probes(state)) {
    const entry = state.rows.get(id)
    if (entry === undefined || state.turns.score(entry.row.tenant) === undefined) continue
    if (tenantOf(state, entry.row.tenant).queue.score(id) !== undefined) yield entry
  }
  let looks = ledgerConstants.tidyPerCall
  for (const tenant of state.turns.first(ledgerConstants.tidyPerCall)) {
    for (const id of tenantOf(state, tenant).queue.first(looks)) {
      if (passed.has(tenant)) break
      const entry = state.rows.get(id)
      if (entry !== undefined) yield entry
      looks -= 1
    }
  }
}

function grant (state: State, entry: Entry, account: Account, claimId: string, replica: string): Claimed {
  const now = state.now()
  const { row } = entry
  becomeProbe(state, row.id, row, account)
  charge(state, row.tenant)
  change(state, entry, {
    phase: 'submitting',
    attempt: row.attempt + 1,
    owner: replica,
    upstream: account,
    runUntilMs: now + state.times.runMs
  }, { claimId, leaseUntilMs: now + state.times.leaseMs })
  return { outcome: 'go', row: show(state, entry), terms: termsOf(entry.hidden), isQueueEmpty: isQueueEmpty(state) }
}
