// @ts-check
// What a form is made of: the fields that a model's JSON schema describes, and the JSON that their values come to.

/**
 * @typedef {'text' | 'choice' | 'ratio' | 'seed' | 'number' | 'switch' | 'json'} Kind how it is shown
 * @typedef {'text' | 'number' | 'boolean' | 'json'} Sort how its value is written
 * @typedef {Record<string, (string | number | boolean)[]>} Allowed the values that a caller may send, of fields that are limited to some
 *
 * `initial`: what the model takes when nothing is sent; `start`: what the form begins with.
 * @typedef {{ name: string, label: string, kind: Kind, sort: Sort, options: string[], description: string, initial: string, start: string, isRequired: boolean, isLong: boolean, place: 'first' | 'shown' | 'folded' }} Field
 */

/**
 * What is read of a JSON schema.
 * @typedef {{ type?: string | string[] | undefined, enum?: unknown[], default?: unknown, description?: string, properties?: Record<string, Schema>, required?: string[], $ref?: string, anyOf?: Schema[], oneOf?: Schema[], allOf?: Schema[] }} Schema
 */

/** A JSON number, digit by digit: seeds may be longer than what JavaScript counts in. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/**
 * The fields in the order of the form: the wish first, then what is required, ratio and seed, then the rest.
 * @param {Schema} input @param {Allowed} [allow] @returns {Field[]}
 */
export function fieldsOf (input, allow = {}) {
  const required = new Set(input.required ?? [])
  const fields = Object.entries(input.properties ?? {}).map(([name, schema]) => fieldOf(name, schema, input, { isRequired: required.has(name), allowed: allow[name] }))
  const wish = fields.find(({ name, kind }) => name === 'prompt' && kind === 'text') ?? fields.find(({ name, kind }) => name === 'text' && kind === 'text')
  const rank = { first: 0, shown: 1, folded: 2 }
  return fields.map(field => field === wish ? { ...field, place: /** @type {const} */ ('first'), isLong: true } : field).sort((a, b) => rank[a.place] - rank[b.place])
}

/** @param {string} name @param {Schema} written @param {Schema} root @param {{ isRequired: boolean, allowed: Allowed[string] | undefined }} rights @returns {Field} */
function fieldOf (name, written, root, { isRequired, allowed }) {
  const schema = plain(written, root)
  const sort = sortOf(schema)
  const listed = Array.isArray(schema.enum) && sort === 'text' ? schema.enum.filter((/** @type {unknown} */ one) => one !== null) : []
  const options = (allowed ?? listed).map(String)
  const given = written.default ?? schema.default
  const initial = given === undefined || given === null ? '' : typeof given === 'object' ? JSON.stringify(given) : String(given)
  const isChosen = allowed !== undefined || options.length > 1
  return {
    name,
    kind: isChosen ? (options.filter(one => ratioOf(one) !== null).length > 1 ? 'ratio' : 'choice') : name === 'seed' ? 'seed' : sort === 'boolean' ? 'switch' : sort,
    sort,
    options,
    isRequired,
    label: labelOf(name),
    description: String(written.description ?? schema.description ?? ''),
    initial,
    start: isChosen && !options.includes(initial) && (allowed !== undefined || initial !== '') ? options[0] ?? '' : initial,
    isLong: sort === 'text' && options.length === 0 && /prompt|text/.test(name),
    place: isRequired || name === 'seed' || options.some(one => ratioOf(one) !== null) ? 'shown' : 'folded'
  }
}

/** @param {Schema} schema @returns {Sort} */
function sortOf ({ type }) {
  return type === 'string' ? 'text' : type === 'integer' || type === 'number' ? 'number' : type === 'boolean' ? 'boolean' : 'json'
}

/**
 * The schema with its reference followed, and of several alternatives the one that a form shows best.
 * @param {Schema} schema @param {Schema} root @returns {Schema}
 */
function plain (schema, root, depth = 0) {
  if (depth > 8 || typeof schema !== 'object' || schema === null) return {}
  if (typeof schema.$ref === 'string') return plain(schema.$ref.split('/').slice(1).reduce((/** @type {Schema} */ at, step) => Object(Reflect.get(Object(at), step.replaceAll('~1', '/').replaceAll('~0', '~'))), root), root, depth + 1)
  const alternatives = schema.anyOf ?? schema.oneOf ?? schema.allOf
  if (!Array.isArray(alternatives)) return Array.isArray(schema.type) ? { ...schema, type: schema.type.find((/** @type {string} */ one) => one !== 'null') } : schema
  const read = alternatives.map(one => plain(one, root, depth + 1)).filter(one => one.type !== 'null')
  return read.find(one => Array.isArray(one.enum)) ?? read.find(one => one.type === 'string') ?? read[0] ?? {}
}

/** Width and height that a word stands for, or `null`. @param {string} word @returns {[width: number, height: number] | null} */
export function ratioOf (word) {
  const [, width, height] = /^(\d+):(\d+)$/.exec(word) ?? []
  if (width !== undefined && height !== undefined) return [Number(width), Number(height)]
  const [, way, long, short] = /^(landscape|portrait)_(\d+)_(\d+)$/.exec(word) ?? []
  if (long !== undefined && short !== undefined) {
    const sides = [Number(long), Number(short)].sort((a, b) => b - a)
    const [more = 1, less = 1] = sides
    return way === 'landscape' ? [more, less] : [less, more]
  }
  return /^square/.test(word) ? [1, 1] : null
}

/** @param {string} name */
function labelOf (name) {
  const words = name.replaceAll('_', ' ').trim()
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/**
 * The members that are sent, as JSON texts by name: what is empty, or as it was at first, is left out.
 * @param {Field[]} fields @param {Record<string, string>} values @returns {[name: string, json: string][]}
 */
export function membersOf (fields, values) {
  return fields.flatMap(({ name, kind, sort, initial }) => {
    const value = (values[name] ?? '').trim() === '' ? '' : values[name] ?? ''
    if (value === '' || value === initial) return []
    const bare = value.trim()
    if (sort === 'number' || kind === 'seed') return [[name, NUMBER.test(bare) ? bare : JSON.stringify(value)]]
    if (sort === 'boolean') return [[name, bare === 'true' ? 'true' : 'false']]
    if (sort === 'json') return [[name, isJson(bare) ? bare : JSON.stringify(value)]]
    return [[name, JSON.stringify(value)]]
  })
}

/** @param {string} text */
function isJson (text) {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/**
 * Values of a form from an input that was sent once. What is not on offer now is as at the start.
 * @param {Field[]} fields @param {Record<string, unknown>} input @param {string | null} [seed] with all its digits
 * @returns {Record<string, string>}
 */
export function valuesOf (fields, input, seed = null) {
  return Object.fromEntries(fields.map(({ name, kind, options, start }) => {
    const value = name === 'seed' && input[name] !== undefined && seed !== null ? seed : input[name]
    const text = value === undefined || value === null ? start : typeof value === 'object' ? JSON.stringify(value) : String(value)
    return [name, (kind === 'choice' || kind === 'ratio') && !options.includes(text) ? start : text]
  }))
}
