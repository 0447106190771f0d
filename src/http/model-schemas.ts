// The schemas of models as components of OpenAPI documents: each once, under a name of its own. Nothing is checked by them.

import { annotations, definitionOf, holders, objectOf, type JsonSchema } from '../models/json-schema.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { isObject } from '../schema.ts'

type Json = Readonly<Record<string, unknown>>

/** The components that a model has in a document: all of them by name, and which of them are its input, its input at fal's doors, and its output. */
export interface ModelComponents {
  readonly schemas: Readonly<Record<string, Json>>
  readonly input: string
  /** As wide as fal's doors are: fields that the model does not have are left out there, and null stands for a field that is left out. */
  readonly falInput: string
  /** `null`: the output is not typed. */
  readonly output: string | null
}

/** How a component refers to another one by its name: documents are put together in more than one way. */
type RefTo = (name: string) => string

/** The components of one model, under names that begin with `prefix`: that of another one may be the same. */
export function componentsOf (model: Model, refTo: RefTo, prefix = pascalCase(model.endpointId)): ModelComponents {
  const input = `${prefix}Input`
  const output = `${prefix}Output`
  const { name, schema, definitions } = standing(withSeedText(model.input, SEED_IN), input, refTo)
  const falInput = `${prefix}FalInput`
  const answer = model.output === null ? null : standing(withSeedText(model.output, SEED_OUT), output, refTo)
  return {
    schemas: {
      [name]: schema,
      [falInput]: widened(schema, model.nullsLeftOut),
      ...definitions,
      ...answer === null ? {} : { [answer.name]: answer.schema, ...answer.definitions }
    },
    input,
    falInput,
    output: answer === null ? null : output
  }
}

/** The models that the document of the gateway describes, with their components in it. Where two would have the same names, those of the second have a number. */
export function described ({ documented }: Pick<ModelBook, 'documented'>): ReadonlyArray<{ readonly model: Model, readonly components: ModelComponents }> {
  const taken = new Set<string>()
  return documented.map(model => {
    const prefix = pascalCase(model.endpointId)
    let components = componentsOf(model, toShared, prefix)
    for (let nth = 2; Object.keys(components.schemas).some(name => taken.has(name)); nth++) components = componentsOf(model, toShared, `${prefix}${nth}`)
    for (const name of Object.keys(components.schemas)) taken.add(name)
    return { model, components }
  })
}

/** How schemas that Fastify knows by name refer to each other. */
function toShared (name: string): string {
  return `${name}#`
}

const INT32 = { lowest: -(2 ** 31), highest: 2 ** 31 - 1 }
const INT64_HIGHEST = 2 ** 63

/**
 * A schema whose whole numbers are said to have 64 bits where they may have more than 32: generated clients take an integer without a format for one of 32 bits,
 * and fail on an answer that was paid for.
 */
export function withWideIntegers (schema: Json): Json {
  const copy = mapSchemas(schema, withWideIntegers)
  const types = [copy['type']].flat().filter(type => type !== 'null')
  return types.length === 1 && types[0] === 'integer' && copy['format'] === undefined && !fitsInt32(copy) ? { ...copy, format: 'int64' } : copy
}

function fitsInt32 ({ enum: values, const: constant, minimum, exclusiveMinimum, maximum, exclusiveMaximum }: Json): boolean {
  const fits = (value: unknown): boolean => typeof value === 'number' && value >= INT32.lowest && value <= INT32.highest
  if (Array.isArray(values)) return values.every(value => value === null || fits(value))
  return fits(constant) || ([minimum, exclusiveMinimum].some(fits) && [maximum, exclusiveMaximum].some(fits))
}

const SEED_IN = '`int64` is for generated clients: a longer seed is taken as well, from clients that write all its digits.'
const SEED_OUT = '`int64` is for generated clients. A longer seed comes with all its digits, and as text in `seed` of `GET /generations/{id}`.'

/** The schema with a sentence about the top-level seed, where that may be longer than 64 bits. */
function withSeedText (schema: JsonSchema, sentence: string): JsonSchema {
  const properties = objectOf(schema['properties'])
  const seed = properties['seed']
  if (!isObject(seed) || !mayBeLong(seed, schema, 0)) return schema
  const description = typeof seed['description'] === 'string' ? `${seed['description']} ${sentence}` : sentence
  return { ...schema, properties: { ...properties, seed: { ...seed, description } } }
}

/** References of a document may form a circle, so depth is bounded. */
function mayBeLong (schema: unknown, root: JsonSchema, depth: number): boolean {
  if (!isObject(schema) || depth > 4) return false
  const { type, format, maximum, exclusiveMaximum, enum: values, $ref } = schema
  const isBounded = format !== undefined || values !== undefined || [maximum, exclusiveMaximum].some(bound => typeof bound === 'number' && bound < INT64_HIGHEST)
  if ([type].flat().includes('integer')) return !isBounded
  return mayBeLong(definitionOf(root, $ref), root, depth + 1) || ['anyOf', 'oneOf'].some(word => {
    const branches = schema[word]
    return Array.isArray(branches) && branches.slice(0, 16).some(branch => mayBeLong(branch, root, depth + 1))
  })
}

/** The input as fal's doors take it. */
function widened (input: Json, nullsLeftOut: Model['nullsLeftOut']): Json {
  const { title, ...rest } = input
  const required = [input['required'] ?? []].flat()
  const isNullable = (name: string): boolean => nullsLeftOut === 'optional' ? !required.includes(name) : name === 'seed'
  const properties = Object.entries(objectOf(input['properties'])).map(([name, schema]) => [name, isNullable(name) && isObject(schema) ? orNull(schema) : schema])
  return { ...rest, properties: Object.fromEntries(properties), additionalProperties: true }
}

/** A schema that takes null, too; what it says of the field stays beside the choice. */
function orNull (schema: Json): Json {
  const branches = [schema, ...[schema['anyOf'] ?? [], schema['oneOf'] ?? []].flat().filter(isObject)]
  if (branches.some(({ type }) => [type].flat().includes('null'))) return schema
  const beside = Object.entries(schema).filter(([word]) => annotations.has(word))
  const within = Object.entries(schema).filter(([word]) => !annotations.has(word))
  return within.length === 0 ? schema : { anyOf: [Object.fromEntries(within), { type: 'null' }], ...Object.fromEntries(beside) }
}

/** A schema as components: itself under `name`, and what it refers to under names that begin with it. */
function standing (whole: JsonSchema, name: string, refTo: RefTo): { readonly name: string, readonly schema: Json, readonly definitions: Readonly<Record<string, Json>> } {
  const { $defs: definitions, ...rest } = whole
  const inner = Object.entries(objectOf(definitions))
  const names = new Map<string, string>()
  const taken = new Set<string>()
  for (const [key] of inner) {
    let wanted = name + pascalCase(key)
    for (let nth = 2; taken.has(wanted); nth++) wanted = `${name}${pascalCase(key)}${nth}`
    taken.add(wanted)
    names.set(key, wanted)
  }
  const moved = (schema: Json): Json => {
    const copy = mapSchemas(schema, moved)
    const reference = copy['$ref']
    const target = typeof reference === 'string' ? names.get(reference.replace('#/$defs/', '').replaceAll('~1', '/').replaceAll('~0', '~')) : undefined
    return target === undefined ? copy : { ...copy, $ref: refTo(target) }
  }
  const component = (schema: unknown): Json => isObject(schema) ? moved(withWideIntegers(schema)) : schema === false ? { not: {} } : {}
  return { name, schema: component(rest), definitions: Object.fromEntries(inner.map(([key, part]) => [names.get(key) ?? key, component(part)])) }
}

/** A copy of a schema with other schemas inside it. What is no schema, such as a default, stays. */
function mapSchemas (schema: Json, change: (inner: Json) => Json): Json {
  const changed = (value: unknown): unknown => isObject(value) ? change(value) : value
  return Object.fromEntries(Object.entries(schema).map(([word, value]) => {
    const held = holders.get(word)
    if (held === 'one') return [word, changed(value)]
    if (held === 'list' && Array.isArray(value)) return [word, value.map(changed)]
    if ((held === 'by-name' || word === '$defs') && isObject(value)) return [word, Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, changed(inner)]))]
    return [word, value]
  }))
}

/** `fal-ai/nano-banana-2` → `FalAiNanoBanana2`: of the whole id, since owners share the rest of theirs. */
function pascalCase (text: string): string {
  return text.split(/[^A-Za-z0-9]+/).map(word => word.slice(0, 1).toUpperCase() + word.slice(1)).join('')
}
