// Which entries operations have changed since they were last written down. An entry that was changed twice is written once, as it then is.

import { tables, type Note, type Table } from '../memory/notes.ts'

export type Changed = ReadonlyMap<Table, ReadonlySet<string>>

export interface Changes {
  readonly note: Note
  /** How many notes there were so far: an operation that raises it has changed something. */
  readonly count: () => number
  readonly isEmpty: () => boolean
  /** Everything that was noted since this was asked last. */
  readonly take: () => Changed
  /** Puts back what could not be written. */
  readonly putBack: (changed: Changed) => void
}

export function createChanges (): Changes {
  let noted = none()
  let count = 0

  function note (table: Table, key: string): void {
    count += 1
    noted.get(table)?.add(key)
  }

  return {
    note,
    count: () => count,
    isEmpty: () => [...noted.values()].every(keys => keys.size === 0),
    take: () => {
      const taken = noted
      noted = none()
      return taken
    },
    putBack: changed => {
      for (const [table, keys] of changed) for (const key of keys) note(table, key)
    }
  }
}

function none (): Map<Table, Set<string>> {
  return new Map(tables.map(table => [table, new Set<string>()]))
}
