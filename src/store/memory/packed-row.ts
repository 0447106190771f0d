// An ended row in little room. What many rows have in common is kept once for all of them, and the rest of a row is one text: its fields as every store writes them,
// one after the other, without those that are as in every new row.

import { entriesOf, initialTextOf, type SomeField } from '../../generation/fields.ts'
import { hiddenFields, rowFields, type Generation, type Hidden } from '../../generation/generation.ts'
import type { Entry } from './entry.ts'

/** In what rows of one tenant and model mostly agree, beside every flag. */
const SHARED: ReadonlySet<string> = new Set([
  'tenant', 'model', 'phase', 'owner', 'priority', 'unitPrice', 'priceRule', 'accounts', 'upstream', 'cacheGroup', 'doubt', 'mode'
] satisfies (keyof Generation | keyof Hidden)[])

const fields = [...fieldsIn('row', rowFields), ...fieldsIn('hidden', hiddenFields)]
const sharedFields = fields.filter(({ name, field }) => field.kind === 'flag' || SHARED.has(name))
const ownFields = fields.filter(field => !sharedFields.includes(field))

function fieldsIn (half: 'row' | 'hidden', declared: object): { readonly half: 'row' | 'hidden', readonly name: string, readonly field: SomeField, readonly initialText: string | undefined }[] {
  return entriesOf(declared).map(([name, field]) => ({ half, name, field, initialText: initialTextOf(field) }))
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
  readonly own: typeof ownFields
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
    const texts: string[] = []
    /** A bit for each field that may be its own. */
    let present = 0
    for (const { half, name, field, initialText } of ownFields) {
      const text = textIn(field, values[half][name])
      const isOwn = text !== undefined && text !== initialText
      present = present * 2 + (isOwn ? 1 : 0)
      if (!isOwn) continue
      if (text.includes(END)) return null
      texts.push(text)
    }
    const shared = sharedFields.map(({ half, name, field }) => sharedTextIn(field, values[half][name]) ?? NONE)
    const key = `${present} ${shared.join(END)}`
    let common = known.get(key)
    if (common === undefined) {
      common = commonOf(entry, ownFields.filter(({ half, name, field, initialText }) => ![undefined, initialText].includes(textIn(field, values[half][name]))))
      if (known.size >= MOST_KNOWN) known.clear()
      known.set(key, common)
    }
    // A text that has wide characters takes two bytes for each of its others, too; and this one is in one piece.
    return new PackedRow(common, Buffer.from(texts.join(END)).toString('latin1'))
  }

  unpack (id: string): Entry {
    const { row: sharedRow, hidden: sharedHidden, own } = this.#common
    const row = { ...sharedRow, id, purchase: id }
    const hidden = { ...sharedHidden }
    const values = { row, hidden } as unknown as Halves // each value was read by its field
    const text = Buffer.from(this.#own, 'latin1').toString()
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

function textIn (field: SomeField, value: unknown): string | undefined {
  return field.write(value as never) // each value is that of its field
}

/** The same of a value that many rows have: one that is a list is written once. */
function sharedTextIn (field: SomeField, value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return textIn(field, value)
  const text = written.get(value) ?? textIn(field, value)
  if (text !== undefined) written.set(value, text)
  return text
}

const written = new WeakMap<object, string>()

/** So many are known at most. What is made once more takes room, nothing else. */
const MOST_KNOWN = 1000

const known = new Map<string, Common>()

/** What is made of a row and holds for all that agree with it, but for these fields. It has its fields in that row's order. */
function commonOf (entry: Entry, own: typeof ownFields): Common {
  const row = { ...entry.row, id: '', purchase: '', stored: false }
  const hidden = { ...entry.hidden }
  const values = { row, hidden } as unknown as Halves // each value is that of its field
  for (const one of ownFields) values[one.half][one.name] = own.includes(one) ? null : one.field.read(one.initialText)
  return { row, hidden, own }
}
