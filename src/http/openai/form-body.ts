// The texts of a form as a JSON body. A form has no numbers, flags, lists or objects: what is meant by a text is told by the model that takes it.

import type { FieldFault } from '../../errors.ts'
import type { Model } from '../../models/model.ts'
import { takes } from '../../models/takes.ts'
import type { FormText } from './form.ts'

/** What is sent under a name: a text, a list or an object. */
export type FormValue = string | readonly FormValue[] | ReadonlyMap<string, FormValue>

export type FormFields = ReadonlyMap<string, FormValue>

export type FieldsReading = { readonly ok: true, readonly fields: FormFields } | { readonly ok: false, readonly faults: readonly FieldFault[] }

/** A text, and where it stands in its field: an empty text is a place in a list, any other a member of an object. */
interface Placed { readonly path: readonly string[], readonly text: string }

/** OpenAI's own fields that are no texts. */
const NO_TEXTS = new Set(['n', 'stream', 'partial_images', 'output_compression'])

/** As JSON writes numbers, flags and nothing. */
const LITERAL = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)$/

/** Names of members further inside than any model has them. */
const MAX_DEPTH = 8

/** Puts together what OpenAI's libraries take apart: lists (`name[]`), objects (`name[key]`), and lists of objects (`name[][key]`). */
export function readFields (texts: readonly FormText[]): FieldsReading {
  const byName = new Map<string, Placed[]>()
  for (const { name, text } of texts) {
    const [top = name, ...path] = pathOf(name)
    listAt(byName, top).push({ path, text })
  }
  const fields = new Map<string, FormValue>()
  const faults: FieldFault[] = []
  for (const [name, placed] of byName) {
    const value = valueOf(placed)
    if (value === null) faults.push({ path: `/${name}`, message: 'comes in parts that can be put together in more than one way, or in none: send the request as JSON', code: 'value_error' })
    else fields.set(name, value)
  }
  return faults.length > 0 ? { ok: false, faults } : { ok: true, fields }
}

/** JSON text with every field. Digits stay as they are. */
export function bodyOfFields (fields: FormFields, model: Model): string {
  return `{${[...fields].map(([name, value]) => `${JSON.stringify(name)}:${writeFor(model, name, value)}`).join(',')}}`
}

/** `a[b][]` as `a`, `b` and an empty text; a name that is not written like that is one. */
function pathOf (name: string): readonly string[] {
  const [, top, rest = ''] = /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(name) ?? []
  if (top === undefined) return [name]
  const inner = [...rest.matchAll(/\[([^[\]]*)\]/g)].map(([, key = '']) => key)
  return inner.length > MAX_DEPTH ? [name] : [top, ...inner]
}

/** `null`: it is not clear what is meant. A text whose name comes again makes a list. */
function valueOf (placed: readonly Placed[]): FormValue | null {
  if (placed.every(({ path: [key, inner] }) => (key ?? '') === '' && inner === undefined)) {
    const texts = placed.map(({ text }) => text)
    const [text = ''] = texts
    return texts.length === 1 && placed[0]?.path.length === 0 ? text : texts
  }
  if (placed.every(({ path: [key] }) => key === '')) return listOf(placed.map(inside))
  return placed.every(({ path: [key = ''] }) => key !== '') ? objectOf(placed) : null
}

function objectOf (placed: readonly Placed[]): FormValue | null {
  const byKey = new Map<string, Placed[]>()
  for (const one of placed) listAt(byKey, one.path[0] ?? '').push(inside(one))
  const members = new Map<string, FormValue>()
  for (const [key, those] of byKey) {
    const value = valueOf(those)
    if (value === null) return null
    members.set(key, value)
  }
  return members
}

/**
 * A list of objects. Some libraries send it object by object, others member by member, and none says where an object ends: it is clear where each member comes as
 * often as every other, and none of them is a list.
 */
function listOf (placed: readonly Placed[]): FormValue | null {
  const byPath = new Map<string, Placed[]>()
  for (const one of placed) {
    if (one.path.length === 0 || one.path.includes('')) return null
    listAt(byPath, JSON.stringify(one.path)).push(one)
  }
  const members = [...byPath.values()]
  const length = members[0]?.length ?? 0
  if (members.some(those => those.length !== length)) return null
  const objects: FormValue[] = []
  for (let index = 0; index < length; index++) {
    const object = objectOf(members.flatMap(those => those[index] ?? []))
    if (object === null) return null
    objects.push(object)
  }
  return objects
}

function inside ({ path, text }: Placed): Placed {
  return { path: path.slice(1), text }
}

function listAt <Item> (lists: Map<string, Item[]>, name: string): Item[] {
  const known = lists.get(name)
  if (known !== undefined) return known
  const list: Item[] = []
  lists.set(name, list)
  return list
}

/** As texts, where the model takes these; else with numbers and flags in their place. */
function writeFor (model: Model, name: string, value: FormValue): string {
  const asTexts = write(value, false)
  const asLiterals = write(value, true)
  if (asTexts === asLiterals) return asTexts
  return NO_TEXTS.has(name) || (!takes(model, name, JSON.parse(asTexts)) && takes(model, name, JSON.parse(asLiterals))) ? asLiterals : asTexts
}

function write (value: FormValue, hasLiterals: boolean): string {
  if (typeof value === 'string') return hasLiterals && LITERAL.test(value) ? value : JSON.stringify(value)
  if (value instanceof Map) return `{${[...value].map(([key, inner]) => `${JSON.stringify(key)}:${write(inner, hasLiterals)}`).join(',')}}`
  return `[${[...value].map(item => write(item, hasLiterals)).join(',')}]`
}
