// Following a generation: every state and every log line, for event streams; the present state without asking the ledger, for polls.
// What is known of a followed generation is kept once per process, however many read it; a reader is a place in it.

import { endOf, joinLogs, linesFrom } from './log-text.ts'
import { hasEnded, statusOf } from './phases.ts'
import type { Change, Ledger, LogPiece } from './ports.ts'
import type { Reader, Row } from './row.ts'
import type { Watch } from './watch.ts'

/** How a generation stands, as its reader sees it. It is the last moment when `hasEnded(row.phase)`; before that there is no output. */
export interface Moment {
  readonly row: Row
  /** Of `now` all lines that are kept, of `moments` those that are new since the moment before. */
  readonly log: LogPiece
  /** It stands otherwise than in the moment before; if not, there are only new lines. */
  readonly moved: boolean
}

export interface Follow {
  /**
   * How the generation stands now, or null: unknown, expired or somebody else's. For those who ask again and again: the first question goes to the
   * ledger, and as long as the next one comes within five seconds the answers come out of this process, kept fresh by the subscription and by one look
   * a second for all; also while the ledger is away. What has ended is always read from the ledger. Rejects as `read` of the ledger does.
   */
  now: (id: string, reader: Reader) => Promise<Moment | null>
  /** The same where the answer lies in this process, else undefined. */
  nowKept: (id: string, reader: Reader) => Moment | undefined
  /**
   * The moments of a generation, or null as above: the present one at once, with the log lines from the `logged`th on, then one for every change,
   * the last one when it has ended. A reader that does not keep up misses states in between, never the last, and lines only when they are not kept
   * any more. Ends early, without a last moment, when `signal` fires, when this process lets its readers go, or when the ledger has lost the generation.
   * A reader that cannot come back (`comesBack: false`) is not let go before everything ends.
   */
  moments: (id: string, reader: Reader, from: { readonly logged: number, readonly signal: AbortSignal, readonly comesBack?: boolean }) => Promise<AsyncIterable<Moment> | null>
  /** How many read moments now. */
  readonly readers: number
  /** How many of them cannot come back. */
  readonly staying: number
  /** Ends all streams of moments whose readers come back, now and from now on; polls go on. Twice is harmless. */
  letGo: () => void
  /** Ends everything. */
  close: () => void
}

/** A generation that is followed here. */
interface Track {
  /** As the ledger shows it to its buyer, its alias' reader or anybody: who reads sees it under the names that it was asked for. */
  row: Row
  /** The lines that are kept, up to the last one that was read. */
  log: LogPiece
  readonly places: Set<Place>
  readonly leave: () => void
  isReadingLog: boolean
}

/** What a reader of moments has not seen yet. */
interface Place {
  readonly push: (row: Row) => void
  readonly wake: () => void
  /** The ledger does not know the generation any more. */
  readonly lose: () => void
}

/** A generation that is asked for again and again. */
interface Polled {
  readonly asked: Row
  readonly track: Track
  readonly leave: () => void
  untilMs: number
  /** The latest answer, and the row that it was made of: as long as nothing changes, every poll gets the same object. */
  shown: Row
  of: Row
}

/** How long an answer is kept for the next poll; fal's clients and ours ask at least every second. */
const POLLED_MS = 5000

/** Generations that are kept for polls; beyond that every poll asks the ledger. */
const MAX_POLLED = 10_000

/** The same by what they hold, since inputs may be long. */
const MAX_POLLED_CHARACTERS = 32 * 1024 * 1024

/** States that wait for one reader; with more the oldest are passed over. */
const MAX_PENDING = 16

export function createFollow ({ ledger, watch, onTrouble }: { readonly ledger: Ledger, readonly watch: Watch, readonly onTrouble: (doing: string, error: unknown) => void }): Follow {
  const tracks = new Map<string, Track>()
  const polled = new Map<string, Polled>()
  const streams = new Set<Place>()
  const staying = new Set<Place>()
  let polledCharacters = 0
  let isLetGo = false
  let isClosed = false
  let forgetting: NodeJS.Timeout | undefined

  // ------------------------------------------------------------------------------------------------ tracks

  /** Joins the track of this row, or begins it. Whoever leaves last ends it. */
  function join (row: Row, place: Place): { readonly track: Track, readonly leave: () => void } {
    const track = tracks.get(row.purchase) ?? begin(row)
    track.places.add(place)
    return {
      track,
      leave: () => {
        track.places.delete(place)
        if (track.places.size > 0) return
        track.leave()
        if (tracks.get(row.purchase) === track) tracks.delete(row.purchase)
      }
    }
  }

  function begin (row: Row): Track {
    const track: Track = {
      row,
      log: { from: 0, lines: [] },
      places: new Set(),
      leave: watch.attend(row.purchase, {
        changed: change => { takeChange(track, change) },
        ended: ended => { takeEnd(track, ended) },
        gone: () => { for (const { lose } of track.places) lose() }
      }),
      isReadingLog: false
    }
    tracks.set(row.purchase, track)
    readLog(track)
    return track
  }

  function takeChange (track: Track, change: Change): void {
    const { row } = track
    if (change.version < row.version || hasEnded(row.phase)) return
    // What the ledger calls by the purchase's id, the reader may know by another.
    track.row = { ...row, ...change, id: row.id }
    readLog(track)
    if (looksOther(row, track.row)) for (const { push } of track.places) push(track.row)
  }

  /** The last lines come before the last moment, if they can be had. */
  async function takeEnd (track: Track, ended: Row): Promise<void> {
    if (hasEnded(track.row.phase)) return
    track.row = ended
    // Who begins to follow from now on reads the ledger.
    if (tracks.get(ended.purchase) === track) tracks.delete(ended.purchase)
    if (endOf(track.log) < ended.logged) await fetchLog(track)
    for (const { push } of track.places) push(ended)
  }

  /** Fetches the lines that are told of and not here. */
  async function readLog (track: Track): Promise<void> {
    if (track.isReadingLog) return
    track.isReadingLog = true
    while (endOf(track.log) < track.row.logged && !hasEnded(track.row.phase) && await fetchLog(track));
    track.isReadingLog = false
  }

  /** Were there any? Lines are a comfort: when the ledger is away, the next change brings them. */
  async function fetchLog (track: Track): Promise<boolean> {
    const before = endOf(track.log)
    try {
      track.log = joinLogs(track.log, await ledger.logs(track.row.purchase, before))
      for (const { wake } of track.places) wake()
    } catch (error) {
      onTrouble('reading log lines', error)
    }
    return endOf(track.log) > before
  }

  // ------------------------------------------------------------------------------------------------ polls

  function nowKept (id: string, reader: Reader): Moment | undefined {
    const known = polled.get(id)
    if (known === undefined || known.asked.tenant !== reader.tenant || known.asked.subject !== reader.subject) return undefined
    known.untilMs = performance.now() + POLLED_MS
    return { row: shownTo(known), log: known.track.log, moved: true }
  }

  async function now (id: string, reader: Reader): Promise<Moment | null> {
    const kept = nowKept(id, reader)
    if (kept !== undefined) return kept
    const row = await ledger.read(id, reader)
    if (row === null) return null
    const log = row.logged === 0 ? { from: 0, lines: [] } : await ledger.logs(row.purchase, 0)
    if (!hasEnded(row.phase)) remember(row, log)
    return { row, log, moved: true }
  }

  function remember (asked: Row, log: LogPiece): void {
    if (polled.size >= MAX_POLLED || polledCharacters >= MAX_POLLED_CHARACTERS || polled.has(asked.id)) return
    polledCharacters += asked.input?.length ?? 0
    const place: Place = { push: row => { if (hasEnded(row.phase)) forget(asked.id) }, wake: () => {}, lose: () => { forget(asked.id) } }
    const { track, leave } = join(asked, place)
    track.log = joinLogs(track.log, log)
    polled.set(asked.id, { asked, track, leave, untilMs: performance.now() + POLLED_MS, shown: asked, of: asked })
    forgetting ??= setInterval(() => {
      for (const [id, { untilMs }] of polled) if (untilMs < performance.now()) forget(id)
    }, POLLED_MS / 5)
  }

  function shownTo (known: Polled): Row {
    const { asked, track } = known
    if (known.of !== track.row) {
      known.of = track.row
      known.shown = seenAs(asked, track.row)
    }
    return known.shown
  }

  function forget (id: string): void {
    const one = polled.get(id)
    if (one === undefined) return
    one.leave()
    polled.delete(id)
    polledCharacters -= one.asked.input?.length ?? 0
    if (polled.size > 0) return
    clearInterval(forgetting)
    forgetting = undefined
  }

  // ------------------------------------------------------------------------------------------------ streams

  async function moments (id: string, reader: Reader, { logged, signal, comesBack = true }: Parameters<Follow['moments']>[2]): Promise<AsyncIterable<Moment> | null> {
    const row = await ledger.read(id, reader)
    return row === null ? null : momentsOf(row, { logged, signal, comesBack })
  }

  async function * momentsOf (asked: Row, { logged, signal, comesBack }: Required<Parameters<Follow['moments']>[2]>): AsyncGenerator<Moment> {
    if (hasEnded(asked.phase)) {
      yield { row: asked, log: await ledger.logs(asked.purchase, logged), moved: true }
      return
    }
    const pending: Row[] = []
    // Places beyond the end are from before the ledger went back in time.
    let seen = Math.min(logged, asked.logged)
    let wake = (): void => {}
    let isLost = false
    const isOver = (): boolean => isLost || isClosed || (isLetGo && comesBack) || signal.aborted
    const place: Place = {
      push: row => {
        if (pending.length === MAX_PENDING) pending.shift()
        pending.push(row)
        wake()
      },
      wake: () => { wake() },
      lose: () => {
        isLost = true
        wake()
      }
    }
    const { track, leave } = join(asked, place)
    let shown = seenAs(asked, track.row.version > asked.version ? track.row : asked)
    streams.add(place)
    if (!comesBack) staying.add(place)
    signal.addEventListener('abort', place.wake)
    try {
      yield { row: shown, log: { from: seen, lines: [] }, moved: true }
      while (pending.length > 0 || !isOver()) {
        const row = pending.shift()
        const log = linesFrom(track.log, seen)
        if (row === undefined && log.lines.length === 0) {
          await new Promise<void>(resolve => { wake = resolve })
          continue
        }
        if (row !== undefined) shown = seenAs(asked, row)
        seen = endOf(log)
        yield { row: shown, log, moved: row !== undefined }
        if (hasEnded(shown.phase)) return
      }
    } finally {
      signal.removeEventListener('abort', place.wake)
      streams.delete(place)
      staying.delete(place)
      leave()
    }
  }

  function letGo (): void {
    isLetGo = true
    for (const { wake } of streams) wake()
  }

  return {
    now,
    nowKept,
    moments,
    get readers () { return streams.size },
    get staying () { return staying.size },
    letGo,
    close: () => {
      isClosed = true
      letGo()
      for (const id of [...polled.keys()]) forget(id)
    }
  }
}

/** A row as it is now, under the names that it was asked for: through an alias it shows nothing of its buyer. */
function seenAs ({ id, tenant, subject, accounts, token, connection }: Row, row: Row): Row {
  return { ...row, id, tenant, subject, accounts, token, connection }
}

/** Do callers see the difference? */
function looksOther (before: Row, after: Row): boolean {
  return statusOf(before.phase) !== statusOf(after.phase) || before.queuePosition !== after.queuePosition || before.startedAtMs !== after.startedAtMs ||
    before.doubtSinceMs !== after.doubtSinceMs
}
