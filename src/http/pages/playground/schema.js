// @ts-check
// What a form is made of: the fields that a model's JSON schema describes, and the JSON that their values come to.

/**
 * @typedef {'text' | 'choice' | 'ratio' | 'seed' | 'number' | 'switch' | 'json'} Kind
 * @typedef {{ name: string, label: string, kind: Kind, options: string[], description: string, initial: string, isRequired: boolean, isLong: boolean, place: 'first' | 'shown' | 'folded' }} Field
 */

/**
 * What is read of a JSON schema.
 * @typedef {{ type?: string | string[] | undefined, enum?: unknown[], default?: unknown, description?: string, properties?: Record<string, Schema>, required?: string[], $ref?: string, anyOf?: Schema[], oneOf?: Schema[], allOf?: Schema[] }} Schema
 */

/** A JSON number, digit by digit: seeds may be longer than what JavaScript counts in. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/**
 * The fields in the order of the form: the wish first, then what is required, ratio and seed, then the rest.
 * @param {Schema} input @returns {Field[]}
 */
export function fieldsOf (input) {
  const required = new Set(input.required ?? [])
  const fields = Object.entries(input.properties ?? {}).map(([name, schema]) => fieldOf(name, schema, input, required.has(name)))
  const wish = fields.find(({ name, kind }) => name === 'prompt' && kind === 'text') ?? fields.find(({ name, kind }) => name === 'text' && kind === 'text')
  const rank = { first: 0, shown: 1, folded: 2 }
  return fields.map(field => field === wish ? { ...field, place: /** @type {const} */ ('first'), isLong: true } : field).sort((a, b) => rank[a.place] - rank[b.place])
}

/** @param {string} name @param {Schema} written @param {Schema} root @param {boolean} isRequired @returns {Field} */
function fieldOf (name, written, root, isRequired) {
  const schema = plain(written, root)
  const options = Array.isArray(schema.enum) ? schema.enum.filter((/** @type {unknown} */ one) => one !== null).map(String) : []
  const isText = schema.type === 'string'
  /** @type {Kind} */
  const kind = options.length > 1 && isText
    ? (options.filter((/** @type {string} */ one) => ratioOf(one) !== null).length > 1 ? 'ratio' : 'choice')
    : name === 'seed' ? 'seed' : isText ? 'text' : schema.type === 'integer' || schema.type === 'number' ? 'number' : schema.type === 'boolean' ? 'switch' : 'json'
  const initial = written.default ?? schema.default
  return {
    name,
    kind,
    options,
    isRequired,
    label: labelOf(name),
    description: String(written.description ?? schema.description ?? ''),
    initial: initial === undefined || initial === null ? '' : typeof initial === 'object' ? JSON.stringify(initial) : String(initial),
    isLong: isText && options.length === 0 && /prompt|text/.test(name),
    place: isRequired || kind === 'ratio' || kind === 'seed' ? 'shown' : 'folded'
  }
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
  return fields.flatMap(({ name, kind, initial }) => {
    const value = (values[name] ?? '').trim() === '' ? '' : values[name] ?? ''
    if (value === '' || value === initial) return []
    const bare = value.trim()
    if (kind === 'number' || kind === 'seed') return [[name, NUMBER.test(bare) ? bare : JSON.stringify(value)]]
    if (kind === 'switch') return [[name, bare === 'true' ? 'true' : 'false']]
    if (kind === 'json') return [[name, isJson(bare) ? bare : JSON.stringify(value)]]
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
 * Values of a form from an input that was sent once.
 * @param {Field[]} fields @param {Record<string, unknown>} input @param {string | null} [seed] with all its digits
 * @returns {Record<string, string>}
 */
export function valuesOf (fields, input, seed = null) {
  return Object.fromEntries(fields.map(({ name, initial }) => {
    const value = name === 'seed' && input[name] !== undefined && seed !== null ? seed : input[name]
    return [name, value === undefined || value === null ? initial : typeof value === 'object' ? JSON.stringify(value) : String(value)]
  }))
}
