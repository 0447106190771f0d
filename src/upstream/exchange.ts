// One HTTP exchange with a deadline: whatever the network does becomes a value, because for a purchase each outcome means something else.

import type { Dispatcher } from 'undici'

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
  readonly bodyLimitBytes: number
  readonly signals: readonly AbortSignal[]
}

const TIMEOUT_CODES = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'])

/** Sends one request, once, and reads its answer. Never rejects, follows no redirect, repeats nothing. */
export async function exchange (dispatcher: Dispatcher, request: ExchangeRequest, limits: ExchangeLimits): Promise<Answer | NoAnswer> {
  const deadline = startDeadline(limits.deadlineMs, limits.signals)
  try {
    deadline.signal.throwIfAborted()
    const url = new URL(request.url)
    // undici looks at a signal only once the request has a connection, hence the race.
    const { statusCode, headers, body } = await untilAborted(deadline.signal, dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: request.method,
      headers: request.headers,
      body: request.body ?? null,
      signal: deadline.signal,
      // The one deadline counts; undici's own would stop at 300 s and know nothing of trickled bodies.
      headersTimeout: 0,
      bodyTimeout: 0
    }))
    return { kind: 'answer', status: statusCode, headers, ...await readText(body, limits.bodyLimitBytes) }
  } catch (error) {
    if (deadline.passed()) return { kind: 'no-answer', why: 'timeout', code: 'DEADLINE' }
    return { kind: 'no-answer', ...troubleOf(error, deadline.signal) }
  } finally {
    deadline.end()
  }
}

/** What a network error is, by its code alone: messages may hold addresses and headers. */
export function troubleOf (error: unknown, signal: AbortSignal): Pick<NoAnswer, 'why' | 'code'> {
  if (signal.aborted) return { why: 'aborted', code: 'ABORTED' }
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

async function readText (body: Dispatcher.ResponseData['body'], limitBytes: number): Promise<Pick<Answer, 'text' | 'unreadable'>> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    const read: AsyncIterable<Uint8Array> = body
    // Leaving the loop early destroys the body, and with it the connection.
    for await (const chunk of read) {
      bytes += chunk.byteLength
      if (bytes > limitBytes) return { text: null, unreadable: 'too-long' }
      chunks.push(chunk)
    }
  } catch {
    return { text: null, unreadable: 'cut' }
  }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks)), unreadable: null }
  } catch {
    return { text: null, unreadable: 'not-text' }
  }
}

interface Deadline { readonly signal: AbortSignal, readonly passed: () => boolean, readonly end: () => void }

/** Aborts after `ms` or with the first of the signals. Leaves no timer and no listener behind, unlike `AbortSignal.timeout` and `AbortSignal.any`. */
function startDeadline (ms: number, signals: readonly AbortSignal[]): Deadline {
  const controller = new AbortController()
  let passed = false
  const abort = (): void => controller.abort()
  const timer = setTimeout(() => {
    passed = true
    abort()
  }, ms)
  for (const signal of signals) {
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
  }
  return {
    signal: controller.signal,
    passed: () => passed,
    end: () => {
      clearTimeout(timer)
      for (const signal of signals) signal.removeEventListener('abort', abort)
    }
  }
}
