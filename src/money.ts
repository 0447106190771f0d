// Money as integer micro-dollars: parsing, printing and the price of billed units, without floating point.

/** An integer number of micro-dollars (1 USD = 1,000,000), always below 2^53. */
export type MicroUsd = number

const DECIMAL = /^(\d{1,12})(?:\.(\d{1,12}))?$/

/** Bounded by what a header may hold. */
const UNITS = /^(\d{1,1000})(?:\.(\d{1,1000}))?$/

/**
 * Dollars as a human writes them (`0.06`, `"500"`) in micro-dollars; parts of a micro-dollar are rounded up.
 * Gives `null` for what is not a plain, non-negative decimal number below a billion.
 */
export function parseUsd (dollars: number | string): MicroUsd | null {
  const match = DECIMAL.exec(String(dollars))
  return match === null ? null : scaledUp(match, 1_000_000)
}

/** Micro-dollars as decimal dollars without trailing zeros: `60000` is `"0.06"`, `0` is `"0"`. */
export function formatUsd (micro: MicroUsd): string {
  if (micro === 0) return '0'
  if (micro !== last.micro) last = { micro, text: textOf(micro) }
  return last.text
}

/** An amount is told twice: in a header and in the log. */
let last = { micro: 0, text: '0' }

function textOf (micro: MicroUsd): string {
  const sign = micro < 0 ? '-' : ''
  const digits = String(Math.abs(micro)).padStart(7, '0')
  const fraction = digits.slice(-6).replace(/0+$/, '')
  return sign + digits.slice(0, -6) + (fraction === '' ? '' : '.' + fraction)
}

/**
 * `ceil(units × price)` where units is the text of fal's `x-fal-billable-units` (`"1"`, `"0.5"`).
 * Gives `null` when the text is not a plain decimal number, so that the caller falls back to its price table. One that is too large to be told exactly
 * is no such text: it costs the largest amount there is.
 */
export function costOfUnits (units: string, price: MicroUsd): MicroUsd | null {
  const match = UNITS.exec(units.trim())
  return match === null ? null : scaledUp(match, price) ?? Number.MAX_SAFE_INTEGER
}

/** The units that a cost stands for, as fal writes them: the way back, to a millionth. What is free is one unit, whatever that is. */
export function unitsOf (cost: MicroUsd, price: MicroUsd): string {
  if (price === 0) return '1'
  return String(Number((cost / price).toFixed(6)))
}

/** A decimal number, in digits before and after its point, times a factor; `null` when that is no safe integer. */
function scaledUp ([, whole = '', fraction = '']: RegExpExecArray, factor: number): number | null {
  const scale = 10n ** BigInt(fraction.length)
  const units = BigInt(whole + fraction)
  const scaled = (units * BigInt(factor) + scale - 1n) / scale
  return scaled <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(scaled) : null
}
