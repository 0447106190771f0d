// Reads a model's input the way fal's app server does: what is wrong becomes the list of a 422, what is right a canonical text.

import { addressOfType } from '../fal-wire/error-body.ts'
import { exactSeed, type ExactSeed } from '../fal-wire/exact-seed.ts'
import { fieldNamesOf, type Model, type ModelInput } from '../models/model.ts'
import type { Detail } from './answers.ts'

/** A body that the model takes. */
export interface ReadInput {
  /** Fields of the model, defaults filled in. */
  readonly input: ModelInput
  /** Digits of the seed, `null` when the caller left it to the model. */
  readonly seed: string | null
}

/** An offending value longer than this in JSON is left out of the error, so that no job keeps a whole body. */
const MAX_ECHO_CHARACTERS = 1_000

/** The most digits that Python reads as an integer, and with it a FastAPI model. */
const MAX_SEED_DIGITS = 4_300

/**
 * The input in `text`, or what is wrong with it. Fields the model does not have are ignored, as FastAPI models do by default. Only what fal
 * states is checked: our own bounds of texts are the gateway's business.
 */
export function readInput (model: Model, text: string): ReadInput | readonly Detail[] {
  const body = parse(text)
  if (body === undefined) return [{ loc: ['body', 0], msg: 'JSON decode error', type: 'json_invalid' }]
  if (!isObject(body)) return [{ loc: ['body'], msg: 'Input should be a valid dictionary', type: 'dict_type', ...echo(body) }]

  const details: Detail[] = []
  const input: Record<string, unknown> = {}
  const required = new Set<unknown>(Array.isArray(model.input['required']) ? model.input['required'] : [])
  const seed = exactSeed(text, body)

  for (const [name, schema] of fieldNamesOf(model).map((name): readonly [string, Keywords] => [name, keywordsOf(model, name)])) {
    const given: unknown = Object.hasOwn(body, name) ? body[name] : undefined
    const wrong = given === undefined
      ? required.has(name) ? { msg: 'Field required', type: 'missing', value: body } : null
      : name === 'seed' && seed.kind !== 'inexact' ? wrongWithSeed(seed, given) : wrongWith(schema, given)
    if (wrong !== null) details.push(detailOf(name, wrong))
    else input[name] = given === undefined ? model.defaults.get(name) : given
  }
  return details.length > 0 ? details : { input, seed: seed.kind === 'digits' ? seed.digits : null }
}

interface Wrong { readonly msg: string, readonly type: string, readonly value: unknown, readonly ctx?: Readonly<Record<string, unknown>> }

function wrongWithSeed (seed: ExactSeed, value: unknown): Wrong | null {
  if (seed.kind !== 'digits' || seed.digits.length <= MAX_SEED_DIGITS) return null
  return { msg: 'Unable to parse input string as an integer, exceeded maximum size', type: 'int_parsing_size', value }
}

type Keywords = Readonly<Record<string, unknown>>

function keywordsOf ({ input }: Model, name: string): Keywords {
  const schema: unknown = Reflect.get(Object(input['properties']), name)
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

function detailOf (name: string, { msg, type, value, ctx }: Wrong): Detail {
  return {
    loc: ['body', name],
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

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
