// fal's OpenAPI document of one endpoint, read into the schemas of its input and its output.
// A document comes from outside and may be anything: what it may cost to read is bounded, and what is wrong with it is one sentence.

import { isObject } from '../schema.ts'
import { annotations, holders, type JsonSchema } from './json-schema.ts'

/** What a document says of its model. */
export interface ModelDocument {
  readonly endpointId: string
  readonly title: string
  readonly description: string
  readonly category: string | null
  /** Whether the call itself is marked as deprecated; single fields say so in their schemas. */
  readonly isDeprecated: boolean
  /** `type: object` with `properties`. */
  readonly input: JsonSchema
  /** null: the document types none. */
  readonly output: JsonSchema | null
}

/** A document that could be read, or the sentence that says why not. */
export type DocumentReading =
  | { readonly ok: true, readonly document: ModelDocument }
  | { readonly ok: false, readonly fault: string }

/** The most bytes of a document. fal's have up to 20 KB. */
export const MAX_DOCUMENT_BYTES = 1_048_576
/** How deep the values of a document may nest. fal's nest about 15 deep. */
export const MAX_DOCUMENT_DEPTH = 64
/** How deep schemas may nest, references followed. */
export const MAX_SCHEMA_DEPTH = 64
/** The most schemas within schemas that input and output may hold together. */
export const MAX_SCHEMA_NODES = 2_000
/** The same with every reference counted as what it leads to: a few schemas that each refer twice to the next would be checked without end. */
export const MAX_EXPANDED_NODES = 20_000
/** The most values of any kind, such as words of enums, in the schemas of input and output. */
export const MAX_SCHEMA_VALUES = 20_000

type Json = Readonly<Record<string, unknown>>

/** Keywords that mean something to the reading of a document. */
const meanings: ReadonlyMap<string, 'one' | 'list' | 'by-name' | 'reference' | 'dropped' | 'not followed'> = new Map([
  ...holders,
  ['$ref', 'reference'] as const,
  // They go: what references lead to is in `$defs` of the whole, and the dialect is that of the house.
  ...['$defs', 'definitions', '$schema'].map(keyword => [keyword, 'dropped'] as const),
  // They give a reference another meaning than the place it names.
  ...['$id', '$anchor', '$dynamicRef', '$dynamicAnchor', '$recursiveRef', '$recursiveAnchor'].map(keyword => [keyword, 'not followed'] as const)
])

/** Reads the document of an endpoint. It throws for no text. */
export function readDocument (text: string, endpointId: string): DocumentReading {
  return reading(() => documentOf(rootOf(parse(text)), endpointId))
}

/** Reads a document that is the value of a JSON text, such as a part of a file whose size is bounded already. */
export function readParsedDocument (value: unknown, endpointId: string): DocumentReading {
  return reading(() => documentOf(rootOf(value), endpointId))
}

function reading (read: () => ModelDocument): DocumentReading {
  try {
    return { ok: true, document: read() }
  } catch (error) {
    if (error instanceof DocumentFault) return { ok: false, fault: error.message }
    throw error
  }
}

/** What is wrong with a document. It never leaves this file. */
class DocumentFault extends Error {}

function parse (text: string): unknown {
  if (text.length > MAX_DOCUMENT_BYTES || Buffer.byteLength(text) > MAX_DOCUMENT_BYTES) throw new DocumentFault('The document is larger than 1 MiB.')
  const trimmed = text.replace(/^\ufeff/, '').trimStart()
  if (trimmed === '') throw new DocumentFault('The document is empty.')
  if (trimmed.startsWith('<')) throw new DocumentFault('The document is HTML or XML, not JSON: the address leads to a page, or something in between answered.')
  return json(trimmed)
}

function rootOf (value: unknown): Json {
  if (value === null) throw new DocumentFault('The document is `null`: fal knows no endpoint with this id, or publishes no document for it.')
  if (!isObject(value)) throw new DocumentFault('The document is no JSON object.')
  if (isDeeperThan(value, MAX_DOCUMENT_DEPTH)) throw new DocumentFault(`The document nests deeper than ${MAX_DOCUMENT_DEPTH} levels.`)
  return value
}

function json (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text.
    throw new DocumentFault('The document is not JSON.')
  }
}

function documentOf (root: Json, endpointId: string): ModelDocument {
  const info = member(root, 'info')
  const metadata = member(info, 'x-fal-metadata')
  const paths = own(root, 'paths')
  if (!isObject(paths)) {
    const error = own(root, 'error')
    if (error !== undefined && error !== null) throw new DocumentFault(`The catalogue answered an error in place of the document${told(own(isObject(error) ? error : {}, 'code'))}.`)
    throw new DocumentFault('The document is no OpenAPI document: it has no "paths".')
  }

  const named = own(metadata, 'endpointId')
  if (typeof named !== 'string') throw new DocumentFault('The document does not say which endpoint it is for: "info.x-fal-metadata.endpointId" is missing.')
  if (named !== endpointId) throw new DocumentFault(`The document is for ${quoted(named)}, not for ${quoted(endpointId)}.`)

  const post = member(member(paths, `/${endpointId}`), 'post')
  if (Object.keys(post).length === 0) throw new DocumentFault(`The document has no POST at the path ${quoted('/' + endpointId)}.`)
  const inputSchema = contentSchema(resolved(root, own(post, 'requestBody'), 'The input'))
  if (inputSchema === undefined) throw new DocumentFault('The document has no input: the POST takes no JSON body.')
  const outputSchema = resultSchema(root, member(member(paths, `/${endpointId}/requests/{request_id}`), 'get'))

  const counted = { nodes: 0, values: 0 }
  const input = new Schemas(root, 'The input', counted).standAlone(inputSchema)
  if (typeof input === 'boolean' || !isFields(input)) throw new DocumentFault('The input is no object with named fields.')
  if (Object.hasOwn(input['properties'], '__proto__')) throw new DocumentFault('The input has a field named "__proto__", which no JSON library treats alike.')
  const output = outputSchema === undefined ? null : new Schemas(root, 'The output', counted).standAlone(outputSchema)

  const title = own(info, 'title')
  const about = own(metadata, 'about')
  const category = own(metadata, 'category')
  return {
    endpointId,
    // The title that fal gives every document says nothing more than the id.
    title: typeof title === 'string' && title !== '' && title !== `Queue OpenAPI for ${endpointId}` ? title : endpointId,
    description: typeof about === 'string' ? about : '',
    category: typeof category === 'string' ? category : null,
    isDeprecated: own(post, 'deprecated') === true,
    input: { ...input, type: 'object' },
    output: typeof output === 'boolean' || output === null || Object.keys(output).length === 0 ? null : output
  }
}

/** Whether a schema is that of an object with named fields. */
function isFields (schema: Json): schema is Json & { readonly properties: Json } {
  const type = own(schema, 'type')
  return (type === undefined || type === 'object') && isObject(own(schema, 'properties'))
}

/** The schema of the JSON result: of 200, or else of any success. */
function resultSchema (root: Json, get: Json): unknown {
  const responses = member(get, 'responses')
  for (const status of ['200', '2XX', 'default']) {
    const response = own(responses, status)
    if (response !== undefined) return contentSchema(resolved(root, response, 'The output'))
  }
  return undefined
}

function contentSchema (body: unknown): unknown {
  return isObject(body) ? own(member(member(body, 'content'), 'application/json'), 'schema') : undefined
}

/** Schemas of one document, made to stand alone. */
class Schemas {
  readonly #root: Json
  readonly #what: string
  readonly #counted: { nodes: number, values: number }
  /** What references lead to, by the place in the document. */
  readonly #reached = new Map<string, { readonly name: string, readonly schema: Json | boolean, readonly weight: number, readonly depth: number }>()
  readonly #names = new Set<string>()
  readonly #open = new Set<string>()

  constructor (root: Json, what: string, counted: { nodes: number, values: number }) {
    this.#root = root
    this.#what = what
    this.#counted = counted
  }

  /** A schema with everything that it refers to. */
  standAlone (schema: unknown): Json | boolean {
    const { schema: whole } = this.#copy(this.#outermost(schema), 0)
    if (typeof whole === 'boolean' || this.#reached.size === 0) return whole
    return { ...whole, $defs: Object.fromEntries([...this.#reached.values()].map(({ name, schema }) => [name, schema])) }
  }

  /** What a schema is that does nothing but refer to another, by `$ref` or by `allOf` of one; what it says of its own stays. */
  #outermost (schema: unknown): unknown {
    let current = schema
    let said: Json = {}
    const seen = new Set<string>()
    while (isObject(current)) {
      const all = own(current, 'allOf')
      const only: unknown = Array.isArray(all) && all.length === 1 ? all[0] : undefined
      const reference = own(current, '$ref')
      if (reference === undefined && only === undefined) break
      // A schema around a reference may say of its own what checks nothing.
      const siblings = Object.entries(current).filter(([keyword]) => keyword !== (reference === undefined ? 'allOf' : '$ref'))
      if (!siblings.every(([keyword]) => annotations.has(keyword) || keyword.startsWith('x-'))) break
      said = { ...Object.fromEntries(siblings), ...said }
      if (reference === undefined) {
        current = only
        continue
      }
      const place = placeOf(reference, this.#what)
      const key = JSON.stringify(place)
      if (seen.has(key)) throw this.#recursive(reference)
      seen.add(key)
      current = follow(this.#root, place, reference, this.#what)
    }
    return isObject(current) ? { ...current, ...said } : current
  }

  /** A copy whose references lead to `#/$defs`; it shares with the document what stays the same. `weight`: the schemas in it, references followed. */
  #copy (schema: unknown, depth: number): { readonly schema: Json | boolean, readonly weight: number, readonly depth: number } {
    if (++this.#counted.nodes > MAX_SCHEMA_NODES) throw new DocumentFault(`The input and the output have more than ${MAX_SCHEMA_NODES.toLocaleString('en')} schemas.`)
    if (depth > MAX_SCHEMA_DEPTH) throw new DocumentFault(`${this.#what} nests deeper than ${MAX_SCHEMA_DEPTH} schemas.`)
    if (typeof schema === 'boolean') return { schema, weight: 1, depth: 1 }
    if (!isObject(schema)) throw new DocumentFault(`${this.#what} has something else where a schema belongs.`)
    let weight = 1
    let inner = 0
    const add = (part: { readonly weight: number, readonly depth: number }): void => {
      weight += part.weight
      inner = Math.max(inner, part.depth)
      if (weight > MAX_EXPANDED_NODES) throw new DocumentFault(`${this.#what} has more than ${MAX_EXPANDED_NODES.toLocaleString('en')} schemas when its references are followed.`)
      // What was reached before on a shorter way may be too deep on this one.
      if (depth + inner > MAX_SCHEMA_DEPTH) throw new DocumentFault(`${this.#what} nests deeper than ${MAX_SCHEMA_DEPTH} schemas.`)
    }
    const copied = (part: unknown): Json | boolean => {
      const copy = this.#copy(part, depth + 1)
      add(copy)
      return copy.schema
    }
    const copiedList = (parts: readonly unknown[]): readonly unknown[] => {
      const copies = parts.map(copied)
      return copies.every((copy, index) => copy === parts[index]) ? parts : copies
    }
    // Most schemas refer to nothing, and are used as they are: there are some ten thousand of them at a start.
    const copiedMembers = (members: Json): Json => withMembers(members, Object.entries(members).map(([name, part]) => [name, copied(part)]))
    const members: Member[] = []
    let hasDropped = false
    for (const [keyword, value] of Object.entries(schema)) {
      switch (meanings.get(keyword)) {
        case undefined:
          this.#counted.values += sizeOf(value)
          if (this.#counted.values > MAX_SCHEMA_VALUES) throw new DocumentFault(`The schemas of input and output hold more than ${MAX_SCHEMA_VALUES.toLocaleString('en')} values.`)
          break
        case 'reference': {
          const target = this.#reach(value, depth + 1)
          add(target)
          members.push([keyword, `#/$defs/${target.name}`])
          break
        }
        case 'one':
          members.push([keyword, copied(value)])
          break
        case 'list':
          if (!Array.isArray(value)) throw new DocumentFault(`${this.#what} has an "${keyword}" that is no list of schemas.`)
          members.push([keyword, copiedList(value)])
          break
        case 'by-name':
          if (!isObject(value)) throw new DocumentFault(`${this.#what} has "${keyword}" that are no schemas by name.`)
          members.push([keyword, copiedMembers(value)])
          break
        case 'dropped':
          hasDropped = true
          break
        case 'not followed':
          throw new DocumentFault(`${this.#what} uses "${keyword}", which falgate does not follow.`)
      }
    }
    const copy = withMembers(schema, members)
    return { schema: hasDropped ? withoutDropped(copy) : copy, weight, depth: inner + 1 }
  }

  #reach (reference: unknown, depth: number): { readonly name: string, readonly weight: number, readonly depth: number } {
    const place = placeOf(reference, this.#what)
    const key = JSON.stringify(place)
    if (this.#open.has(key)) throw this.#recursive(reference)
    const known = this.#reached.get(key)
    if (known !== undefined) return known
    this.#open.add(key)
    const copy = this.#copy(follow(this.#root, place, reference, this.#what), depth)
    this.#open.delete(key)
    const reached = { ...copy, name: this.#nameOf(place) }
    this.#reached.set(key, reached)
    return reached
  }

  /** A name for `$defs` that needs no escape in a reference, and is that of the component where that has such a name. */
  #nameOf (place: readonly string[]): string {
    const ofComponent = place[0] === 'components' && place[1] === 'schemas' ? place.slice(2) : place
    // Begins with none of the underscores that names of prototypes begin with.
    const plain = ofComponent.join('.').replace(/[^A-Za-z0-9_.-]/g, '_').replace(/^__+/, '').slice(0, 200) || 'schema'
    let name = plain
    for (let nth = 2; this.#names.has(name) || name in Object.prototype; nth++) name = `${plain}.${nth}`
    this.#names.add(name)
    return name
  }

  #recursive (reference: unknown): DocumentFault {
    return new DocumentFault(`${this.#what} refers to itself by ${quoted(reference)}: recursive schemas are not supported.`)
  }
}

/** A part of a document, with a reference at its own place followed. */
function resolved (root: Json, part: unknown, what: string): unknown {
  let current = part
  for (let steps = 0; isObject(current) && Object.hasOwn(current, '$ref'); steps++) {
    const reference = current['$ref']
    if (steps > MAX_SCHEMA_DEPTH) throw new DocumentFault(`${what} refers to itself by ${quoted(reference)}.`)
    current = follow(root, placeOf(reference, what), reference, what)
  }
  return current
}

/** The place that a reference names, as the steps of its JSON pointer (RFC 6901, in a URI fragment). */
function placeOf (reference: unknown, what: string): readonly string[] {
  if (typeof reference !== 'string') throw new DocumentFault(`${what} has a "$ref" that is no text.`)
  if (!reference.startsWith('#')) throw new DocumentFault(`${what} refers to another document by ${quoted(reference)}: only references inside the document are followed.`)
  const pointer = unescaped(reference.slice(1))
  if (pointer === null || !pointer.startsWith('/') || /~(?![01])/.test(pointer)) throw unresolved(reference, what)
  return pointer.slice(1).split('/').map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function unescaped (fragment: string): string | null {
  try {
    return decodeURIComponent(fragment)
  } catch {
    return null
  }
}

function follow (root: Json, place: readonly string[], reference: unknown, what: string): unknown {
  let current: unknown = root
  for (const step of place) {
    if (Array.isArray(current)) current = /^(0|[1-9]\d{0,5})$/.test(step) ? current[Number(step)] : undefined
    else current = isObject(current) ? own(current, step) : undefined
  }
  if (!isObject(current) && typeof current !== 'boolean') throw unresolved(reference, what)
  return current
}

function unresolved (reference: unknown, what: string): DocumentFault {
  return new DocumentFault(`${what} refers to ${quoted(reference)}, which is not in the document.`)
}

type Member = readonly [string, unknown]

/** The object with these members in place of its own; the object itself where they are the same. */
function withMembers (object: Json, members: readonly Member[]): Json {
  const changed = members.filter(([name, value]) => value !== object[name])
  // Not by assignments, because a name may be `__proto__`.
  return changed.length === 0 ? object : { ...object, ...Object.fromEntries(changed) }
}

function withoutDropped (schema: Json): Json {
  return Object.fromEntries(Object.entries(schema).filter(([keyword]) => meanings.get(keyword) !== 'dropped'))
}

/** A member of an object that is its own, never one of its prototype. */
function own (object: Json, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** A member that is an object, or an empty one. */
function member (object: Json, name: string): Json {
  const value = own(object, name)
  return isObject(value) ? value : {}
}

/** Whether values nest deeper than this; it looks no deeper. */
function isDeeperThan (value: object, levels: number): boolean {
  if (levels < 0) return true
  // Lists of members would cost more than all else that is done with a document.
  for (const name in value) {
    const part: unknown = Reflect.get(value, name)
    if (typeof part === 'object' && part !== null && isDeeperThan(part, levels - 1)) return true
  }
  return false
}

/** How many values a value is made of. It is never deep: the whole document is bounded. */
function sizeOf (value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce<number>((sum, part) => sum + sizeOf(part), 1)
}

/** A text of the document inside a sentence: short, and without characters that could forge a line. */
function quoted (value: unknown): string {
  const text = String(typeof value === 'string' ? value : JSON.stringify(value))
  return JSON.stringify((text.length > 120 ? text.slice(0, 120) + '…' : text).toWellFormed())
}

function told (code: unknown): string {
  return typeof code === 'string' ? `: ${quoted(code)}` : ''
}
