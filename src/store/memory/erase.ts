// A reader has a generation forgotten for good: what it was asked with, what came of it, and where its files are. What it cost stays in the books.

import type { Erased } from '../../generation/evidence.ts'
import type { Reader } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { MicroUsd } from '../../money.ts'
import { dropAside } from './aside.ts'
import { isFinal } from './books.ts'
import type { Entry } from './entry.ts'
import { findById, forget, tellErased } from './rows.ts'
import { unlist, type State } from './state.ts'

/** The ledger's `erase` (rule 44). Through an alias it lets go of that alone. */
export function erase (state: State, id: string, reader: Reader): Erased {
  const found = findById(state, id)
  if (found === null) return { outcome: wasErased(state, id, reader) ? 'erased' : 'no-such-generation' }
  const { entry, alias, row } = found
  if (row.tenant !== reader.tenant || row.subject !== reader.subject) return { outcome: 'no-such-generation' }
  if (isOpen(entry)) return { outcome: 'not-ended', phase: row.phase }
  const { large, finishedAtMs, cost } = entry.row
  if (alias === null) {
    forget(state, entry)
    if (large !== null) dropAside(state, id, large)
    tellErased(state, entry)
  } else {
    state.aliases.delete(id)
    unlist(state.aliasLists, alias, id)
  }
  keepErased(state, id, reader, alias === null ? cost ?? 0 : 0, finishedAtMs ?? 0)
  return { outcome: 'erased' }
}

/** Was it erased lately? Nobody puts it back then. */
export function isErased (state: State, id: string): boolean {
  return (state.ends.get(id)?.reader ?? null) !== null
}

/** Keys that lead to it are bound for 24 hours at most, and so long they tell that it is gone, and buy nothing. */
function keepErased (state: State, id: string, reader: Reader, cost: MicroUsd, finishedAtMs: number): void {
  state.ends.set(id, { id, code: 'generation-deleted', cost, finishedAtMs, reader: readerText(reader) }, state.now() + ledgerConstants.idempotencyMs)
}

function wasErased (state: State, id: string, reader: Reader): boolean {
  return state.ends.get(id)?.reader === readerText(reader)
}

/** May something of it still be booked, or be found at fal? */
function isOpen ({ row, hidden }: Entry): boolean {
  return !isFinal(row) || (hidden.settled && hidden.askAtMs !== null) || hidden.doubles.some(({ ended }) => !ended)
}

/** No name of a tenant has a space in it. */
function readerText ({ tenant, subject }: Reader): string {
  return `${tenant} ${subject}`
}
