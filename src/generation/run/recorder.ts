// Tells the ledger what this process learns of one generation, in the order in which it was learned and however long the ledger is away. Meanwhile the
// generation goes on from what is known here.
//
// The state of a recorder is what its purchase is to the ledger; `purchase.ts` has all its transitions. In short:
//
//   none ──fal took it──▶ untold ──ledger away──▶ presumed
//     │                      │                        │
//     │                      ├────────────────────────┤ the ledger answers
//     ▼ the row has an id    ▼                        ▼
//    own ◀───────────────── own ◀──▶ double ◀──▶ refused     each further answer decides once more
//
// What else it needs to know lies in parts that know nothing of each other: what is not written yet (`writer.ts`), since when the phase lasts
// (`phase-clock.ts`), what fal showed and nobody tried to write (`progress-piece.ts`), whether the row should be read again (`rereading.ts`).

import type { OnTrouble } from '../../trouble.ts'
import type { Doubt } from '../doubt.ts'
import type { Taken, Weighed } from '../evidence.ts'
import type { Followed, Generation } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import { hasEnded, type Phase } from '../phases.ts'
import type { LogPiece } from '../upstream.ts'
import type { Watch } from '../watch/watch.ts'
import { withDoubt, withProgress } from './as-seen.ts'
import { createPhaseClock } from './phase-clock.ts'
import { createProgressPiece, type Progress, type ProgressPiece } from './progress-piece.ts'
import { afterAnswer, afterReading, bought, isBeside, isUntoldTo, purchaseOf, withoutAnswer, type Purchase } from './purchase.ts'
import { createRereading, isOtherwise } from './rereading.ts'
import { createTelling, isOlder } from './telling.ts'
import { createWriter, type Ask } from './writer.ts'

export interface RecorderDeps {
  readonly ledger: Ledger
  readonly watch: Watch
  /** This process, as it stands in rows and leases. */
  readonly replica: string
  /** Told of every change of phase that evidence of this process made, how long the last phase took, where that was seen here, and how long the evidence took to be written. */
  readonly onMove: (from: Phase, to: Generation, phaseMs: number | null, writingMs?: number) => void
  /**
   * Told that the ledger had lost, or forgotten what it had heard of, generations that this process holds; they were put back. `contested`: names that lead to purchases
   * begun meanwhile and stay there.
   */
  readonly onRestored: (generations: number, contested: number) => void
  /** Told of troubles with the ledger; everything is tried again. */
  readonly onTrouble: OnTrouble
  /** Does this process follow another generation under this request id? The ledger knows it of all processes, and may be away. */
  readonly isOthersHere: (requestId: string, id: string) => boolean
}

export interface Recorder {
  /** The generation as the ledger had it last; of a double under the request id that is followed here. */
  readonly row: Generation
  /** fal's id under which it is followed here, also when that is not written yet. */
  readonly requestId: string | null
  /** The ledger has another purchase for it. The one that is followed here is a double, and its end only tells its price. */
  readonly isDouble: boolean
  /**
   * Writes how an attempt went, and gives the row as it then is. Null: there is no row any more, another purchase goes on with it, or `stopped` fired first.
   * What the ledger has lost is put back first. `end` is the row as this process expects it then: requests that wait here are told that while the ledger is
   * away.
   */
  readonly record: (reported: Generation, write: () => Promise<Weighed | null>, end?: Generation) => Promise<Generation | null>
  /**
   * Writes that fal took it under this id, and gives the row to go on with meanwhile. Where that id may be another generation's it is the row as the ledger
   * then has it.
   */
  readonly recordAccepted: (reported: Generation, requestId: string) => Promise<Generation | null>
  /** Resolves once the ledger was told the request id, with whether it is this generation's. While the ledger is away it counts as that. */
  readonly isOurs: () => Promise<boolean>
  /** Writes what fal shows of it, and gives the row to go on with meanwhile. What is seen before it can be written becomes one piece. */
  readonly recordProgress: (reported: Followed, seen: Progress) => Generation
  /** Writes that fal is done with it and its answer could not be used, and gives the row to go on with meanwhile; nothing is written when that stands in it. */
  readonly recordDoubt: (reported: Followed, seen: Doubt, log?: LogPiece) => Followed
  /**
   * The row to go on with: as the ledger has it now, or `current` when it has none or an older one, cannot be asked, or was not told yet what is known here.
   * Of a double only a wish to cancel is taken over.
   */
  readonly read: (current: Generation) => Promise<Generation>
  /** Resolves when everything is written, or given up because `stopped` fired. */
  readonly written: () => Promise<void>
  /** The same, and nothing is read any more. */
  readonly close: () => Promise<void>
}

/**
 * The row as it was given to this process; `isFresh`: its phase began just now. `onReadingDue` is called when all is written and the row should be read:
 * it is not as this process went on with it, or the ledger was away.
 */
export function createRecorder ({ row, terms }: Taken, isFresh: boolean, deps: RecorderDeps, onReadingDue: () => void, stopped: AbortSignal): Recorder {
  const { ledger, watch } = deps
  const writer = createWriter(deps.onTrouble, stopped)
  const clock = createPhaseClock(row.phase, isFresh ? performance.now() : null)
  const rereading = createRereading(onReadingDue)
  const tell = createTelling(terms, deps)
  /** As the ledger had it last. */
  let known = row
  let purchase = purchaseOf(row)
  /** The account that the purchase which is followed here was made with. The row's is another one where it has another purchase. */
  let upstream = row.upstream
  let progress: ProgressPiece | null = null

  function become (next: Purchase): void {
    const before = purchase
    purchase = next
    if (before.kind === 'untold' && next !== before) before.decide()
  }

  async function record (reported: Generation, write: () => Promise<Weighed | null>, end?: Generation): Promise<Generation | null> {
    const now = await inTurn(reported, write, end)
    if (now === 'stopped' || now === null) return null
    return isBeside(purchase) && !hasEnded(now.phase) ? null : now
  }

  async function recordAccepted (reported: Generation, requestId: string): Promise<Generation | null> {
    const sent = async (): Promise<Weighed | null> => await ledger.recordAccepted(reported.id, reported.attempt, requestId, upstream)
    become(bought(requestId))
    if (deps.isOthersHere(requestId, reported.id)) return await record(reported, sent)
    return goOn(reported, sent, { ...reported, phase: 'accepted', requestId })
  }

  async function isOurs (): Promise<boolean> {
    if (purchase.kind === 'untold') await purchase.decided
    return purchase.kind !== 'refused'
  }

  function recordProgress (reported: Followed, seen: Progress): Generation {
    const next = withProgress(reported, seen, ledger.now())
    if (progress?.add(seen) === true) return next
    const piece = progress = createProgressPiece(seen)
    return goOn(reported, async () => {
      const { log, ...sighting } = piece.take()
      return await ledger.recordProgress(reported.id, reported.attempt, reported.requestId, sighting, log, upstream)
    }, next)
  }

  function recordDoubt (reported: Followed, seen: Doubt, log?: LogPiece): Followed {
    const next = withDoubt(reported, seen, ledger.now())
    if (next === reported) return reported
    progress = null // what is seen at work after this is another piece
    return goOn(reported, async () => await ledger.recordDoubt(reported.id, reported.attempt, reported.requestId, seen, log, upstream), next)
  }

  /** Has it written while the generation goes on as `next`. */
  function goOn<T extends Generation> (reported: Generation, write: () => Promise<Weighed | null>, next: T): T {
    inTurn(reported, write).then(now => {
      if (now === 'stopped') return // the replica that takes over learns it again
      if (now !== null && isOtherwise(now, next, purchase.kind === 'double')) rereading.doubtful() // where there is no row, there is none to read
      if (writer.isIdle) rereading.everythingWritten()
    }, (error: unknown) => { deps.onTrouble('write-evidence', error) })
    return next
  }

  async function inTurn (reported: Generation, write: () => Promise<Weighed | null>, end?: Generation): Promise<Generation | null | 'stopped'> {
    const learnedAtMs = performance.now()
    const written = await writer.write(async ask => {
      const over = end === undefined ? undefined : watch.endsHere(reported.id)
      return await put(reported, learnedAtMs, write, ask).finally(over)
    }, () => {
      become(withoutAnswer(purchase))
      rereading.doubtful()
      if (end !== undefined) watch.tell(end)
    })
    return written.kind === 'stopped' ? 'stopped' : written.value
  }

  async function put (reported: Generation, learnedAtMs: number, write: () => Promise<Weighed | null>, ask: Ask): Promise<Generation | null> {
    let tries = 0
    const weighed = await tell(async () => {
      tries += 1
      return await write()
    }, reported, known, ask)
    if (weighed === null) {
      become(withoutAnswer(purchase))
      return null
    }
    const { from: found, ...now } = weighed
    // If nobody claimed it or took it over meanwhile, it was an earlier try of this write, whose answer was lost, that changed the row.
    const from = tries > 1 && now.attempt === known.attempt && now.takeovers === known.takeovers ? known.phase : found
    // Where the row stood like this before, another process had told the same, and told its move. That a settlement by an operator was corrected is an event
    // of the outbox.
    if (from !== now.phase && from !== 'failed') deps.onMove(from, now, clock.lasted(from, learnedAtMs), performance.now() - learnedAtMs)
    if (purchase.kind === 'none') upstream = now.upstream
    become(afterAnswer(purchase, now))
    note(now, learnedAtMs)
    return now
  }

  function note (now: Generation, atMs: number): void {
    clock.at(now.phase, atMs)
    known = now
  }

  async function read (current: Generation): Promise<Generation> {
    if (!writer.isIdle) return current
    let now: Generation | undefined
    try {
      [now] = await ledger.getMany([known.id])
    } catch (error) {
      deps.onTrouble('read-generation', error)
      rereading.couldNotBeRead()
    }
    // A copy from before what was told is put back with the next renewal. Meanwhile it must not be acted upon: a submit would be begun twice.
    if (now === undefined || isOlder(now, known)) return current
    if (isUntoldTo(now, purchase)) {
      // It came back with another purchase than the one that is held here. The ledger is told of this one, and both are followed.
      const { id, attempt } = now
      const { requestId } = purchase
      await inTurn({ ...known, requestId }, async () => await ledger.recordAccepted(id, attempt, requestId, upstream))
    } else {
      if (purchase.kind === 'none') upstream = now.upstream
      become(afterReading(purchase, now))
      note(now, performance.now())
    }
    return purchase.kind === 'double' ? { ...current, cancelWished: now.cancelWished } : now
  }

  return {
    get row () { return purchase.kind === 'double' ? { ...known, requestId: purchase.requestId, upstream } : known },
    get requestId () { return purchase.kind === 'none' ? null : purchase.requestId },
    get isDouble () { return purchase.kind === 'double' },
    record,
    recordAccepted,
    isOurs,
    recordProgress,
    recordDoubt,
    read,
    written: writer.written,
    close: async () => {
      rereading.close()
      await writer.written()
    }
  }
}
