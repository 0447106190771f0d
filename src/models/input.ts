// The input of a model that came as a document: a body in; faults, or exactly what is sent, out.

import { closest, distance } from 'fastest-levenshtein'
import type { FieldFault } from '../errors.ts'
import { compileForeign, isObject, placeOf, pointerTo } from '../schema.ts'
import { definitionOf, type JsonSchema } from './json-schema.ts'

/** More faults than these are not listed. */
const MAX_FAULTS = 20
/** Bounds of a schema with every reference followed, and of a body: they bound the time of a check and the number of faults that it finds. */
const MAX_NODES = 4_000
const MAX_DEPTH = 64
const MAX_VALUES = 10_000

/** What becomes of a body. */
export type ReadInput = { readonly ok: true, readonly given: Readonly<Record<string, unknown>>, readonly sent: Readonly<Record<string, unknown>>, readonly leftOut: readonly string[] } | { readonly ok: false, readonly faults: readonly FieldFault[] }

/** Reads the bodies of one model. */
export interface InputReader {
  /** `sentDefaults`: fields whose valid default is sent where the body leaves them out. */
  readonly read: (body: Readonly<Record<string, unknown>>, options: { readonly unknownFields: 'refuse' | 'leave-out', readonly sentDefaults: readonly string[] }) => ReadInput
  /** The defaults of all fields that have one which the schema itself allows. */
  readonly defaults: ReadonlyMap<string, unknown>
}

/** A document whose input cannot be used; the message is one sentence. */
export class UnusableInput extends Error {}

/** Words that tell people and forms something, and check nothing. Formats, too: fal's are its own words, and draft 2020-12 lets them annotate. */
const ANNOTATIONS = new Set(['title', 'description', 'examples', 'example', 'default', 'deprecated', 'format', 'readOnly', 'writeOnly', '$comment', '$schema',
  'limit_description', 'ui', '_fal_ui_field'])
const ONE = new Set(['items', 'additionalProperties', 'not', 'contains', 'propertyNames', 'if', 'then', 'else', 'unevaluatedProperties', 'unevaluatedItems'])
const LIST = new Set(['anyOf', 'oneOf', 'allOf', 'prefixItems'])
const MAP = new Set(['properties', 'patternProperties', '$defs', 'dependentSchemas'])
/** Words that change how other words are found or checked; no document of fal has them. */
const REFUSED = new Set(['$async', '$id', '$anchor', '$dynamicRef', '$dynamicAnchor', '$recursiveRef', '$vocabulary', 'uniqueItems'])

/** Makes the reader of a model's input. Throws `UnusableInput` where the schema cannot be used. */
export function createInputReader ({ input }: { readonly input: JsonSchema }): InputReader {
  const properties = input['properties']
  if (!isObject(properties)) throw new UnusableInput('The input has no properties.')
  checkWeight(input)
  const check = compile(slim(input))
  const names = Object.keys(properties)
  const nullable = new Set(names.filter(name => takesNull(properties[name], input)))
  const required = new Set(Array.isArray(input['required']) ? input['required'] : [])
  const defaults = new Map(names.flatMap(name => {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (!isObject(schema) || !Object.hasOwn(schema, 'default') || numberFaults({ [name]: schema['default'] }).length > 0) return []
    check({ [name]: schema['default'] })
    const isValid = !(check.errors ?? []).some(error => isWithin(error.instancePath, `/${pointerTo(name)}`))
    return isValid ? [[name, schema['default']] as const] : []
  }))
  return {
    defaults,
    read (body, { unknownFields, sentDefaults }) {
      const odd = numberFaults(body)
      if (odd.length > 0) return { ok: false, faults: odd }
      const unknown = Object.keys(body).filter(name => !Object.hasOwn(properties, name))
      const faults = unknownFields === 'refuse' ? unknown.slice(0, MAX_FAULTS).map(name => unknownField(name, names)) : []
      const given = Object.entries(body).filter(([name, value]) =>
        Object.hasOwn(properties, name) && (value !== null || nullable.has(name) || required.has(name)))
      const sent: Record<string, unknown> = Object.fromEntries(given)
      for (const name of sentDefaults) if (!Object.hasOwn(sent, name) && defaults.has(name)) sent[name] = structuredClone(defaults.get(name))
      if (check(sent) && faults.length === 0) return { ok: true, given: Object.fromEntries(given), sent, leftOut: unknown }
      const errors = check.errors ?? []
      const unions = errors.filter(({ keyword }) => keyword === 'anyOf' || keyword === 'oneOf').slice(0, MAX_FAULTS)
      const told = errors.filter(error => !unions.some(union => union !== error && isWithin(error.instancePath, union.instancePath)))
      return { ok: false, faults: [...faults, ...told.slice(0, MAX_FAULTS).map(faultOf)].slice(0, MAX_FAULTS) }
    }
  }
}

function compile (schema: JsonSchema): ReturnType<typeof compileForeign> {
  try {
    return compileForeign(schema)
  } catch (error) {
    throw new UnusableInput('The input schema cannot be compiled: it has a word, a reference or a pattern that is not understood.', { cause: error })
  }
}

function isWithin (path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}/`)
}

/** The schemas right below one, without names of fields. */
function below (schema: JsonSchema): readonly unknown[] {
  return Object.entries(schema).flatMap(([word, value]) =>
    ONE.has(word) ? [value] : LIST.has(word) && Array.isArray(value) ? value : MAP.has(word) && word !== '$defs' && isObject(value) ? Object.values(value) : [])
}

/** Bounds a schema with its references followed: deep, wide, circular and doubling ones are refused before anything compiles them. */
function checkWeight (root: JsonSchema): void {
  const weights = new Map<unknown, number>()
  const open = new Set<unknown>()
  const weigh = (schema: unknown, depth: number): number => {
    if (!isObject(schema)) return 1
    if (depth > MAX_DEPTH) throw new UnusableInput('The input schema is too deep.')
    if (open.has(schema)) throw new UnusableInput('The input schema refers to itself.')
    const known = weights.get(schema)
    if (known !== undefined) return known
    const refused = Object.keys(schema).find(word => REFUSED.has(word))
    if (refused !== undefined) throw new UnusableInput(`The input schema uses ${refused}, which is not supported.`)
    open.add(schema)
    let weight = 1
    const ref = schema['$ref']
    const target = typeof ref === 'string' ? definitionOf(root, ref) : undefined
    if (ref !== undefined && target === undefined) throw new UnusableInput('A reference of the input schema leads nowhere.')
    for (const child of target === undefined ? below(schema) : [...below(schema), target]) {
      weight += weigh(child, depth + 1)
      if (weight > MAX_NODES) throw new UnusableInput('The input schema is too large.')
    }
    open.delete(schema)
    weights.set(schema, weight)
    return weight
  }
  weigh(root, 0)
  const definitions = root['$defs']
  for (const definition of isObject(definitions) ? Object.values(definitions) : []) weigh(definition, 0)
}

/** A schema with nothing but what checks: a word that is not known stays, and is refused by the compiler. */
function slim (schema: unknown): JsonSchema {
  if (!isObject(schema)) throw new UnusableInput('The input schema holds something that is no schema.')
  return Object.fromEntries(Object.entries(schema).filter(([word]) => !ANNOTATIONS.has(word) && !word.startsWith('x-')).map(([word, value]) => {
    if (ONE.has(word)) return [word, slimOrFlag(value)]
    if (LIST.has(word) && Array.isArray(value)) return [word, value.map(slimOrFlag)]
    if (MAP.has(word) && isObject(value)) return [word, Object.fromEntries(Object.entries(value).map(([name, one]) => [name, slimOrFlag(one)]))]
    return [word, value]
  }))
}

function slimOrFlag (schema: unknown): unknown {
  return typeof schema === 'boolean' ? schema : slim(schema)
}

/** Does a schema allow null? It is no circle: that was checked. */
function takesNull (schema: unknown, root: JsonSchema): boolean {
  if (!isObject(schema)) return schema === true
  const { type, anyOf, oneOf, allOf, $ref } = schema
  if (type !== undefined && ![type].flat().includes('null') && schema['nullable'] !== true) return false
  if (Array.isArray(schema['enum']) && !schema['enum'].includes(null)) return false
  if (Object.hasOwn(schema, 'const') && schema['const'] !== null) return false
  if (Array.isArray(anyOf) && !anyOf.some(one => takesNull(one, root))) return false
  if (Array.isArray(oneOf) && !oneOf.some(one => takesNull(one, root))) return false
  if (Array.isArray(allOf) && !allOf.every(one => takesNull(one, root))) return false
  return typeof $ref !== 'string' || takesNull(definitionOf(root, $ref), root)
}

/** Numbers whose digits parsing has lost, texts that cannot be sent as UTF-8, and bodies that are too deep or hold too much. The top-level `seed` has its digits beside it. */
function numberFaults (body: Readonly<Record<string, unknown>>): readonly FieldFault[] {
  const faults: FieldFault[] = []
  let count = 0
  const visit = (value: unknown, path: string, depth: number): void => {
    if (faults.length >= MAX_FAULTS) return
    if (++count > MAX_VALUES || depth > MAX_DEPTH) {
      faults.splice(0, Infinity, ...Array.from({ length: MAX_FAULTS }, () => ({ path: '', message: 'is too deep or holds too many values', code: 'too_large' })))
    } else if (typeof value === 'number') {
      if (path !== '/seed' && !Number.isSafeInteger(value) && (Number.isInteger(value) || !Number.isFinite(value))) faults.push({ path, message: 'must not be beyond 2^53: its digits would be lost', code: 'not_exact' })
    } else if (typeof value === 'string') {
      if (!value.isWellFormed()) faults.push({ path, message: 'must be well-formed Unicode, without lone surrogates', code: 'not_well_formed' })
    } else if (Array.isArray(value)) {
      for (const [index, one] of value.entries()) visit(one, `${path}/${index}`, depth + 1)
    } else if (isObject(value)) {
      for (const [name, one] of Object.entries(value)) visit(one, `${path}/${pointerTo(name).slice(0, 100)}`, depth + 1)
    }
  }
  visit(body, '', 0)
  return faults[0]?.code === 'too_large' ? faults.slice(0, 1) : faults
}

function unknownField (name: string, names: readonly string[]): FieldFault {
  const nearest = name.length <= 64 && names.length > 0 ? closest(name, [...names]) : null
  const isNear = nearest !== null && distance(name, nearest) <= Math.max(1, Math.floor(name.length / 3))
  return { path: `/${pointerTo(name).slice(0, 100)}`, message: `is not a field of this model${isNear ? `; the nearest one is ${nearest}` : ''}`, code: 'unknown_field' }
}

const codes: Readonly<Record<string, string>> = {
  required: 'missing', additionalProperties: 'unknown_field', type: 'wrong_type', enum: 'one_of', const: 'one_of', minLength: 'sequence_too_short', maxLength: 'sequence_too_long', minimum: 'greater_than_equal', maximum: 'less_than_equal'
}

function faultOf (error: NonNullable<ReturnType<typeof compileForeign>['errors']>[number]): FieldFault {
  const allowed: unknown = error.params['allowedValues']
  const message = error.keyword === 'required' ? 'is missing' : Array.isArray(allowed) ? `must be one of ${JSON.stringify(allowed).slice(0, 500)}` : error.message ?? 'is not valid'
  return { path: placeOf(error), message, code: codes[error.keyword] ?? error.keyword }
}
