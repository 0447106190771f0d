// News: what happened to a generation without its owner's doing, and how breakers stand. Kept until one replica takes it, so that it is told once.

import type { BreakerState } from '../../breaker-states.ts'
import type { Brief, Generation } from '../../generation/generation.ts'
import type { News, RowNews } from '../../generation/news.ts'
import type { Phase } from '../../generation/phases.ts'
import type { MicroUsd } from '../../money.ts'
import type { State } from './state.ts'

/** Writes down that a row has just changed from this phase, or got more expensive. */
export function tell (state: State, { row }: { readonly row: Generation }, kind: RowNews['kind'], from: Phase, booked: MicroUsd): void {
  state.news.push({ kind, id: row.id, from, booked })
}

/** Writes down that a breaker has just changed. */
export function tellBreaker (state: State, scope: string, from: BreakerState, to: BreakerState): void {
  state.news.push({ kind: 'breaker', scope, from, state: to })
}

/** The ledger's `takeNews`. `show` gives the row as it now is, briefly, or nothing when it is forgotten. */
export function takeNews (state: State, max: number, show: (id: string) => Brief | undefined): News[] {
  return state.news.splice(0, max).flatMap<News>(news => {
    if (news.kind === 'breaker') return [news]
    const { id, ...told } = news
    const row = show(id)
    return row === undefined ? [] : [{ ...told, row }]
  })
}
