// In what two documents of one endpoint differ: what may be asked for and what comes back, not what is told about it.

import { isObject } from '../schema.ts'
import type { ModelDocument } from './document.ts'
import { definitionOf, type JsonSchema } from './json-schema.ts'
import { fieldLinesOf, type FieldLine } from './outline.ts'

/** One difference. */
export interface Difference {
  readonly kind: 'added' | 'removed' | 'changed'
  readonly place: 'model' | 'input' | 'output'
  /** The field; of the model, what about it. */
  readonly name: string
  /** What it is, or what it was and what it is, in a few words. */
  readonly text: string
}

/** Words that tell something to people, and change nothing that can be asked for. `default` is not among them: it is what is made when nothing is said. */
const told = new Set(['title', 'description', 'examples', 'example', '$comment', 'limit_description', 'ui', '_fal_ui_field', 'externalDocs'])

/** Words that hold names, each of which may be one of the above. */
const byName = new Set(['properties', 'patternProperties', '$defs', 'dependentSchemas'])

/** The differences from one document to another, in the order of the fields. */
export function differencesBetween (before: ModelDocument, after: ModelDocument): readonly Difference[] {
  return [
    ...before.isDeprecated === after.isDeprecated ? [] : [{ kind: 'changed', place: 'model', name: 'deprecated', text: after.isDeprecated ? 'it is deprecated now' : 'it is not deprecated any more' } as const],
    ...fieldsBetween('input', before.input, after.input),
    ...fieldsBetween('output', before.output, after.output)
  ]
}

function fieldsBetween (place: 'input' | 'output', before: JsonSchema | null, after: JsonSchema | null): readonly Difference[] {
  const was = new Map(fieldLinesOf(before).map(line => [line.name, line]))
  const is = new Map(fieldLinesOf(after).map(line => [line.name, line]))
  const names = [...new Set([...was.keys(), ...is.keys()])]
  const fields = names.flatMap((name): Difference[] => {
    const [old, now] = [was.get(name), is.get(name)]
    if (old === undefined) return now === undefined ? [] : [{ kind: 'added', place, name, text: textOf(now) }]
    if (now === undefined) return [{ kind: 'removed', place, name, text: textOf(old) }]
    if (meaningOf(before, name) === meaningOf(after, name) && old.isRequired === now.isRequired) return []
    const [from, to] = [textOf(old), textOf(now)]
    return [{ kind: 'changed', place, name, text: from === to ? `${to}: changed further inside` : `${from} → ${to}` }]
  })
  const rest = fields.length === 0 && restOf(before) !== restOf(after) ? [{ kind: 'changed', place, name: '*', text: 'rules for all fields together' } as const] : []
  return [...fields, ...rest]
}

function textOf ({ type, isRequired, fallback, isDeprecated }: FieldLine): string {
  return `${type}${isRequired ? ', required' : ''}${fallback === null ? '' : `, default ${fallback}`}${isDeprecated ? ', deprecated' : ''}`
}

/** Everything about a field that decides, in one order; references are replaced by what they lead to, because components are renamed at will. */
function meaningOf (schema: JsonSchema | null, name: string): string {
  const properties = schema?.['properties']
  return schema !== null && isObject(properties) && Object.hasOwn(properties, name) ? JSON.stringify(meaning(properties[name], schema)) : ''
}

/** The same of what is said beside the fields. */
function restOf (schema: JsonSchema | null): string {
  if (schema === null) return ''
  const { properties: _properties, $defs: _definitions, required: _required, ...rest } = schema
  return JSON.stringify(meaning(rest, schema))
}

/** No document has more schemas than 20,000 with its references followed: see `document.ts`. */
function meaning (value: unknown, root: JsonSchema): unknown {
  if (Array.isArray(value)) return value.map(item => meaning(item, root))
  if (!isObject(value)) return value
  const reference = value['$ref']
  const target = reference === undefined ? null : meaning(definitionOf(root, reference), root)
  const own = Object.entries(value)
    .filter(([word]) => word !== '$ref' && !told.has(word) && !word.startsWith('x-'))
    .toSorted(([one], [other]) => one < other ? -1 : 1)
    .map(([word, part]) => [word, byName.has(word) ? members(part, root) : isSet(word, part) ? part.map(one => JSON.stringify(one)).toSorted() : meaning(part, root)])
  if (target === null) return own
  return own.length === 0 ? target : [['$ref', target], ...own]
}

/** A list whose order says nothing. */
function isSet (word: string, value: unknown): value is readonly unknown[] {
  return (word === 'required' || word === 'enum') && Array.isArray(value)
}

function members (value: unknown, root: JsonSchema): unknown {
  return isObject(value) ? Object.entries(value).toSorted(([one], [other]) => one < other ? -1 : 1).map(([name, part]) => [name, meaning(part, root)]) : value
}
