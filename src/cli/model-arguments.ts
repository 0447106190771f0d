// What was asked for with `falgate model`.

import { isEndpointId } from '../models/endpoint-id.ts'
import { parsePriceRule } from '../models/price-rule.ts'

/** What is to be done with models. */
export type ModelWork =
  | { readonly work: 'add', readonly id: string, readonly from: string | null, readonly price: StatedPrice | null, readonly cacheVersion: number | null, readonly isReplacing: boolean }
  | { readonly work: 'price', readonly id: string, readonly price: StatedPrice }
  | { readonly work: 'list' }
  | { readonly work: 'show' | 'remove', readonly id: string }
  /** `null`: all that have a file. */
  | { readonly work: 'diff', readonly id: string | null, readonly from: string | null }

/** What somebody says that a call costs: a price rule as JSON, or that the one in the model's file is right. */
export type StatedPrice = { readonly kind: 'proposed' } | { readonly kind: 'rule', readonly price: unknown }

/** The options that only `model` has. */
export const modelOptions = {
  per: { type: 'string' },
  'max-usd': { type: 'string' },
  price: { type: 'string' },
  free: { type: 'boolean' },
  'accept-price': { type: 'boolean' },
  'cache-version': { type: 'string' },
  replace: { type: 'boolean' }
} as const

interface Values {
  readonly from?: string | undefined
  readonly usd?: string | undefined
  readonly per?: string | undefined
  readonly 'max-usd'?: string | undefined
  readonly price?: string | undefined
  readonly free?: boolean | undefined
  readonly 'accept-price'?: boolean | undefined
  readonly 'cache-version'?: string | undefined
  readonly replace?: boolean | undefined
}

const priceOptions = ['usd', 'per', 'max-usd', 'price', 'free', 'accept-price']

/** What each work takes besides the endpoint id. */
const ownOptions: Readonly<Record<ModelWork['work'], readonly string[]>> = {
  add: ['from', ...priceOptions, 'cache-version', 'replace'],
  price: priceOptions,
  list: [],
  show: [],
  diff: ['from'],
  remove: []
}

/** Reads what stands behind `falgate model`; a text says what is wrong with it. */
export function readModel ([word, id, ...others]: readonly string[], values: Values): ModelWork | string {
  if (!isModelWork(word)) return `model needs what is to be done: ${Object.keys(ownOptions).join(', ')}`
  const stray = Object.keys(values).find(option => !ownOptions[word].includes(option))
  if (stray !== undefined) return `model ${word} has no option --${stray}`
  if (word === 'list') return id === undefined ? { work: word } : 'model list takes no argument'
  if (others.length > 0) return `model ${word} takes one endpoint id at a time`
  if (id !== undefined && !isEndpointId(id)) return 'an endpoint id has two to seven parts of letters, digits, dots, underscores and hyphens, such as fal-ai/nano-banana-2'
  const from = values.from ?? null
  if (word === 'diff') return id === undefined && from !== null ? 'model diff needs an endpoint id with --from' : { work: word, id: id ?? null, from }
  if (id === undefined) return `model ${word} needs an endpoint id, such as fal-ai/nano-banana-2`
  if (word === 'show' || word === 'remove') return { work: word, id }

  const price = readPrice(values)
  if (typeof price === 'string') return price
  if (word === 'price') return price === null ? 'model price needs one of --usd, --max-usd, --price, --free and --accept-price' : { work: word, id, price }
  const cacheVersion = versionIn(values['cache-version'])
  if (Number.isNaN(cacheVersion)) return '--cache-version needs a whole number from 1 to 999999999'
  return { work: word, id, from, price, cacheVersion, isReplacing: values.replace === true }
}

function isModelWork (word: string | undefined): word is ModelWork['work'] {
  return word !== undefined && Object.hasOwn(ownOptions, word)
}

function versionIn (text: string | undefined): number | null {
  if (text === undefined) return null
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : NaN
}

/** `null`: nothing is said; a text: what is wrong with it. */
function readPrice (values: Values): StatedPrice | null | string {
  const { usd, per, 'max-usd': max, price, 'accept-price': accept } = values
  const isMeantFree = values.free === true
  const ways = [usd ?? max, price, accept].filter(way => way !== undefined).length
  if (ways > 1) return 'a price is said in one way: by --usd and --per, by --max-usd, by --price or by --accept-price'
  if (accept === true) return isMeantFree || per !== undefined ? '--accept-price takes the price that is proposed, and neither --free nor --per' : { kind: 'proposed' }
  if (per !== undefined && usd === undefined) return '--per says what --usd is the price of'
  if (usd !== undefined && per === undefined) return '--usd is the price of one unit, which --per names: call, image, megapixel, second or "1000 characters"'
  const stated = statedIn(values)
  if (stated === null) return null
  const parsed = parsePriceRule(stated)
  if (!parsed.ok) return price === undefined ? parsed.faults.map(optionOf).join('; ') : `--price: ${parsed.faults.join('; ')}`
  const { unitPrice, max: most, plus } = parsed.rule
  const isFree = (unitPrice ?? most) === 0 && [...plus.values()].every(values => [...values.values()].every(({ usd: extra }) => extra === 0))
  // A slip of the hand would let everybody spend without an end.
  if (isFree && !isMeantFree) return 'a price of 0 has to be meant: add --free'
  if (!isFree && isMeantFree) return '--free is said of a price of 0 only'
  return { kind: 'rule', price: stated }
}

/** The rule, as it would stand in a file. */
function statedIn ({ usd, per, 'max-usd': max, price, free }: Values): unknown {
  if (price !== undefined) return jsonIn(price)
  if (usd !== undefined || max !== undefined) return { ...usd !== undefined && { usd: numberIn(usd), per }, ...max !== undefined && { max_usd: numberIn(max) } }
  return free === true ? { usd: 0, per: 'call' } : null
}

/** What a rule's members are called on the command line. */
function optionOf (fault: string): string {
  return fault.replace(/^\/(usd|per|max_usd)\b/, (_all, member: string) => `--${member.replace('_', '-')}`).replaceAll('max_usd', '--max-usd')
}

/** A text, which no rule is, where it is no JSON. */
function jsonIn (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return ''
  }
}

/** A number where it says the same, else the text: a rule takes both. */
function numberIn (text: string): number | string {
  return String(Number(text)) === text ? Number(text) : text
}
