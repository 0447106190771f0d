// Outputs that are too long for a row: each lies aside under a name of its own for an hour, and all together are bounded.

import { rowFields, type Large } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { type State } from './state.ts'

/** Takes away some of those whose hour is over. */
export function tidyAsides (state: State): void {
  const over = [...state.asides].filter(([, { untilMs }]) => untilMs <= state.now()).sort(([, one], [, other]) => one.untilMs - other.untilMs)
  for (const [name] of over.slice(0, ledgerConstants.tidyPerCall)) state.asides.delete(name)
}

export function asideBytes (state: State): number {
  return [...state.asides.values()].reduce((sum, { large }) => sum + large.bytes, 0)
}

/** Is there room for the longest that there may be? */
export function hasRoomAside (state: State): boolean {
  return asideBytes(state) + ledgerConstants.maxLargeBytes <= state.times.largeResultBytes
}

/** Lays an output aside, if there is room for it. */
export function putAside (state: State, id: string, large: Large, output: string): boolean {
  tidyAsides(state)
  const name = nameOf(id, large)
  if (!state.asides.has(name) && asideBytes(state) + large.bytes > state.times.largeResultBytes) return false
  state.asides.set(name, { large, output, untilMs: state.now() + ledgerConstants.largeMs })
  return true
}

/** Takes one away before its hour is over. */
export function dropAside (state: State, id: string, large: Large): void {
  state.asides.delete(nameOf(id, large))
}

/** The ledger's `aside`. */
export function aside (state: State, id: string): string | null {
  const large = state.rows.get(id)?.row.large ?? null
  return large === null ? null : kept(state, id, large)?.output ?? null
}

/** Does this output lie aside? */
export function isAside (state: State, id: string, large: Large): boolean {
  return kept(state, id, large) !== null
}

function kept (state: State, id: string, large: Large): { readonly output: string } | null {
  const found = state.asides.get(nameOf(id, large))
  return found === undefined || found.untilMs <= state.now() ? null : found
}

function nameOf (id: string, large: Large): string {
  return `${id} ${rowFields.large.write(large) ?? ''}`
}
