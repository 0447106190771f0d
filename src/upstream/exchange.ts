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
  readonly url: string
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

export interface ExchangeLimits {
  /** From the call to the last byte of the body, connecting included. */
  readonly deadlineMs: number
  /** Each time that this many bytes have arrived, the deadline is a second later: what is long has the time that it needs, and what trickles has not. */
  readonly bytesPerSecond?: number | undefined
  readonly bodyLimitBytes: number
  readonly signals: readonly AbortSignal[]
  /** Called when the last byte has arrived, before undici decides what becomes of the connection. */
  readonly onEnd?: () => void
}

const TIMEOUT_CODES = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'])

/** The code of an answer that is not HTTP. undici gives its parser's errors none, or one for each way. */
export const NOT_HTTP = 'NOT_HTTP'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Sends one request, once, and reads its answer. Never rejects, follows no redirect, repeats nothing. What was given up before it was sent is not sent later.
 * On undici's bare `dispatch`: a stream and a signal for each request cost as much as the request.
 */
export async function exchange (dispatcher: Dispatcher, request: ExchangeRequest, { deadlineMs, bytesPerSecond = Infinity, bodyLimitBytes, signals, onEnd }: ExchangeLimits): Promise<Answer | NoAnswer> {
  return await new Promise(resolve => {
    const chunks: Buffer[] = []
    let bytes = 0
    let head: Pick<Answer, 'status' | 'headers'> | null = null
    let controller: Dispatcher.DispatchController | null = null
    let isOver = false

    function settle (result: Answer | NoAnswer): void {
      isOver = true
      clearTimeout(timer)
      for (const signal of signals) signal.removeEventListener('abort', abort)
      resolve(result)
    }

    /** Headers that arrived are an answer, whatever becomes of its body. */
    function stop (trouble: Pick<NoAnswer, 'why' | 'code'>, unreadable: Unreadable): void {
      if (isOver) return
      settle(head === null ? { kind: 'no-answer', ...trouble } : { kind: 'answer', text: null, unreadable, ...head })
      controller?.abort(new Error(trouble.code))
    }

    const abort = (): void => { stop({ why: 'aborted', code: 'ABORTED' }, 'cut') }
    // The one deadline counts; undici's own would stop at 300 s and know nothing of trickled bodies.
    const giveUp = (): void => { stop({ why: 'timeout', code: 'DEADLINE' }, 'cut') }
    let timer = setTimeout(giveUp, deadlineMs)
    const beganAtMs = performance.now()
    let secondsEarned = 0
    for (const signal of signals) {
      if (signal.aborted) abort()
      else signal.addEventListener('abort', abort, { once: true })
    }
    if (isOver) return

    const { origin, pathname, search } = new URL(request.url)
    try {
      dispatcher.dispatch({ origin, path: pathname + search, method: request.method, headers: request.headers, body: request.body ?? null, headersTimeout: 0, bodyTimeout: 0 }, {
        onRequestStart (given) {
          controller = given
          if (isOver) given.abort(new Error('GIVEN_UP'))
        },
        onResponseStart (_given, status, headers) {
          if (status >= 200) head = { status, headers }
        },
        onResponseData (_given, chunk) {
          bytes += chunk.byteLength
          if (bytes > bodyLimitBytes) return stop({ why: 'network', code: 'TOO_LONG' }, 'too-long')
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
          stop(troubleOf(error, false), 'cut')
        }
      })
    } catch (error) {
      stop(troubleOf(error, false), 'cut')
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
export function troubleOf (error: unknown, isAborted: boolean): Pick<NoAnswer, 'why' | 'code'> {
  if (isAborted) return { why: 'aborted', code: 'ABORTED' }
  if (error instanceof errors.HTTPParserError) return { why: 'network', code: NOT_HTTP }
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'UNNAMED'
  return { why: TIMEOUT_CODES.has(code) ? 'timeout' : 'network', code }
}

/** The promise's outcome, or a rejection with the signal's reason if that comes first. */
export function untilAborted<T> (signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
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
