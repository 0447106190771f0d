// The shape of a model's answer: its output schema, filled in with files and with facts that the sandbox can tell honestly.

import { definitionOf, type JsonSchema } from '../models/json-schema.ts'
import { isObject } from '../schema.ts'

/** What files are, as far as their place in an answer tells. */
export type MediaKind = 'picture' | 'audio' | 'video' | 'other'

/** A file that an answer names. */
export interface MediaFile {
  readonly url: string
  readonly contentType: string
  readonly fileName: string
  readonly width?: number
  readonly height?: number
  readonly seconds?: number
}

/** What an answer is filled in with. */
export interface Facts {
  /** The files of a kind, in order; none: the sandbox makes no such files. */
  readonly files: (kind: MediaKind) => readonly MediaFile[]
  /** The digits of the seed that was used. */
  readonly seed: string
  readonly prompt: unknown
  /** fal's word for what the model does, which tells what a file is whose place does not. */
  readonly category: string | null
}

/** A number whose digits are written as they are: one that JSON.stringify could write would have been rounded. */
class Digits {
  readonly text: string
  constructor (text: string) { this.text = text }
}

/** What the sandbox says in the place of a description. */
export const DRAWN = 'Drawn by the sandbox, not by the model.'

/** What it says where another text has to be. */
const MADE = 'Made by the sandbox, not by the model.'

/** Members that hold what was asked for, whether they are required or not. */
const usual = new Set(['images', 'image', 'video', 'videos', 'audio', 'audios'])

/** How deep schemas are followed. */
const MAX_DEPTH = 12
/** Lists that have to hold something are filled up to this. */
const MAX_ITEMS = 8

/** The answer as JSON text. `all`: with the files that it may hold as well, and not only with those that it has to. */
export function shapedAnswer (output: JsonSchema, facts: Facts, all: boolean): string {
  const value = fill(output, '', true, 0)
  return write(value ?? {})

  /** `undefined`: nothing is said there. */
  function fill (schema: unknown, name: string, isRequired: boolean, depth: number): unknown {
    const plain = depth > MAX_DEPTH ? null : plainSchema(schema)
    if (plain === null) return isRequired ? null : undefined
    const isWanted = isRequired || all || usual.has(name)
    if (plain.isFile) return isWanted ? fileAt(plain.schema, name) ?? (isRequired && plain.mayBeNull ? null : undefined) : undefined
    const known = knownAt(plain.schema, name)
    if (known !== undefined) return known
    const { type } = plain
    if (type === 'array') return listAt(plain.schema, name, isWanted, isRequired, depth)
    if (type === 'object' && (isRequired || depth === 0 || all)) return objectAt(plain.schema, depth)
    if (type === 'string' && isWanted && isAddress(name)) return facts.files(kindOf(name, plain.schema))[0]?.url
    return isRequired ? plain.mayBeNull ? null : plainValue(plain.schema, type) : undefined
  }

  function objectAt (schema: JsonSchema, depth: number): unknown {
    const properties = schema['properties']
    const required = new Set<unknown>(Array.isArray(schema['required']) ? schema['required'] : [])
    const members = Object.entries(isObject(properties) ? properties : {})
      .map(([name, inner]): readonly [string, unknown] => [name, fill(inner, name, required.has(name), depth + 1)])
      .filter(([, value]) => value !== undefined)
    return Object.fromEntries(members)
  }

  function listAt (schema: JsonSchema, name: string, isWanted: boolean, isRequired: boolean, depth: number): unknown {
    const item = plainSchema(schema['items'])
    const most = typeof schema['maxItems'] === 'number' ? schema['maxItems'] : Infinity
    const least = Math.min(MAX_ITEMS, typeof schema['minItems'] === 'number' ? schema['minItems'] : 0)
    if (item !== null && isWanted && (item.isFile || (item.type === 'string' && isAddress(name)))) {
      const files = facts.files(kindOf(name, item.schema)).slice(0, most)
      return files.map(file => item.isFile ? describe(file, item.schema) : file.url)
    }
    if (item?.type === 'object' && isWanted) return Array.from({ length: Math.max(1, least) }, () => objectAt(item.schema, depth + 1))
    return isRequired ? Array.from({ length: least }, () => fill(schema['items'], name, true, depth + 1)) : undefined
  }

  function fileAt (schema: JsonSchema, name: string): unknown {
    const [file] = facts.files(kindOf(name, schema))
    return file === undefined ? undefined : describe(file, schema)
  }

  /** What the sandbox can say of members with these names, where they have a type that fits. */
  function knownAt (schema: JsonSchema, name: string): unknown {
    const isList = schema['type'] === 'array'
    const item = isList ? plainSchema(schema['items']) : null
    const pictures = facts.files('picture').length
    if (/(?:^|_)seeds?$/.test(name)) {
      if (isNumeric(schema['type'])) return new Digits(facts.seed)
      if (isList && isNumeric(item?.type)) return Array.from({ length: Math.max(1, pictures) }, () => new Digits(facts.seed))
    }
    if (name === 'description' && schema['type'] === 'string') return DRAWN
    if (name === 'prompt' && schema['type'] === 'string') return typeof facts.prompt === 'string' ? facts.prompt : ''
    if (name === 'timings' && schema['type'] === 'object') return {}
    if (name === 'has_nsfw_concepts') return isList ? Array.from({ length: pictures }, () => false) : schema['type'] === 'boolean' ? false : undefined
    return undefined
  }

  /** A file as its schema has it. What is not declared and not forbidden is said of every file. */
  function describe (file: MediaFile, schema: JsonSchema): unknown {
    const properties = isObject(schema['properties']) ? schema['properties'] : {}
    const required = new Set<unknown>(Array.isArray(schema['required']) ? schema['required'] : [])
    const isClosed = schema['additionalProperties'] === false
    const told: Readonly<Record<string, unknown>> = {
      url: file.url,
      content_type: file.contentType,
      file_name: file.fileName,
      ...(Object.hasOwn(properties, 'width') && { width: file.width }),
      ...(Object.hasOwn(properties, 'height') && { height: file.height }),
      ...(Object.hasOwn(properties, 'duration') && { duration: file.seconds })
    }
    const entries = Object.entries(told).filter(([name, value]) => value !== undefined && (!isClosed || Object.hasOwn(properties, name)))
    // The file is made when it is read, so that its size is not known yet.
    const rest = [...required].filter(name => typeof name === 'string' && !Object.hasOwn(told, name)).map((name): readonly [string, unknown] => {
      const plain = plainSchema(properties[String(name)])
      return [String(name), plain === null || plain.mayBeNull || name === 'file_size' || name === 'file_data' ? null : plainValue(plain.schema, plain.type)]
    })
    return Object.fromEntries([...entries, ...rest])
  }

  function kindOf (name: string, schema: JsonSchema): MediaKind {
    const own = kindIn(name)
    if (own !== null) return own
    return kindIn(String(schema['title'] ?? '')) ?? kindOfCategory(facts.category)
  }

  /** A schema without its choices and references: of several branches the first that says something, with what the others add. */
  function plainSchema (schema: unknown): { readonly schema: JsonSchema, readonly type: string, readonly mayBeNull: boolean, readonly isFile: boolean } | null {
    let merged: JsonSchema = {}
    let mayBeNull = false
    let current: unknown = schema
    for (let steps = 0; steps < MAX_DEPTH && isObject(current); steps++) {
      const { $ref, anyOf, oneOf, allOf, ...own } = current
      merged = { ...own, ...merged }
      const branches = Array.isArray(anyOf) ? anyOf : Array.isArray(oneOf) ? oneOf : null
      if (branches !== null) {
        mayBeNull ||= branches.some(branch => isObject(branch) && branch['type'] === 'null')
        current = branches.find(branch => !isObject(branch) || branch['type'] !== 'null')
      } else if (Array.isArray(allOf)) current = allOf[0]
      else current = $ref === undefined ? null : definitionOf(output, $ref)
    }
    const types: readonly unknown[] = [merged['type']].flat()
    mayBeNull ||= types.includes('null')
    const type = types.find(one => typeof one === 'string' && one !== 'null')
    const properties = merged['properties']
    const isFile = isObject(properties) && Object.hasOwn(properties, 'url')
    return { schema: merged, type: typeof type === 'string' ? type : isObject(properties) ? 'object' : mayBeNull ? 'null' : 'any', mayBeNull, isFile }
  }
}

/** A value that a schema takes, where there is nothing to say. */
function plainValue (schema: JsonSchema, type: string): unknown {
  if (Object.hasOwn(schema, 'const')) return schema['const']
  if (Array.isArray(schema['enum'])) return schema['enum'][0] ?? null
  if (schema['default'] !== undefined) return schema['default']
  switch (type) {
    case 'string': return MADE
    case 'integer':
    case 'number': return Math.max(0, Math.ceil(Number(schema['minimum'] ?? schema['exclusiveMinimum'] ?? 0)) + (schema['exclusiveMinimum'] === undefined ? 0 : 1)) || 0
    case 'boolean': return false
    case 'array': return []
    case 'object': return {}
    default: return null
  }
}

function isNumeric (type: unknown): boolean {
  return type === 'integer' || type === 'number'
}

/** Names of members that hold an address as a text. */
function isAddress (name: string): boolean {
  return /(?:^|_)(?:images?|videos?|audios?|masks?)(?:_urls?)?$/.test(name)
}

function kindIn (word: string): MediaKind | null {
  if (/mesh|glb|gltf|3d|model|ply|splat|obj\b|zip|lora|weights|config|json|pdf|svg|psd/i.test(word)) return 'other'
  if (/audio|speech|music|sound|voice|wav|mp3|vocals/i.test(word)) return 'audio'
  if (/video|mp4|clip/i.test(word)) return 'video'
  return /image|picture|photo|mask|frame|thumbnail|texture|depth|preview/i.test(word) ? 'picture' : null
}

function kindOfCategory (category: string | null): MediaKind {
  if (category === null) return 'other'
  if (/to-image$/.test(category)) return 'picture'
  if (/to-video$/.test(category)) return 'video'
  return /to-(?:audio|speech|music)$/.test(category) ? 'audio' : 'other'
}

/** The output that is taken for a model whose document types none; `null`: nobody knows what it makes. */
export function usualOutput (category: string | null): JsonSchema | null {
  const file = { type: 'object', required: ['url'], properties: { url: { type: 'string' } } }
  switch (kindOfCategory(category)) {
    case 'picture': return { type: 'object', required: ['images'], properties: { images: { type: 'array', items: file } } }
    case 'video': return { type: 'object', required: ['video'], properties: { video: file } }
    case 'audio': return { type: 'object', required: ['audio'], properties: { audio: file } }
    case 'other': return null
  }
}

function write (value: unknown): string {
  if (value instanceof Digits) return value.text
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value) ?? 'null'
  return `{${Object.entries(value).filter(([, member]) => member !== undefined).map(([name, member]) => `${JSON.stringify(name)}:${write(member)}`).join(',')}}`
}
