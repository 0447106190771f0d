// Telling the ledger one piece of evidence. One that went back in time is given the row first, as it is known here.

import type { Weighed } from '../evidence.ts'
import type { Generation, Terms } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import type { Ask } from './writer.ts'

/** Tells what `write` tells, about the row as it was `reported`; `known` is what the ledger said of it last. Null when it has no such row, and takes none. */
export type Tell = (write: () => Promise<Weighed | null>, reported: Generation, known: Generation, ask: Ask) => Promise<Weighed | null>

export interface TellingDeps {
  readonly ledger: Ledger
  readonly replica: string
  readonly onRestored: (generations: number, contested: number) => void
}

export function createTelling (terms: Terms, { ledger, replica, onRestored }: TellingDeps): Tell {
  return async (write, reported, known, ask) => {
    const weighed = await ask(write)
    if (weighed !== null && !isOlder(weighed, known)) return weighed
    // What ended as not bought is booked by the renewal.
    const facts = [{ row: { ...reported, version: Math.max(reported.version, known.version) }, terms, holds: true }]
    await ask(async () => await ledger.renew(replica, facts, true))
    const { contested } = await ask(async () => await ledger.restore(replica, facts))
    onRestored(1, contested)
    return await ask(write)
  }
}

/** Is it from before something that the ledger knew already? Its version alone does not tell: others may have changed it since. */
export function isOlder (row: Generation, known: Generation): boolean {
  return row.version < known.version || row.attempt < known.attempt || (row.requestId === null && known.requestId !== null)
}
