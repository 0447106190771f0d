// From the records on disk to the state of a ledger: the last one of each key counts. No rule is run, so that other settings, another version or another clock
// change nothing of what was.

import { isFinal, tidyBooks } from '../memory/books.ts'
import { indexAll } from '../memory/rows.ts'
import type { State } from '../memory/state.ts'
import type { Place } from '../memory/texts.ts'
import { putFigures } from './figures.ts'
import { isBehind, type Lines } from './lines.ts'
import { entryHead, readRecord } from './records.ts'
import { codecs, lineIn } from './tables.ts'
import type { Texts } from './texts.ts'

export interface Loading {
  readonly take: (record: string, places: readonly Place[]) => void
  /** Everything was taken: what follows from it is made, and what ended with the process that wrote it has ended. */
  readonly finish: (read: (place: Place) => Promise<string>) => Promise<void>
}

/** `onTime` is told the latest moment that the ledger has seen. */
export function createLoading (state: State, texts: Texts, lines: Lines, onTime: (nowMs: number) => void): Loading {
  /** The last record of each entry. What came before it is not even read. */
  const last = new Map<string, string>()

  function takeNow (record: string, places: readonly Place[]): void {
    const said = readRecord(record, places)
    switch (said.kind) {
      case 'figures': return onTime(putFigures(state, said.image))
      case 'text': return texts.found(said.owner, said.place)
      case 'lines': return lines.found(said.chunk)
      case 'entry': return takeEntry(state, lines, said)
    }
  }

  return {
    take: (record, places) => {
      const head = entryHead(record)
      if (head === null) takeNow(record, places)
      else last.set(head, record)
    },
    finish: async read => {
      for (const record of last.values()) takeNow(record, NOWHERE)
      last.clear()
      await texts.putBack(read)
      for (const entry of state.rows.values()) {
        // Nobody looks after it any more, so it is looked after at once.
        if (!isFinal(entry.row)) entry.hidden = { ...entry.hidden, leaseUntilMs: state.now() }
      }
      indexAll(state)
      tidyBooks(state)
    }
  }
}

/** Only records of texts name places. */
const NOWHERE: readonly Place[] = []

const byName = new Map(Object.entries(codecs))

function takeEntry (state: State, lines: Lines, { table, key, image }: { readonly table: string, readonly key: string, readonly image: Readonly<Record<string, string>> | null }): void {
  if (table === 'journal') {
    // A checkpoint lays lines aside that are written down after it has begun, too.
    const last = lines.chunks().at(-1)?.last
    if (image !== null && (last === undefined || isBehind(key, last))) state.journal.push(lineIn(image))
    return
  }
  const codec = byName.get(table)
  if (codec === undefined) throw new Error(`The table ${JSON.stringify(table)} is not known to this version of falgate.`)
  codec.put(state, key, image)
}
