// What fal's bill for one generation means in money: its units, at the price that the generation was admitted under, whatever today's table says.

import { costOfUnits, unitsOf, type MicroUsd } from '../money.ts'
import type { Row } from './row.ts'

type Priced = Pick<Row, 'price' | 'unitPrice'>

/** `x-fal-billable-units` × the row's unit price; `null` leaves it to the reserved price. */
export function costOf (row: Priced, units: string | null): MicroUsd | null {
  return units === null ? null : costOfUnits(units, unitPriceOf(row))
}

/** The units that a cost of this row stands for, as fal writes them. */
export function unitsBilled (row: Priced, cost: MicroUsd): string {
  return unitsOf(cost, unitPriceOf(row))
}

function unitPriceOf ({ unitPrice, price }: Priced): MicroUsd {
  return unitPrice ?? price
}
