// Inputs to try a model with, made of what its document says: for people who paste, and for pages.

import { isObject } from '../schema.ts'
import type { ModelDocument } from './document.ts'
import { definitionOf, objectOf, type JsonSchema } from './json-schema.ts'
import type { ModelInput } from './model.ts'

/** A text where a document gives none. */
const SOME_TEXT = 'A red bicycle leaning on a blue wall'
const SOME_ADDRESS = 'https://example.com/picture.png'
const SOME_SEED = 42
const MAX_DEPTH = 8

/** Inputs of which the first that the model takes is its example: the document's own, then what it requires, filled in as well as can be. */
export function examplesOf ({ input }: Pick<ModelDocument, 'input'>): readonly ModelInput[] {
  const properties = objectOf(input['properties'])
  const required = listOf(input['required']).filter(name => typeof name === 'string')
  // What is asked for is mostly said in a prompt, whether or not it is required.
  const names = [...new Set([...required, ...Object.hasOwn(properties, 'prompt') ? ['prompt'] : []])].filter(name => Object.hasOwn(properties, name))
  const made = Object.fromEntries(names.map(name => [name, valueFor(name, properties[name], 0)]))
  const own = [input['example'], ...listOf(input['examples'])].filter(isObject)
  return [...own, ...Object.hasOwn(properties, 'seed') ? [{ ...made, seed: SOME_SEED }] : [], made]

  function valueFor (name: string, schema: unknown, depth: number): unknown {
    if (!isObject(schema) || depth > MAX_DEPTH) return SOME_TEXT
    const said = [listOf(schema['examples'])[0], schema['example'], schema['default'], schema['const'], listOf(schema['enum'])[0]].find(value => value !== undefined && value !== null)
    if (said !== undefined) return said
    const branch = branchOf(schema)
    if (branch !== null) return valueFor(name, branch, depth + 1)
    switch ([schema['type']].flat()[0]) {
      case 'integer':
      case 'number': return typeof schema['minimum'] === 'number' ? schema['minimum'] : 1
      case 'boolean': return false
      case 'array': return [valueFor(name, schema['items'], depth + 1)]
      case 'object': {
        const inner = objectOf(schema['properties'])
        return Object.fromEntries(listOf(schema['required']).filter(one => typeof one === 'string').map(one => [one, valueFor(one, inner[one], depth + 1)]))
      }
      default: return /ur[il]s?$/.test(name) ? SOME_ADDRESS : SOME_TEXT
    }
  }

  /** What a schema refers to, or chooses from first. */
  function branchOf (schema: JsonSchema): unknown {
    const reference = schema['$ref']
    if (reference !== undefined) return definitionOf(input, reference) ?? null
    return ['anyOf', 'oneOf', 'allOf'].flatMap(word => listOf(schema[word])).find(one => isObject(one) && one['type'] !== 'null') ?? null
  }
}

function listOf (value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
