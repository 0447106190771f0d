// Reads a model's input the way fal's app server does: what is wrong becomes the list of a 422, what is right a canonical text.

import type { FieldFault } from '../errors.ts'
import { addressOfType } from '../fal-wire/error-body.ts'
import { exactSeed, type ExactSeed } from '../fal-wire/exact-seed.ts'
import type { Model, ModelInput } from '../models/model.ts'
import { fieldsOf } from '../models/price-bound.ts'
import { isObject } from '../schema.ts'
import type { Detail } from './answers.ts'

/** A body that the model takes. */
export interface ReadInput {
  /** What counts: fields of the model, defaults filled in. */
  readonly input: ModelInput
  /** What the gateway would have sent of it; prices are told by that. */
  readonly sent: ModelInput
  /** Digits of the seed, `null` when the caller left it to the model. */
  readonly seed: string | null
}

/** An offending value longer than this in JSON is left out of the error, so that no job keeps a whole body. */
const MAX_ECHO_CHARACTERS = 1_000

/** The most digits that Python reads as an integer, and with it a FastAPI model. */
const MAX_SEED_DIGITS = 4_300

/** Faults that only the gateway finds: bounds of texts that falgate's own description of a model adds to what fal states. */
const ownCodes = new Set(['sequence_too_short', 'sequence_too_long', 'blank', 'not_well_formed', 'pattern'])

/**
 * The input in `text`, or what is wrong with it. Fields the model does not have are ignored, as FastAPI models do by default. Only what fal
 * states is checked: our own bounds of texts are the gateway's business.
 */
export function readInput (model: Model, text: string): ReadInput | readonly Detail[] {
  const body = parse(text)
  if (body === undefined) return [{ loc: ['body', 0], msg: 'JSON decode error', type: 'json_invalid' }]
  if (!isObject(body)) return [{ loc: ['body'], msg: 'Input should be a valid dictionary', type: 'dict_type', ...echo(body) }]

  const seed = exactSeed(text, body)
  const checked = withReadableSeed(body, seed)
  const reading = model.readInput(checked, { unknownFields: 'leave-out', sentDefaults: fieldsOf(model.rule) })
  const tooLong = Object.hasOwn(keywordsOf(model), 'seed') ? wrongWithSeed(seed, body['seed']) : null
  const details = tooLong === null ? [] : [detailOf(['seed'], tooLong)]
  if (!reading.ok) details.push(...reading.faults.filter(fault => !isOwn(model, fault)).map(fault => detailOfFault(model, body, fault)))
  if (details.length > 0) return inOrder(model, details)

  const given = reading.ok ? reading.given : Object.fromEntries(Object.entries(checked).filter(([name]) => Object.hasOwn(keywordsOf(model), name)))
  const input = { ...Object.fromEntries(model.defaults), ...given }
  return { input, sent: reading.ok ? reading.sent : input, seed: seed.kind === 'digits' ? seed.digits : null }
}

const MAX_PLACES = 20
/** What is deeper in an input names no file. */
const MAX_DEPTH = 8

/** Where such texts stand in an input, at most 20 of them. */
export function placesOfTexts (input: ModelInput, is: (text: string) => boolean): readonly (readonly (string | number)[])[] {
  const found: (readonly (string | number)[])[] = []
  visit(input, [])
  return found

  function visit (value: unknown, place: readonly (string | number)[]): void {
    if (found.length >= MAX_PLACES || place.length > MAX_DEPTH) return
    if (typeof value === 'string') {
      if (is(value)) found.push(place)
    } else if (Array.isArray(value)) value.forEach((item, index) => { visit(item, [...place, index]) })
    else if (isObject(value)) for (const [name, member] of Object.entries(value)) visit(member, [...place, name])
  }
}

/** A seed that JavaScript cannot hold is judged by its digits, and a null is none. */
function withReadableSeed (body: ModelInput, seed: ExactSeed): ModelInput {
  const { seed: given, ...others } = body
  if (given === undefined || (given === null && seed.kind === 'absent')) return others
  return seed.kind === 'digits' && !Number.isSafeInteger(given) ? { ...others, seed: 0 } : body
}

function isOwn (model: Model, { path, code }: FieldFault): boolean {
  const [name = ''] = stepsOf(path)
  return ownCodes.has(code) && wordsOf(model, name)['format'] === 'well-formed'
}

/** What is wrong in fal's words: those of its checks of plain fields, or else what the reader of the model says. */
function detailOfFault (model: Model, body: ModelInput, { path, message, code, ctx }: FieldFault): Detail {
  const steps = stepsOf(path)
  const value = valueAt(body, steps)
  if (code === 'missing') return detailOf(steps, { msg: 'Field required', type: 'missing', value: valueAt(body, steps.slice(0, -1)) })
  const [name] = steps
  const plain = name !== undefined && steps.length === 1 ? wrongWith(wordsOf(model, name), value) : null
  return detailOf(steps, plain ?? { msg: message.replace(/^(?:must )?/, 'Input should '), type: types[code] ?? code, value, ...(ctx === undefined ? {} : { ctx }) })
}

/** Names of faults that pydantic has another word for. */
const types: Readonly<Record<string, string>> = { one_of: 'literal_error', wrong_type: 'type_error' }

/** As FastAPI lists them: in the order of the fields. */
function inOrder (model: Model, details: readonly Detail[]): readonly Detail[] {
  const names = Object.keys(keywordsOf(model))
  const placeOf = ({ loc }: Detail): number => names.indexOf(String(loc[1]))
  return [...details].sort((one, other) => placeOf(one) - placeOf(other))
}

function stepsOf (path: string): readonly string[] {
  return path === '' ? [] : path.slice(1).split('/').map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function valueAt (body: unknown, steps: readonly string[]): unknown {
  let value = body
  for (const step of steps) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return null
    value = Reflect.get(value, step)
  }
  return value
}

interface Wrong { readonly msg: string, readonly type: string, readonly value: unknown, readonly ctx?: Readonly<Record<string, unknown>> }

function wrongWithSeed (seed: ExactSeed, value: unknown): Wrong | null {
  if (seed.kind !== 'digits' || seed.digits.length <= MAX_SEED_DIGITS) return null
  return { msg: 'Unable to parse input string as an integer, exceeded maximum size', type: 'int_parsing_size', value }
}

type Keywords = Readonly<Record<string, unknown>>

/** The schemas of a model's fields, by name. */
function keywordsOf ({ input }: Model): Keywords {
  const properties = input['properties']
  return isObject(properties) ? properties : {}
}

function wordsOf (model: Model, name: string): Keywords {
  const fields = keywordsOf(model)
  const schema = Object.hasOwn(fields, name) ? fields[name] : undefined
  return isObject(schema) ? schema : {}
}

/** The words of a schema that stand for what fal checks. */
function wrongWith (keywords: Keywords, value: unknown): Wrong | null {
  const { enum: words, type, minimum, maximum } = keywords
  if (Array.isArray(words) && !words.includes(value)) {
    const expected = words.map(word => `'${String(word)}'`).join(', ').replace(/, ([^,]*)$/, ' or $1')
    return { msg: `Input should be ${expected}`, type: 'literal_error', value, ctx: { expected } }
  }
  if (type === 'string' && typeof value !== 'string') return { msg: 'Input should be a valid string', type: 'string_type', value }
  if (type === 'boolean' && typeof value !== 'boolean') return { msg: 'Input should be a valid boolean', type: 'bool_type', value }
  if (type !== 'integer') return null
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return { msg: 'Input should be a valid integer, unable to parse it as an integer', type: 'int_parsing', value }
  if (typeof minimum === 'number' && value < minimum) return { msg: `Input should be greater than or equal to ${minimum}`, type: 'greater_than_equal', value, ctx: { ge: minimum } }
  if (typeof maximum === 'number' && value > maximum) return { msg: `Input should be less than or equal to ${maximum}`, type: 'less_than_equal', value, ctx: { le: maximum } }
  return null
}

function detailOf (steps: readonly string[], { msg, type, value, ctx }: Wrong): Detail {
  return {
    loc: ['body', ...steps.map(step => /^\d{1,6}$/.test(step) ? Number(step) : step)],
    msg,
    type,
    ...addressOfType(type),
    ...(ctx === undefined ? {} : { ctx }),
    ...echo(value)
  }
}

function echo (value: unknown): { input?: unknown } {
  return JSON.stringify(value).length <= MAX_ECHO_CHARACTERS ? { input: value } : {}
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
