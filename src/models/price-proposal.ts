// What the price that fal names may mean as a rule. It is a proposal: fal's API is no upper bound, and somebody has to say that it is right.

import type { ModelDocument } from './document.ts'
import { checkRule } from './price-bound.ts'
import { fieldReaderOf } from './price-fields.ts'
import { countedUnits, parsePriceRule, type CountedUnit, type PriceRule } from './price-rule.ts'
import { pictureCounts } from './usual-fields.ts'

/** A rule, or the sentence that says why there is none. */
export type Proposal = { readonly ok: true, readonly price: Readonly<Record<string, unknown>>, readonly rule: PriceRule } | { readonly ok: false, readonly fault: string }

/** The words of fal's that mean one unit, and always the same. Units of other words cannot be counted before a call, and cost a hundred times what they say. */
const units: ReadonlyMap<string, CountedUnit> = new Map<string, CountedUnit>([
  ...countedUnits.map(unit => [unit, unit] as const),
  ['images', 'image'],
  ['megapixels', 'megapixel'],
  ['seconds', 'second'],
  ...['calls', 'request', 'requests', 'generation', 'generations', 'video', 'videos'].map(word => [word, 'call'] as const)
])

/** Words for what a call makes: a call that makes several makes several of these. */
const made = new Set(['generation', 'generations', 'video', 'videos'])
/** The rule that a price of fal's may be. */
export function proposePrice ({ unitPrice, unit, currency }: { readonly unitPrice: number, readonly unit: string, readonly currency: string }, document: ModelDocument): Proposal {
  const word = unit.trim()
  if (currency !== 'USD') return { ok: false, fault: 'fal names its price in another currency than US dollars.' }
  if (!(unitPrice > 0)) return { ok: false, fault: 'fal names a price of 0, which says nothing.' }
  const counted = units.get(word)
  if (counted === undefined) return { ok: false, fault: `fal's price is ${unitPrice} USD per ${JSON.stringify(word.slice(0, 60))}, and how many of these a call takes cannot be told beforehand.` }
  const fields = fieldReaderOf(document)
  const per = made.has(word) && pictureCounts.some(fields.has) ? 'image' : counted
  const price = { usd: unitPrice, per }
  const parsed = parsePriceRule(price)
  if (!parsed.ok) return { ok: false, fault: `fal's price cannot be used: ${parsed.faults.join('; ')}.` }
  const [fault] = checkRule(parsed.rule, document)
  return fault === undefined ? { ok: true, price, rule: parsed.rule } : { ok: false, fault: `fal's price is ${unitPrice} USD per ${word}, which is no bound for this model: ${fault.replace(/^\/\w+: (is needed, because )?/, '')}.` }
}
