// What a call may cost at most: a price rule applied to an input. It is an upper bound, because it is what a budget is asked for before anything is bought.
//
// A field that is absent, null, `auto` or has a value without an entry counts at its dearest value. What fal does with it is fal's business.

import { formatUsd, type MicroUsd } from '../money.ts'
import { pointerTo } from '../schema.ts'
import { hintOf } from '../nearest.ts'
import { fieldReaderOf, isOpen, readCount, type Bound, type FieldReader, type PricedDocument } from './price-fields.ts'
import { FACTOR_SCALE, MAX_PRICE, isCounted, unitsIn, type CountedUnit, type PriceRule } from './price-rule.ts'
import { pictureCounts } from './usual-fields.ts'

/** The most that a call may cost. `fault` is a sentence for the caller, and holds nothing of the input but names of fields. */
export type HighestPrice =
  | { readonly ok: true, readonly price: MicroUsd, readonly unitPrice: MicroUsd | null, readonly how: string }
  // `unbounded`: the input, or the document, leaves it open. `above-max`: the model's file contradicts itself.
  | { readonly ok: false, readonly kind: 'unbounded' | 'above-max', readonly fault: string }

const SIZE = 'image_size'
const seconds = ['duration']
const texts = ['text', 'prompt']

/** No real unit is smaller; a picture below it costs one all the same. */
const MEGAPIXEL = 1_000_000n
const CHARACTERS = 1_000n

/** Kept, because every call asks for them. */
const fieldsByRule = new WeakMap<PriceRule, readonly string[]>()

/** The fields that the rule reads. Their valid defaults are sent along, so that fal counts what was counted here. */
export function fieldsOf (rule: PriceRule): readonly string[] {
  const known = fieldsByRule.get(rule)
  if (known !== undefined) return known
  const fields = new Set<string>([...rule.times.keys(), ...rule.plus.keys()])
  for (const unit of unitsIn(rule)) for (const field of countedFields(rule, unit)) fields.add(field)
  const list = [...fields]
  fieldsByRule.set(rule, list)
  return list
}

function countedFields (rule: PriceRule, unit: CountedUnit): readonly string[] {
  const pictures = [...new Set([...pictureCounts, ...rule.count])]
  switch (unit) {
    case 'call': return []
    case 'image': return pictures
    case 'megapixel': return [SIZE, ...pictures]
    case 'second': return [...rule.of.length > 0 ? rule.of : seconds, ...pictures]
    case '1000 characters': return rule.of.length > 0 ? rule.of : texts
  }
}

/**
 * The most that this input may cost. `input` is what is sent: the caller's own fields and the valid defaults of `fieldsOf`. A rule that `checkRule` finds
 * fault with is not a bound.
 */
export function highestPrice (rule: PriceRule, input: Readonly<Record<string, unknown>>, document: PricedDocument): HighestPrice {
  const { unitPrice, max, per } = rule
  if (unitPrice === null || !isCounted(per)) {
    return max === null
      ? { ok: false, kind: 'unbounded', fault: `how many ${JSON.stringify(per)} it takes cannot be told beforehand` }
      : { ok: true, price: max, unitPrice, how: `at most ${formatUsd(max)} a call` }
  }
  const computed = compute(rule, unitPrice, per, viewOf(input, fieldReaderOf(document)))
  if (!computed.ok) {
    return max === null
      ? { ok: false, kind: 'unbounded', fault: `what it costs at most cannot be told: ${computed.fault}` }
      : { ok: true, price: max, unitPrice, how: `at most ${formatUsd(max)} a call, because ${computed.fault}` }
  }
  if (max !== null && computed.price > BigInt(max)) {
    return { ok: false, kind: 'above-max', fault: `it may cost ${printed(computed.price)} by the model's price rule, which says that no call costs more than ${formatUsd(max)}` }
  }
  if (computed.price > BigInt(MAX_PRICE)) return { ok: false, kind: 'unbounded', fault: `it may cost more than ${formatUsd(MAX_PRICE)}, the most that one call may` }
  return { ok: true, price: Number(computed.price), unitPrice, how: computed.how }
}

/**
 * What is wrong with a rule for this document, each a sentence after a JSON pointer into the rule: fields and values that it does not have, what cannot be
 * bounded though there is no `max_usd`, and a `max_usd` below what a call may cost.
 */
export function checkRule (rule: PriceRule, document: PricedDocument): readonly string[] {
  const reader = fieldReaderOf(document)
  const faults: string[] = []
  for (const [member, fields] of [['times', rule.times], ['plus', rule.plus]] as const) {
    for (const [field, values] of fields) {
      const at = `/${member}/${pointerTo(field)}`
      if (!known(field, at)) continue
      for (const value of values.keys()) {
        if (!reader.allows(field, value)) faults.push(`${at}/${pointerTo(value)}: the model's ${field} cannot have this value${hintOf(value, reader.words(field) ?? [])}`)
      }
    }
  }
  rule.count.forEach((field, index) => { known(field, `/count/${index}`) })
  rule.of.forEach((field, index) => { known(field, `/of/${index}`) })
  for (const word of rule.sizes.keys()) {
    if (!reader.has(SIZE) || !reader.allows(SIZE, word)) faults.push(`/sizes/${pointerTo(word)}: the model's ${SIZE} cannot have this value${hintOf(word, reader.words(SIZE) ?? [])}`)
  }
  const units = unitsIn(rule)
  if (units.has('megapixel')) {
    const [picture] = reader.pictureInputs
    if (picture !== undefined) faults.push(`/per: the model takes pictures (${picture}), whose megapixels are billed as well: write another unit, such as "processed megapixels", and max_usd`)
  }
  if (units.has('image') || units.has('megapixel') || units.has('second')) {
    for (const field of reader.names) {
      if (COUNT_LIKE.test(field) && !pictureCounts.includes(field) && !rule.count.includes(field)) faults.push(`/count: the model's ${field} looks like a number of results, which has to be named here`)
    }
  }
  if (faults.length === 0) checkDearest()
  return faults

  function known (field: string, at: string): boolean {
    if (reader.has(field)) return true
    faults.push(`${at}: the model has no such field${hintOf(field, reader.names)}`)
    return false
  }

  /** A call that leaves everything open. */
  function checkDearest (): void {
    if (rule.unitPrice === null || !isCounted(rule.per)) return
    const dearest = compute(rule, rule.unitPrice, rule.per, viewOf({}, reader))
    if (!dearest.ok) {
      // A text that every call brings is counted in every call, so that it needs no bound.
      const brought = rule.max === null && unitsIn(rule).has('1000 characters') ? countedFields(rule, '1000 characters').filter(reader.isRequired) : []
      const rest = brought.length === 0 ? dearest : compute(rule, rule.unitPrice, rule.per, viewOf(Object.fromEntries(brought.map(field => [field, ''])), reader))
      if (rule.max === null && !rest.ok) faults.push(`/max_usd: is needed, because ${rest.fault}`)
    } else if (rule.max !== null && dearest.price > BigInt(rule.max)) {
      faults.push(`/max_usd: a call may cost ${printed(dearest.price)} by this rule (${dearest.how}), which is more`)
    }
  }
}

/** Values that a field of the rule may have and the rule does not price, so that they count at the dearest: for the reader of a rule. */
export function unpricedValues (rule: PriceRule, document: PricedDocument): readonly { readonly field: string, readonly values: readonly string[] }[] {
  const reader = fieldReaderOf(document)
  return [...rule.times, ...rule.plus].map(([field, priced]) => ({ field, values: [...reader.words(field) ?? []].filter(value => value !== 'auto' && !priced.has(value)) }))
    .filter(({ values }) => values.length > 0)
}

/** Names of fields that say how many results a call makes, apart from those that are always counted. */
const COUNT_LIKE = /^(n|batch|batch_(size|count)|images?_count|(num|number|max|count|n)(_of)?_(images?(_per_prompt)?|videos?|outputs?|samples?|pictures?|variations?|variants?|results?|generations?|batches))$/

// ------------------------------------------------------------------------------------------------ the sum

/** An input beside its document. */
interface View {
  readonly reader: FieldReader
  /** The value that fal will use; `undefined` where that is left open, or where a field further inside may override it. */
  readonly valueOf: (field: string) => unknown
  /** May a field further inside, of the same name, override it? */
  readonly isOverridden: (field: string) => boolean
}

type Counted = { readonly ok: true, readonly amount: bigint, readonly how: string } | Unbounded
interface Unbounded { readonly ok: false, readonly fault: string }

function viewOf (input: Readonly<Record<string, unknown>>, reader: FieldReader): View {
  const read = (field: string): unknown => Object.hasOwn(input, field) ? input[field] : undefined
  const isOverridden = (field: string): boolean => reader.holdersOf(field).some(holder => {
    const held = read(holder.field)
    return held === undefined ? holder.hasDefault : typeof held === 'object' && held !== null
  })
  return { reader, isOverridden, valueOf: field => isOverridden(field) ? undefined : read(field) }
}

function compute (rule: PriceRule, unitPrice: MicroUsd, per: CountedUnit, view: View): { readonly ok: true, readonly price: bigint, readonly how: string } | Unbounded {
  const units = countOf(rule, per, view)
  if (!units.ok) return units
  let product = BigInt(unitPrice) * units.amount
  let scale = 1n
  let how = `${formatUsd(unitPrice)} per ${per}${units.how}`
  for (const [field, factors] of rule.times) {
    const { effect, note } = effectOf(field, factors, view)
    // A value that has no entry may well be the one that the unit price is for.
    const factor = effect ?? [...factors.values()].reduce((one, other) => one > other ? one : other, FACTOR_SCALE)
    product *= factor
    scale *= FACTOR_SCALE
    how += ` × ${factorText(factor)} (${field} ${note})`
  }
  let price = (product + scale - 1n) / scale
  for (const [field, extras] of rule.plus) {
    const { effect, note } = effectOf(field, extras, view)
    let dearest = 0n
    for (const extra of effect === undefined ? extras.values() : [effect]) {
      if (extra.usd === 0) continue
      const times = countOf(rule, extra.per, view)
      if (!times.ok) return times
      const amount = BigInt(extra.usd) * times.amount
      if (amount > dearest) dearest = amount
    }
    price += dearest
    if (dearest > 0n) how += ` + ${printed(dearest)} (${field} ${note})`
  }
  return { ok: true, price, how }
}

/** What an input's value does; without `effect`, whatever is the dearest. */
function effectOf<Effect> (field: string, effects: ReadonlyMap<string, Effect>, { valueOf }: View): { readonly effect: Effect | undefined, readonly note: string } {
  const value = valueOf(field)
  const key = isOpen(value) || typeof value === 'object' ? undefined : String(value)
  const effect = key === undefined ? undefined : effects.get(key)
  return { effect, note: effect === undefined ? 'at its dearest' : String(key) }
}

/** How many of a unit a call takes at most. */
function countOf (rule: PriceRule, unit: CountedUnit, view: View): Counted {
  switch (unit) {
    case 'call': return { ok: true, amount: 1n, how: '' }
    case 'image': return product(view, countedFields(rule, 'image').filter(field => isThere(field, view)))
    case 'second': return secondsOf(rule, view)
    case 'megapixel': return megapixelsOf(rule, view)
    case '1000 characters': return charactersOf(rule, view)
  }
}

function product (view: View, fields: readonly string[]): Counted {
  let amount = 1n
  let how = ''
  for (const field of fields) {
    const count = numberOf(view, field)
    if (count === null) return unbounded(`${field} has no upper bound`)
    amount *= count
    how += ` × ${count} (${field})`
  }
  return { ok: true, amount, how }
}

function secondsOf (rule: PriceRule, view: View): Counted {
  const fields = (rule.of.length > 0 ? rule.of : seconds).filter(field => isThere(field, view))
  if (fields.length === 0) return unbounded('no field of the model holds the seconds')
  let amount = 0n
  for (const field of fields) {
    const length = numberOf(view, field)
    if (length === null) return unbounded(`${field} has no upper bound in seconds`)
    amount += length
  }
  const pictures = product(view, countedFields(rule, 'image').filter(field => isThere(field, view)))
  return pictures.ok ? { ok: true, amount: amount * pictures.amount, how: ` × ${amount} (${fields.join(', ')})${pictures.how}` } : pictures
}

function megapixelsOf (rule: PriceRule, view: View): Counted {
  const { reader } = view
  for (const side of ['width', 'height']) {
    if (isThere(side, view)) return unbounded(`the model has a ${side} besides ${SIZE}`)
  }
  if (!isThere(SIZE, view)) return unbounded(`the model has no ${SIZE}`)
  const pixels = view.isOverridden(SIZE) ? null : reader.pixelsOf(SIZE, view.valueOf(SIZE), rule.sizes)
  if (pixels === null) return unbounded(`${SIZE} has no upper bound in pixels`)
  const each = (pixels + MEGAPIXEL - 1n) / MEGAPIXEL
  const pictures = product(view, countedFields(rule, 'image').filter(field => isThere(field, view)))
  return pictures.ok ? { ok: true, amount: each * pictures.amount, how: ` × ${each} (${SIZE})${pictures.how}` } : pictures
}

function charactersOf (rule: PriceRule, view: View): Counted {
  const fields = (rule.of.length > 0 ? rule.of : texts).filter(field => isThere(field, view))
  if (fields.length === 0) return unbounded('no field of the model holds the characters')
  let characters = 0n
  for (const field of fields) {
    const value = view.valueOf(field)
    const length = typeof value === 'string' ? BigInt(value.length) : view.isOverridden(field) ? null : view.reader.longest(field)
    if (length === null) return unbounded(`${field} has no upper bound in characters`)
    characters += length
  }
  const units = (characters + CHARACTERS - 1n) / CHARACTERS
  const amount = units > 0n ? units : 1n
  return { ok: true, amount, how: ` × ${amount} (${fields.join(', ')})` }
}

/** The number in a field, at its highest where that is open. */
function numberOf ({ valueOf, isOverridden, reader }: View, field: string): Bound {
  return isOverridden(field) ? null : readCount(valueOf(field)) ?? (reader.has(field) ? reader.highest(field) : null)
}

function isThere (field: string, { reader, valueOf }: View): boolean {
  return reader.has(field) || valueOf(field) !== undefined
}

function unbounded (fault: string): Unbounded {
  return { ok: false, fault }
}

function factorText (factor: bigint): string {
  const digits = String(factor).padStart(13, '0')
  const fraction = digits.slice(-12).replace(/0+$/, '')
  return digits.slice(0, -12) + (fraction === '' ? '' : '.' + fraction)
}

function printed (price: bigint): string {
  return price <= BigInt(Number.MAX_SAFE_INTEGER) ? `${formatUsd(Number(price))} USD` : 'more than a billion USD'
}
