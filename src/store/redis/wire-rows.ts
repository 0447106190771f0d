// What the answers of the ledger's scripts are made of: lists, rows, and rows as lists show them; `fieldsOf` is the way back, for rows that are restored.

import type { Taken } from '../../generation/evidence.ts'
import { integerOf, listOf, readAll, recordOf, textOf, writeAll, type Values } from '../../generation/fields.ts'
import { connection, listedFields, rowFields, termFields, type Brief, type Connection, type Generation, type Terms } from '../../generation/generation.ts'

export function nothing (): void {}

export function isYes (value: unknown): boolean {
  return value === '1'
}

export function orNothing<Value> (read: (value: unknown) => Value): (value: unknown) => Value | null {
  return value => value === undefined || value === null ? null : read(value)
}

/** A list; Lua cannot tell an empty one from an empty record. */
export function listIn<Value> (read: (value: unknown) => Value): (value: unknown) => Value[] {
  return value => (isEmpty(value) ? [] : listOf(value)).map(each => read(each))
}

function isEmpty (value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
}

export const textsIn = listIn(textOf)

export const integerOrNull = orNothing(integerOf)
export const textOrNull = orNothing(textOf)

export function rowIn (value: unknown): Generation {
  const record = recordOf(value)
  const fields = readAll(rowFields, name => record[name] === undefined ? undefined : textOf(record[name]))
  return { id: textOf(record['id']), purchase: textOf(record['purchase']), stored: record['stored'] === '1', ...fields }
}

/** A row for the replica that looks after it. */
export function takenIn (value: unknown): Taken {
  const { row, terms } = recordOf(value)
  return { row: rowIn(row), terms: termsIn(terms) }
}

export function termsIn (value: unknown): Terms {
  const kept = isEmpty(value) ? {} : recordOf(value)
  return readAll(termFields, name => kept[name] === undefined ? undefined : textOf(kept[name]))
}

/** A row without what may be long of it. */
export function briefIn (value: unknown): Brief {
  const { input, output, ...brief } = rowIn(value)
  return brief
}

/** A row's fields as its hash has them: the way back, for rows that are restored. */
export function fieldsOf ({ row, terms }: Taken): Record<string, string> {
  const fields = { ...writeAll(rowFields, row), ...writeAll(termFields, terms) }
  if (row.large !== null) delete fields['output']
  return fields
}

/** A socket as scripts know it. */
export function connectionText (given: Connection | null): string | null {
  return given === null ? null : connection.write(given)
}

/** Rows, and how many of the ids were looked at: behind many bytes a look stops. */
export function lookedIn (value: unknown): { readonly rows: readonly Generation[], readonly looked: number } {
  const { rows, looked } = recordOf(value)
  return { rows: listIn(rowIn)(rows), looked: integerOf(looked) }
}

/** What stands on a page, and where the next one begins: ids, and of aliases also what they lead to. */
export interface Contents {
  readonly entries: readonly Pick<Generation, 'id' | 'purchase'>[]
  readonly nextCursor: string | null
  readonly isCursorUnknown: boolean
}

export function contentsIn (value: unknown): Contents {
  const { entries, nextCursor, isCursorUnknown } = recordOf(value)
  const idsIn = (entry: unknown): Pick<Generation, 'id' | 'purchase'> => {
    const [id = '', purchase = id] = textOf(entry).split(' ')
    return { id, purchase }
  }
  return { entries: listIn(idsIn)(entries), nextCursor: textOrNull(nextCursor), isCursorUnknown: isCursorUnknown === '1' }
}

/** A row as a list shows it. `rank` and `tenant` tell its position in our queue; `texts` is null where input and output are too long for a card. See `cardOf` in `rows.lua`. */
export interface Card {
  readonly fields: Values<typeof listedFields>
  readonly bytes: number
  readonly rank: number
  readonly tenant: string
  readonly bases: Generation['bases']
  readonly texts: Pick<Generation, 'input' | 'output'> | null
}

const listedNames = Object.keys(listedFields)

/** A card, or null where there is no row (any more). */
export function cardIn (value: unknown): Card | null {
  if (value === null) return null
  const lines = textOf(value).split('\n')
  const [bytes, rank, owner = '', input, ...output] = lines.slice(listedNames.length)
  const [tenant, ...noted] = owner.split(' ')
  const lineOf = (name: string): string | undefined => {
    const line = lines[listedNames.indexOf(name)]
    return line === '' ? undefined : line
  }
  const texts = input === undefined ? null : { input: input === '' ? null : input, output: output.join('\n') || null }
  return { fields: readAll(listedFields, lineOf), bytes: integerOf(bytes), rank: integerOf(rank), tenant: textOf(tenant), bases: rowFields.bases.read(noted.length === 0 ? undefined : noted.join(' ')), texts }
}
