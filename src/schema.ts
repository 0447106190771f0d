// The one validator: schemas are built with TypeBox, and checked here with Ajv. Each is compiled when it is first needed.

import type { Static, TSchema } from '@sinclair/typebox'
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
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
export type ValidatorError = Pick<ErrorObject, 'keyword' | 'instancePath' | 'message'> & { readonly params: Readonly<Record<string, unknown>> }

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

let meta: Ajv2020 | null = null

/** Patterns of others run in linear time. One that cannot (lookahead, back reference) is an error. */
const linear = Object.assign((pattern: string) => {
  const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern))
  return { test: (text: string) => compiled.matcher(text).find(), toString: () => pattern }
}, { code: 'linear' })

/**
 * Compiles a schema of draft 2020-12 that somebody else wrote. Strict; values stay what they are; every fault is found. Throws where it cannot be compiled.
 * A validator of its own for each, so that what is dropped leaves nothing behind.
 */
export function compileForeign (schema: Readonly<Record<string, unknown>>): ValidateFunction {
  meta ??= new Ajv2020({ validateFormats: false })
  if (meta.validateSchema({ ...schema }) !== true) throw new Error('not a schema of draft 2020-12')
  return new Ajv2020({
    strict: true,
    strictTypes: false,
    strictTuples: false,
    allErrors: true,
    meta: false,
    validateSchema: false,
    validateFormats: false,
    addUsedSchema: false,
    useDefaults: false,
    coerceTypes: false,
    removeAdditional: false,
    logger: false,
    code: { regExp: linear }
  }).compile({ ...schema })
}
