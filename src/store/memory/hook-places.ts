// Where webhooks stand because of the row that they are kept with: nothing else tells of them.

import { dueOfHook, isTold, sinceOf, type Hook } from '../../generation/hook.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { hasEnded } from '../../generation/phases.ts'
import type { Entry } from './entry.ts'
import { addTo, dropFrom, type State } from './state.ts'

const { neverMs } = ledgerConstants

/** What the webhooks of a row make of it. */
export interface HookPlaces {
  /** Tenant → when the first of its open ones is due. */
  readonly due: ReadonlyMap<string, number>
  /** Since when somebody should have been told, `neverMs` where it has not ended; null: nobody is to be told any more. */
  readonly sinceMs: number | null
  /** When it ended with one that was given up; null: there is none. */
  readonly givenUpMs: number | null
}

/** When a row ended, or became `unknown`. */
export function endedAtMs ({ row, hidden }: Entry): number {
  return row.phase === 'unknown' ? hidden.unknownSinceMs : row.finishedAtMs ?? 0
}

/** When this webhook of a row is to be sent (see `dueOfHook`). */
export function dueMs (entry: Entry, hook: Hook): number | null {
  return dueOfHook(hook, entry.row.phase, endedAtMs(entry), neverMs)
}

export function hookPlacesOf (entry: Entry): HookPlaces {
  const { row: { phase }, hidden: { hooks } } = entry
  const due = new Map<string, number>()
  let sinceMs: number | null = null
  let givenUpMs: number | null = null
  for (const hook of hooks) {
    const atMs = dueMs(entry, hook)
    if (atMs !== null) {
      due.set(hook.tenant, Math.min(atMs, due.get(hook.tenant) ?? neverMs))
      sinceMs = Math.min(sinceMs ?? neverMs, hasEnded(phase) ? sinceOf(hook, endedAtMs(entry)) : neverMs)
    } else if (hook.stage === 'given-up' && isTold(hook, phase)) {
      givenUpMs = endedAtMs(entry)
    }
  }
  return { due, sinceMs, givenUpMs }
}

/** Until when an ended row is kept for those who are still to be told; null: for nobody. */
export function keptForHooksMs (entry: Entry): number | null {
  const { sinceMs } = hookPlacesOf(entry)
  return sinceMs === null ? null : sinceMs + ledgerConstants.hookKeptMs
}

export function indexHooks (state: State, entry: Entry): void {
  const { id } = entry.row
  const { due, sinceMs, givenUpMs } = hookPlacesOf(entry)
  for (const [tenant, atMs] of due) {
    addTo(state.hooks, tenant, id, atMs)
    updateTurn(state, tenant)
  }
  if (sinceMs !== null) state.untold.set(id, sinceMs)
  if (givenUpMs !== null) state.givenUp.set(id, givenUpMs)
}

export function unindexHooks (state: State, { row: { id }, hidden: { hooks } }: Entry): void {
  for (const tenant of new Set(hooks.map(({ tenant }) => tenant))) {
    dropFrom(state.hooks, tenant, id)
    updateTurn(state, tenant)
  }
  state.untold.delete(id)
  state.givenUp.delete(id)
}

/** A tenant stands in the line by what of its own is due first. */
function updateTurn (state: State, tenant: string): void {
  const set = state.hooks.get(tenant)
  const [first] = set?.first(1) ?? []
  const atMs = first === undefined ? undefined : set?.score(first)
  if (atMs === undefined) state.hookTurns.delete(tenant)
  else state.hookTurns.set(tenant, atMs)
}
