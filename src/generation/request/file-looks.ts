// Files of stored results, looked at before they are handed out again: fal does not keep them for ever, and an answer with a dead address is none.

import { LRUCache } from 'lru-cache'
import type { Admitted, Admission } from '../admission.ts'
import type { Generation } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import type { StoredResult } from './result-cache.ts'

/** Are the files of a success there? Also true where nobody says that they are not. Comes within a few seconds, and never rejects. */
export type LookAtFiles = (row: Generation) => Promise<boolean>

export interface FileLooksDeps {
  readonly ledger: Pick<Ledger, 'now' | 'noteDeadLinks'>
  readonly look: LookAtFiles
  /** How long after its end the files of a success are there for sure. */
  readonly filesLastMs: number
  /** Told of a success whose files are gone. */
  readonly onDead: (row: Generation) => void
}

export interface FileLooks {
  /** May it be handed out of this process' memory? Not what is old and was not looked at lately. */
  readonly isSure: (stored: Pick<StoredResult, 'purchase' | 'finishedAtMs'>) => boolean
  /** The same of a row, which is looked at if need be. One whose files are gone leads nowhere from then on. */
  readonly areThere: (row: Generation) => Promise<boolean>
  /** Admits, and looks at what would be handed out. `foundDead`: at something whose files are gone. */
  readonly admit: (ask: (known: Pick<Admission, 'filesLastMs' | 'lookedAt'>) => Promise<Admitted>) => Promise<{ readonly admitted: Exclude<Admitted, { outcome: 'look' }>, readonly foundDead: boolean }>
}

/** What was found is believed for so long. */
const LOOK_AGAIN_MS = 600_000

/** As many are remembered; the others are looked at once more. */
const MAX_REMEMBERED = 10_000

/** How often one request looks: under its name there may be another success each time, which is as old. The last one is handed out. */
const MAX_ROUNDS = 4

export function createFileLooks ({ ledger, look, filesLastMs, onDead }: FileLooksDeps): FileLooks {
  /** Purchases that were looked at and are handed out, by id, and until when that is believed. */
  const there = new LRUCache<string, number>({ max: MAX_REMEMBERED })
  const underWay = new Map<string, Promise<boolean>>()

  function isSure ({ purchase, finishedAtMs }: Pick<StoredResult, 'purchase' | 'finishedAtMs'>): boolean {
    const now = ledger.now()
    return finishedAtMs + filesLastMs >= now || (there.get(purchase) ?? 0) > now
  }

  async function areThere (row: Generation): Promise<boolean> {
    if (isSure({ purchase: row.purchase, finishedAtMs: row.finishedAtMs ?? 0 })) return true
    // Those who ask meanwhile wait for the same look.
    const looking = underWay.get(row.purchase) ?? lookAt(row).finally(() => { underWay.delete(row.purchase) })
    underWay.set(row.purchase, looking)
    return await looking
  }

  async function lookAt (row: Generation): Promise<boolean> {
    const isThere = await look(row)
    if (isThere) there.set(row.purchase, ledger.now() + LOOK_AGAIN_MS)
    else {
      await ledger.noteDeadLinks(row.purchase)
      onDead(row)
    }
    return isThere
  }

  const admit: FileLooks['admit'] = async ask => {
    let lookedAt: string | null = null
    let foundDead = false
    for (let round = 1; ; round += 1) {
      const admitted = await ask({ filesLastMs: round < MAX_ROUNDS ? filesLastMs : null, lookedAt })
      if (admitted.outcome !== 'look') return { admitted, foundDead }
      if (await areThere(admitted.row)) lookedAt = admitted.row.purchase
      else foundDead = true
    }
  }

  return { isSure, areThere, admit }
}
