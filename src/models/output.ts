// Which answers of a model are a success, and where the files in them are.
//
// An answer was paid for when it arrives. So it is not checked against its schema: a field that looks odd costs nobody a picture. What counts is whether it
// holds what was bought: a file, at a place where the schema or custom has files; or, of a model that makes none, the fields that the schema requires.

import { isObject } from '../schema.ts'
import type { ModelDocument } from './document.ts'
import { definitionOf, type JsonSchema } from './json-schema.ts'

/** Whether an answer is a success. */
export type OutputVerdict =
  | { readonly isSuccess: true }
  // `mayHoldFile`: an address lies where nobody expects a file, so that the answer may have been a success all the same.
  | { readonly isSuccess: false, readonly reason: NoSuccess, readonly mayHoldFile: boolean }

/** Why an answer is none: it is no object; it is fal's error, or nothing but empty values; what was bought is not in it. */
export type NoSuccess = 'no-object' | 'error' | 'empty' | 'no-file' | 'field-missing'

/** Reads the answers of one model. */
export interface OutputReader {
  readonly judge: (answer: unknown) => OutputVerdict
  /** The addresses of the files in an answer, in its order. Those of `data:` hold the whole file. At most 1,000. */
  readonly filesIn: (answer: unknown) => readonly string[]
}

/** Members of an answer that hold files, whatever the schema says of them: a file, an address, or a list or an object of these. */
const knownPlaces = new Set([
  'images', 'image', 'videos', 'video', 'audios', 'audio', 'masks', 'mask', 'files', 'file', 'mesh', 'model_mesh', 'model_glb', 'model_urls'
])

function isKnownPlace (name: string): boolean {
  return knownPlaces.has(name) || name.endsWith('_file')
}

/** Required members that say how something was made. A model that owes nothing else owes a file. */
const sideFacts = new Set(['seed', 'prompt', 'timings', 'has_nsfw_concepts'])

/** fal's word for an error, in the place of an output. Its lines have a `url` each, which leads to a documentation. */
const ERROR_MEMBER = 'detail'

/** How deep an answer is searched, and in how many of its values. An answer comes from outside and may be anything. */
const MAX_DEPTH = 32
const MAX_VALUES = 100_000
const MAX_FILES = 1_000

type Json = Readonly<Record<string, unknown>>

/** Makes the reader of a model's answers. The schema may be any: it is only searched. */
export function createOutputReader ({ output }: Pick<ModelDocument, 'output'>): OutputReader {
  const schemas = createSchemaReader(output)
  const declared = schemas.members()
  const isTyped = declared.size > 0
  const owesFile = isTyped && owes(declared)

  /** Finds files until `take` wants no more. */
  function search (answer: Json, take: (file: FoundFile) => boolean): void {
    const seen = new Set<object>()
    const budget = { left: MAX_VALUES }
    const takeOnce = (file: FoundFile): boolean => {
      if (file.holder !== null && seen.has(file.holder)) return true
      if (file.holder !== null) seen.add(file.holder)
      return take(file)
    }
    for (const [name, value] of Object.entries(answer)) {
      // Under `detail` are files only where the schema says so by name.
      if (name === ERROR_MEMBER && !declared.has(name)) continue
      if (isKnownPlace(name) && !searchKnown(value, 0, budget, takeOnce)) return
      if (!searchTyped(value, schemas.below(schemas.top, name), 1, budget, takeOnce)) return
    }
    if (schemas.top.some(schemas.isFile)) takeFile(answer, takeOnce)
  }

  /** Walks an answer and its schemas side by side. False: enough was found. */
  function searchTyped (value: unknown, typed: readonly Json[], depth: number, budget: { left: number }, take: (file: FoundFile) => boolean): boolean {
    if (typed.length === 0 || typeof value !== 'object' || value === null || depth > MAX_DEPTH || budget.left-- <= 0) return true
    if (Array.isArray(value)) {
      return value.every((item: unknown, index) => searchTyped(item, schemas.at(typed, index), depth + 1, budget, take))
    }
    if (!isObject(value)) return true
    if (typed.some(schemas.isFile) && !takeFile(value, take)) return false
    return Object.entries(value).every(([name, member]) => searchTyped(member, schemas.below(typed, name), depth + 1, budget, take))
  }

  function hasFile (answer: Json): boolean {
    let found = false
    search(answer, () => {
      found = true
      return false
    })
    return found
  }

  function judge (answer: unknown): OutputVerdict {
    if (!isObject(answer)) return { isSuccess: false, reason: 'no-object', mayHoldFile: false }
    if (hasFile(answer)) return { isSuccess: true }
    const reason = reasonAgainst(answer)
    return reason === null ? { isSuccess: true } : { isSuccess: false, reason, mayHoldFile: hasAddress(answer) }
  }

  /** What speaks against an answer without a file. */
  function reasonAgainst (answer: Json): NoSuccess | null {
    if (Object.hasOwn(answer, ERROR_MEMBER) && !declared.has(ERROR_MEMBER)) return 'error'
    if (Object.values(answer).every(isEmpty)) return 'empty'
    if (owesFile || (!isTyped && Object.keys(answer).some(isKnownPlace))) return 'no-file'
    return schemas.hasRequired(answer) ? null : 'field-missing'
  }

  /** Does a success hold a file? Not of a model without files, and not of one that always says something and sometimes adds a file. */
  function owes (members: ReadonlyMap<string, boolean>): boolean {
    const withFiles = [...members.keys()].filter(name => isKnownPlace(name) || schemas.leadsToFile(schemas.below(schemas.top, name)))
    if (withFiles.length === 0) return schemas.top.some(schemas.isFile)
    const isOwed = withFiles.some(name => members.get(name) === true && !schemas.mayBeNull(schemas.below(schemas.top, name)))
    return isOwed || ![...members].some(([name, isRequired]) => isRequired && !withFiles.includes(name) && !sideFacts.has(name))
  }

  return {
    judge,
    filesIn: answer => {
      const addresses: string[] = []
      if (!isObject(answer)) return addresses
      search(answer, ({ address }) => {
        if (address !== null) addresses.push(address)
        return addresses.length < MAX_FILES
      })
      return addresses
    }
  }
}

/** A file in an answer: the object that describes it, and where it is. A file may also lie in the answer itself, without an address. */
interface FoundFile { readonly holder: object | null, readonly address: string | null }

/** Takes an object as a file, if it is one. False: enough was found. */
function takeFile (holder: Json, take: (file: FoundFile) => boolean): boolean {
  const url = holder['url']
  if (isFilled(url)) return take({ holder, address: url })
  return isFilled(holder['file_data']) ? take({ holder, address: null }) : true
}

/** Searches a known place, of whose form nothing is known. A text there is an address or the file itself. */
function searchKnown (value: unknown, depth: number, budget: { left: number }, take: (file: FoundFile) => boolean): boolean {
  if (depth > MAX_DEPTH || budget.left-- <= 0) return true
  if (isFilled(value)) return take({ holder: null, address: isAddress(value) ? value : null })
  if (Array.isArray(value)) return value.every((item: unknown) => searchKnown(item, depth + 1, budget, take))
  if (!isObject(value)) return true
  if (isFilled(value['url']) || isFilled(value['file_data'])) return takeFile(value, take)
  // A text in an object is its type or its name, and no file, unless it is an address.
  return Object.values(value).every(member => (typeof member === 'string' && !isAddress(member)) || searchKnown(member, depth + 1, budget, take))
}

/** Is there an address anywhere but in an error? */
function hasAddress (answer: Json): boolean {
  const open: { readonly value: unknown, readonly depth: number }[] = Object.entries(answer).filter(([name]) => name !== ERROR_MEMBER).map(([, value]) => ({ value, depth: 1 }))
  for (let left = MAX_VALUES; left > 0; left--) {
    const next = open.pop()
    if (next === undefined) return false
    const { value, depth } = next
    if (typeof value === 'string' && isAddress(value)) return true
    if (typeof value !== 'object' || value === null || depth >= MAX_DEPTH) continue
    for (const member of Object.values(value)) {
      if (open.length >= MAX_VALUES) break
      open.push({ value: member, depth: depth + 1 })
    }
  }
  return false
}

interface SchemaReader {
  /** The schemas of the whole answer. */
  readonly top: readonly Json[]
  /** The members that the schemas of the answer name, and whether they require them. */
  readonly members: () => ReadonlyMap<string, boolean>
  /** The schemas of a member, and of an item of a list: all that may hold for it. */
  readonly below: (schemas: readonly Json[], name: string) => readonly Json[]
  readonly at: (schemas: readonly Json[], index: number) => readonly Json[]
  /** Is it an object with a `url`? */
  readonly isFile: (schema: Json) => boolean
  /** Do they lead to a file at any depth? */
  readonly leadsToFile: (schemas: readonly Json[]) => boolean
  readonly mayBeNull: (schemas: readonly Json[]) => boolean
  /** Has the answer what is required of it? A null counts: documents lose that a field may be null. */
  readonly hasRequired: (answer: Json) => boolean
}

/** Reads an output's schema, references followed. Every branch of a choice is taken to hold, because only places are sought. */
function createSchemaReader (output: JsonSchema | null): SchemaReader {
  const opened = new WeakMap<Json, readonly Json[]>()

  function target (schema: Json): Json | null {
    const found = output === null ? undefined : definitionOf(output, schema['$ref'])
    return isObject(found) ? found : null
  }

  /** A schema and all that it refers to or chooses from, for the same value. */
  function open (schema: unknown): readonly Json[] {
    if (!isObject(schema)) return []
    const known = opened.get(schema)
    if (known !== undefined) return known
    const all = new Set([schema])
    for (const one of all) {
      const next = target(one)
      if (next !== null) all.add(next)
      for (const branch of branchesOf(one, ['allOf', 'anyOf', 'oneOf'])) all.add(branch)
    }
    const list = [...all]
    opened.set(schema, list)
    return list
  }

  function openAll (schemas: readonly unknown[]): readonly Json[] {
    return schemas.length === 1 ? open(schemas[0]) : [...new Set(schemas.flatMap(open))]
  }

  function isFile (schema: Json): boolean {
    const properties = schema['properties']
    if (!isObject(properties) || !Object.hasOwn(properties, 'url')) return false
    return open(properties['url']).some(url => mayBe(url, 'string'))
  }

  function leadsToFile (schemas: readonly Json[]): boolean {
    const all = new Set(schemas)
    for (const one of all) {
      if (isFile(one)) return true
      for (const next of openAll(insideOf(one))) all.add(next)
    }
    return false
  }

  function hasRequired (schema: Json, answer: Json, depth: number): boolean {
    if (depth > MAX_DEPTH) return true
    const next = target(schema)
    const choices = [branchesOf(schema, ['anyOf']), branchesOf(schema, ['oneOf'])].filter(branches => branches.length > 0)
    return requiredOf(schema).every(name => Object.hasOwn(answer, name)) &&
      (next === null || hasRequired(next, answer, depth + 1)) &&
      branchesOf(schema, ['allOf']).every(branch => hasRequired(branch, answer, depth + 1)) &&
      choices.every(branches => branches.some(branch => hasRequired(branch, answer, depth + 1)))
  }

  const top = open(output)
  return {
    top,
    members: () => {
      const required = new Set(top.flatMap(requiredOf))
      const names = top.flatMap(({ properties }) => isObject(properties) ? Object.keys(properties) : [])
      return new Map([...names, ...required].map(name => [name, required.has(name)]))
    },
    below: (schemas, name) => openAll(schemas.flatMap(({ properties, patternProperties, additionalProperties }) => {
      const own = isObject(properties) && Object.hasOwn(properties, name) ? [properties[name]] : [additionalProperties]
      // Patterns come from outside and are not run: each may fit.
      return isObject(patternProperties) ? [...own, ...Object.values(patternProperties)] : own
    })),
    at: (schemas, index) => openAll(schemas.flatMap(({ prefixItems, items }): unknown[] =>
      Array.isArray(prefixItems) && index < prefixItems.length ? [prefixItems[index]] : [items])),
    isFile,
    leadsToFile,
    mayBeNull: schemas => schemas.some(({ type }) => type === 'null' || (Array.isArray(type) && type.includes('null'))),
    hasRequired: answer => output === null || hasRequired(output, answer, 0)
  }
}

/** The schemas directly inside a schema, for parts of its value. */
function insideOf ({ properties, patternProperties, additionalProperties, items, prefixItems }: Json): readonly unknown[] {
  return [
    ...(isObject(properties) ? Object.values(properties) : []),
    ...(isObject(patternProperties) ? Object.values(patternProperties) : []),
    ...(Array.isArray(prefixItems) ? prefixItems : []),
    additionalProperties,
    items
  ]
}

function branchesOf (schema: Json, keywords: readonly string[]): readonly Json[] {
  return keywords.flatMap(keyword => {
    const branches = schema[keyword]
    return Array.isArray(branches) ? branches.filter(isObject) : []
  })
}

function requiredOf ({ required }: Json): readonly string[] {
  return Array.isArray(required) ? required.filter(name => typeof name === 'string') : []
}

/** May a value of this schema have the type, as far as the schema itself says? */
function mayBe ({ type, $ref, anyOf, allOf, oneOf }: Json, wanted: string): boolean {
  if (type === undefined) return $ref === undefined && anyOf === undefined && allOf === undefined && oneOf === undefined
  return type === wanted || (Array.isArray(type) && type.includes(wanted))
}

function isEmpty (value: unknown): boolean {
  return value === null || (typeof value === 'object' && Object.keys(value).length === 0)
}

function isFilled (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isAddress (text: string): boolean {
  return /^(?:https?:\/\/|data:)/i.test(text)
}
