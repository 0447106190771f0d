// What readers see: one generation, a page of them, a stored result. Nothing here changes a row.

import type { Change } from '../../generation/changes.ts'
import { pick } from '../../generation/fields.ts'
import { listedFields, type Listed, type Reader, type Generation } from '../../generation/generation.ts'
import type { Page } from '../../generation/ledger.ts'
import { aliasLooks, cutPage } from '../../generation/page.ts'
import { statusOf, type Status } from '../../generation/phases.ts'
import { cacheLead } from './names.ts'
import type { Ranking } from './ranking.ts'
import { changeOf, findById, resolve, show, showAlias } from './rows.ts'
import { listKeyOf, statusListKeyOf, unlist, type State } from './state.ts'
import { textBytes } from './texts.ts'

/** The ledger's `read`. */
export function read (state: State, id: string, reader: Reader): Generation | null {
  const row = findById(state, id)?.row
  return row !== undefined && row.tenant === reader.tenant && row.subject === reader.subject ? row : null
}

/** The ledger's `lookup`. */
export function lookup (state: State, cacheName: string): Generation | null {
  const lead = cacheLead(state, cacheName)
  return lead?.entry.row.phase === 'succeeded' ? show(state, lead.entry) : null
}

/** The ledger's `getMany`. */
export function getMany (state: State, ids: readonly string[]): Generation[] {
  return ids.flatMap(id => {
    const entry = resolve(state, id)
    const alias = state.aliases.get(id)
    if (entry === undefined) return []
    return entry.row.id === id || alias === undefined ? [show(state, entry)] : [showAlias(state, id, alias, entry)]
  })
}

/** The ledger's `getStatuses`. */
export function getStatuses (state: State, ids: readonly string[]): Change[] {
  return ids.flatMap(id => {
    const entry = resolve(state, id)
    return entry === undefined ? [] : [{ ...changeOf(state, entry), id }]
  })
}

/**
 * The ledger's `list`. Aliases that have ended are dropped on the way, except one that is the cursor; one whose row is gone stays, because that may be put
 * back.
 */
export function list (
  state: State, reader: Reader, { limit, cursor, status }: { readonly limit: number, readonly cursor: string | null, readonly status: Status | null }
): Page {
  const all = state.lists.get(listKeyOf(reader))
  const rows = status === null ? all : state.listsByStatus.get(statusListKeyOf(reader, status))
  const aliases = state.aliasLists.get(listKeyOf(reader))
  const below = cursor === null ? Infinity : numberOf(state, cursor, all) ?? aliases?.score(cursor)
  if (below === undefined) return { rows: [], nextCursor: null, isCursorUnknown: true }

  const looks = aliasLooks(limit)
  const own = rows?.last(limit + 1, below) ?? []
  const others = aliases?.last(looks + 1, below) ?? []
  const found: (Listed & { readonly bytes: number })[] = []
  const gone: string[] = []
  let [ownPlace, otherPlace] = [0, 0]
  let last: string | null = null
  while (found.length < limit) {
    const [[mine, number] = [undefined, 0], other] = [own[ownPlace], others[otherPlace]]
    const isMine = mine !== undefined && (other === undefined || number > (aliases?.score(other) ?? 0))
    const id = isMine ? mine : other
    if (id === undefined || (!isMine && otherPlace === looks)) break
    if (isMine) ownPlace += 1
    else otherPlace += 1
    last = id
    const row = findById(state, id)?.row
    if (row === undefined && state.aliases.get(id) === undefined) gone.push(id)
    if (row !== undefined && (status === null || statusOf(row.phase) === status)) found.push({ ...row, bytes: textBytes(row.input) + textBytes(row.output) })
  }
  const isMore = ownPlace < own.length || otherPlace < others.length
  for (const id of gone) {
    if (!isMore || id !== last) unlist(state.aliasLists, reader, id)
  }
  const { shown, nextCursor } = cutPage(found, isMore ? last : null)
  return { rows: shown.map(listed), nextCursor }
}

/** The number of a row that stands in this list. */
function numberOf (state: State, id: string, list: Ranking | undefined): number | undefined {
  const number = state.rows.get(id)?.hidden.number
  return number !== undefined && list?.has(id, number) === true ? number : undefined
}

function listed (row: Listed): Listed {
  const { id, purchase, input, output, bases, media } = row
  return { ...pick(listedFields, row), id, purchase, input, output, bases, media }
}
