// What readers see: one generation, a page of them, a stored result. Nothing here changes a row.

import type { Change, Page } from '../../generation/ports.ts'
import type { Reader, Row } from '../../generation/row.ts'
import { statusOf, type Status } from '../../generation/phases.ts'
import { cacheLead } from './names.ts'
import { changeOf, follow, resolve, show, showAlias } from './rows.ts'
import { listKeyOf, unlist, type State } from './state.ts'

/** How many entries a page may look at for each row that it may show: a rare status takes several pages, none of them long. */
const LOOKS_PER_ROW = 10

/** The ledger's `read`. */
export function read (state: State, id: string, reader: Reader): Row | null {
  const row = follow(state, id)?.row
  return row !== undefined && row.tenant === reader.tenant && row.subject === reader.subject ? row : null
}

/** The ledger's `lookup`. */
export function lookup (state: State, cacheName: string): Row | null {
  const lead = cacheLead(state, cacheName)
  return lead?.entry.row.phase === 'succeeded' ? show(state, lead.entry) : null
}

/** The ledger's `look`. */
export function look (state: State, ids: readonly string[]): Row[] {
  return ids.flatMap(id => {
    const entry = resolve(state, id)
    const alias = state.aliases.get(id)
    if (entry === undefined) return []
    return entry.row.id === id || alias === undefined ? [show(state, entry)] : [showAlias(state, id, alias, entry)]
  })
}

/** The ledger's `glance`. */
export function glance (state: State, ids: readonly string[]): Change[] {
  return ids.flatMap(id => {
    const entry = resolve(state, id)
    return entry === undefined ? [] : [{ ...changeOf(state, entry), id }]
  })
}

/**
 * The ledger's `list`. A page may hold fewer rows than asked for and still name a next one. Entries that lead nowhere are dropped on the way, except one
 * that is the cursor.
 */
export function list (
  state: State, reader: Reader, page: { readonly limit: number, readonly cursor: string | null, readonly status: Status | null }
): Page {
  const rows: Row[] = []
  const entries = state.lists.get(listKeyOf(reader))
  const below = page.cursor === null ? Infinity : entries?.score(page.cursor)
  if (below === undefined) return { rows, nextCursor: null, isCursorUnknown: true }
  if (entries === undefined) return { rows, nextCursor: null }

  const gone: string[] = []
  let last: string | undefined
  for (const id of entries.last(page.limit * LOOKS_PER_ROW, below)) {
    if (rows.length === page.limit) break
    last = id
    const row = follow(state, id)?.row
    if (row === undefined) gone.push(id)
    else if (page.status === null || statusOf(row.phase) === page.status) rows.push(row)
  }
  const lastNumber = last === undefined ? undefined : entries.score(last)
  const nextCursor = last !== undefined && lastNumber !== undefined && entries.countBelow(lastNumber) > 0 ? last : null
  for (const id of gone) {
    if (id !== nextCursor) unlist(state.lists, reader, id)
  }
  return { rows, nextCursor }
}
