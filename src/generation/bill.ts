// What fal's bill for one generation means in money: its units, at the price that the generation was admitted under, whatever today's table says.

import { costOfUnits, unitsOf, type MicroUsd } from '../money.ts'
import type { Generation } from './generation.ts'
import { ledgerConstants } from './ledger-constants.ts'

type Priced = Pick<Generation, 'price' | 'unitPrice'>

/**
 * `x-fal-billable-units` × the row's unit price; `null` leaves it to the reserved price. A unit price of 0 says that nobody knows what a unit costs: then the
 * units only tell whether it was billed at all.
 */
export function costOf (row: Priced, units: string | null): MicroUsd | null {
  if (units === null) return null
  if (row.unitPrice === 0) return row.price === 0 || Number(units) === 0 ? 0 : null
  return costOfUnits(units, unitPriceOf(row))
}

/**
 * What is booked of a cost that was told, `null` when none was. Above ten times the reservation it is no price but a fault: ten times is booked, as an
 * assumption, so that nobody's header can move a budget further than that.
 */
export function bookingOf (row: Pick<Generation, 'price'>, told: MicroUsd | null): { readonly cost: MicroUsd, readonly costAssumed: boolean } {
  if (told === null) return { cost: row.price, costAssumed: true }
  const most = row.price * ledgerConstants.maxOverrun
  return told > most ? { cost: most, costAssumed: true } : { cost: told, costAssumed: false }
}

/** Was it billed so high that only a part was booked, and no operator has said since what it cost? */
export function isCostAbsurd ({ cost, price, costAssumed }: Pick<Generation, 'cost' | 'price' | 'costAssumed'>): boolean {
  return costAssumed && (cost ?? 0) > price
}

/** The units that a cost of this row stands for, as fal writes them. */
export function unitsBilled (row: Priced, cost: MicroUsd): string {
  return unitsOf(cost, unitPriceOf(row))
}

/** Where no unit has a price, the whole call is one. */
function unitPriceOf ({ unitPrice, price }: Priced): MicroUsd {
  return unitPrice === null || unitPrice === 0 ? price : unitPrice
}
