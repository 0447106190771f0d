// The moments of a generation: every state and every log line, for event streams.
//
// A stream of moments, from the first one on:
//
//   waiting → telling   the track has a new state or new lines, which come as the next moment
//   telling → waiting   all was told
//   telling → ended     the last moment: the generation has ended
//   waiting → left      its caller has gone, the ledger lost the generation, or this process ends the stream; what is still to tell is told before
//
// The streams of this process: `open`; `draining`, where only those go on whose callers cannot come back; `closed`, where none does.

import type { Reader, Generation } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import { endOf, linesFrom } from '../log-text.ts'
import { hasEnded } from '../phases.ts'
import type { LogPiece } from '../upstream.ts'
import { createInbox, type Inbox } from './inbox.ts'
import { seenBy, type Track, type Tracks } from './tracks.ts'

/** How a generation stands, as its reader sees it. It is the last moment when `hasEnded(row.phase)`; before that there is no output. */
export interface Moment {
  readonly row: Generation
  /** In a stream the lines that are new since the moment before, for a poll all that are kept. */
  readonly log: LogPiece
  /** Its state differs from the moment before; if not, there are only new lines. */
  readonly moved: boolean
}

/** How a stream is read. */
export interface StreamOptions {
  /** How many log lines its caller has already. */
  readonly logged: number
  /** Fires when the caller has gone. */
  readonly signal: AbortSignal
  /** Whether a caller whose stream ends early asks again; `true` unless it is said. */
  readonly comesBack?: boolean
}

export interface Moments {
  /**
   * The moments of a generation, or null: it is unknown, expired or somebody else's. The present one comes at once, then one for every change, the last one
   * when it has ended. A caller that does not keep up misses states in between, never the last, and lines only when they are not kept any more. A stream
   * that ends early, which the states above name, has no last moment.
   */
  readonly read: (id: string, reader: Reader, options: StreamOptions) => Promise<AsyncIterable<Moment> | null>
  /** How many streams are read now. */
  readonly streams: number
  /** How many of them have callers that cannot come back. */
  readonly staying: number
  /** Ends the streams whose callers come back, now and from now on. Twice is harmless. */
  readonly drain: () => void
  /** Ends all streams. */
  readonly close: () => void
}

/** A stream that is being read. */
interface Stream {
  readonly inbox: Inbox
  readonly comesBack: boolean
  readonly signal: AbortSignal
}

export function createMoments ({ ledger, tracks }: { readonly ledger: Pick<Ledger, 'read' | 'logs'>, readonly tracks: Tracks }): Moments {
  const streams = new Set<Stream>()
  let state: 'open' | 'draining' | 'closed' = 'open'

  async function read (id: string, reader: Reader, options: StreamOptions): Promise<AsyncIterable<Moment> | null> {
    const row = await ledger.read(id, reader)
    if (row === null) return null
    return hasEnded(row.phase) ? lastMoment(row, options.logged) : momentsOf(row, options)
  }

  async function * lastMoment (row: Generation, logged: number): AsyncGenerator<Moment> {
    yield { row, log: await ledger.logs(row.purchase, logged), moved: true }
  }

  async function * momentsOf (asked: Generation, { logged, signal, comesBack = true }: StreamOptions): AsyncGenerator<Moment> {
    const stream: Stream = { inbox: createInbox(), comesBack, signal }
    const { inbox } = stream
    const { track, leave } = tracks.join(asked, inbox)
    streams.add(stream)
    signal.addEventListener('abort', inbox.wake)
    try {
      yield * story(asked, logged, track, stream)
    } finally {
      signal.removeEventListener('abort', inbox.wake)
      streams.delete(stream)
      leave()
    }
  }

  async function * story (asked: Generation, logged: number, track: Track, stream: Stream): AsyncGenerator<Moment> {
    let row = seenBy(asked, track.row.version > asked.version ? track.row : asked)
    // Places beyond the end are from before the ledger went back in time.
    let told = Math.min(logged, asked.logged)
    yield { row, log: { from: told, lines: [] }, moved: true }
    while (!hasEnded(row.phase)) {
      const next = stream.inbox.take()
      const log = linesFrom(track.log, told)
      if (next === undefined && isOver(stream)) return
      if (next === undefined && log.lines.length === 0) {
        await stream.inbox.woken()
        continue
      }
      if (next !== undefined) row = seenBy(asked, next)
      told = endOf(log)
      yield { row, log, moved: next !== undefined }
    }
  }

  function isOver ({ inbox, comesBack, signal }: Stream): boolean {
    return inbox.isLost || signal.aborted || state === 'closed' || (state === 'draining' && comesBack)
  }

  function leaveOpen (next: 'draining' | 'closed'): void {
    if (state !== 'closed') state = next
    for (const { inbox } of streams) inbox.wake()
  }

  return {
    read,
    get streams () { return streams.size },
    get staying () { return [...streams].filter(({ comesBack }) => !comesBack).length },
    drain: () => { leaveOpen('draining') },
    close: () => { leaveOpen('closed') }
  }
}
