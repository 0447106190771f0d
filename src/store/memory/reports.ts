// What operators and gauges read: balances, open unknowns, the journal, and how full the ledger is.

import type { Balance, JournalEntry, OpenUnknown } from '../../generation/accounts.ts'
import type { Budget } from '../../generation/admission.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { Gauges } from '../../generation/ledger.ts'
import type { FailedGeneration, SeenReplica, Standing } from '../../generation/overview.ts'
import { accountGauges, allAccounts, apart } from './accounts.ts'
import { asideBytes } from './aside.ts'
import { balanceOf, periodOf } from './books.ts'
import { oldestOf, oldestPausing } from './queue.ts'
import { getMany } from './readers.ts'
import { briefOf, followedKeyOf } from './rows.ts'
import type { State } from './state.ts'

/** The ledger's `balances`, of the periods that are current. */
export function balances (state: State, accounts: readonly Pick<Budget, 'owner' | 'per'>[]): Balance[] {
  return accounts.map(({ owner, per }) => balanceOf(state, { owner, period: periodOf(state.now(), per) }))
}

/** The ledger's `unknowns`: those that are unknown for longest come first. */
export function unknowns (state: State, limit: number): OpenUnknown[] {
  return getMany(state, state.unknown.first(limit)).map(row => ({ ...briefOf(row), sinceMs: state.unknown.score(row.id) ?? 0 }))
}

/** The ledger's `journal`, as far back as it is kept. A cursor whose line is forgotten stands before everything: only the oldest lines are ever forgotten. */
export function journal (state: State, fromMs: number, toMs: number, limit: number, after?: string): JournalEntry[] {
  const oldestMs = Math.max(fromMs, state.now() - ledgerConstants.journalMs)
  const [afterMs = -1, afterNumber = 0] = after?.split('-').map(Number) ?? []
  const isBefore = ({ atMs, cursor }: JournalEntry): boolean => atMs < oldestMs || atMs < afterMs || (atMs === afterMs && Number(cursor.split('-')[1]) <= afterNumber)
  const lines: JournalEntry[] = []
  for (let place = search(state.journal, isBefore); lines.length < limit; place += 1) {
    const line = state.journal[place]
    if (line === undefined || line.atMs >= toMs) break
    lines.push(line)
  }
  return lines
}

/** The first place of a list, sorted by it, that `isBefore` does not hold for. */
function search <One> (sorted: readonly One[], isBefore: (one: One) => boolean): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const one = sorted[middle]
    if (one !== undefined && isBefore(one)) low = middle + 1
    else high = middle
  }
  return low
}

/** The ledger's `gauges`. */
export function gauges (state: State): Gauges {
  const [oldest = null] = state.oldest.first(1)
  return {
    waiting: new Map([...state.tenants].flatMap(([tenant, { waiting }]) => waiting > 0 ? [[tenant, waiting] as const] : [])),
    atUpstream: [...state.active.values()].reduce((sum, used) => sum + used, 0),
    accounts: accountGauges(state),
    unknownOpen: state.unknown.size(),
    unknownOldestMs: oldest === null ? null : state.oldest.score(oldest) ?? null,
    asideBytes: asideBytes(state),
    keptFiles: state.kept.size,
    keptBytes: state.keptBytes,
    orphans: state.orphans.size(),
    hooksDue: state.untold.countBelow(ledgerConstants.neverMs),
    hooksOldestMs: oldestUntoldMs(state),
    hooksGivenUp: state.givenUp.size()
  }
}

function oldestUntoldMs (state: State): number | null {
  const [oldest] = state.untold.first(1, ledgerConstants.neverMs - 1)
  return oldest === undefined ? null : state.untold.score(oldest) ?? null
}

/** The ledger's `standings`. */
export function standings (state: State, tenants: readonly string[]): Standing[] {
  const pausing = oldestPausing(state)
  return tenants.map(tenant => {
    const { running = 0, waiting = 0 } = state.tenants.get(tenant) ?? {}
    const oldestMs = Math.min(oldestOf(state, tenant) ?? Infinity, pausing.get(tenant) ?? Infinity)
    return { tenant, running, waiting, oldestMs: oldestMs === Infinity ? null : oldestMs }
  })
}

/** The ledger's `failures`. */
export function failures (state: State, limit: number, tenant: string | null): FailedGeneration[] {
  const rows = state.failed.last(ledgerConstants.maxFailureLooks, Infinity).flatMap(id => state.rows.get(id)?.row ?? [])
  return rows.filter(row => tenant === null || row.tenant === tenant).slice(0, limit)
    .map(({ id, tenant, model, failure, finishedAtMs, cost }) => ({ id, tenant, model, code: failure?.code ?? 'upstream-failed', finishedAtMs: finishedAtMs ?? 0, cost: cost ?? 0 }))
}

/** The ledger's `replicas`. */
export function replicas (state: State): SeenReplica[] {
  return [...state.beats]
    .toSorted(([one, oneMs], [other, otherMs]) => otherMs - oneMs || (one < other ? 1 : -1))
    .slice(0, ledgerConstants.maxShownReplicas)
    .filter(([, beatAtMs]) => beatAtMs > state.now() - state.times.leaseMs)
    .map(([replica, beatAtMs]) => ({ replica, beatAtMs, following: followingOf(state, replica) }))
}

/** How many generations at fal it looks after, with all accounts. */
function followingOf (state: State, replica: string): number {
  return allAccounts(state).reduce((sum, account) => sum + (state.followed.get(followedKeyOf(apart(state, account), replica))?.size() ?? 0), 0)
}
