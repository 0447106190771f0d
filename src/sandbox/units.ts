// What the sandbox bills: the units that the model's price rule counts for an input.

import type { Model, ModelInput } from '../models/model.ts'
import { highestPrice } from '../models/price-bound.ts'

/** So many digits that units times the unit price, rounded up to a micro-dollar, are the price again. */
const DIGITS = 12

/** The units as fal writes them: price by unit price, in digits; 1 where the rule has no unit price or the price is not known. */
export function unitsOf (model: Model, sent: ModelInput): string {
  const highest = highestPrice(model.rule, sent, model)
  if (!highest.ok || highest.unitPrice === null || highest.unitPrice <= 0) return '1'
  const scaled = BigInt(highest.price) * 10n ** BigInt(DIGITS) / BigInt(highest.unitPrice)
  const digits = String(scaled).padStart(DIGITS + 1, '0')
  const fraction = digits.slice(-DIGITS).replace(/0+$/, '')
  return digits.slice(0, -DIGITS) + (fraction === '' ? '' : '.' + fraction)
}
