// Follows one generation at fal: by its status stream, by polling where that breaks.

import { setTimeout as pause } from 'node:timers/promises'
import { backoffMs, jittered } from '../backoff.ts'
import type { Censor } from '../censor.ts'
import type { Interrupted, LogPiece, Sighting, StatusReader } from '../generation/upstream.ts'
import type { EventStream } from './event-stream.ts'
import type { Answer, NoAnswer } from './exchange.ts'
import { retryAfterMsOf } from './failures.ts'
import { createLogMemory, readStatus, statusWord, type SeenStatus } from './queue-status.ts'

/** Polls that were answered before the stream is tried again: half a minute. */
const POLLS_BEFORE_STREAM = 15

/** fal may not know an id at once, so only this many 404s in a row, about four seconds of polling, mean that it is missing. */
const MISSES_BEFORE_MISSING = 5

export interface StatusReaderPauses {
  /** Between polls: the first, and the longest they grow to. */
  readonly pollMs: number
  readonly pollMaxMs: number
  /** Between attempts while the upstream is in trouble. */
  readonly troubleMs: number
  readonly troubleMaxMs: number
}

/** What a reader follows, and how. Neither function fails for what the network or fal does. */
export interface StatusReaderOptions {
  /** One status request. It may reject once the signal is aborted. */
  readonly poll: (signal: AbortSignal) => Promise<Answer | NoAnswer>
  /** Opens a status stream, and tells the texts of its events. `onOver` is told when no more come, for whatever reason. Null: none can be asked for. */
  readonly stream: (onEvent: (text: string) => void, onOver: () => void) => EventStream | null
  readonly pauses: StatusReaderPauses
  /** What of the model's log lines is told. */
  readonly censor: Censor
  /** Told when troubles begin, not at each attempt. */
  readonly onTrouble: (answer: Answer | NoAnswer) => void
  readonly onClose: () => void
}

/** A status and whether its logs are all lines so far or only the new ones. */
type Observed = { readonly kind: 'status', readonly status: SeenStatus, readonly listing: 'all' | 'new' } | { readonly kind: 'missing' }

/** Somebody who waits for the next sighting. */
interface Waiting {
  /** Null: what was followed has ended, and something else is to be followed. */
  readonly tell: (seen: Sighting | Interrupted | null) => void
  readonly fail: (error: unknown) => void
}

interface Polls { readonly observations: AsyncGenerator<Observed, void>, readonly stop: () => void }

/** One for all: every generation ends with it, and where it was made tells nobody anything. */
const closed = new Error('the status reader is closed')
const INTERRUPTED: Interrupted = { kind: 'interrupted' }

/**
 * A reader that does nothing until it is asked. A `next` whose signal is aborted loses nothing: what was being waited for
 * is given to the one after it. Only one is waited for at a time: another one interrupts it. `next` on a closed reader rejects.
 *
 * A stream comes first, and polls after it; after some good polls the next stream. A stream tells what it has while somebody waits, and is paused while
 * something lies there that nobody asked for. Polls go on only while somebody waits.
 */
export function createStatusReader (options: StatusReaderOptions): StatusReader {
  const changeIn = createChanges()
  /** Seen while nobody waited: no more than came in one piece. */
  const untold: Sighting[] = []
  let waiting: Waiting | null = null
  let stream: EventStream | null = null
  let polls: Polls | null = null
  let isStreamNext = true
  /** A stream is being followed, or an observation of polls is being waited for. */
  let isUnderWay = false
  let isClosed = false

  function tell (observed: Observed): void {
    const sighting = changeIn(observed)
    if (sighting === null) return
    if (waiting === null) untold.push(sighting)
    else waiting.tell(sighting)
  }

  /** Sees to it that something comes for the one who waits. */
  function goOn (): void {
    if (isUnderWay) return
    isUnderWay = true
    if (isStreamNext) openStream()
    else awaitPoll()
  }

  function openStream (): void {
    let listing: 'all' | 'new' = 'all'
    isStreamNext = false
    stream = options.stream(text => {
      const status = readStatus(text, options.censor)
      if (status === null) return
      tell({ kind: 'status', status, listing })
      listing = 'new'
      if (status.state === 'COMPLETED') stream?.leave()
      else if (untold.length > 0) stream?.pause()
    }, askAgain)
    if (stream === null) askAgain()
  }

  /** The one who waits goes on, and not the socket that this is told by: what is asked for next belongs to the trace of the one, and not to that of the other. */
  function askAgain (): void {
    isUnderWay = false
    waiting?.tell(null)
  }

  function awaitPoll (): void {
    polls ??= startPolls(options)
    polls.observations.next().then(({ done, value }) => {
      if (done === true) endPolls()
      else tell(value)
    }).catch((error: unknown) => {
      endPolls()
      waiting?.fail(error)
    }).finally(askAgain)
  }

  function endPolls (): void {
    polls = null
    isStreamNext = true
  }

  function wait (signal: AbortSignal): Promise<Sighting | Interrupted | null> {
    return new Promise((resolve, reject) => {
      const interrupt = (): void => { current.tell(INTERRUPTED) }
      const end = (): void => {
        waiting = null
        signal.removeEventListener('abort', interrupt)
      }
      const current: Waiting = {
        tell: seen => {
          end()
          resolve(seen)
        },
        fail: error => {
          end()
          reject(error)
        }
      }
      waiting?.tell(INTERRUPTED)
      waiting = current
      signal.addEventListener('abort', interrupt, { once: true })
      goOn()
    })
  }

  return {
    next: async signal => {
      for (;;) {
        if (signal.aborted) return INTERRUPTED
        if (isClosed) throw closed
        const seen = untold.shift()
        if (seen !== undefined) {
          if (untold.length === 0) stream?.resume()
          return seen
        }
        const told = await wait(signal)
        if (told !== null) return told
      }
    },
    close: () => {
      if (isClosed) return
      isClosed = true
      stream?.hangUp()
      polls?.stop()
      waiting?.fail(closed)
      options.onClose()
    }
  }
}
/** Gives what an observation shows that the one before did not; null when that is nothing. */
function createChanges (): (observed: Observed) => Sighting | null {
  const newLogs = createLogMemory()
  let last: string | null = null
  return observed => {
    const log = observed.kind === 'status' ? newLogs(observed.status.logs, observed.listing) : NO_LINES
    const sighting = sightingOf(observed, log)
    const position = sighting.kind === 'queued' ? sighting.position : null
    const name = `${sighting.kind} ${position}`
    if (name === last && log.lines.length === 0) return null
    last = name
    return sighting
  }
}

const NO_LINES: LogPiece = { from: 0, lines: [] }

/** What one answer of the status endpoint says; null when it says nothing. */
export function stateIn (answer: Answer | NoAnswer, censor: Censor): Sighting['kind'] | null {
  const observed = observedIn(answer, censor)
  return observed === null ? null : sightingOf(observed, NO_LINES).kind
}

function sightingOf (observed: Observed, log: LogPiece): Sighting {
  if (observed.kind === 'missing') return { kind: 'missing' }
  switch (observed.status.state) {
    case 'IN_QUEUE': return { kind: 'queued', position: observed.status.position, log }
    case 'IN_PROGRESS': return { kind: 'running', log }
    case 'COMPLETED': return { kind: 'completed', log }
  }
}

function startPolls (options: StatusReaderOptions): Polls {
  const stopping = new AbortController()
  const observations = observePolls(options, stopping.signal)
  return {
    observations,
    stop: () => {
      stopping.abort(closed)
      // A generator that rests at a `yield` hears no signal.
      observations.return().catch(() => {})
    }
  }
}

/** Ends after some good polls. Troubles (network, 401 and 403 too: the picture may be made all the same) are waited out and do not count. */
async function * observePolls ({ poll, pauses, censor, onTrouble }: StatusReaderOptions, signal: AbortSignal): AsyncGenerator<Observed, void> {
  let troubles = 0
  let misses = 0
  let pauseMs = pauses.pollMs
  for (let polls = 0; polls < POLLS_BEFORE_STREAM;) {
    signal.throwIfAborted()
    const answer = await poll(signal)
    signal.throwIfAborted()
    const observed = observedIn(answer, censor)
    if (observed === null) {
      if (troubles === 0) onTrouble(answer)
      await pause(troublePauseMs(answer, ++troubles, pauses), undefined, { signal })
      continue
    }
    troubles = 0
    polls++
    misses = observed.kind === 'missing' ? misses + 1 : 0
    if (misses === 0 || misses >= MISSES_BEFORE_MISSING) yield observed
    await pause(jittered(pauseMs), undefined, { signal })
    pauseMs = Math.min(pauseMs * 1.5, pauses.pollMaxMs)
  }
}

function observedIn (answer: Answer | NoAnswer, censor: Censor): Observed | null {
  if (answer.kind === 'no-answer' || answer.text === null) return null
  if (answer.status === 404 && statusWord(answer.text) === 'NOT_FOUND') return { kind: 'missing' }
  const status = answer.status < 300 ? readStatus(answer.text, censor) : null
  return status === null ? null : { kind: 'status', status, listing: 'all' }
}

/** Doubles up to the cap; what `Retry-After` asks for is granted within it. */
function troublePauseMs (answer: Answer | NoAnswer, failures: number, { troubleMs, troubleMaxMs }: StatusReaderPauses): number {
  const askedMs = answer.kind === 'answer' ? retryAfterMsOf(answer) ?? 0 : 0
  return Math.max(backoffMs(failures, { firstMs: troubleMs, mostMs: troubleMaxMs }), jittered(Math.min(askedMs, troubleMaxMs)))
}
