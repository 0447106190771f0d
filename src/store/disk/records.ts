// The records of the journal on disk, each a JSON text of one line.

import { integerOf, listOf, recordOf, textOf, unreadable } from '../../generation/fields.ts'
import type { Own } from '../memory/name-table.ts'
import type { WrittenForm } from '../memory/packed-row.ts'
import type { Place } from '../memory/texts.ts'
import type { Image } from './tables.ts'

/**
 * What one record says:
 *
 * - `entry`: this entry of this table is so, or (`null`) is gone.
 * - `figures`: the figures are so.
 * - `text`: the text of this owner lies there.
 * - `form`: rows of the snapshot that name this number are of this form.
 * - `row`: this row is of that form, and these are the texts of its own fields; the names with these letters are kept with it.
 * - `lines`: so many lines of the journal of money lie there as one text, the first and last of them with these cursors.
 */
export type Said =
  | { readonly kind: 'entry', readonly table: string, readonly key: string, readonly image: Image | null }
  | { readonly kind: 'figures', readonly image: Image }
  | { readonly kind: 'text', readonly owner: string, readonly place: Place }
  | { readonly kind: 'form', readonly number: number, readonly form: WrittenForm }
  | { readonly kind: 'row', readonly id: string, readonly form: number, readonly leads: string, readonly own: readonly string[] }
  | { readonly kind: 'lines', readonly chunk: LineChunk }

/** Lines of the journal of money that lie together on disk. */
export interface LineChunk { readonly first: string, readonly last: string, readonly count: number, readonly place: Place }

export function entryRecord (table: string, key: string, image: Image | null): string {
  return JSON.stringify([table, key, image])
}

export function figuresRecord (image: Image): string {
  return JSON.stringify(['', image])
}

/** Of a text that is the `index`th of its batch, or lies at a place that is known already. */
export function textRecord (owner: string, where: number | Place): string {
  return JSON.stringify(['@', owner, where])
}

export function linesRecord (chunk: LineChunk): string {
  return JSON.stringify(['$', chunk.first, chunk.last, chunk.count, chunk.place])
}

/**
 * The record of a name whose texts need no escapes, as `entryRecord` writes what the table of names has of it. Of one that does it gives what no record is; then that is
 * read like any other. Most need not be read, since the row that they lead to says the same.
 */
export function nameRecord ({ name, value: { id, fingerprint }, endMs }: Own): { readonly head: string, readonly record: string } {
  const head = `["names","${name}"`
  return { head, record: `${head},{"id":"${id}"${fingerprint === null ? '' : `,"fingerprint":"${fingerprint}"`}${endMs === Infinity ? '' : `,"until":"${endMs}"`}}]` }
}

export function formRecord (number: number, { own, shared }: WrittenForm): string {
  return JSON.stringify(['~', number, own, shared])
}

/** `own`: texts that {@link canBeListed}. */
export function rowRecord (id: string, form: number, leads: string, own: readonly string[]): string {
  return JSON.stringify(['=', id, form, leads, ...own])
}

/** A row's record, taken apart without its being parsed: `list` is the part of it with the texts of its own fields. `null` for another record. */
export function listedRow (record: string): { readonly id: string, readonly form: number, readonly leads: string, readonly list: string } | null {
  if (!record.startsWith(LISTED_ROW)) return null
  const idEnd = record.indexOf('",', LISTED_ROW.length)
  const formEnd = record.indexOf(',"', idEnd + 2)
  const leadsEnd = record.indexOf('","', formEnd + 2)
  const [id, form] = [record.slice(LISTED_ROW.length, idEnd), record.slice(idEnd + 2, formEnd)]
  if (leadsEnd === -1 || id.includes('\\') || !record.endsWith('"]')) throw unreadable('a row', record)
  return { id, form: integerOf(form), leads: record.slice(formEnd + 2, leadsEnd), list: record.slice(leadsEnd + 3, -2) }
}

const LISTED_ROW = '["=","'

/**
 * What an entry's record begins with, the same for all records of that entry and for no other: its table and key. `null` for other records, and for lines of the
 * journal of money, which are never written twice.
 */
export function entryHead (record: string): string | null {
  if (record.startsWith(LISTED_ROW)) return `["rows","${record.slice(LISTED_ROW.length, record.indexOf('",', LISTED_ROW.length) + 1)}`
  if (!ENTRY.test(record)) return null
  const end = record.indexOf('",', record.indexOf('","') + 3)
  return end === -1 ? null : record.slice(0, end + 1)
}

/** A table's name has only letters. A key with a quotation mark in it has a head that ends early, which only makes it one of several. */
const ENTRY = /^\["(?!journal")[a-z]+","(?=[^"\\]*",)/

/** Reads one; throws for any other. */
export function readRecord (record: string, places: readonly Place[]): Said {
  const parsed: unknown = JSON.parse(record)
  const [kind, ...rest]: readonly unknown[] = Array.isArray(parsed) ? parsed : []
  if (kind === '') return { kind: 'figures', image: imageIn(rest[0]) }
  if (kind === '@') return { kind: 'text', owner: textOf(rest[0]), place: whereIn(rest[1], places) }
  if (kind === '$') return { kind: 'lines', chunk: { first: textOf(rest[0]), last: textOf(rest[1]), count: numberOf(rest[2]), place: whereIn(rest[3], places) } }
  if (kind === '~') return { kind: 'form', number: numberOf(rest[0]), form: { own: listOf(rest[1]).map(textOf), shared: imageIn(rest[2]) } }
  if (kind === '=') return { kind: 'row', id: textOf(rest[0]), form: numberOf(rest[1]), leads: textOf(rest[2]), own: rest.slice(3).map(textOf) }
  return { kind: 'entry', table: textOf(kind), key: textOf(rest[0]), image: rest[1] === null ? null : imageIn(rest[1]) }
}

function imageIn (value: unknown): Image {
  const image = recordOf(value)
  if (isImage(image)) return image
  throw unreadable('texts', value)
}

function isImage (record: Readonly<Record<string, unknown>>): record is Image {
  return Object.values(record).every(isText)
}

function isText (value: unknown): boolean {
  return typeof value === 'string'
}

function whereIn (value: unknown, places: readonly Place[]): Place {
  const place = typeof value === 'number' ? places[value] : placeOf(value)
  if (place === undefined) throw unreadable('a text of its batch', value)
  return place
}

function placeOf (value: unknown): Place {
  const { file, offset, bytes } = recordOf(value)
  return { file: numberOf(file), offset: numberOf(offset), bytes: numberOf(bytes) }
}

function numberOf (value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw unreadable('a whole number', value)
}
