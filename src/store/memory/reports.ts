// What operators and gauges read: balances, open unknowns, the journal, and how full the ledger is.

import type { Balance, Budget, Gauges, JournalEntry, OpenUnknown } from '../../generation/ports.ts'
import { balanceOf, periodOf } from './books.ts'
import { placesNow } from './line.ts'
import { look } from './readers.ts'
import type { State } from './state.ts'

/** The ledger's `balances`, of the periods that are current. */
export function balances (state: State, accounts: readonly Pick<Budget, 'owner' | 'per'>[]): Balance[] {
  return accounts.map(({ owner, per }) => balanceOf(state, { owner, period: periodOf(state.now(), per) }))
}

/** The ledger's `unknowns`: those that are unknown for longest come first. */
export function unknowns (state: State, limit: number): OpenUnknown[] {
  return look(state, state.unknown.first(limit)).map(row => ({ ...row, sinceMs: state.unknown.score(row.id) ?? 0 }))
}

/** The ledger's `journal`. A cursor whose line is forgotten stands before everything: only the oldest lines are ever forgotten. */
export function journal (state: State, fromMs: number, toMs: number, limit: number, after?: string): JournalEntry[] {
  const first = after === undefined ? 0 : state.journal.findIndex(({ cursor }) => cursor === after) + 1
  return state.journal.slice(first).filter(({ atMs }) => atMs >= fromMs && atMs < toMs).slice(0, limit)
}

/** The ledger's `gauges`. */
export function gauges (state: State): Gauges {
  const open = unknowns(state, Infinity)
  return {
    waiting: new Map([...state.tenants].map(([tenant, { waiting }]) => [tenant, waiting])),
    atUpstream: state.active,
    places: placesNow(state),
    unknownOpen: open.length,
    unknownOldestMs: open.reduce<number | null>((oldestMs, { createdAtMs }) => Math.min(oldestMs ?? createdAtMs, createdAtMs), null)
  }
}
