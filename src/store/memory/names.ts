// Names (idempotency keys, cache keys) lead to rows. Nothing frees a name: it is judged whenever it is read (rule 4).

import { ledgerConstants } from '../../generation/ports.ts'
import type { Row } from '../../generation/row.ts'
import { isFinal, isUnbilledEnd } from './books.ts'
import { follow } from './rows.ts'
import type { Alias, Entry, State } from './state.ts'

/** Where a name leads that is not free. */
export interface Lead { readonly id: string, readonly entry: Entry, readonly alias: Alias | null, readonly fingerprint: string | null }

/** What an idempotency name leads to, or null when it is free: it led to no row, to an end that was not billed, or to what is called off. */
export function idempotencyLead (state: State, name: string): Lead | null {
  const lead = leadOf(state, name)
  return lead === null || isUnbilledEnd(lead.entry.row) || isCalledOff(lead.entry.row) ? null : lead
}

/** What a cache name leads to, or null when it is free: as above, and an `unknown` or a billed refusal holds it for 15 minutes only. */
export function cacheLead (state: State, name: string): Lead | null {
  const lead = leadOf(state, name)
  return lead === null || isUnbilledEnd(lead.entry.row) || isCalledOff(lead.entry.row) || isVerdictOver(state, lead.entry) ? null : lead
}

/** Is its cancel wished, and no picture there all the same? Then it is nobody else's (rule 30): who asks again wants another. */
export function isCalledOff (row: Row): boolean {
  return row.cancelWished && row.phase !== 'succeeded'
}

/** Is it an `unknown`, or an end without a picture, that no longer answers for its cache key or body? */
export function isVerdictOver (state: State, { row, hidden }: Entry): boolean {
  return (row.phase === 'unknown' || (row.phase !== 'succeeded' && isFinal(row))) && state.now() >= hidden.answersUntilMs
}

/** Lets an idempotency name lead to an id for 24 h. */
export function bindIdempotency (state: State, idempotency: { readonly name: string, readonly fingerprint: string } | null, id: string): void {
  if (idempotency === null) return
  state.names.set(idempotency.name, { id, fingerprint: idempotency.fingerprint }, state.now() + ledgerConstants.idempotencyMs)
}

/** Lets a cache name lead to a row for as long as there is the row. */
export function takeCacheName (state: State, name: string, id: string): void {
  state.names.set(name, { id, fingerprint: null }, Infinity)
}

function leadOf (state: State, name: string): Lead | null {
  const known = state.names.get(name)
  const found = known === undefined ? null : follow(state, known.id)
  return known === undefined || found === null ? null : { id: known.id, fingerprint: known.fingerprint, entry: found.entry, alias: found.alias }
}
