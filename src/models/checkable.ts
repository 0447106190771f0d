// The part of an input's schema that checks something, its words known and its size bounded, field by field: what a compiler can take without a surprise.

import { isLinearPattern, isObject } from '../schema.ts'
import { annotations, definitionOf, holders, type JsonSchema } from './json-schema.ts'

/** Bounds of an input's schema with every reference followed. */
const MAX_NODES = 4_000
const MAX_DEPTH = 64
/** Words, values of enums and names of fields, with every reference followed. */
const MAX_WEIGHT = 50_000

/** A document whose input cannot be used; the message is one sentence. */
export class UnusableInput extends Error {}

/** A schema that can be compiled. */
export interface Checkable {
  readonly schema: JsonSchema
  /** How much there is to check, and to find wrong, at one value: it bounds how many values are checked. */
  readonly weight: number
  /** How many times a text may be measured. */
  readonly measures: number
}

/** An input whose schema can be compiled. */
export interface CheckableInput {
  readonly fields: ReadonlyMap<string, Checkable>
  readonly required: readonly string[]
  /** What the input as a whole has to be, besides an object with its fields; `null`: nothing. */
  readonly whole: Checkable | null
  readonly definitions: Readonly<Record<string, JsonSchema>>
}

/** Words that check nothing here. Formats are such: draft 2020-12 lets them annotate, and nothing is known of which of them fal checks. */
const silent = new Set([...annotations, '$schema', 'format', 'contentEncoding', 'contentMediaType', 'contentSchema', 'discriminator', 'limit_description', 'ui'])

const types = new Set<unknown>(['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'])

/** Words with a value that is no schema, and what it has to be. */
const values: Readonly<Record<string, (value: unknown) => boolean>> = {
  type: value => types.has(value) || (Array.isArray(value) && value.length > 0 && value.length <= types.size && value.every(type => types.has(type))),
  enum: value => Array.isArray(value) && value.length > 0,
  const: () => true,
  minimum: isNumber,
  maximum: isNumber,
  exclusiveMinimum: isNumber,
  exclusiveMaximum: isNumber,
  multipleOf: value => isNumber(value) && value > 0,
  minLength: isCount,
  maxLength: isCount,
  minItems: isCount,
  maxItems: isCount,
  minProperties: isCount,
  maxProperties: isCount,
  minContains: isCount,
  maxContains: isCount,
  uniqueItems: value => typeof value === 'boolean',
  required: isNames,
  dependentRequired: value => isObject(value) && Object.values(value).every(isNames),
  pattern: value => typeof value === 'string'
}

/** Words of the input itself that are checked name by name, before anything is compiled. Fields that it does not name never get as far as `additionalProperties`. */
const ofFields = new Set(['type', 'properties', 'required', 'additionalProperties', 'unevaluatedProperties', '$defs'])

/** Reads what of an input's schema checks something. Throws `UnusableInput`. */
export function checkableInput (input: JsonSchema): CheckableInput {
  const properties = input['properties']
  if (!isObject(properties)) throw new UnusableInput('The input has no properties.')
  if (Object.hasOwn(properties, '__proto__')) throw new UnusableInput('The input has a field named "__proto__", which no JSON library treats alike.')
  const reader = new Reader(input)
  const fields = new Map(Object.entries(properties).map(([name, schema]) => [name, reader.part(schema, `The field ${quoted(name)} of the input`)]))
  const rest = Object.entries(input).filter(([word]) => !ofFields.has(word))
  const whole = reader.part(Object.fromEntries(rest), 'The input')
  const required: unknown = input['required'] ?? []
  if (!isNames(required)) throw new UnusableInput('The input has a "required" that is no list of names.')
  const unnamed = required.find(name => !fields.has(name))
  if (unnamed !== undefined) throw new UnusableInput(`The input requires ${quoted(unnamed)}, which is none of its fields.`)
  return { fields, required, whole: Object.keys(whole.schema).length === 0 ? null : whole, definitions: reader.definitions }
}

/** A part that was read, with the schemas in it and how deep they nest, references followed. */
interface Part extends Checkable { readonly nodes: number, readonly depth: number }

class Reader {
  readonly #root: JsonSchema
  readonly #found = new Map<string, Part & { readonly reference: string }>()
  readonly #open = new Set<string>()
  readonly #patterns = new Map<string, boolean>()
  #nodes = 0
  #what = ''

  constructor (root: JsonSchema) {
    this.#root = root
  }

  /** What references lead to, as far as they were met. */
  get definitions (): Readonly<Record<string, JsonSchema>> {
    return Object.fromEntries([...this.#found.values()].map(({ reference, schema }) => [reference, schema]))
  }

  part (schema: unknown, what: string): Checkable {
    this.#what = what
    const part = this.#read(schema, 0)
    this.#nodes += part.nodes
    if (this.#nodes > MAX_NODES) throw new UnusableInput('The input schema is too large.')
    return part
  }

  #read (schema: unknown, depth: number): Part {
    if (depth > MAX_DEPTH) throw new UnusableInput(`${this.#what} is too deep.`)
    // `false` allows nothing.
    if (typeof schema === 'boolean') return { schema: schema ? {} : { not: {} }, weight: 1, measures: 0, nodes: 1, depth: 1 }
    if (!isObject(schema)) throw new UnusableInput(`${this.#what} has something that is no schema.`)
    let [weight, measures, nodes, inner] = [1, 0, 1, 0]
    const add = (part: Part): void => {
      weight += part.weight
      measures += part.measures
      nodes += part.nodes
      inner = Math.max(inner, part.depth)
      if (nodes > MAX_NODES || weight > MAX_WEIGHT) throw new UnusableInput('The input schema is too large.')
      // What was reached before on a shorter way may be too deep on this one.
      if (depth + inner > MAX_DEPTH) throw new UnusableInput(`${this.#what} is too deep.`)
    }
    const read = (part: unknown): JsonSchema => {
      const found = this.#read(part, depth + 1)
      add(found)
      return found.schema
    }
    const kept: (readonly [string, unknown])[] = []
    for (const [word, value] of Object.entries(schema)) {
      // `nullable` is read below, `$defs` where something refers to it.
      if (silent.has(word) || /^(x-|_)/.test(word) || word === '$defs' || word === 'nullable') continue
      if (word === '$ref') {
        const target = this.#follow(value, depth + 1)
        add(target)
        kept.push([word, `#/$defs/${target.reference}`])
      } else if (holders.get(word) === 'one') kept.push([word, read(value)])
      else if (holders.get(word) === 'list') {
        if (!Array.isArray(value) || value.length === 0) throw this.#malformed(word)
        kept.push([word, value.map(read)])
      } else if (holders.get(word) === 'by-name') {
        if (!isObject(value)) throw this.#malformed(word)
        if (word === 'patternProperties') {
          for (const pattern of Object.keys(value)) this.#checkPattern(pattern)
          measures += Object.keys(value).length
        }
        kept.push([word, Object.fromEntries(Object.entries(value).map(([name, part]) => [name, read(part)]))])
      } else {
        const isFit = Object.hasOwn(values, word) ? values[word] : undefined
        if (isFit === undefined) throw new UnusableInput(`${this.#what} uses the word ${quoted(word)}, which is not known.`)
        if (!isFit(value)) throw this.#malformed(word)
        if (word === 'pattern') this.#checkPattern(String(value))
        if (word === 'minLength' || word === 'maxLength') measures++
        weight += sizeOf(value)
        kept.push([word, value])
      }
    }
    if (weight > MAX_WEIGHT) throw new UnusableInput('The input schema is too large.')
    const plain = Object.fromEntries(kept)
    // The word of OpenAPI 3.0. Its standard asks for a `type` beside it, and for null in an enum; what it is meant to say is plain without.
    const isNullable = schema['nullable'] === true
    return { schema: isNullable ? { anyOf: [plain, { type: 'null' }] } : plain, weight: weight + (isNullable ? 2 : 0), measures, nodes, depth: inner + 1 + (isNullable ? 1 : 0) }
  }

  /** What a reference leads to. Its name is a number: names of documents may need escapes. */
  #follow (reference: unknown, depth: number): Part & { readonly reference: string } {
    const target = definitionOf(this.#root, reference)
    if (typeof reference !== 'string' || target === undefined) throw new UnusableInput(`${this.#what} has a reference that leads nowhere.`)
    const known = this.#found.get(reference)
    if (known !== undefined) return known
    if (this.#open.has(reference)) throw new UnusableInput(`${this.#what} refers to itself.`)
    this.#open.add(reference)
    const found = { ...this.#read(target, depth), reference: String(this.#found.size) }
    this.#open.delete(reference)
    this.#found.set(reference, found)
    return found
  }

  #checkPattern (pattern: string): void {
    const isLinear = this.#patterns.get(pattern) ?? isLinearPattern(pattern)
    this.#patterns.set(pattern, isLinear)
    if (!isLinear) throw new UnusableInput(`${this.#what} has a pattern that cannot be checked in bounded time.`)
  }

  #malformed (word: string): UnusableInput {
    return new UnusableInput(`${this.#what} has a ${quoted(word)} that is none.`)
  }
}

function isNumber (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isCount (value: unknown): boolean {
  return isNumber(value) && Number.isInteger(value) && value >= 0
}

function isNames (value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(name => typeof name === 'string')
}

/** How many values a value is made of. It is never deep: the whole document is bounded. */
function sizeOf (value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce<number>((sum, part) => sum + sizeOf(part), 1)
}

/** A text of the document inside a sentence: short, and without characters that could forge a line. */
function quoted (text: string): string {
  return JSON.stringify((text.length > 100 ? text.slice(0, 100) + '…' : text).toWellFormed())
}
