// The price rule of a model, as it stands in the model's file: its grammar, and a sentence for everything that does not fit it.
//
//   {"usd": 0.08, "per": "image", "times": {"resolution": {"1K": 1, "2K": 1.5, "4K": 2}},
//    "plus": {"enable_web_search": {"false": 0, "true": 0.015}}, "max_usd": 0.66}

import { formatUsd, parseUsd, type MicroUsd } from '../money.ts'
import { isObject, pointerTo } from '../schema.ts'
import { hintOf } from '../nearest.ts'
import type { PresetSize } from './usual-fields.ts'

/** The units whose number can be told before a call. Every other unit is a word without meaning here, and needs `max_usd`. */
export const countedUnits = ['call', 'image', 'megapixel', 'second', '1000 characters'] as const

/** A unit whose number can be told before a call. */
export type CountedUnit = typeof countedUnits[number]

/** Tells whether the number of a unit can be told before a call. */
export function isCounted (unit: string | null): unit is CountedUnit {
  return countedUnits.some(counted => counted === unit)
}

/** No call may cost more. Above it, sums of ten times the price would come near to where numbers are not exact. */
export const MAX_PRICE: MicroUsd = 1_000_000_000

/** A factor is an integer number of these. */
export const FACTOR_SCALE = 10n ** 12n

/** What one value of a field adds: so much for each of a unit. */
export interface Extra { readonly usd: MicroUsd, readonly per: CountedUnit }

/** What a field's values do to the price. The keys of the inner map are values as texts: `true`, `2K`, `5`. */
export type ByValue<Effect> = ReadonlyMap<string, ReadonlyMap<string, Effect>>

/** A price rule that was parsed. Immutable. */
export interface PriceRule {
  /** The price of one of the units that fal bills; parts of a micro-dollar are rounded up. `null`: the rule is `max_usd` alone, and no units are multiplied. */
  readonly unitPrice: MicroUsd | null
  /** The unit; `null` where there is no unit price. */
  readonly per: string | null
  /** Factors of the unit price, in 1/`FACTOR_SCALE`. */
  readonly times: ByValue<bigint>
  readonly plus: ByValue<Extra>
  /** Fields that say how many pictures are made, besides `num_images` and `max_images`. */
  readonly count: readonly string[]
  /** The fields that hold the seconds, or the characters; empty: those with the usual names. */
  readonly of: readonly string[]
  /** Width and height of words of `image_size` that mean other pixels for this model, or that only it has. */
  readonly sizes: ReadonlyMap<string, PresetSize>
  /** What a call costs at most, where that cannot be told from its input. */
  readonly max: MicroUsd | null
}

/** What came of parsing a rule; every fault is a sentence after a JSON pointer. */
export type ParsedRule = { readonly ok: true, readonly rule: PriceRule } | { readonly ok: false, readonly faults: readonly string[] }

const members = ['usd', 'per', 'times', 'plus', 'count', 'of', 'sizes', 'max_usd']
const extraMembers = ['usd', 'per']

const MAX_FIELDS = 50
const MAX_VALUES = 200
const MAX_NAME = 200
const MAX_SIDE = 100_000

/** At most 12 digits on either side of the point, as for dollars. */
const FACTOR = /^(\d{1,12})(?:\.(\d{1,12}))?$/

/** Reads a rule from its JSON. All faults are told at once. */
export function parsePriceRule (json: unknown): ParsedRule {
  const faults: string[] = []
  if (!isObject(json)) return { ok: false, faults: ['the price rule: expected an object such as {"usd": 0.08, "per": "image"}'] }
  knownOnly(json, members, '')

  const unitPrice = usd(json, '')
  const max = dollars(json, 'max_usd', '/max_usd')
  const per = unit(json['per'], '/per')
  const rule: PriceRule = {
    unitPrice,
    per,
    max,
    times: byValue(json['times'], '/times', factor),
    plus: byValue(json['plus'], '/plus', extra),
    count: names(json['count'], '/count'),
    of: names(json['of'], '/of'),
    sizes: sizes(json['sizes'])
  }
  // What is missing is looked for only in what could be read: one mistake, one sentence.
  if (faults.length === 0) checkWhole()
  return faults.length === 0 ? { ok: true, rule } : { ok: false, faults }

  function checkWhole (): void {
    if (unitPrice === null && max === null) faults.push('the price rule: expected usd with per, or max_usd')
    if (unitPrice !== null && per === null) faults.push('/per: is missing: usd is the price of one call, image, megapixel, second, …')
    if (unitPrice === null) {
      for (const name of members) if (!['usd', 'max_usd'].includes(name) && has(name)) faults.push(`/${name}: means nothing without usd`)
      return
    }
    if (per !== null && !isCounted(per)) {
      if (max === null) faults.push(`/per: how many ${JSON.stringify(per)} a call takes cannot be told beforehand, so that max_usd is needed${hintOf(per, countedUnits)}`)
      for (const name of ['times', 'plus', 'count', 'of', 'sizes']) if (has(name)) faults.push(`/${name}: means nothing with this unit: every call counts as max_usd`)
      return
    }
    if (rule.sizes.size > 0 && !uses('megapixel')) faults.push('/sizes: means nothing where nothing is priced per megapixel')
    if (rule.of.length > 0 && !uses('second') && !uses('1000 characters')) faults.push('/of: means nothing where nothing is priced per second or per 1000 characters')
    if (rule.of.length > 0 && uses('second') && uses('1000 characters')) faults.push('/of: cannot name fields of seconds and of characters in one rule')
    if (rule.count.length > 0 && !uses('image') && !uses('megapixel') && !uses('second')) faults.push('/count: means nothing where nothing is priced per image, megapixel or second')
    if (max !== null && max < unitPrice && per === 'call' && rule.times.size === 0) faults.push(`/max_usd: is below the price of a call, ${formatUsd(unitPrice)}`)
  }

  function has (name: string): boolean {
    return isObject(json) && Object.hasOwn(json, name)
  }

  function uses (wanted: CountedUnit): boolean {
    return unitsIn(rule).has(wanted)
  }

  function knownOnly (object: Readonly<Record<string, unknown>>, known: readonly string[], at: string): void {
    for (const name of Object.keys(object).slice(0, MAX_VALUES)) {
      if (!known.includes(name)) faults.push(`${at}/${pointerTo(name).slice(0, 100)}: is not known${hintOf(name, known)}`)
    }
  }

  function usd (object: Readonly<Record<string, unknown>>, at: string): MicroUsd | null {
    return dollars(object, 'usd', `${at}/usd`)
  }

  function dollars (object: Readonly<Record<string, unknown>>, name: string, at: string): MicroUsd | null {
    if (!Object.hasOwn(object, name)) return null
    const value = object[name]
    // JavaScript prints such a number with an exponent; whatever it is, it is rounded up to this.
    const isTiny = typeof value === 'number' && value > 0 && value < 0.000001
    const micro = isTiny ? 1 : typeof value === 'number' || typeof value === 'string' ? parseUsd(value) : null
    if (micro !== null && micro <= MAX_PRICE) return micro
    faults.push(`${at}: expected dollars as a plain number of at most ${formatUsd(MAX_PRICE)}, with at most 12 digits after the point`)
    return null
  }

  function unit (value: unknown, at: string): string | null {
    if (value === undefined) return null
    // fal's own unit words come with spaces behind them.
    const word = typeof value === 'string' ? value.trim() : ''
    if (word !== '' && word.length <= MAX_NAME) return word
    faults.push(`${at}: expected a unit: ${countedUnits.join(', ')}, or with max_usd any other`)
    return null
  }

  function byValue<Effect> (value: unknown, at: string, effectOf: (value: unknown, at: string) => Effect | null): ByValue<Effect> {
    const fields = new Map<string, ReadonlyMap<string, Effect>>()
    for (const [field, entries] of entriesOf(value, at, MAX_FIELDS, 'an object of fields')) {
      const inner = `${at}/${pointerTo(field)}`
      const effects = new Map<string, Effect>()
      for (const [key, raw] of entriesOf(entries, inner, MAX_VALUES, 'an object of values')) {
        const effect = effectOf(raw, `${inner}/${pointerTo(key)}`)
        if (effect !== null) effects.set(key, effect)
      }
      fields.set(field, effects)
    }
    return fields
  }

  /** The members of an object that has at least one and not too many; what is absent has none. */
  function entriesOf (value: unknown, at: string, most: number, what: string): readonly (readonly [string, unknown])[] {
    if (value === undefined) return []
    const entries = isObject(value) ? Object.entries(value) : []
    if (entries.length === 0 || entries.length > most || entries.some(([name]) => name.length > MAX_NAME)) {
      faults.push(`${at}: expected ${what}: 1 to ${most}, each with a name of at most ${MAX_NAME} characters`)
      return []
    }
    return entries
  }

  function factor (value: unknown, at: string): bigint | null {
    const match = typeof value === 'number' || typeof value === 'string' ? FACTOR.exec(String(value)) : null
    if (match !== null) return BigInt((match[1] ?? '') + (match[2] ?? '').padEnd(12, '0'))
    faults.push(`${at}: expected a factor, such as 1.5: a plain number with at most 12 digits on either side of the point`)
    return null
  }

  function extra (value: unknown, at: string): Extra | null {
    if (!isObject(value)) {
      const micro = dollars({ usd: value }, 'usd', at)
      return micro === null ? null : { usd: micro, per: 'call' }
    }
    knownOnly(value, extraMembers, at)
    const micro = usd(value, at)
    if (!Object.hasOwn(value, 'usd')) faults.push(`${at}/usd: is missing`)
    const word = Object.hasOwn(value, 'per') ? unit(value['per'], `${at}/per`) : 'call'
    if (word === null || micro === null) return null
    if (isCounted(word)) return { usd: micro, per: word }
    faults.push(`${at}/per: expected one of ${countedUnits.join(', ')}${hintOf(word, countedUnits)}`)
    return null
  }

  function names (value: unknown, at: string): readonly string[] {
    if (value === undefined) return []
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    const texts = list.filter(name => typeof name === 'string').filter(name => name !== '' && name.length <= MAX_NAME)
    if (texts.length > 0 && texts.length === list.length && texts.length <= MAX_FIELDS) return [...new Set(texts)]
    faults.push(`${at}: expected the name of a field, or a list of such names`)
    return []
  }

  function sizes (value: unknown): ReadonlyMap<string, PresetSize> {
    const found = new Map<string, PresetSize>()
    for (const [word, size] of entriesOf(value, '/sizes', MAX_VALUES, 'an object of words of image_size')) {
      const [width, height, ...rest]: readonly unknown[] = Array.isArray(size) ? size : []
      if (isSide(width) && isSide(height) && rest.length === 0) found.set(word, [width, height])
      else faults.push(`/sizes/${pointerTo(word)}: expected width and height in pixels, such as [1024, 768]`)
    }
    return found
  }
}

/** The rule as JSON, in one order of its names: what a model's page shows, and what tells two rules apart. */
export function ruleJson (rule: PriceRule): Readonly<Record<string, unknown>> {
  const { unitPrice, per, times, plus, count, of, sizes, max } = rule
  return {
    ...(unitPrice === null ? {} : { usd: Number(formatUsd(unitPrice)) }),
    ...(per === null ? {} : { per }),
    ...(times.size === 0 ? {} : { times: sorted(times, factors => sorted(factors, factor => Number(factor) / Number(FACTOR_SCALE))) }),
    ...(plus.size === 0 ? {} : { plus: sorted(plus, extras => sorted(extras, extra => extra.per === 'call' ? Number(formatUsd(extra.usd)) : { usd: Number(formatUsd(extra.usd)), per: extra.per })) }),
    ...(count.length === 0 ? {} : { count }),
    ...(of.length === 0 ? {} : { of }),
    ...(sizes.size === 0 ? {} : { sizes: sorted(sizes, size => size) }),
    ...(max === null ? {} : { max_usd: Number(formatUsd(max)) })
  }
}

/** A text that two rules share exactly when they say the same. */
export function ruleText (rule: PriceRule): string {
  return JSON.stringify(ruleJson(rule))
}

function sorted<Value> (map: ReadonlyMap<string, Value>, show: (value: Value) => unknown): Readonly<Record<string, unknown>> {
  return Object.fromEntries([...map].sort(([one], [other]) => one < other ? -1 : 1).map(([name, value]) => [name, show(value)]))
}

/**
 * The rule in which the dearest call costs `price` in place of `dearest`, and every other one as much less. Where `max_usd` was needed to bound it, `price` is
 * the bound, and nothing more is known.
 */
export function scaledRule (rule: PriceRule, price: MicroUsd, dearest: MicroUsd | null): PriceRule {
  if (dearest === null || dearest === 0 || rule.unitPrice === null || rule.max !== null) return { ...rule, unitPrice: null, per: null, times: new Map(), plus: new Map(), count: [], of: [], sizes: new Map(), max: price }
  // Rounded up, so that all units of the dearest call never cost more than what is reserved for it.
  const scaled = (usd: MicroUsd): MicroUsd => Number((BigInt(usd) * BigInt(price) + BigInt(dearest) - 1n) / BigInt(dearest))
  return {
    ...rule,
    unitPrice: scaled(rule.unitPrice),
    plus: new Map([...rule.plus].map(([field, extras]) => [field, new Map([...extras].map(([value, extra]) => [value, { ...extra, usd: scaled(extra.usd) }]))]))
  }
}

/** Every unit that the rule counts. */
export function unitsIn (rule: PriceRule): ReadonlySet<CountedUnit> {
  const units = new Set<CountedUnit>()
  if (isCounted(rule.per)) units.add(rule.per)
  for (const extras of rule.plus.values()) for (const { per } of extras.values()) units.add(per)
  return units
}

function isSide (value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_SIDE
}
