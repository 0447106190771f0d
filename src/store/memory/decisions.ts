// What people decide in a generation's story: a reader cancels, an operator settles and corrects.

import type { Cancelled, Corrected, Settled } from '../../generation/evidence.ts'
import type { Reader } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isAtUpstream } from '../../generation/phases.ts'
import type { MicroUsd } from '../../money.ts'
import { isFinal } from './books.ts'
import { trustPrice } from './breakers.ts'
import { addEvent } from './outbox.ts'
import { change, findById, show } from './rows.ts'
import { unlist, type State } from './state.ts'

/** The ledger's `cancel` (rule 8). There is nothing left to cancel about an `unknown`, so it counts as finished. */
export function cancel (state: State, id: string, reader: Reader): Cancelled {
  const found = findById(state, id)
  if (found === null || found.row.tenant !== reader.tenant || found.row.subject !== reader.subject) return { outcome: 'no-such-generation' }
  const { entry, alias, row } = found
  if (row.phase === 'cancelled') return { outcome: 'already-cancelled', row }
  if (isFinal(row) || row.phase === 'unknown') return { outcome: 'already-finished', row }
  if (alias !== null) {
    state.aliases.delete(id)
    unlist(state.aliasLists, alias, id)
    return { outcome: 'cancelled', row }
  }
  if (row.joined) return { outcome: 'others-waiting', row }
  if (!isAtUpstream(row.phase)) {
    change(state, entry, { phase: 'cancelled', cancelWished: true, cost: 0, finishedAtMs: state.now() })
    addEvent(state, entry, 'ended', 'waiting', 0)
    return { outcome: 'cancelled', row: show(state, entry) }
  }
  if (!row.cancelWished) change(state, entry, { cancelWished: true })
  return { outcome: 'asked', row: show(state, entry) }
}

/** The ledger's `settle` (rule 5). The failure that the row tells stays the one that made it `unknown`. */
export function settle (state: State, id: string, billed: boolean): Settled {
  const entry = state.rows.get(id)
  if (entry === undefined) return { outcome: 'no-such-generation' }
  if (entry.row.phase !== 'unknown') return { outcome: 'not-unknown' }
  const now = state.now()
  if (now < entry.hidden.unknownSinceMs + ledgerConstants.settleAfterMs) return { outcome: 'too-young' }
  const cost = billed ? entry.row.price : 0
  change(state, entry, { phase: 'failed', cost, costAssumed: billed, finishedAtMs: now }, { settled: true })
  addEvent(state, entry, 'ended', 'unknown', cost)
  return { outcome: 'settled', row: show(state, entry) }
}

/** The ledger's `correct` (rule 31). The difference is booked as every change of a cost is. */
export function correct (state: State, id: string, cost: MicroUsd | null): Corrected {
  const entry = state.rows.get(id)
  if (entry === undefined) return { outcome: 'no-such-generation' }
  const { phase, cost: before } = entry.row
  if (!isFinal(entry.row) || before === null) return { outcome: 'not-ended' }
  const booked = (cost ?? before) - before
  if (booked !== 0 || !entry.row.corrected) change(state, entry, { cost: cost ?? before, costAssumed: false, corrected: true })
  if (booked !== 0) addEvent(state, entry, 'corrected', phase, booked)
  return { outcome: 'corrected', reopened: trustPrice(state, entry.row.model), booked, row: show(state, entry) }
}
