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

/** In the place of a field that is not there. */
const NONE = '\u0002'

/** What rows have in common that are made of it: a row and its hidden half, to be copied and filled with what is its own. */
interface Common {
  readonly row: Generation
  readonly hidden: Hidden
  /** The fields that follow, in this order. */
  readonly own: readonly RowField[]
}

interface Halves { readonly row: Record<string, unknown>, readonly hidden: Record<string, unknown> }

/** A row that was packed. */
export class PackedRow {
  readonly #common: Common
  readonly #own: string

  private constructor (common: Common, own: string) {
    this.#common = common
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
    return new PackedRow(commonWith(values, present), joined(own))
  }

  /**
   * The row with these texts in its fields, and packed, unless it cannot be. `names` are those of its fields without those that are as in every new row, and others that
   * are none; `texts` stand in the same order. Throws when one cannot be read.
   */
  static read (id: string, names: readonly string[], texts: readonly string[]): { readonly entry: Entry, readonly packed: PackedRow | null } {
    const shape = shapeOf(names)
    const common = shape.commonOf(texts)
    const row = { ...common.row, id, purchase: id }
    const hidden = { ...common.hidden }
    const values = { row, hidden } as unknown as Halves // each value is read by its field
    const own: string[] = []
    let canBe = true
    let at = 0
    for (const { half, name, field } of common.own) {
      const text = texts[shape.own[at] ?? -1] ?? ''
      at += 1
      values[half][name] = field.read(text)
      if (field.kind !== 'integer' && text.includes(END)) canBe = false
      own.push(text)
    }
    return { entry: { row, hidden }, packed: canBe ? new PackedRow(common, joined(own)) : null }
  }

  unpack (id: string): Entry {
    const { row: sharedRow, hidden: sharedHidden, own } = this.#common
    const row = { ...sharedRow, id, purchase: id }
    const hidden = { ...sharedHidden }
    const values = { row, hidden } as unknown as Halves // each value was read by its field
    const text = isAscii(this.#own) ? this.#own : Buffer.from(this.#own, 'latin1').toString()
    let from = 0
    for (const { half, name, field } of own) {
      const end = text.indexOf(END, from)
      const to = end === -1 ? text.length : end
      values[half][name] = field.read(text.slice(from, to))
      from = to + 1
    }
    return { row, hidden }
  }
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

const known = new Map<string, Common>()

/** `present`: which of `ownFields` are the row's own, a bit for each, the last one lowest. `shared`: the texts of `sharedFields`. */
function commonOf (present: number, shared: readonly (string | undefined)[]): Common {
  const key = `${present} ${shared.map(text => text ?? NONE).join(END)}`
  const found = known.get(key)
  if (found !== undefined) return found
  if (known.size >= MOST_KNOWN) known.clear()
  const common = makeCommon(ownFields.filter((_, index) => Math.floor(present / 2 ** (ownFields.length - 1 - index)) % 2 === 1), shared)
  known.set(key, common)
  return common
}

/** What rows of one tenant were made of that had these values in `sharedFields`: most of the next ones have the same. */
interface Before { readonly present: number, readonly values: readonly unknown[], readonly common: Common }

const before = new Map<unknown, Before>()

function commonWith (row: Halves, present: number): Common {
  const { tenant } = row.row
  const last = before.get(tenant)
  if (last !== undefined && last.present === present && hasValues(row, last.values)) return last.common
  const values = sharedFields.map(({ half, name }) => row[half][name])
  const common = commonOf(present, sharedFields.map(({ field }, index) => textIn(field, values[index])))
  if (before.size >= MOST_KNOWN) before.clear()
  before.set(tenant, { present, values, common })
  return common
}

function hasValues (row: Halves, values: readonly unknown[]): boolean {
  for (let at = 0; at < sharedFields.length; at += 1) {
    const field = sharedFields[at]
    if (field === undefined || row[field.half][field.name] !== values[at]) return false
  }
  return true
}

function makeCommon (own: readonly RowField[], shared: readonly (string | undefined)[]): Common {
  const values: Halves = { row: { id: '', purchase: '', stored: false }, hidden: {} }
  for (const one of fields) {
    const { half, name, field, initialText } = one
    const at = sharedFields.indexOf(one)
    values[half][name] = at !== -1 ? field.read(shared[at]) : own.includes(one) ? null : field.read(initialText)
  }
  const { row, hidden } = values as unknown as Pick<Common, 'row' | 'hidden'> // each value was read by its field, or follows
  // What was filled name by name is slow to copy, and a copy of it is not.
  return { row: { ...row }, hidden: { ...hidden }, own }
}

// ------------------------------------------------------------------------------------------------ rows of a store

/** What rows agree in that have texts in the same fields. */
interface Shape {
  readonly names: readonly string[]
  /** Where among its texts those stand that are its own. */
  readonly own: readonly number[]
  /** What the row with these texts has in common with others. */
  readonly commonOf: (texts: readonly string[]) => Common
}

/** So many are known at most. */
const MOST_SHAPES = 32

/** The one that was met last stands first. */
const shapes: Shape[] = []

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
  let last: { readonly texts: readonly string[], readonly common: Common } | null = null
  return {
    names,
    own: ownFields.map(placeOf).filter(place => place !== -1),
    commonOf: texts => {
      if (last !== null && areSame(last.texts, texts, placesThere)) return last.common
      const common = commonOf(present, sharedFields.map((field, index) => texts[sharedPlaces[index] ?? -1] ?? field.initialText))
      last = { texts, common }
      return common
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
