// Follows one generation at fal: by its status stream, by polling where that breaks.

import { setTimeout as pause } from 'node:timers/promises'
import { backoffMs, jittered } from '../backoff.ts'
import type { Censor } from '../censor.ts'
import type { LogPiece, Sighting, StatusReader } from '../generation/upstream.ts'
import { untilAborted, type Answer, type NoAnswer } from './exchange.ts'
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

/** What a reader follows, and how. Neither function rejects for what the network or fal does; both may once the signal is aborted. */
export interface StatusReaderOptions {
  /** One status request. */
  readonly poll: (signal: AbortSignal) => Promise<Answer | NoAnswer>
  /** The texts of one status stream's events; ends when the stream does, for whatever reason. */
  readonly stream: (signal: AbortSignal) => AsyncIterable<string>
  readonly pauses: StatusReaderPauses
  /** What of the model's log lines is told. */
  readonly censor: Censor
  /** Told when troubles begin, not at each attempt. */
  readonly onTrouble: (answer: Answer | NoAnswer) => void
  readonly onClose: () => void
}

/** A status and whether its logs are all lines so far or only the new ones. */
type Observed = { readonly kind: 'status', readonly status: SeenStatus, readonly listing: 'all' | 'new' } | { readonly kind: 'missing' }

/**
 * A reader that does nothing until it is asked. A `next` whose signal is aborted loses nothing: what was being waited for
 * is given to the one after it. `next` on a closed reader rejects.
 */
export function createStatusReader (options: StatusReaderOptions): StatusReader {
  const closing = new AbortController()
  const sightings = onlyChanges(observe(options, closing.signal))
  let pending: Promise<Sighting> | null = null

  async function nextChange (): Promise<Sighting> {
    const { done, value } = await sightings.next()
    if (done === true) throw closed
    return value
  }

  return {
    next: async signal => {
      if (signal.aborted) return { kind: 'interrupted' }
      pending ??= nextChange()
      try {
        const sighting = await untilAborted(signal, pending)
        pending = null
        return sighting
      } catch (error) {
        if (signal.aborted) return { kind: 'interrupted' }
        throw error
      }
    },
    close: () => {
      if (closing.signal.aborted) return
      closing.abort(closed)
      // A generator that rests at a `yield` hears no signal.
      sightings.return().catch(() => {})
      options.onClose()
    }
  }
}

/** One for all: every generation ends with it, and where it was made tells nobody anything. */
const closed = new Error('the status reader is closed')

async function * onlyChanges (observations: AsyncIterable<Observed>): AsyncGenerator<Sighting, void> {
  const newLogs = createLogMemory()
  let last: string | null = null
  for await (const observed of observations) {
    const log = observed.kind === 'status' ? newLogs(observed.status.logs, observed.listing) : NO_LINES
    const sighting = sightingOf(observed, log)
    const position = sighting.kind === 'queued' ? sighting.position : null
    const name = `${sighting.kind} ${position}`
    if (name === last && log.lines.length === 0) continue
    last = name
    yield sighting
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

async function * observe (options: StatusReaderOptions, signal: AbortSignal): AsyncGenerator<Observed, void> {
  while (!signal.aborted) {
    yield * observeStream(options, signal)
    yield * observePolls(options, signal)
  }
}

/** Ends with the stream: fal ends it after `COMPLETED`; before that it was cut, and polling goes on. */
async function * observeStream (options: StatusReaderOptions, signal: AbortSignal): AsyncGenerator<Observed, void> {
  let listing: 'all' | 'new' = 'all'
  let end: SeenStatus | null = null
  for await (const text of options.stream(signal)) {
    const status = readStatus(text, options.censor)
    if (status?.state === 'COMPLETED') {
      end = status
      break
    }
    if (status === null) continue
    yield { kind: 'status', status, listing }
    listing = 'new'
  }
  // Told outside the loop, so that the connection is let go of before anybody is told.
  if (end !== null) yield { kind: 'status', status: end, listing }
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
