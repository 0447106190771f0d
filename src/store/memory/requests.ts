// fal's request ids: each stands for one purchase of one generation (rule 32). A second purchase for the same generation is a double, which is booked
// beside the row, at the reserved price until its own end names another (rule 21).

import { bookingOf } from '../../generation/bill.ts'
import type { Ending } from '../../generation/evidence.ts'
import type { Double } from '../../generation/generation.ts'
import { bookBeside, isFinal } from './books.ts'
import { weighBill } from './breakers.ts'
import type { Entry } from './entry.ts'
import { addEvent } from './outbox.ts'
import { adjust, change } from './rows.ts'
import type { State } from './state.ts'

/** Does this request id stand for another generation? */
export function isOthers (state: State, id: string, requestId: string): boolean {
  const known = state.requests.get(requestId)
  return known !== undefined && known !== id
}

/** Is it neither this row's purchase nor one of its doubles that are booked? */
export function isUnheardOf ({ row, hidden }: Entry, requestId: string): boolean {
  return row.requestId !== requestId && hidden.doubles.every(double => double.requestId !== requestId)
}

/** Has the row another purchase already? Then this one is a second, and booked once. */
export function bookIfDouble (state: State, entry: Entry, requestId: string, upstream?: string | null): boolean {
  const { row, hidden } = entry
  if (row.requestId === null || row.requestId === requestId) return false
  if (isUnheardOf(entry, requestId)) {
    adjust(state, entry, { doubles: [...hidden.doubles, { requestId, upstream: upstream ?? row.upstream, cost: row.price, ended: false }] })
    bookBeside(state, row, 'double', requestId, row.price, true)
    addEvent(state, entry, 'double', row.phase, row.price)
  }
  return true
}

/** The end of a double corrects what is booked for it. The first end counts, as with rows; a later one that costs more is booked. */
export function correctDouble (state: State, entry: Entry, requestId: string, ending: Ending): void {
  const { row, hidden } = entry
  const double = hidden.doubles.find(known => known.requestId === requestId)
  if (double === undefined) return
  const { cost, costAssumed } = bookingOf(row, ending.cost)
  const difference = cost - double.cost
  if (double.ended && difference <= 0) return
  const corrected: Double = { ...double, cost, ended: true }
  adjust(state, entry, { doubles: hidden.doubles.map(known => known === double ? corrected : known) })
  bookBeside(state, row, 'correction', requestId, difference, costAssumed)
  if (difference > 0) addEvent(state, entry, 'late', row.phase, difference)
  if (!double.ended || double.cost <= row.price || costAssumed) weighBill(state, row, ending.cost)
}

/** May this double's picture be the row's? Its callers have not had any, and it is paid for. */
export function isWanted ({ row, hidden }: Entry, requestId: string, ending: Ending): boolean {
  return ending.kind === 'succeeded' && !isFinal(row) && hidden.doubles.some(known => known.requestId === requestId && !known.ended)
}

/** Makes this double the row's own purchase, and that one the double. The price moves along, so that the journal names what each id cost. */
export function swapDouble (state: State, entry: Entry, requestId: string): void {
  const { row, hidden } = entry
  const double = hidden.doubles.find(known => known.requestId === requestId)
  if (double === undefined || row.requestId === null) return
  const other: Double = { requestId: row.requestId, upstream: row.upstream, cost: row.price, ended: false }
  change(state, entry, { requestId, upstream: double.upstream }, { doubles: hidden.doubles.map(known => known === double ? other : known) })
  bookBeside(state, row, 'correction', requestId, -double.cost, true)
  bookBeside(state, row, 'double', other.requestId, other.cost, true)
}
