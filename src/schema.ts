// The one validator: schemas are built with TypeBox, and checked here with Ajv. Each is compiled when it is first needed.

import type { Static, TSchema } from '@sinclair/typebox'
import { _, Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { RE2JS } from 're2js'

/** Formats that schemas of the house may name, besides those that only document. */
const formats = { 'well-formed': (text: string) => text.isWellFormed() }

/** Ajv as the house uses it: values stay what they are unless `options` say more, and a keyword or a format that it does not know is an error. */
export function createValidator (options: Pick<Options, 'allErrors' | 'coerceTypes' | 'useDefaults' | 'verbose'> = {}): Ajv {
  return new Ajv({ coerceTypes: false, removeAdditional: false, useDefaults: false, formats, strictTypes: false, ...options })
}

let first: Ajv | null = null
let all: Ajv | null = null

/** Tells whether a value has the shape of a schema. */
export type Guard<Schema extends TSchema> = (value: unknown) => value is Static<Schema>

/** The guard of a schema. It stops at the first fault. */
export function guardOf<Schema extends TSchema> (schema: Schema): Guard<Schema> {
  let check: ValidateFunction<Static<Schema>> | null = null
  return (value): value is Static<Schema> => {
    check ??= (first ??= createValidator()).compile<Static<Schema>>(schema)
    return check(value)
  }
}

/** One place where a value does not fit its schema. Holds nothing of the value but names of fields. */
export interface Misfit {
  /** A JSON pointer (RFC 6901) to what is wrong, missing or not known. */
  readonly path: string
  readonly kind: 'missing' | 'unknown' | 'wrong'
  /** What the schema of that place says of itself. */
  readonly description: string | null
  readonly message: string
}

/** Every place where a value does not fit, as often as it breaks a rule there. Where none of several schemas fits, that is one misfit. */
export function misfitsOf (schema: TSchema, value: unknown): readonly Misfit[] {
  const check = (all ??= createValidator({ allErrors: true, verbose: true })).compile(schema)
  if (check(value)) return []
  const errors = check.errors ?? []
  const unions = errors.filter(({ keyword }) => keyword === 'anyOf').map(({ schemaPath }) => schemaPath + '/')
  return errors.filter(({ schemaPath }) => !unions.some(union => schemaPath.startsWith(union))).map(misfitOf)
}

function misfitOf (error: ErrorObject): Misfit {
  const description: unknown = error.parentSchema?.['description']
  return {
    path: placeOf(error),
    kind: error.keyword === 'required' ? 'missing' : error.keyword === 'additionalProperties' ? 'unknown' : 'wrong',
    description: typeof description === 'string' ? description : null,
    message: error.message ?? 'is not valid'
  }
}

/** What is read of an error of the validator. */
export type ValidatorError = Pick<ErrorObject, 'keyword' | 'instancePath' | 'schemaPath' | 'message'> & { readonly params: Readonly<Record<string, unknown>> }

/** What an error of Ajv is about, as a JSON pointer: of a field that is missing or not known, the field. */
export function placeOf ({ instancePath, params }: Pick<ErrorObject, 'instancePath'> & { readonly params: Readonly<Record<string, unknown>> }): string {
  const named = params['missingProperty'] ?? params['additionalProperty']
  return typeof named === 'string' ? `${instancePath}/${pointerTo(named).slice(0, 100)}` : instancePath
}

/** A field's name inside a JSON pointer. */
export function pointerTo (name: string): string {
  return name.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')
}

/** Is it an object, and no list? */
export function isObject (value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** How many steps the patterns of one schema may take before they give up: about a tenth of a second. */
const MAX_PATTERN_STEPS = 4_000_000
/** Patterns that are longer, or make larger programs, are not compiled: each step costs as much as the program is large. */
const MAX_PATTERN_CHARACTERS = 1_000
const MAX_PATTERN_PROGRAM = 200

/** A pattern of others. It runs in linear time; one that cannot (lookahead, back reference), or is too large, is an error. */
function linearPattern (pattern: string): RE2JS {
  if (pattern.length > MAX_PATTERN_CHARACTERS) throw new Error('the pattern is too long')
  const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern))
  if (compiled.programSize() > MAX_PATTERN_PROGRAM) throw new Error('the pattern is too large')
  return compiled
}

/** Can the pattern be run in linear time? */
export function isLinearPattern (pattern: string): boolean {
  try {
    linearPattern(pattern)
    return true
  } catch {
    return false
  }
}

/** Checks a value: the errors, or null where it fits. */
export type ForeignCheck = (value: unknown) => readonly ValidatorError[] | null

/** Compiles the parts of a schema that somebody else wrote. */
export interface ForeignCompiler {
  /** Compiles one part. Throws where it cannot be compiled. */
  readonly compile: (part: Readonly<Record<string, unknown>>) => ForeignCheck
  /** Begins a check of several parts: what its patterns may cost together is bounded. */
  readonly begin: () => void
  /** Whether patterns had too much to do since then. What they said is of no use. */
  readonly isExhausted: () => boolean
}

/**
 * A compiler of schemas of draft 2020-12 whose references lead to these definitions. The words in them have to be known and well-formed already. Values stay
 * what they are; every fault is found. One compiler for each schema, so that what is dropped leaves nothing behind.
 */
export function createForeignCompiler (definitions: Readonly<Record<string, unknown>>): ForeignCompiler {
  let ajv: Ajv2020 | null = null
  let steps = 0
  const patterns = Object.assign((pattern: string) => {
    const compiled = linearPattern(pattern)
    const size = compiled.programSize()
    return {
      test: (text: string) => {
        steps += size * text.length
        return steps <= MAX_PATTERN_STEPS && compiled.test(text)
      },
      toString: () => pattern
    }
  }, { code: 'linear' })

  return {
    begin: () => { steps = 0 },
    isExhausted: () => steps > MAX_PATTERN_STEPS,
    compile: part => {
      ajv ??= createForeignAjv(patterns)
      const check = ajv.compile({ ...part, $defs: definitions })
      return value => check(value) ? null : check.errors ?? []
    }
  }
}

function createForeignAjv (regExp: NonNullable<NonNullable<Options['code']>['regExp']>): Ajv2020 {
  const ajv = new Ajv2020({
    // Words were looked at before: here only numbers are held to be finite.
    strict: false,
    strictNumbers: true,
    allErrors: true,
    meta: false,
    validateSchema: false,
    validateFormats: false,
    addUsedSchema: false,
    useDefaults: false,
    coerceTypes: false,
    removeAdditional: false,
    // A field may be called `constructor`.
    ownProperties: true,
    logger: false,
    // As Pydantic does it: 0.3 is a multiple of 0.1.
    multipleOfPrecision: 9,
    // What many fields refer to is compiled once for each, and never once for each mention.
    inlineRefs: false,
    code: { regExp, optimize: false }
  })
  // Ajv's own compares every item with every other.
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    errors: false,
    error: { message: 'must not hold anything twice' },
    validate: (isWanted: boolean, list: readonly unknown[]) => !isWanted || new Set(list.map(item => JSON.stringify(sorted(item)))).size === list.length
  })
  // Ajv's own calls `valueOf` and `toString` of what it compares, which may be members of the value that are no functions.
  for (const keyword of ['const', 'enum'] as const) ajv.removeKeyword(keyword)
  ajv.addKeyword({ keyword: 'const', errors: false, error: { message: 'must be equal to constant', params: ({ schemaCode }) => _`{allowedValue: ${schemaCode}}` }, compile: (wanted: unknown) => isOneOf([wanted]) })
  ajv.addKeyword({ keyword: 'enum', schemaType: 'array', errors: false, error: { message: 'must be equal to one of the allowed values', params: ({ schemaCode }) => _`{allowedValues: ${schemaCode}}` }, compile: isOneOf })
  return ajv
}

/** Is a JSON value the same as one of these? */
function isOneOf (wanted: readonly unknown[]): (value: unknown) => boolean {
  const plain = new Set(wanted.filter(one => typeof one !== 'object' || one === null))
  const texts = new Set(wanted.filter(one => typeof one === 'object' && one !== null).map(one => JSON.stringify(sorted(one))))
  return value => typeof value === 'object' && value !== null ? texts.size > 0 && texts.has(JSON.stringify(sorted(value))) : plain.has(value)
}

/** A JSON value with the members of its objects in one order. */
function sorted (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  return isObject(value) ? Object.entries(value).sort(([one], [other]) => one < other ? -1 : 1).map(([name, member]) => [name, sorted(member), '']) : value
}
