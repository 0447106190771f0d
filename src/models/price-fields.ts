// What a document says of the fields that a price rule reads: the highest number, the longest text, the largest picture, which values there are.
//
// Everything here errs to one side. A constraint that is not understood is left out, which makes what is allowed wider and a bound higher, or gives none.

import { isObject } from '../schema.ts'
import { definitionOf, holders, objectOf } from './json-schema.ts'
import { sizeWords, type PresetSize } from './usual-fields.ts'

/** The part of a model's document that prices are about. */
export interface PricedDocument {
  /** A JSON schema with `properties`, whose references lead to `#/$defs/<name>` of itself. */
  readonly input: Readonly<Record<string, unknown>>
}

type Schema = Readonly<Record<string, unknown>>

/** An upper bound, or `null` where there is none. */
export type Bound = bigint | null

/** Reads one document. What it found is kept. */
export interface FieldReader {
  /** The names of all fields. */
  readonly names: readonly string[]
  readonly has: (field: string) => boolean
  readonly isRequired: (field: string) => boolean
  /** The highest number that a field may hold, rounded up. */
  readonly highest: (field: string) => Bound
  /** The longest text that a field may hold, in UTF-16 units. */
  readonly longest: (field: string) => Bound
  /** Every value that the field's enum names, as texts, without `null`; `null` where others are allowed as well. */
  readonly words: (field: string) => ReadonlySet<string> | null
  /** May the field hold this value, written as text? */
  readonly allows: (field: string, value: string) => boolean
  /** The most pixels that a field like `image_size` may ask for. */
  readonly mostPixels: (field: string, sizes: ReadonlyMap<string, PresetSize>) => Bound
  /** The pixels that this value of it asks for. */
  readonly pixelsOf: (field: string, value: unknown, sizes: ReadonlyMap<string, PresetSize>) => Bound
  /** The fields that hold a field of this name further inside, and whether they have a default: the inner one may override the outer. */
  readonly holdersOf: (field: string) => readonly { readonly field: string, readonly hasDefault: boolean }[]
  /** The fields, at any depth, that take pictures or videos. */
  readonly pictureInputs: readonly string[]
  /** The fields, at any depth, that take files of any kind: at an address, or as a `data:` address that holds them. */
  readonly fileInputs: readonly string[]
}

/** More steps than any real document takes; beyond it nothing is bounded. */
const MAX_STEPS = 20_000

/** More ways to satisfy one field than any real document has. */
const MAX_BRANCHES = 500

/** Models round sides up to multiples of 16 or 32 before they draw, and what is drawn is what is billed. */
const SIDE_MULTIPLE = 32n

const readers = new WeakMap<PricedDocument, FieldReader>()

/** The reader of a document: one for each. */
export function fieldReaderOf (document: PricedDocument): FieldReader {
  const known = readers.get(document)
  if (known !== undefined) return known
  const reader = createFieldReader(document)
  readers.set(document, reader)
  return reader
}

function createFieldReader ({ input }: PricedDocument): FieldReader {
  const properties = objectOf(input['properties'])
  const names = Object.keys(properties)
  const required = new Set<unknown>(Array.isArray(input['required']) ? input['required'] : [])
  const branches = memo(field => branchesOf(Object.hasOwn(properties, field) ? properties[field] : {}))
  const inner = memo(field => insideOf(properties[field]))

  return {
    names,
    has: field => Object.hasOwn(properties, field),
    isRequired: field => required.has(field),
    highest: memo(field => highestOf(branches(field))),
    longest: memo(field => longestOf(branches(field))),
    words: memo(field => wordsOf(branches(field))),
    allows: (field, value) => branches(field).some(branch => branchAllows(branch, value)),
    mostPixels: (field, sizes) => mostPixelsOf(branches(field), sizes),
    pixelsOf: (field, value, sizes) => pixelsOf(branches(field), value, sizes),
    holdersOf: memo(field => names
      .filter(name => inner(name).some(found => found.name === field))
      .map(name => ({ field: name, hasDefault: (objectOf(properties[name])['default'] ?? null) !== null }))),
    get fileInputs () {
      return [...new Set(names.flatMap(name => [{ name, schema: properties[name] }, ...inner(name)])
        .filter(({ name, schema }) => takesFiles(name, branchesOf(schema)))
        .map(({ name }) => name))]
    },
    get pictureInputs () {
      return [...new Set(names.flatMap(name => [{ name, schema: properties[name] }, ...inner(name)])
        .filter(({ name, schema }) => takesPictures(name, branchesOf(schema)))
        .map(({ name }) => name))]
    }
  }

  function resolve (reference: unknown): unknown {
    return definitionOf(input, reference)
  }

  /** The ways to satisfy a schema, each a list of plain schemas that hold together. */
  function branchesOf (whole: unknown): readonly Branch[] {
    let steps = 0
    const trail = new Set<unknown>()
    return walk(whole)

    function walk (schema: unknown): readonly Branch[] {
      if (schema === false) return []
      // A schema inside itself is not followed: what it would forbid stays allowed.
      if (!isObject(schema) || trail.has(schema) || ++steps > MAX_STEPS) return [[{}]]
      trail.add(schema)
      let found: readonly Branch[] = [[schema]]
      if (Object.hasOwn(schema, '$ref')) found = both(found, walk(resolve(schema['$ref'])))
      for (const part of listOf(schema['allOf'])) found = both(found, walk(part))
      for (const word of ['anyOf', 'oneOf']) {
        if (Array.isArray(schema[word])) found = both(found, listOf(schema[word]).flatMap(part => walk(part)))
      }
      trail.delete(schema)
      return found
    }
  }

  function both (left: readonly Branch[], right: readonly Branch[]): readonly Branch[] {
    if (left.length * right.length > MAX_BRANCHES) return [[{}]]
    return left.flatMap(one => right.map(other => [...one, ...other]))
  }

  /** The properties below a schema, at any depth. */
  function insideOf (whole: unknown): readonly { readonly name: string, readonly schema: unknown }[] {
    const found: { name: string, schema: unknown }[] = []
    const seen = new Set<unknown>()
    const open: unknown[] = [whole]
    while (open.length > 0) {
      const schema = open.pop()
      if (!isObject(schema) || seen.has(schema) || seen.size > MAX_STEPS) continue
      seen.add(schema)
      // Most schemas have one or two of these words, and it is done for each field of each model.
      for (const word in schema) {
        const part = schema[word]
        if (word === '$ref') open.push(resolve(part))
        else if (word === 'items' || word === 'additionalProperties') open.push(part)
        else if (holders.get(word) === 'list') open.push(...listOf(part))
        else if (word === 'patternProperties') open.push(...Object.values(objectOf(part)))
        else if (word === 'properties') {
          for (const [name, schema] of Object.entries(objectOf(part))) {
            found.push({ name, schema })
            open.push(schema)
          }
        }
      }
    }
    return found
  }

  function pixelsOf (ways: readonly Branch[], value: unknown, sizes: ReadonlyMap<string, PresetSize>): Bound {
    if (isOpen(value)) return mostPixelsOf(ways, sizes)
    if (typeof value === 'string') {
      const size = sizes.get(value) ?? sizeWords.get(value)
      return size === undefined ? null : areaOf(BigInt(size[0]), BigInt(size[1]), ways)
    }
    if (!isObject(value)) return null
    return areaOf(readCount(value['width']) ?? side(ways, 'width'), readCount(value['height']) ?? side(ways, 'height'), ways)
  }

  function mostPixelsOf (ways: readonly Branch[], sizes: ReadonlyMap<string, PresetSize>): Bound {
    return most(ways.flatMap(branch => {
      const values = valuesOf(branch)
      const defaults = branch.map(part => part['default']).filter(value => !isOpen(value)).map(value => pixelsOf(ways, value, sizes))
      if (values !== null) return [...defaults, ...values.filter(value => !isOpen(value)).map(value => pixelsOf(ways, value, sizes))]
      const types = typesOf(branch)
      if (isNull(types)) return defaults
      return [...defaults, types?.size === 1 && types.has('object') ? areaOf(side([branch], 'width'), side([branch], 'height'), [branch]) : null]
    }))
  }

  /** The longest side of the objects that are allowed. */
  function side (ways: readonly Branch[], name: 'width' | 'height'): Bound {
    return most(ways.filter(branch => typesOf(branch)?.has('object') ?? branch.some(part => isObject(part['properties']))).map(branch => {
      const schemas = branch.map(part => objectOf(part['properties'])).filter(parts => Object.hasOwn(parts, name)).map(parts => parts[name])
      return schemas.length === 0 ? null : highestOf(branchesOf({ allOf: schemas }))
    }))
  }
}

/** Schemas that all hold at once. */
type Branch = readonly Schema[]

/** The higher of bounds: `null` when one of them, or the whole, is not bounded. */
function most (bounds: readonly Bound[]): Bound {
  let highest: Bound = null
  for (const bound of bounds) {
    if (bound === null) return null
    if (highest === null || bound > highest) highest = bound
  }
  return highest
}

function highestOf (ways: readonly Branch[]): Bound {
  return most(ways.flatMap(branch => {
    // A default that the document itself does not allow is not sent, and applies at fal all the same.
    const bounds: Bound[] = branch.map(part => part['default']).filter(value => !isOpen(value)).map(readCount)
    const values = valuesOf(branch)
    const types = typesOf(branch)
    if (values !== null) bounds.push(...values.filter(value => !isOpen(value)).map(readCount))
    else if (!isNull(types)) bounds.push(isNumeric(types) ? maximumOf(branch) : null)
    return bounds
  }))
}

function maximumOf (branch: Branch): Bound {
  let lowest: Bound = null
  for (const part of branch) {
    for (const limit of [part['maximum'], part['exclusiveMaximum']]) {
      if (typeof limit !== 'number' || !Number.isFinite(limit)) continue
      const bound = BigInt(Math.max(1, Math.ceil(limit)))
      if (lowest === null || bound < lowest) lowest = bound
    }
  }
  return lowest
}

function longestOf (ways: readonly Branch[]): Bound {
  return most(ways.flatMap(branch => {
    const bounds: Bound[] = branch.map(part => part['default']).filter(value => typeof value === 'string').map(text => BigInt(text.length))
    const values = valuesOf(branch)
    const types = typesOf(branch)
    if (values !== null) bounds.push(...values.filter(value => value !== null).map(value => typeof value === 'string' ? BigInt(value.length) : null))
    else if (!isNull(types)) {
      const limits = branch.map(part => part['maxLength']).filter(limit => typeof limit === 'number' && Number.isFinite(limit) && limit >= 0).map(limit => Math.ceil(Number(limit)))
      // A schema counts code points, of which each may be two UTF-16 units.
      bounds.push(types?.size === 1 && types.has('string') && limits.length > 0 ? 2n * BigInt(Math.min(...limits)) : null)
    }
    return bounds
  }))
}

function wordsOf (ways: readonly Branch[]): ReadonlySet<string> | null {
  const words = new Set<string>()
  for (const branch of ways) {
    const values = valuesOf(branch)
    const types = typesOf(branch)
    if (values !== null) for (const value of values) { if (value !== null) words.add(String(value)) }
    else if (types?.size === 1 && types.has('boolean')) words.add('true').add('false')
    else if (!isNull(types)) return null
  }
  return words
}

function branchAllows (branch: Branch, text: string): boolean {
  const values = valuesOf(branch)
  if (values !== null) return values.some(value => value !== null && String(value) === text)
  const types = typesOf(branch)
  if (types === null || types.has('string')) return true
  if (types.has('boolean') && (text === 'true' || text === 'false')) return true
  if (!isNumeric(types) || !/^-?\d+(\.\d+)?$/.test(text) || (!types.has('number') && text.includes('.'))) return false
  const number = Number(text)
  return branch.every(part => number <= limitOf(part['maximum'], Infinity) && number >= limitOf(part['minimum'], -Infinity) &&
    number < limitOf(part['exclusiveMaximum'], Infinity) && number > limitOf(part['exclusiveMinimum'], -Infinity))
}

function limitOf (limit: unknown, fallback: number): number {
  return typeof limit === 'number' ? limit : fallback
}

/** The values that `enum` and `const` leave; `null` where neither says anything. */
function valuesOf (branch: Branch): readonly unknown[] | null {
  const lists = branch.flatMap(part => [
    ...Array.isArray(part['enum']) ? [listOf(part['enum'])] : [],
    ...Object.hasOwn(part, 'const') ? [[part['const']]] : []
  ])
  const [first, ...others] = lists
  return first === undefined ? null : first.filter(value => others.every(list => list.includes(value)))
}

/** The types that are allowed; `null`: any. */
function typesOf (branch: Branch): ReadonlySet<string> | null {
  const lists = branch.map(part => part['type']).filter(type => typeof type === 'string' || Array.isArray(type)).map(type => Array.isArray(type) ? listOf(type) : [type])
  const [first, ...others] = lists
  if (first === undefined) return null
  // An integer is a number: where one schema says the one and another the other, integers are what both allow.
  const words = first.flatMap(word => word === 'number' ? ['number', 'integer'] : typeof word === 'string' ? [word] : [])
  const kept = words.filter(word => others.every(list => list.includes(word) || (word === 'integer' && list.includes('number'))))
  return new Set(kept)
}

function isNull (types: ReadonlySet<string> | null): boolean {
  return types !== null && [...types].every(type => type === 'null')
}

function isNumeric (types: ReadonlySet<string> | null): boolean {
  return types !== null && [...types].every(type => type === 'integer' || type === 'number' || type === 'null')
}

function areaOf (width: Bound, height: Bound, ways: readonly Branch[]): Bound {
  if (width === null || height === null) return null
  const multiples = [SIDE_MULTIPLE, ...ways.flat().map(part => objectOf(part['x-fal'])['multiple_of']).filter(multiple => Number.isSafeInteger(multiple) && Number(multiple) > 0).map(multiple => BigInt(Number(multiple)))]
  const rounded = (length: bigint): bigint => multiples.map(multiple => (length + multiple - 1n) / multiple * multiple).reduce((one, other) => one > other ? one : other)
  return rounded(width) * rounded(height)
}

const PICTURE = /(^|_)(image|img|picture|photo|mask|video|frame)s?(_\d+)?$/
const PICTURE_ADDRESS = /(image|img|picture|photo|mask|video|frame).*ur[il]/
const ADDRESS = /(^|_)ur[il]s?(_\d+)?$/
const OTHER_ADDRESS = /lora|webhook|callback|weight|config|embedding|audio|voice/

/** Does a field take pictures or videos? By what the document marks, or by its name, when it may hold a text of any kind, a list or an object. */
function takesPictures (name: string, ways: readonly Branch[]): boolean {
  const marks = ways.flat().flatMap(part => [objectOf(part['ui'])['field'], part['_fal_ui_field']])
  if (marks.includes('image') || marks.includes('video')) return true
  const word = name.toLowerCase()
  if (!PICTURE.test(word) && !PICTURE_ADDRESS.test(word) && !(ADDRESS.test(word) && !OTHER_ADDRESS.test(word))) return false
  if (/^(num|max|number_of|n)_/.test(word)) return false
  return ways.some(branch => {
    const types = typesOf(branch)
    return valuesOf(branch) === null && (types === null || ['string', 'array', 'object'].some(type => types.has(type)))
  })
}

const FILE_MARKS = new Set<unknown>(['image', 'video', 'audio', 'file'])
const FILE_FORMATS = new Set<unknown>(['data-uri', 'binary', 'byte'])
const FILE = /(^|_)(audio|voice|speech|sound|music|file|archive|zip|mesh|glb)s?(_\d+)?$/
/** Addresses that are told things, and hold nothing. */
const TOLD_ADDRESS = /webhook|callback/

/** Does a field take files? It may also say so by its name, when it may hold a text of any kind, a list or an object. */
function takesFiles (name: string, ways: readonly Branch[]): boolean {
  const parts = ways.flat()
  if (parts.some(part => FILE_MARKS.has(objectOf(part['ui'])['field']) || FILE_MARKS.has(part['_fal_ui_field']) || FILE_FORMATS.has(part['format']))) return true
  if (takesPictures(name, ways)) return true
  const word = name.toLowerCase()
  if (!FILE.test(word) && (!ADDRESS.test(word) || TOLD_ADDRESS.test(word))) return false
  return ways.some(branch => {
    const types = typesOf(branch)
    return valuesOf(branch) === null && (types === null || ['string', 'array', 'object'].some(type => types.has(type)))
  })
}

/** Does this value leave to the model what the field will be? */
export function isOpen (value: unknown): boolean {
  return value === undefined || value === null || value === 'auto'
}

const COUNT = /^(\d{1,30})(\.\d{1,30})?s?$/

/**
 * A number above 0, rounded up, also as a text and with the `s` of seconds. `null` for everything else: what a model makes of a 0 or a -1 (often: "as you
 * like") cannot be told.
 */
export function readCount (value: unknown): Bound {
  if (typeof value === 'number') return Number.isFinite(value) && value > 0 ? BigInt(Math.ceil(value)) : null
  const match = typeof value === 'string' ? COUNT.exec(value) : null
  if (match === null) return null
  const count = BigInt(match[1] ?? '0') + (/[1-9]/.test(match[2] ?? '') ? 1n : 0n)
  return count > 0n ? count : null
}

function listOf (value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Only names of fields and of rules are asked for, and both are bounded. */
function memo<Value> (compute: (field: string) => Value): (field: string) => Value {
  const kept = new Map<string, { readonly value: Value }>()
  return field => {
    const known = kept.get(field)
    if (known !== undefined) return known.value
    const value = compute(field)
    kept.set(field, { value })
    return value
  }
}
