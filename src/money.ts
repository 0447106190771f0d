// Money as integer micro-dollars: parsing, printing and the price of billed units, without floating point.

/** An integer number of micro-dollars (1 USD = 1,000,000), always below 2^53. */
export type MicroUsd = number

const DECIMAL = /^(\d{1,12})(?:\.(\d{1,12}))?$/

/**
 * Dollars as a human writes them (`0.06`, `"500"`) in micro-dollars; parts of a micro-dollar are rounded up.
 * Gives `null` for what is not a plain, non-negative decimal number below a billion.
 */
export function parseUsd (dollars: number | string): MicroUsd | null {
  return scaledUp(String(dollars), 1_000_000)
}

/** Micro-dollars as decimal dollars without trailing zeros: `60000` is `"0.06"`, `0` is `"0"`. */
export function formatUsd (micro: MicroUsd): string {
  const sign = micro < 0 ? '-' : ''
  const digits = String(Math.abs(micro)).padStart(7, '0')
  const fraction = digits.slice(-6).replace(/0+$/, '')
  return sign + digits.slice(0, -6) + (fraction === '' ? '' : '.' + fraction)
}

/**
 * `ceil(units × price)` where units is the text of fal's `x-fal-billable-units` (`"1"`, `"0.5"`).
 * Gives `null` when the text is not a plain decimal number, so that the caller falls back to its price table.
 */
export function costOfUnits (units: string, price: MicroUsd): MicroUsd | null {
  return scaledUp(units.trim(), price)
}

/** The units that a cost stands for, as fal writes them: the way back, to a millionth. */
export function unitsOf (cost: MicroUsd, price: MicroUsd): string {
  return String(Number((cost / price).toFixed(6)))
}

function scaledUp (decimal: string, factor: number): number | null {
  const match = DECIMAL.exec(decimal)
  if (match === null) return null
  const fraction = match[2] ?? ''
  const scale = 10n ** BigInt(fraction.length)
  const units = BigInt((match[1] ?? '') + fraction)
  const scaled = (units * BigInt(factor) + scale - 1n) / scale
  return scaled <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(scaled) : null
}
