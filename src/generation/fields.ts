// How the fields of a record are declared once: what they are in memory, how a store keeps them as texts, and how a new record gets them.

/**
 * Where a new record has a field from: copied from its admission, under the same name; the same `initial` value for all; or decided by the store
 * when it writes the record.
 */
export type Origin = 'admitted' | 'initial' | 'decided'

/** One field. Stores keep texts; a value that has none is a field that is not there. */
export interface Field<Value, From extends Origin = Origin> {
  /** How scripts in the store see it: `integer` as a number, `flag` as true or nothing, everything else as its text. */
  readonly kind: 'text' | 'integer' | 'flag'
  /** Reads the text of a store; `undefined`: there is none. Throws for what cannot be read, without quoting it. */
  readonly read: (text: string | undefined) => Value
  readonly write: (value: Value) => string | undefined
  readonly from: From
  readonly initial?: Value
  /** See {@link moment}. */
  readonly isMoment?: true
}

/** Any field, for code that knows its value by other means. */
export interface SomeField extends Pick<Field<unknown>, 'kind' | 'from' | 'read' | 'initial' | 'isMoment'> { readonly write: (value: never) => string | undefined }

type ValueOf<One> = One extends { readonly read: (text: string | undefined) => infer Value } ? Value : never

/** A record with these fields. */
export type Values<F> = { readonly [Name in keyof F]: ValueOf<F[Name]> }

type NamesFrom<F, From extends Origin> = { [Name in keyof F]: F[Name] extends { readonly from: From } ? Name : never }[keyof F]

/** What an admission has to bring for these fields. */
export type Admitted<F> = Pick<Values<F>, NamesFrom<F, 'admitted'>>

/** A new record as far as it follows from its admission. */
export type Begun<F> = Pick<Values<F>, NamesFrom<F, 'admitted' | 'initial'>>

/** A new record, but for the fields that the store decides. */
export function begin<F extends object> (fields: F, admission: Admitted<F>): Begun<F> {
  const given = admission as unknown as Readonly<Record<string, unknown>>
  const { initial, admitted } = beginningOf(fields)
  const begun = { ...initial }
  for (const name of admitted) begun[name] = given[name]
  return begun as Begun<F> // each value is that of its field
}

/** Where new records begin: what all of them have, with a place for each field that is admitted, and the names of those. */
interface Beginning { readonly initial: Readonly<Record<string, unknown>>, readonly admitted: readonly string[] }

const beginnings = new WeakMap<object, Beginning>()

function beginningOf (fields: object): Beginning {
  const known = beginnings.get(fields)
  if (known !== undefined) return known
  const begun = entriesOf(fields).filter(([, { from }]) => from !== 'decided')
  const initial = Object.fromEntries(begun.map(([name, { from, initial }]) => [name, from === 'initial' ? initial : null]))
  const made = { initial, admitted: begun.flatMap(([name, { from }]) => from === 'admitted' ? [name] : []) }
  beginnings.set(fields, made)
  return made
}

/** These fields of a record that has more. */
export function pick<F extends object> (fields: F, values: Values<F>): Values<F> {
  const given = new Map<string, unknown>(Object.entries(values))
  return Object.fromEntries(entriesOf(fields).map(([name]) => [name, given.get(name)])) as unknown as Values<F> // each value is that of its field
}

/** Reads a record of texts. Its shape is the same for all records, which keeps their readers fast. */
export function readAll<F extends object> (fields: F, textOf: (name: string) => string | undefined): Values<F> {
  const values: Record<string, unknown> = {}
  for (const [name, field] of entriesOf(fields)) values[name] = field.read(textOf(name))
  return values as Values<F> // each value was read by its field
}

/** The texts of a record, as a store keeps them. */
export function writeAll<F extends object> (fields: F, values: Values<F>): Record<string, string> {
  const given = new Map<string, unknown>(Object.entries(values))
  const texts: Record<string, string> = {}
  for (const [name, field] of entriesOf(fields)) {
    const text = field.write(given.get(name) as never) // each value is that of its field
    if (text !== undefined) texts[name] = text
  }
  return texts
}

/** The text that every new record has in this field; none where there is no such, or it is another in each. */
export function initialTextOf ({ initial, write }: SomeField): string | undefined {
  return initial === undefined ? undefined : write(initial as never) // the value is that of its field
}

const known = new WeakMap<object, readonly (readonly [string, SomeField])[]>()

export function entriesOf (fields: object): readonly (readonly [string, SomeField])[] {
  const entries = known.get(fields) ?? Object.entries<SomeField>({ ...fields })
  known.set(fields, entries)
  return entries
}

/** The names of those fields that are moments. */
export function momentsIn (fields: object): readonly string[] {
  return entriesOf(fields).flatMap(([name, { isMoment }]) => isMoment === true ? [name] : [])
}

// ------------------------------------------------------------------------------------------------ kinds of fields

type Kind<Value> = Pick<Field<Value>, 'kind' | 'read' | 'write' | 'isMoment'>

/** Declares that a field is copied from the admission. */
export function admitted<Value> (kind: Kind<Value>): Field<Value, 'admitted'> {
  return { ...kind, from: 'admitted' }
}

/** Declares that a field of a new record has this value. */
export function initially<Value> (initial: Value, kind: Kind<Value>): Field<Value, 'initial'> {
  return { ...kind, from: 'initial', initial }
}

/** Declares that the store decides about a field of a new record. */
export function decided<Value> (kind: Kind<Value>): Field<Value, 'decided'> {
  return { ...kind, from: 'decided' }
}

export const text: Kind<string> = { kind: 'text', read: textOf, write: value => value }

export const integer: Kind<number> = { kind: 'integer', read: integerOf, write: String }

/** Milliseconds of the ledger's clock, 0 where there is no such moment: a ledger that moves to a store whose clock is another one has it shifted. */
export const moment: Kind<number> = { ...integer, isMoment: true }

/** A flag that is not set is not there. */
export const flag: Kind<boolean> = { kind: 'flag', read: text => text === '1', write: value => value ? '1' : undefined }

/** One of these words. */
export function word<Word extends string> (words: readonly Word[]): Kind<Word> {
  return { kind: 'text', read: text => wordOf(words, text), write: value => value }
}

/** What a field is kept as JSON for; `read` checks what the text holds. */
export function json<Value> (read: (parsed: unknown) => Value): Kind<Value> {
  return { kind: 'text', read: text => read(JSON.parse(textOf(text))), write: value => JSON.stringify(value) }
}

/** The same, or null where there is none. */
export function orNull<Value> ({ read, write, ...kind }: Kind<Value>): Kind<Value | null> {
  return { ...kind, read: text => text === undefined ? null : read(text), write: value => value === null ? undefined : write(value) }
}

/** The same, or `none` where there is no text; `none` itself is not kept. */
export function or<Value> (none: Value, { read, write, ...kind }: Kind<Value>): Kind<Value> {
  return { ...kind, read: text => text === undefined ? none : read(text), write: value => value === none ? undefined : write(value) }
}

// ------------------------------------------------------------------------------------------------ checks

/** What cannot be read is an error of ours and never quoted: it may be a prompt. */
export function unreadable (expected: string, value: unknown): Error {
  return new Error(`The ledger answered with ${value === null ? 'null' : typeof value} where ${expected} was expected.`)
}

export function textOf (value: unknown): string {
  if (typeof value === 'string') return value
  throw unreadable('a text', value)
}

/** A safe integer, from its digits. */
export function integerOf (value: unknown): number {
  const number = typeof value === 'string' ? wholeNumberIn(value) : NaN
  if (Number.isSafeInteger(number)) return number
  throw unreadable('a whole number', value)
}

/** Sixteen digits at most, and a minus before them; `NaN` for anything else. A start reads a million of these: digit by digit it is sooner done than by an expression. */
function wholeNumberIn (digits: string): number {
  const isNegative = digits.charCodeAt(0) === MINUS
  const from = isNegative ? 1 : 0
  if (digits.length === from || digits.length > from + 16) return NaN
  let number = 0
  for (let at = from; at < digits.length; at += 1) {
    const digit = digits.charCodeAt(at) - ZERO
    if (digit < 0 || digit > 9) return NaN
    number = number * 10 + digit
  }
  return isNegative ? -number : number
}

const MINUS = 0x2d
const ZERO = 0x30

export function wordOf<Word extends string> (words: readonly Word[], value: unknown): Word {
  const found = words.find(word => word === value)
  if (found !== undefined) return found
  throw unreadable(words.join(' or '), value)
}

export function recordOf (value: unknown): Readonly<Record<string, unknown>> {
  if (isRecord(value)) return value
  throw unreadable('a record', value)
}

function isRecord (value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function listOf (value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw unreadable('a list', value)
}
