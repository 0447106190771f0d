// One stream of server-sent events. On undici's bare `dispatch`, as an exchange is.

import type { Dispatcher } from 'undici'
import { givenUp, headerOf, noAnswerOf, outcomeOf, type ExchangeRequest, type Outcome } from './exchange.ts'
import { createEventSplitter } from './server-sent-events.ts'

export interface EventStreamLimits {
  /** How long the head of the answer may take once the request is sent. */
  readonly headersMs: number
  /** A stream without a byte for this long is dead. */
  readonly silenceMs: number
  /** No event may have more, and behind the last one no more is read. */
  readonly bodyLimitBytes: number
  /** How long a stream that was left may take to end. */
  readonly endMs: number
}

export interface EventStreamListener {
  /** The data of an event. */
  readonly onEvent: (data: string) => void
  /** It gives no more events: it ended, broke, was none, or was left. Told once, perhaps while it is being opened. `code` names what broke it. */
  readonly onOver: (outcome: Outcome, code: string | null) => void
}

/** A stream that was opened. Once it is over nothing of this does anything. */
export interface EventStream {
  /** Reads no more of it for now; events that have come with the one that is told now still are. */
  readonly pause: () => void
  readonly resume: () => void
  /** What comes now concerns nobody. Its end is waited for a moment: then the connection is good for another request. */
  readonly leave: () => void
  /** Ends it now, unless it was left. */
  readonly hangUp: () => void
}

/** Asks for a stream. Never throws; what becomes of it is told to the listener. */
export function openEventStream (dispatcher: Dispatcher, { origin, path, headers }: Pick<ExchangeRequest, 'origin' | 'path' | 'headers'>, { headersMs, silenceMs, bodyLimitBytes, endMs }: EventStreamLimits, { onEvent, onOver }: EventStreamListener): EventStream {
  let state: 'followed' | 'left' | 'over' = 'followed'
  let answered: Outcome = 'network'
  let controller: Dispatcher.DispatchController | null = null
  let ending: NodeJS.Timeout | undefined
  let bytesBehind = 0
  const feed = createEventSplitter(bodyLimitBytes, data => { if (state === 'followed') onEvent(data) })

  function end (outcome: Outcome, code: string | null = null): void {
    const wasFollowed = state === 'followed'
    state = 'over'
    clearTimeout(ending)
    if (wasFollowed) onOver(outcome, code)
  }

  function hangUp (outcome: Outcome, code: string | null = null): void {
    if (state === 'over') return
    end(outcome, code)
    controller?.abort(givenUp)
  }

  function fail (error: unknown): void {
    const { why, code } = noAnswerOf(error)
    end(why, code)
  }

  try {
    dispatcher.dispatch({ origin, path, method: 'GET', headers, headersTimeout: headersMs, bodyTimeout: silenceMs }, {
      onRequestStart (given) {
        controller = given
        if (state === 'over') given.abort(givenUp)
      },
      onResponseStart (_given, status, headers) {
        if (status < 200) return
        answered = outcomeOf({ kind: 'answer', status })
        const isStream = answered === '2xx' && /^text\/event-stream\b/i.test(headerOf({ headers }, 'content-type') ?? '')
        if (!isStream) hangUp(answered)
      },
      onResponseData (_given, chunk) {
        if (state === 'left') {
          bytesBehind += chunk.byteLength
          if (bytesBehind > bodyLimitBytes) hangUp(answered)
          return
        }
        if (state === 'followed' && !feed(chunk)) hangUp('network', 'TOO_LONG')
      },
      onResponseEnd () {
        end(answered)
      },
      onResponseError (_given, error) {
        fail(error)
      }
    })
  } catch (error) {
    fail(error)
  }

  return {
    pause: () => { if (state === 'followed') controller?.pause() },
    resume: () => { if (state !== 'over') controller?.resume() },
    leave: () => {
      if (state !== 'followed') return
      state = 'left'
      ending = setTimeout(() => { hangUp(answered) }, endMs)
      controller?.resume()
      onOver(answered, null)
    },
    hangUp: () => { if (state === 'followed') hangUp('aborted') }
  }
}
