// Names (idempotency keys, cache keys) lead to rows. Nothing frees a name: it is judged whenever it is read (rule 4).

import type { Admission, End } from '../../generation/admission.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isCalledOff, isFinal, isUnbilledEnd } from './books.ts'
import type { Entry } from './entry.ts'
import { adjust, findById, targetOf } from './rows.ts'
import type { State } from './state.ts'

/** A caller's `Idempotency-Key`: its name, and the fingerprint of the request that it stands for. */
type Key = NonNullable<Admission['idempotency']>

/** Where a cache name leads that is not free. */
export interface Lead { readonly id: string, readonly entry: Entry }

/** Where an idempotency name leads that is not free: to a row, or to what is left of one. */
export interface KeyLead { readonly id: string, readonly fingerprint: string, readonly end: End | null }

/** What an idempotency name leads to, or null when it is free: it led to no row, to an end that was not billed, or to what is called off. */
export function idempotencyLead (state: State, name: string): KeyLead | null {
  const { id, fingerprint } = state.names.get(name) ?? { id: '', fingerprint: null }
  if (fingerprint === null) return null
  const found = findById(state, id)
  if (found !== null) return isUnbilledEnd(found.entry.row) || isCalledOff(found.entry.row) ? null : { id, fingerprint, end: null }
  const end = endOf(state, id)
  return end === null ? null : { id, fingerprint, end }
}

/** What a cache name leads to, or null when it is free: as above, an `unknown` or a billed refusal holds it for 15 minutes only, and a success until its links are dead. */
export function cacheLead (state: State, name: string): Lead | null {
  const known = state.names.get(name)
  const entry = known === undefined ? undefined : state.rows.get(known.id)
  if (known === undefined || entry === undefined || isUnbilledEnd(entry.row) || isCalledOff(entry.row) || isAnswerOver(state, entry) || entry.hidden.linksDead) return null
  return { id: known.id, entry }
}

/** Is it an `unknown`, or an end without a picture, that no longer answers for its cache key or body? */
export function isAnswerOver (state: State, { row }: Entry): boolean {
  return (row.phase === 'unknown' || (row.phase !== 'succeeded' && isFinal(row))) && state.now() >= row.answersUntilMs
}

/**
 * Lets an idempotency name lead to a row for 24 h, under its own id or through an alias; both are there for that long, the row at least as its end. A row that
 * is not inserted yet (`entry` null) is to be written with that in it.
 */
export function bindIdempotency (state: State, { name, fingerprint }: Key, id: string, entry: Entry | null): void {
  const untilMs = state.now() + ledgerConstants.idempotencyMs
  state.names.set(name, { id, fingerprint }, untilMs)
  if (entry !== null) adjust(state, entry, { keyedUntilMs: Math.max(entry.hidden.keyedUntilMs, untilMs) })
  const alias = state.aliases.get(id)
  if (alias !== undefined && alias.endMs < untilMs) state.aliases.set(id, { ...alias, endMs: untilMs }, untilMs)
}

/** Lets a cache name lead to a row for as long as there is the row. */
export function takeCacheName (state: State, name: string, id: string): void {
  state.names.set(name, { id, fingerprint: null }, Infinity)
}

/** What is left of the forgotten or deleted row that an id led to. To the holder of an alias it was free. */
export function endOf (state: State, id: string): End | null {
  const alias = state.aliases.get(id)
  const end = state.ends.get(targetOf(state, id))
  if (end === undefined) return null
  const { code, cost, finishedAtMs } = end
  return alias === undefined ? { id: end.id, code, cost, finishedAtMs } : { id, code, cost: 0, finishedAtMs }
}
