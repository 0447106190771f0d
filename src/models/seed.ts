// Where a model takes a seed, and where it names one.

import { isObject } from '../schema.ts'
import { definitionOf, type JsonSchema } from './json-schema.ts'

/** `in`: taken and not named in the answer; `out`: named and not taken. */
export type SeedKind = 'in-and-out' | 'in' | 'out' | 'none'

/** Which kind of seed the input and output schemas of a model have: only a top-level `seed` that can be a whole number counts. */
export function seedKindOf ({ input, output }: { readonly input: JsonSchema, readonly output: JsonSchema | null }): SeedKind {
  const isIn = hasSeed(input)
  const isOut = output !== null && hasSeed(output)
  return isIn ? (isOut ? 'in-and-out' : 'in') : isOut ? 'out' : 'none'
}

function hasSeed (schema: JsonSchema): boolean {
  const properties = schema['properties']
  return isObject(properties) && Object.hasOwn(properties, 'seed') && takesInteger(properties['seed'], schema, 0)
}

/** References of a document may form a circle, so depth is bounded. */
function takesInteger (schema: unknown, root: JsonSchema, depth: number): boolean {
  if (!isObject(schema) || depth > 16) return false
  const types = [schema['type']].flat()
  if (types.includes('integer') || types.includes('number')) return true
  const ref = schema['$ref']
  if (typeof ref === 'string' && takesInteger(definitionOf(root, ref), root, depth + 1)) return true
  return ['anyOf', 'oneOf', 'allOf'].some(word => {
    const branches = schema[word]
    return Array.isArray(branches) && branches.slice(0, 16).some(branch => takesInteger(branch, root, depth + 4))
  })
}
