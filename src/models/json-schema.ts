// JSON schemas as documents bring them: what they are, and which of their words hold further schemas.

import { isObject } from '../schema.ts'

/** A JSON schema of draft 2020-12, self-contained: its references lead to `#/$defs/<name>` of itself. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** Words that hold further schemas: one, a list of them, or some by name. */
export const holders: ReadonlyMap<string, 'one' | 'list' | 'by-name'> = new Map([
  ...['items', 'contains', 'additionalProperties', 'unevaluatedItems', 'unevaluatedProperties', 'propertyNames', 'not', 'if', 'then', 'else', 'contentSchema'].map(word => [word, 'one'] as const),
  ...['allOf', 'anyOf', 'oneOf', 'prefixItems'].map(word => [word, 'list'] as const),
  ...['properties', 'patternProperties', 'dependentSchemas'].map(word => [word, 'by-name'] as const)
])

/** Words that tell something to people and forms, and check nothing. */
export const annotations: ReadonlySet<string> = new Set(['title', 'description', 'default', 'example', 'examples', 'deprecated', 'readOnly', 'writeOnly', '$comment', 'externalDocs', 'xml'])

/** The value, or an object without members. */
export function objectOf (value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {}
}

/** What a reference to `#/$defs/<name>` leads to; `undefined`: nothing, or it is another reference. */
export function definitionOf (root: JsonSchema, reference: unknown): unknown {
  const match = typeof reference === 'string' ? /^#\/\$defs\/([^/]+)$/.exec(reference) : null
  const definitions = objectOf(root['$defs'])
  const name = (match?.[1] ?? '').replaceAll('~1', '/').replaceAll('~0', '~')
  return match !== null && Object.hasOwn(definitions, name) ? definitions[name] : undefined
}
