// What a document says in a few words: its fields, a line each, and where the files of its answers are. For people; nothing is checked by it.

import { isObject } from '../schema.ts'
import type { ModelDocument } from './document.ts'
import { definitionOf, objectOf, type JsonSchema } from './json-schema.ts'

/** One field of an input or an output. */
export interface FieldLine {
  readonly name: string
  /** Such as `whole number, 1 to 4`. */
  readonly type: string
  readonly isRequired: boolean
  /** As JSON; `null` where there is none. */
  readonly fallback: string | null
  readonly isDeprecated: boolean
}

/** A document's own words may be any: bounds keep a line a line. */
const MAX_TEXT = 160
const MAX_DEPTH = 5
const MAX_WORDS = 40
const MAX_PLACES = 20

/** The fields of a schema with `properties`, in the order that fal's page has, where it is told; no schema has none. */
export function fieldLinesOf (schema: JsonSchema | null): readonly FieldLine[] {
  if (schema === null) return []
  const properties = objectOf(schema['properties'])
  const required = new Set(listOf(schema['required']))
  const order = listOf(schema['x-fal-order-properties'])
  const place = (name: string): number => order.includes(name) ? order.indexOf(name) : order.length
  return Object.entries(properties)
    .toSorted(([one], [other]) => Number(required.has(other)) - Number(required.has(one)) || place(one) - place(other))
    .map(([name, field]) => ({
      name: plain(name),
      type: short(typeOf(field, schema, 0)),
      isRequired: required.has(name),
      fallback: isObject(field) && field['default'] !== undefined && field['default'] !== null ? short(JSON.stringify(field['default'])) : null,
      isDeprecated: isObject(field) && field['deprecated'] === true
    }))
}

/** Where an answer has files, such as `images[].url`. Empty where the document types none. */
export function filePlacesOf ({ output }: Pick<ModelDocument, 'output'>): readonly string[] {
  const found = new Set<string>()
  if (output !== null) walk(output, output, '', 0)
  return [...found]

  function walk (schema: unknown, root: JsonSchema, path: string, depth: number): void {
    if (!isObject(schema) || depth > MAX_DEPTH || found.size >= MAX_PLACES) return
    for (const branch of branchesOf(schema, root)) walk(branch, root, path, depth + 1)
    const properties = objectOf(schema['properties'])
    if (Object.hasOwn(properties, 'url')) found.add(`${path === '' ? '' : `${path}.`}url`)
    for (const [name, inner] of Object.entries(properties)) walk(inner, root, path === '' ? plain(name) : `${path}.${plain(name)}`, depth + 1)
    walk(schema['items'], root, `${path}[]`, depth + 1)
  }
}

/** What a schema takes, in words. */
function typeOf (schema: unknown, root: JsonSchema, depth: number): string {
  if (!isObject(schema)) return schema === false ? 'nothing' : 'anything'
  if (depth > MAX_DEPTH) return '…'
  const branches = branchesOf(schema, root)
  if (branches.length > 0) return [...new Set(branches.map(branch => typeOf(branch, root, depth + 1)))].join(listOf(schema['allOf']).length > 0 ? ' and ' : ' or ')
  if (Object.hasOwn(schema, 'const')) return JSON.stringify(schema['const'])
  const words = schema['enum']
  if (Array.isArray(words)) return `one of ${words.slice(0, MAX_WORDS).map(word => typeof word === 'string' ? plain(word) : JSON.stringify(word)).join(', ')}`
  const types = [schema['type']].flat().filter(type => typeof type === 'string')
  return types.length === 0 ? 'anything' : types.map(type => typeNamed(type, schema, root, depth)).join(' or ')
}

function typeNamed (type: string, schema: JsonSchema, root: JsonSchema, depth: number): string {
  switch (type) {
    case 'string': return `text${boundsOf(schema, 'minLength', 'maxLength', ' characters')}`
    case 'integer': return `whole number${boundsOf(schema, 'minimum', 'maximum', '')}`
    case 'number': return `number${boundsOf(schema, 'minimum', 'maximum', '')}`
    case 'boolean': return 'true or false'
    case 'array': return `list of ${typeOf(schema['items'], root, depth + 1)}${boundsOf(schema, 'minItems', 'maxItems', ' items')}`
    case 'object': return `{ ${Object.keys(objectOf(schema['properties'])).map(plain).join(', ') || '…'} }`
    default: return plain(type)
  }
}

function boundsOf (schema: JsonSchema, lowest: string, highest: string, unit: string): string {
  const low = schema[lowest]
  const high = schema[highest]
  if (typeof high !== 'number') return typeof low === 'number' && low > 0 && unit === '' ? `, ${low} or more` : ''
  return typeof low === 'number' ? `, ${low} to ${high}${unit}` : `, up to ${high}${unit}`
}

/** What a schema chooses from, or is made of; a reference is followed. */
function branchesOf (schema: JsonSchema, root: JsonSchema): readonly unknown[] {
  const reference = schema['$ref']
  if (reference !== undefined) return [definitionOf(root, reference)]
  return ['anyOf', 'oneOf', 'allOf'].flatMap(word => listOf(schema[word]))
}

/** A text of somebody else's on one line of a terminal. */
export function plain (text: string): string {
  return text.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
}

function short (text: string): string {
  const line = plain(text)
  return line.length > MAX_TEXT ? line.slice(0, MAX_TEXT - 1) + '…' : line
}

function listOf (value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
