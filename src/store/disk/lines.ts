// The journal of money on disk: its latest lines are in memory until a checkpoint lays them aside, many as one text, of which only the place is kept.

import type { JournalEntry } from '../../generation/accounts.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { listOf } from '../../generation/fields.ts'
import { journal } from '../memory/reports.ts'
import type { State } from '../memory/state.ts'
import type { Place } from '../memory/texts.ts'
import type { LineChunk } from './records.ts'
import { imageOf, lineIn, lineRecord } from './tables.ts'

/** How many lines lie together: one is read with all of them. */
const LINES_TOGETHER = 1000

export interface Lines {
  /** A record said that these lie there. */
  readonly found: (chunk: LineChunk) => void
  /** The ledger's `journal`, over what lies on disk and what is in memory. */
  readonly journal: (fromMs: number, toMs: number, limit: number, after?: string) => Promise<readonly JournalEntry[]>
  /** Those that are on disk, without what is too old. */
  readonly chunks: () => readonly LineChunk[]
  /** How many there are, about. */
  readonly count: () => number
  /** Does the line with this cursor lie on disk with others? */
  readonly isLaidAside: (cursor: string) => boolean
  /** The lines in memory as texts to be laid aside. */
  readonly inMemory: () => readonly (Omit<LineChunk, 'place'> & { readonly text: string })[]
  /** These are all that lie on disk now; what of them is in memory, too, is not needed there. */
  readonly laidAside: (chunks: readonly LineChunk[]) => void
}

export function createLines (state: State, read: (place: Place) => Promise<string>): Lines {
  let chunks: LineChunk[] = []

  function isYoung ({ last }: LineChunk): boolean {
    return atMsOf(last) >= state.now() - ledgerConstants.journalMs
  }

  async function * onDisk (fromMs: number, after: string | undefined): AsyncGenerator<JournalEntry> {
    for (const chunk of chunks) {
      if (atMsOf(chunk.last) < fromMs || (after !== undefined && !isBehind(chunk.last, after))) continue
      // A checkpoint may have moved it since.
      const { place } = chunks.find(({ last }) => last === chunk.last) ?? chunk
      yield * linesIn(await read(place))
    }
  }

  return {
    found: chunk => {
      chunks.push(chunk)
      state.journalTrimmed = true
    },
    chunks: () => chunks.filter(isYoung),
    count: () => chunks.filter(isYoung).reduce((sum, { count }) => sum + count, 0) + state.journal.length,
    isLaidAside: cursor => {
      const last = chunks.at(-1)
      return last !== undefined && !isBehind(cursor, last.last)
    },
    journal: async (fromMs, toMs, limit, after) => {
      const oldestMs = Math.max(fromMs, state.now() - ledgerConstants.journalMs)
      // What is in memory now may lie aside by the time that the rest was read.
      const later = journal(state, oldestMs, toMs, limit, after)
      const lines: JournalEntry[] = []
      for await (const line of onDisk(oldestMs, after)) {
        if (lines.length === limit || line.atMs >= toMs) return lines
        if (line.atMs >= oldestMs && (after === undefined || isBehind(line.cursor, after))) lines.push(line)
      }
      return [...lines, ...later].slice(0, limit)
    },
    inMemory: () => {
      const groups: (Omit<LineChunk, 'place'> & { readonly text: string })[] = []
      for (let from = 0; from < state.journal.length; from += LINES_TOGETHER) {
        const lines = state.journal.slice(from, from + LINES_TOGETHER)
        const [first, last] = [lines[0], lines.at(-1)]
        if (first !== undefined && last !== undefined) groups.push({ first: first.cursor, last: last.cursor, count: lines.length, text: JSON.stringify(lines.map(line => imageOf(lineRecord, line))) })
      }
      return groups
    },
    laidAside: all => {
      const last = all.at(-1)
      chunks = [...all]
      state.journalTrimmed ||= all.length > 0
      if (last === undefined) return
      const place = state.journal.findIndex(({ cursor }) => isBehind(cursor, last.last))
      state.journal.splice(0, place === -1 ? state.journal.length : place)
    }
  }
}

function linesIn (text: string): JournalEntry[] {
  return listOf(JSON.parse(text)).map(lineIn)
}

function atMsOf (cursor: string): number {
  return Number(cursor.split('-', 1)[0])
}

/** Does the line with this cursor come after that one? */
export function isBehind (cursor: string, other: string): boolean {
  const [ms = 0, number = 0] = cursor.split('-').map(Number)
  const [otherMs = 0, otherNumber = 0] = other.split('-').map(Number)
  return ms > otherMs || (ms === otherMs && number > otherNumber)
}
