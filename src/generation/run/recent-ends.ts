// The ends that were written here a moment ago: the first thing that a ledger loses which goes back in time, and what a second answer of fal is compared with.
//
// Asked once for each purchase, so nothing here looks through all of them: ends come in the order of time, and the oldest are the first to go.

import type { Generation } from '../generation.ts'

interface Ended { readonly row: Pick<Generation, 'id' | 'requestId'> }

export interface RecentEnds<End extends Ended> {
  readonly add: (ended: End) => void
  readonly get: (id: string) => End | undefined
  readonly remove: (id: string) => void
  /** Has a generation other than this one ended with this purchase? */
  readonly isOthers: (requestId: string, id: string) => boolean
  /** From the oldest. */
  readonly all: () => readonly End[]
}

export interface RecentEndsDeps {
  /** A clock that never goes back. */
  readonly now: () => number
  /** How long an end is kept. It goes when the next one comes, or all are asked for. */
  readonly keptMs: number
  readonly most: number
}

export function createRecentEnds<End extends Ended> ({ now, keptMs, most }: RecentEndsDeps): RecentEnds<End> {
  /** By id; the newest is last. */
  const ends = new Map<string, { readonly ended: End, readonly atMs: number }>()
  /** The ids of those that have a purchase, by its request id. */
  const ids = new Map<string, Set<string>>()

  function add (ended: End): void {
    const { row: { id, requestId } } = ended
    remove(id)
    ends.set(id, { ended, atMs: now() })
    if (requestId !== null) ids.set(requestId, (ids.get(requestId) ?? new Set()).add(id))
    forget()
  }

  function forget (): void {
    for (const [oldest, { atMs }] of ends) {
      if (ends.size <= most && now() - atMs < keptMs) return
      remove(oldest)
    }
  }

  function remove (id: string): void {
    const requestId = ends.get(id)?.ended.row.requestId ?? null
    ends.delete(id)
    if (requestId === null) return
    const same = ids.get(requestId)
    same?.delete(id)
    if (same?.size === 0) ids.delete(requestId)
  }

  return {
    add,
    get: id => ends.get(id)?.ended,
    remove,
    isOthers: (requestId, id) => {
      const same = ids.get(requestId)
      return same !== undefined && same.size > (same.has(id) ? 1 : 0)
    },
    all: () => {
      forget()
      return Array.from(ends.values(), ({ ended }) => ended)
    }
  }
}
