// The present state of generations that are asked for again and again, without asking the ledger each time.
//
// A generation in the cache:
//
//   absent → kept     a poll asked the ledger, it has not ended, and there is room
//   kept   → kept     a poll within five seconds; a change, which its track brings
//   kept   → absent   no poll for five seconds; it has ended; the ledger does not know it any more. The next poll asks the ledger.

import { LRUCache } from 'lru-cache'
import type { Reader, Generation } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import { hasEnded } from '../phases.ts'
import type { LogPiece } from '../upstream.ts'
import type { Moment } from './moments.ts'
import { seenBy, type Track, type Tracks } from './tracks.ts'

export interface PollCache {
  /**
   * How the generation stands now, or null: it is unknown, expired or somebody else's. The first question goes to the ledger. As long as the next one comes
   * within five seconds, answers come out of this process, also while the ledger is away. They are kept fresh by the subscription and by one look a second
   * for all. What has ended is always read from the ledger. Rejects as `read` of the ledger does.
   */
  readonly now: (id: string, reader: Reader) => Promise<Moment | null>
  /** The same where it is kept, else undefined. */
  readonly nowKept: (id: string, reader: Reader) => Moment | undefined
  /** Keeps nothing any more. */
  readonly close: () => void
}

interface Kept {
  readonly asked: Generation
  readonly track: Track
  readonly leave: () => void
  /** The latest answer, and the row that it was made of: as long as nothing changes, every poll gets the same object. */
  view: { readonly of: Generation, readonly shown: Generation }
}

/** How long an answer is kept for the next poll; fal's clients and ours ask at least every second. */
const KEPT_MS = 5000

/** How exactly that is counted: polls are many, and each would look at the clock. */
const TTL_RESOLUTION_MS = 100

/** Generations that are kept. */
const MAX_KEPT = 10_000

/** The same by what they hold, since inputs may be long. */
const MAX_KEPT_CHARACTERS = 32 * 1024 * 1024

export interface PollCacheDeps {
  readonly ledger: Pick<Ledger, 'read' | 'logs'>
  readonly tracks: Tracks
  readonly keptMs?: number
}

export function createPollCache ({ ledger, tracks, keptMs = KEPT_MS }: PollCacheDeps): PollCache {
  const kept = new LRUCache<string, Kept>({
    max: MAX_KEPT,
    maxSize: MAX_KEPT_CHARACTERS,
    sizeCalculation: ({ asked }) => sizeOf(asked),
    ttl: keptMs,
    ttlResolution: TTL_RESOLUTION_MS,
    updateAgeOnGet: true,
    disposeAfter: ({ leave }) => {
      leave()
      stopWhenEmpty()
    }
  })
  let purging: NodeJS.Timeout | undefined
  let isClosed = false

  function nowKept (id: string, { tenant, subject }: Reader): Moment | undefined {
    const known = kept.peek(id)
    if (known === undefined || known.asked.tenant !== tenant || known.asked.subject !== subject) return undefined
    kept.get(id) // polled once more: its five seconds begin
    return { row: viewOf(known), log: known.track.log, moved: true }
  }

  async function now (id: string, reader: Reader): Promise<Moment | null> {
    const known = nowKept(id, reader)
    if (known !== undefined) return known
    const row = await ledger.read(id, reader)
    if (row === null) return null
    const log = row.logged === 0 ? { from: 0, lines: [] } : await ledger.logs(row.purchase, 0)
    if (!hasEnded(row.phase)) keep(row, log)
    return { row, log, moved: true }
  }

  function keep (asked: Generation, log: LogPiece): void {
    const { id } = asked
    if (isClosed || kept.has(id) || !isRoomFor(asked)) return
    const forget = (): void => { kept.delete(id) }
    const { track, leave } = tracks.join(asked, { changed: row => { if (hasEnded(row.phase)) forget() }, logged: () => {}, lost: forget }, log)
    kept.set(id, { asked, track, leave, view: { of: asked, shown: asked } })
    purging ??= setInterval(() => { kept.purgeStale() }, keptMs / 5)
  }

  /** When it is full, other polls ask the ledger. Were the oldest put out for them, each poll of a few too many would find its own just gone. */
  function isRoomFor (asked: Generation): boolean {
    return kept.size < MAX_KEPT && kept.calculatedSize + sizeOf(asked) <= MAX_KEPT_CHARACTERS
  }

  function stopWhenEmpty (): void {
    if (kept.size > 0) return
    clearInterval(purging)
    purging = undefined
  }

  function close (): void {
    isClosed = true // a poll that is under way keeps nothing afterwards
    kept.clear()
  }

  return { now, nowKept, close }
}

function viewOf (known: Kept): Generation {
  const { asked, track, view } = known
  if (view.of !== track.row) known.view = { of: track.row, shown: seenBy(asked, track.row) }
  return known.view.shown
}

/** What it holds, in characters; the cache wants at least one. */
function sizeOf ({ input }: Generation): number {
  return 1 + (input?.length ?? 0)
}
