// One HTTP exchange with a deadline: whatever the network does becomes a value, because for a purchase each outcome means something else.

import { errors, type Dispatcher } from 'undici'

/** An answer whose headers arrived. `text` is null when its body could not be read, and `unreadable` says why. */
export interface Answer {
  readonly kind: 'answer'
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  readonly text: string | null
  readonly unreadable: Unreadable | null
}

/** `cut`: the connection or the deadline ended before the body did. `not-text`: no valid UTF-8. */
export type Unreadable = 'cut' | 'too-long' | 'not-text'

/** No answer: headers never arrived. `code` is the machine's name of the error and never holds what was sent. */
export interface NoAnswer {
  readonly kind: 'no-answer'
  readonly why: 'network' | 'timeout' | 'aborted'
  readonly code: string
}

export interface ExchangeRequest {
  /** Scheme, host and port. */
  readonly origin: string
  /** With the query. */
  readonly path: string
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** The parts of an address that a request names. */
export function targetOf (url: string): Pick<ExchangeRequest, 'origin' | 'path'> {
  const { origin, pathname, search } = new URL(url)
  return { origin, path: pathname + search }
}

export interface ExchangeLimits {
  /** From the call to the last byte of the body, connecting included. */
  readonly deadlineMs: number
  /** Each time that this many bytes have arrived, the deadline is a second later: what is long has the time that it needs, and what trickles has not. */
  readonly bytesPerSecond?: number | undefined
  readonly bodyLimitBytes: number
  /** Gives it up. */
  readonly signal?: AbortSignal | undefined
  /** The ones that it is given up with. */
  readonly calls?: Calls
  /** Called when the last byte has arrived, before undici decides what becomes of the connection. */
  readonly onEnd?: () => void
}

/** Calls under way that are given up together. A listener of a signal for each of them costs more than all that is done here. */
export interface Calls {
  /** They were given up, and no other one is begun. */
  readonly areOver: () => boolean
  readonly add: (giveUp: () => void) => void
  readonly delete: (giveUp: () => void) => void
}

/** Calls that are given up when the signal fires. */
export function callsUntil (signal: AbortSignal): Calls {
  const underWay = new Set<() => void>()
  signal.addEventListener('abort', () => { for (const giveUp of underWay) giveUp() }, { once: true })
  return {
    areOver: () => signal.aborted,
    add: giveUp => { underWay.add(giveUp) },
    delete: giveUp => { underWay.delete(giveUp) }
  }
}

const TIMEOUT_CODES = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'])

/** The code of an answer that is not HTTP. undici gives its parser's errors none, or one for each way. */
export const NOT_HTTP = 'NOT_HTTP'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const ABORTED: NoAnswer = { kind: 'no-answer', why: 'aborted', code: 'ABORTED' }

/** One for all: where it was made tells nobody anything, and to find that out takes longer than the rest of it. */
export const givenUp = new Error('given up')

/**
 * Sends one request, once, and reads its answer. Never rejects, follows no redirect, repeats nothing. What was given up before it was sent is not sent later.
 * On undici's bare `dispatch`: a stream and a signal for each request cost as much as the request.
 */
export async function exchange (dispatcher: Dispatcher, request: ExchangeRequest, { deadlineMs, bytesPerSecond = Infinity, bodyLimitBytes, signal, calls, onEnd }: ExchangeLimits): Promise<Answer | NoAnswer> {
  if (signal?.aborted === true || calls?.areOver() === true) return ABORTED
  return await new Promise(resolve => {
    const chunks: Buffer[] = []
    let bytes = 0
    let head: Pick<Answer, 'status' | 'headers'> | null = null
    let controller: Dispatcher.DispatchController | null = null
    let isOver = false

    function settle (result: Answer | NoAnswer): void {
      isOver = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      calls?.delete(abort)
      resolve(result)
    }

    /** Headers that arrived are an answer, whatever becomes of its body. */
    function stop (noAnswer: NoAnswer, unreadable: Unreadable): void {
      if (isOver) return
      settle(head === null ? noAnswer : { kind: 'answer', text: null, unreadable, ...head })
      controller?.abort(givenUp)
    }

    const abort = (): void => { stop(ABORTED, 'cut') }
    // The one deadline counts; undici's own would stop at 300 s and know nothing of trickled bodies.
    const giveUp = (): void => { stop({ kind: 'no-answer', why: 'timeout', code: 'DEADLINE' }, 'cut') }
    let timer = setTimeout(giveUp, deadlineMs)
    const beganAtMs = performance.now()
    let secondsEarned = 0
    signal?.addEventListener('abort', abort, { once: true })
    calls?.add(abort)

    const { origin, path, method, headers, body = null } = request
    try {
      dispatcher.dispatch({ origin, path, method, headers, body, headersTimeout: 0, bodyTimeout: 0 }, {
        onRequestStart (given) {
          controller = given
          if (isOver) given.abort(givenUp)
        },
        onResponseStart (_given, status, headers) {
          if (status >= 200) head = { status, headers }
        },
        onResponseData (_given, chunk) {
          bytes += chunk.byteLength
          if (bytes > bodyLimitBytes) return stop({ kind: 'no-answer', why: 'network', code: 'TOO_LONG' }, 'too-long')
          chunks.push(chunk)
          const seconds = Math.floor(bytes / bytesPerSecond)
          if (isOver || seconds === secondsEarned) return
          secondsEarned = seconds
          clearTimeout(timer)
          timer = setTimeout(giveUp, beganAtMs + deadlineMs + seconds * 1000 - performance.now())
        },
        onResponseEnd () {
          onEnd?.()
          if (!isOver && head !== null) settle({ kind: 'answer', status: head.status, headers: head.headers, ...textIn(chunks) })
        },
        onResponseError (_given, error) {
          stop(noAnswerOf(error), 'cut')
        }
      })
    } catch (error) {
      stop(noAnswerOf(error), 'cut')
    }
  })
}

function textIn (chunks: readonly Buffer[]): Pick<Answer, 'text' | 'unreadable'> {
  try {
    return { text: utf8.decode(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)), unreadable: null }
  } catch {
    return { text: null, unreadable: 'not-text' }
  }
}

/** What a network error is, by its code alone: messages may hold addresses and headers. */
export function noAnswerOf (error: unknown): NoAnswer {
  if (error instanceof errors.HTTPParserError) return { kind: 'no-answer', why: 'network', code: NOT_HTTP }
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'UNNAMED'
  return { kind: 'no-answer', why: TIMEOUT_CODES.has(code) ? 'timeout' : 'network', code }
}

/** The first value of a header of an answer, or null. */
export function headerOf (answer: Pick<Answer, 'headers'>, name: string): string | null {
  const value = answer.headers[name]
  return (Array.isArray(value) ? value[0] : value) ?? null
}

/** What an exchange counts as in metrics: few words, so that the label stays bounded. */
export type Outcome = '2xx' | '3xx' | '4xx' | '429' | '5xx' | NoAnswer['why']

export function outcomeOf (result: Pick<Answer, 'kind' | 'status'> | NoAnswer): Outcome {
  if (result.kind === 'no-answer') return result.why
  if (result.status === 429) return '429'
  if (result.status >= 500) return '5xx'
  if (result.status >= 400) return '4xx'
  return result.status >= 300 ? '3xx' : '2xx'
}
