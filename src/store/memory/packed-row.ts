// An ended row in little room. What many rows have in common is kept once for all of them, and the rest of a row is one text: its fields as every store writes them,
// one after the other, without those that are as in every new row.

import { entriesOf, initialTextOf, type SomeField } from '../../generation/fields.ts'
import { hiddenFields, rowFields, type Generation, type Hidden } from '../../generation/generation.ts'
import type { Entry } from './entry.ts'

/** In what rows of one tenant and model mostly agree, beside every flag. */
const SHARED: ReadonlySet<string> = new Set([
  'tenant', 'model', 'phase', 'owner', 'priority', 'unitPrice', 'priceRule', 'accounts', 'upstream', 'cacheGroup', 'doubt', 'mode'
] satisfies (keyof Generation | keyof Hidden)[])

/** A field of a row, and what a new row has in it. No two halves have one of the same name. */
interface RowField { readonly half: 'row' | 'hidden', readonly name: string, readonly field: SomeField, readonly initial: unknown, readonly initialText: string | undefined }

const fields = [...fieldsIn('row', rowFields), ...fieldsIn('hidden', hiddenFields)]
const sharedFields = fields.filter(({ name, field }) => field.kind === 'flag' || SHARED.has(name))
const ownFields = fields.filter(field => !sharedFields.includes(field))

function fieldsIn (half: RowField['half'], declared: object): RowField[] {
  return entriesOf(declared).map(([name, field]) => {
    const initialText = initialTextOf(field)
    return { half, name, field, initialText, initial: field.initial ?? (initialText === undefined ? null : undefined) }
  })
}

/** No JSON, number, name or place of a text has this character. */
const END = '\u0001'

/** The same in a list of JSON texts, for a row that was read as a part of one: no text of such a row has a quotation mark. */
const BETWEEN = '","'

/** What such a list has for the first character of a place of a text; no other text of such a row has a backslash. */
const PLACE = '\\u0000'

/** What a text in such a list may be. */
const LISTED = /^\0?[ !#-[\]-~]*$/

/** In the place of a field that is not there. */
const NONE = '\u0002'

/** What rows have in common that are made of it: a row and its hidden half, to be copied and filled with what is its own. */
export interface RowForm {
  /** Tells it from every other. */
  readonly key: string
  readonly row: Generation
  readonly hidden: Hidden
  /** The texts of `sharedFields`. */
  readonly shared: readonly (string | undefined)[]
  /** The fields that follow, in this order. */
  readonly own: readonly RowField[]
  /** For {@link PackedRow.glance}. */
  readonly glance: Entry
}

interface Halves { readonly row: Record<string, unknown>, readonly hidden: Record<string, unknown> }

/** A row that was packed. */
export class PackedRow {
  readonly form: RowForm
  readonly #own: string

  private constructor (form: RowForm, own: string) {
    this.form = form
    this.#own = own
  }

  /** Packs a row, or gives `null` for one that cannot be. */
  static of (entry: Entry): PackedRow | null {
    const values = entry as unknown as Halves // each value is that of its field
    const own: string[] = []
    /** A bit for each field that may be its own. */
    let present = 0
    for (const { half, name, field, initial, initialText } of ownFields) {
      present *= 2
      const value = values[half][name]
      if (value === initial) continue
      const text = textIn(field, value)
      if (text === undefined || text === initialText) continue
      if (text.includes(END)) return null
      present += 1
      own.push(text)
    }
    return new PackedRow(formWith(values, present), joined(own))
  }

  /** The row of this form with these texts in its own fields; `null` when it cannot be packed. None of them is read. */
  static with (form: RowForm, own: readonly string[]): PackedRow | null {
    return own.some(text => text.includes(END)) ? null : new PackedRow(form, joined(own))
  }

  /** The same for texts that stand as {@link canBeListed} says in a JSON text, from the first one's first character to the last one's last. A part of a longer text keeps all of that in memory. */
  static listed (form: RowForm, list: string): PackedRow {
    return new PackedRow(form, list)
  }

  /** The texts of its own fields. */
  texts (): string[] {
    const text = this.#text()
    return text.includes(END) ? text.split(END) : text.split(BETWEEN).map(plain)
  }

  unpack (id: string): Entry {
    const { form } = this
    const row = { ...form.row, id, purchase: id }
    const hidden = { ...form.hidden }
    const values = { row, hidden } as unknown as Halves // each value was read by its field
    const text = this.#text()
    const isList = !text.includes(END)
    const between = isList ? BETWEEN : END
    let from = 0
    for (const { half, name, field } of form.own) {
      const end = text.indexOf(between, from)
      const own = text.slice(from, end === -1 ? text.length : end)
      values[half][name] = field.read(isList ? plain(own) : own)
      from = end + between.length
    }
    return { row, hidden }
  }

  /** The row, of which only what is asked for is read: to be looked at, and only until the next one is glanced at. Whoever keeps it copies it. */
  glance (id: string): Entry {
    return glanceAt(id, this.form, this.#text())
  }

  #text (): string {
    return isAscii(this.#own) ? this.#own : Buffer.from(this.#own, 'latin1').toString()
  }
}

/** May a row with these texts be read from a list of them, as a part of it? */
export function canBeListed (own: readonly string[]): boolean {
  return own.length > 1 && own.every(text => LISTED.test(text))
}

/** A text as it stands in a list. */
function plain (listed: string): string {
  return listed.startsWith(PLACE) ? '\u0000' + listed.slice(PLACE.length) : listed
}

/** The row of this form with these texts in its own fields. Throws when one cannot be read. */
export function entryOf (form: RowForm, id: string, own: readonly string[]): Entry {
  const row = { ...form.row, id, purchase: id }
  const hidden = { ...form.hidden }
  const values = { row, hidden } as unknown as Halves // each value is read by its field
  for (let place = 0; place < form.own.length; place += 1) {
    const field = form.own[place]
    if (field !== undefined) values[field.half][field.name] = field.field.read(own[place])
  }
  return { row, hidden }
}

/** One text of them, in one piece. One that has wide characters would take two bytes for each of its others, too. */
function joined (texts: readonly string[]): string {
  const all = texts.join(END)
  return isAscii(all) ? all : Buffer.from(all).toString('latin1')
}

function isAscii (text: string): boolean {
  return Buffer.byteLength(text) === text.length
}

function textIn (field: SomeField, value: unknown): string | undefined {
  return field.write(value as never) // each value is that of its field
}

// ------------------------------------------------------------------------------------------------ what is shared

/** So many are known at most. What is made once more takes room, nothing else. */
const MOST_KNOWN = 1000

const known = new Map<string, RowForm>()

/** `present`: which of `ownFields` are the row's own, a bit for each, the last one lowest. `shared`: the texts of `sharedFields`. */
function formOf (present: number, shared: readonly (string | undefined)[]): RowForm {
  const key = `${present} ${shared.map(text => text ?? NONE).join(END)}`
  const found = known.get(key)
  if (found !== undefined) return found
  if (known.size >= MOST_KNOWN) known.clear()
  const form = makeForm(key, ownFields.filter((_, index) => Math.floor(present / 2 ** (ownFields.length - 1 - index)) % 2 === 1), shared)
  known.set(key, form)
  return form
}

/** What rows of one tenant were made of that had these values in `sharedFields`: most of the next ones have the same. */
interface Before { readonly present: number, readonly values: readonly unknown[], readonly form: RowForm }

const before = new Map<unknown, Before>()

function formWith (row: Halves, present: number): RowForm {
  const { tenant } = row.row
  const last = before.get(tenant)
  if (last !== undefined && last.present === present && hasValues(row, last.values)) return last.form
  const values = sharedFields.map(({ half, name }) => row[half][name])
  const form = formOf(present, sharedFields.map(({ field }, index) => textIn(field, values[index])))
  if (before.size >= MOST_KNOWN) before.clear()
  before.set(tenant, { present, values, form })
  return form
}

function hasValues (row: Halves, values: readonly unknown[]): boolean {
  for (let at = 0; at < sharedFields.length; at += 1) {
    const field = sharedFields[at]
    if (field === undefined || row[field.half][field.name] !== values[at]) return false
  }
  return true
}

function makeForm (key: string, own: readonly RowField[], shared: readonly (string | undefined)[]): RowForm {
  const values: Halves = { row: { id: '', purchase: '', stored: false }, hidden: {} }
  for (const one of fields) {
    const { half, name, field, initialText } = one
    const at = sharedFields.indexOf(one)
    values[half][name] = at !== -1 ? field.read(shared[at]) : own.includes(one) ? null : field.read(initialText)
  }
  const { row, hidden } = values as unknown as Pick<RowForm, 'row' | 'hidden'> // each value was read by its field, or follows
  // What was filled name by name is slow to copy, and a copy of it is not.
  const copy = { row: { ...row }, hidden: { ...hidden } }
  return { key, ...copy, shared, own, glance: makeGlance(copy, own) }
}

// ------------------------------------------------------------------------------------------------ rows of a store

/** What rows agree in that have texts in the same fields. */
interface Shape {
  readonly names: readonly string[]
  /** Where among its texts those stand that are its own. */
  readonly own: readonly number[]
  /** The form of the row with these texts. */
  readonly formOf: (texts: readonly string[]) => RowForm
}

/** So many are known at most. */
const MOST_SHAPES = 32

/** The one that was met last stands first. */
const shapes: Shape[] = []

/**
 * The form of a row, and the texts of its own fields. `names` are those of its fields without those that are as in every new row, and others that are none; `texts` stand
 * in the same order. Throws when one that is shared cannot be read.
 */
export function readForm (names: readonly string[], texts: readonly string[]): { readonly form: RowForm, readonly own: string[] } {
  const shape = shapeOf(names)
  const form = shape.formOf(texts)
  return { form, own: shape.own.map(place => texts[place] ?? '') }
}

function shapeOf (names: readonly string[]): Shape {
  const at = shapes.findIndex(shape => isSame(shape.names, names))
  const shape = shapes[at] ?? makeShape(names)
  if (at === 0) return shape
  if (at > 0) shapes.splice(at, 1)
  else if (shapes.length >= MOST_SHAPES) shapes.pop()
  shapes.unshift(shape)
  return shape
}

function makeShape (names: readonly string[]): Shape {
  const placeOf = ({ name }: RowField): number => names.indexOf(name)
  const present = ownFields.reduce((bits, field) => bits * 2 + (names.includes(field.name) ? 1 : 0), 0)
  const sharedPlaces = sharedFields.map(placeOf)
  const placesThere = sharedPlaces.filter(place => place !== -1)
  /** The texts of the row before, and what they led to. */
  let last: { readonly texts: readonly string[], readonly form: RowForm } | null = null
  return {
    names,
    own: ownFields.map(placeOf).filter(place => place !== -1),
    formOf: texts => {
      if (last !== null && areSame(last.texts, texts, placesThere)) return last.form
      const form = formOf(present, sharedFields.map((field, index) => texts[sharedPlaces[index] ?? -1] ?? field.initialText))
      last = { texts, form }
      return form
    }
  }
}

function isSame (one: readonly string[], other: readonly string[]): boolean {
  if (one.length !== other.length) return false
  for (let at = 0; at < one.length; at += 1) if (one[at] !== other[at]) return false
  return true
}

function areSame (one: readonly string[], other: readonly string[], places: readonly number[]): boolean {
  for (const place of places) if (one[place] !== other[place]) return false
  return true
}

/** A form by the names of its own fields, in their order, and the texts of its shared ones by their names. */
export interface WrittenForm { readonly own: readonly string[], readonly shared: Readonly<Record<string, string>> }

export function writeForm ({ own, shared }: RowForm): WrittenForm {
  return { own: own.map(({ name }) => name), shared: Object.fromEntries(sharedFields.flatMap(({ name }, index) => shared[index] === undefined ? [] : [[name, shared[index]]])) }
}

/** The form that was written; `null` when what are its own fields are not so, or stand in another order, in this version. */
export function formIn ({ own, shared }: WrittenForm): RowForm | null {
  const { form } = readForm([...own, ...Object.keys(shared)], [...own.map(() => ''), ...Object.values(shared)])
  return form.own.length === own.length && form.own.every(({ name }, place) => name === own[place]) ? form : null
}

// ------------------------------------------------------------------------------------------------ a glance

/** What is glanced at: the texts of a row's own fields, what stands between them, and where each of them begins and ends. */
let glanced = ''
let between = END
const begins = new Int32Array(ownFields.length)
const ends = new Int32Array(ownFields.length)

/** A row of this form whose own fields are read when they are asked for, from whatever row is glanced at. */
function makeGlance ({ row, hidden }: Pick<RowForm, 'row' | 'hidden'>, own: readonly RowField[]): Entry {
  const glance: Entry = { row: { ...row }, hidden: { ...hidden } }
  for (const [place, { half, name, field }] of own.entries()) {
    Object.defineProperty(glance[half], name, { enumerable: true, get: () => field.read(glancedText(glanced.slice(begins[place], ends[place]))) })
  }
  return glance
}

function glancedText (text: string): string {
  return between === BETWEEN ? plain(text) : text
}

function glanceAt (id: string, form: RowForm, text: string): Entry {
  between = text.includes(END) ? END : BETWEEN
  const last = form.own.length - 1
  let at = 0
  for (let place = 0; place <= last; place += 1) {
    const end = text.indexOf(between, at)
    if ((end === -1) !== (place === last)) throw new Error('A row has not as many texts as fields.')
    begins[place] = at
    ends[place] = end === -1 ? text.length : end
    at = end + between.length
  }
  glanced = text
  const { row } = form.glance as unknown as Halves // which it may be written to
  row['id'] = id
  row['purchase'] = id
  return form.glance
}
