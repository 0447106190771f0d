// News: what happened to a generation without its owner's doing. Kept until one replica takes it, so that it is told once.

import type { News } from '../../generation/ports.ts'
import type { Phase } from '../../generation/phases.ts'
import type { MicroUsd } from '../../money.ts'
import { show } from './rows.ts'
import type { Entry, State } from './state.ts'

/** Writes down that a row has just changed from this phase, or got more expensive. */
export function tell (state: State, { row }: Entry, kind: News['kind'], from: Phase, booked: MicroUsd): void {
  state.news.push({ kind, id: row.id, from, booked })
}

/** The ledger's `takeNews`. */
export function takeNews (state: State, max: number): News[] {
  return state.news.splice(0, max).flatMap(({ id, ...news }) => {
    const entry = state.rows.get(id)
    return entry === undefined ? [] : [{ ...news, row: show(state, entry) }]
  })
}
