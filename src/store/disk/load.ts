// From the records on disk to the state of a ledger: the last one of each key counts. No rule is run, so that other settings, another version or another clock
// change nothing of what was.

import { isFinal, tidyBooks } from '../memory/books.ts'
import { PackedRow } from '../memory/packed-row.ts'
import { enter, indexRest, leave } from '../memory/rows.ts'
import type { State } from '../memory/state.ts'
import type { Place } from '../memory/texts.ts'
import { putFigures } from './figures.ts'
import type { Lines } from './lines.ts'
import { entryHead, readRecord } from './records.ts'
import { lineIn, putBack, type Image } from './tables.ts'
import type { Texts } from './texts.ts'

export interface Loading {
  /** A record of a snapshot is read at once, since that has each entry as good as once. */
  readonly take: (record: string, places: readonly Place[], from: 'snapshot' | 'journal') => void
  /** Everything was taken: what follows from it is made, and what ended with the process that wrote it has ended. */
  readonly finish: (read: (place: Place) => Promise<string>) => Promise<void>
}

/** `onTime` is told the latest moment that the ledger has seen. */
export function createLoading (state: State, texts: Texts, lines: Lines, onTime: (nowMs: number) => void): Loading {
  /** The last record of each entry. What came before it is not even read. */
  const last = new Map<string, string>()
  /** What is still looked after, so that more than the row decides what follows from it. */
  const open = new Set<string>()
  let isAllFound = false

  function takeNow (record: string, places: readonly Place[]): void {
    const said = readRecord(record, places)
    switch (said.kind) {
      case 'figures': return onTime(putFigures(state, said.image))
      case 'text': return texts.found(said.owner, said.place)
      case 'lines': return lines.found(said.chunk)
      case 'entry': {
        const { table, key, image } = said
        if (table === 'journal') return takeLine(key, image)
        if (table === 'rows') return takeRow(key, image, record)
        const put = putBack.get(table)
        if (put === undefined) throw new Error(`The table ${JSON.stringify(table)} is not known to this version of falgate.`)
        return put(state, key, image)
      }
    }
  }

  function takeLine (cursor: string, image: Image | null): void {
    // A checkpoint lays lines aside that are written down after it has begun, too.
    if (image !== null && !lines.isLaidAside(cursor)) state.journal.push(lineIn(image))
  }

  function takeRow (id: string, image: Image | null, record: string): void {
    if (!isAllFound && last.size > 0) last.delete(headOf(id, record))
    takeAway(id)
    if (image === null) return
    const isInputElsewhere = image['hasInput'] !== undefined && image['input'] === undefined
    const isOutputElsewhere = image['hasOutput'] !== undefined && image['output'] === undefined
    if ((isInputElsewhere || isOutputElsewhere) && !isAllFound) {
      last.set(headOf(id, record), record)
      return
    }
    const names = Object.keys(image)
    const written = Object.values(image)
    if (isInputElsewhere) {
      names.push('input')
      written.push(texts.referenceOf('i', id))
    }
    if (isOutputElsewhere) {
      names.push('output')
      written.push(texts.referenceOf('o', id))
    }
    const { entry, packed } = PackedRow.read(id, names, written)
    if (!isFinal(entry.row) || entry.hidden.askAtMs !== null) {
      state.rows.set(id, entry)
      state.names.putBack(entry, image['leads'] ?? '', false)
      open.add(id)
      return
    }
    if (packed === null) state.rows.set(id, entry)
    else state.rows.put(id, packed)
    state.names.putBack(entry, image['leads'] ?? '', packed !== null)
    if (isAllFound && packed !== null) state.names.fold(entry)
    enter(state, entry)
  }

  /** A later record of the row takes the place of the one that was taken. */
  function takeAway (id: string): void {
    const entry = state.rows.get(id)
    if (entry === undefined) return
    texts.had(entry)
    if (!open.delete(id)) leave(state, entry)
    state.rows.delete(id)
  }

  return {
    take: (record, places, from) => {
      const head = from === 'snapshot' ? null : entryHead(record)
      if (head === null) takeNow(record, places)
      else last.set(head, record)
    },
    finish: async read => {
      isAllFound = true
      // Names first: those that lead to the row that has them are kept with it.
      for (const areRows of [false, true]) for (const [head, record] of last) if (head.startsWith(ROW) === areRows) takeNow(record, NOWHERE)
      last.clear()
      // A snapshot of an older version has names behind their rows.
      for (const name of state.names.unfolded()) {
        const id = state.names.whole(name)?.value.id
        const entry = id === undefined || !state.rows.isPacked(id) ? undefined : state.rows.look(id)
        if (entry !== undefined) state.names.fold(entry)
      }
      const looked = [...open].flatMap(id => state.rows.get(id) ?? [])
      await texts.putBack(looked.filter(({ row }) => !isFinal(row)), read)
      for (const entry of looked) {
        // Nobody looks after it any more, so it is looked after at once.
        if (!isFinal(entry.row)) entry.hidden = { ...entry.hidden, leaseUntilMs: state.now() }
        enter(state, entry)
      }
      indexRest(state)
      tidyBooks(state)
    }
  }
}

/** Only records of texts name places. */
const NOWHERE: readonly Place[] = []

/** What the head of a row's record begins with. */
const ROW = '["rows","'

function headOf (id: string, record: string): string {
  return entryHead(record) ?? ROW + id
}
