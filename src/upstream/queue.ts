// fal's queue as the core's upstream: submit, status, result, cancel. Addresses are made from our base and the app id;
// those in fal's answers are never followed, so no answer can lead the key elsewhere.

import { setMaxListeners } from 'node:events'
import type { Socket } from 'node:net'
import { Agent, Client, type buildConnector } from 'undici'
import { secretsOf, withoutSecrets, type Censor } from '../censor.ts'
import { requestUrls } from '../fal-wire/endpoint-id.ts'
import { readErrorBody } from '../fal-wire/error-body.ts'
import { falHeaders } from '../fal-wire/headers.ts'
import { ledgerConstants } from '../generation/ledger-constants.ts'
import type { Result, StatusReader, Submitted, Upstream, UpstreamOf } from '../generation/upstream.ts'
import { lineFactsOf, type Whose } from '../generation/whose.ts'
import type { ModelBook } from '../models/models.ts'
import { noTracing, type Tracing } from '../tracing.ts'
import { accountNameIn } from '../upstream-account.ts'
import { beginCall, spanned } from './call-spans.ts'
import { openEventStream, type EventStream } from './event-stream.ts'
import { callsUntil, exchange, headerOf, NOT_HTTP, outcomeOf, targetOf, type Answer, type ExchangeRequest, type NoAnswer, type Outcome } from './exchange.ts'
import { busy, refusalOf, retryAfterMsOf, unreachable } from './failures.ts'
import { parseObject, statusIn, statusWord } from './queue-status.ts'
import { createResultReader } from './result.ts'
import { createStatusReader, stateIn, type StatusReaderPauses } from './status-reader.ts'
import { createTroubleTeller, type UpstreamLog } from './tell-trouble.ts'
import { createConnector, isConnecting, type Connecting, type Proxy } from './way.ts'

export type UpstreamOperation = 'submit' | 'status' | 'stream' | 'result' | 'cancel'

/** How long each thing may take. All are measured here, on a monotonic clock. */
export interface UpstreamTimeouts extends StatusReaderPauses {
  /** TCP and TLS. */
  readonly connectMs: number
  /** From the call to the last byte of the answer, connecting included. Shorter than a drain lasts, which waits for submits under way. */
  readonly submitMs: number
  readonly statusMs: number
  readonly resultMs: number
  readonly cancelMs: number
  /** A status stream without a byte for this long is dead: fal sends a ping about every 15 s. */
  readonly streamSilenceMs: number
}

/** How long a submit may take; a process that stops lets those under way have it. */
export const SUBMIT_TIMEOUT_MS = 45_000

const DEFAULT_TIMEOUTS: UpstreamTimeouts = {
  connectMs: 5_000,
  submitMs: SUBMIT_TIMEOUT_MS,
  statusMs: 10_000,
  resultMs: 60_000,
  cancelMs: 10_000,
  streamSilenceMs: 40_000,
  pollMs: 500,
  pollMaxMs: 2_000,
  troubleMs: 1_000,
  troubleMaxMs: 30_000
}

export interface UpstreamOptions {
  /** Says what an output of each model looks like. */
  readonly models: () => Pick<ModelBook, 'find'>
  /** Base of the queue without a trailing slash; asked for each request, as the built-in sandbox's port is known only late. */
  readonly queueUrl: () => string
  /** fal's key of an account, `null` where it is not here; asked for each request, as its file may be read again. */
  readonly keyOf: (account: string | null) => string | null
  /** What fal's texts must not tell tenants: the keys, and those before them. By default the key that a request was made with. */
  readonly secrets?: () => readonly string[]
  /** Counts each HTTP request once, when its outcome is known. */
  readonly onRequest?: (operation: UpstreamOperation, outcome: Outcome) => void
  /** Base of the addresses of files that this gateway makes itself; `null`, or left out: it makes none. */
  readonly madeHere?: () => string | null
  /** The files of outputs are stored; by default they stay where they are. */
  readonly keepsFiles?: boolean
  readonly timeouts?: Partial<UpstreamTimeouts>
  /** None by default. */
  readonly proxy?: Proxy | null
  readonly log?: UpstreamLog
  /** No spans by default. */
  readonly tracing?: Tracing
}

/** Bodies of all answers but results: a few hundred bytes, unless something is odd. */
const SMALL_BODY_BYTES = 1024 * 1024
/** A result is some hundred bytes of URLs; far more is a picture inside it. */
const RESULT_BODY_BYTES = ledgerConstants.maxLargeBytes
/** Long results have more time, as long as they come at this rate. */
const RESULT_BYTES_PER_SECOND = 1024 * 1024
/** The core bounds its generations at fal; this bounds file descriptors should it fail to. Further requests wait for a connection. */
const MAX_CONNECTIONS = 1_024

/** How long a status stream may take to end after its last event. */
const STREAM_END_MS = 1000

/** Why the connection of a submit is ended: nobody looks at it, and where it was made tells nothing. */
const answered = new Error('answered')

/** fal gives UUIDs. Anything beyond these characters could change the path that it is put into. */
const REQUEST_ID = /^[\w-]{1,128}$/

/** fal's queue by account. All share connections, bounds and what is logged. */
export interface Upstreams {
  readonly of: UpstreamOf
  /** Ends what is under way, of all accounts. Twice is harmless. */
  readonly close: () => Promise<void>
}

/** No answer to a request that was not made, since the key of its account is not here. */
const NO_KEY: NoAnswer = { kind: 'no-answer', why: 'network', code: 'NO_KEY' }

/** fal's queue on undici. Nothing is retried here except the reading of a status. */
export function createUpstreams (options: UpstreamOptions): Upstreams {
  const timeouts: UpstreamTimeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts }
  const closing = new AbortController()
  const calls = callsUntil(closing.signal)
  // One listener for each socket of the pool, which is no leak.
  setMaxListeners(0, closing.signal)
  const { proxy = null, tracing = noTracing } = options
  // One for all submits. It gets no signal: Node would keep a listener for each connection that there ever was.
  const connector = createConnector({ proxy, timeoutMs: timeouts.connectMs, keepAlive: false })
  const connecting = new Set<Connecting>()
  const pool = new Agent({ connections: MAX_CONNECTIONS, connect: createConnector({ proxy, timeoutMs: timeouts.connectMs, signal: closing.signal }) })
  const readers = new Set<StatusReader>()
  /** As many as a ledger has accounts. */
  const opened = new Map<string | null, Upstream>()
  const tell = createTroubleTeller(options.log)

  /** Where the queue is; another place when it is elsewhere. */
  let base: Base | null = null
  function baseNow (): Base {
    const url = options.queueUrl()
    if (base?.url !== url) base = baseOf(url)
    return base
  }

  /** A connection for one submit; `established` is given it before anything can be sent over it. */
  function connectForSubmit (target: buildConnector.Options, established: (socket: Socket) => void, callback: buildConnector.Callback): void {
    const given = connector(target, (...outcome) => {
      if (isConnecting(given)) connecting.delete(given)
      if (outcome[0] === null) established(outcome[1])
      callback(...outcome)
    })
    if (isConnecting(given)) connecting.add(given)
  }

  function open (account: string | null): Upstream {
    const censor = (text: string): string => withoutSecrets(text, options.secrets?.() ?? secretsOf(options.keyOf(account) ?? ''))
    const readResult = createResultReader(options.models, { madeHere: options.madeHere ?? (() => null), keepsFiles: options.keepsFiles === true }, censor)

    /** What every request carries, and another when the key is; null where there is no key. */
    let headers = headersWith('')
    function headersNow (): Headers | null {
      const key = options.keyOf(account)
      if (key === null) return null
      if (key !== headers.key) headers = headersWith(key)
      return headers
    }

    /** One request on the pool. */
    async function ask (operation: 'status' | 'result' | 'cancel', path: string, signal?: AbortSignal): Promise<Answer | NoAnswer> {
      const deadlineMs = { status: timeouts.statusMs, result: timeouts.resultMs, cancel: timeouts.cancelMs }[operation]
      const bodyLimitBytes = operation === 'result' ? RESULT_BODY_BYTES : SMALL_BODY_BYTES
      const bytesPerSecond = operation === 'result' ? RESULT_BYTES_PER_SECOND : undefined
      const headers = headersNow()
      if (headers === null) return NO_KEY
      const request = { origin: baseNow().origin, path, method: operation === 'cancel' ? 'PUT' : 'GET', headers: headers.plain } as const
      const answer = await exchange(pool, request, { deadlineMs, bytesPerSecond, bodyLimitBytes, signal, calls })
      options.onRequest?.(operation, outcomeOf(answer))
      return answer
    }

    /**
     * Buys, once. The connection is used for this request only: on a pooled one each race with the server's idle close would be a purchase
     * of unknown outcome. Until it is established nothing can have reached fal; after that only fal's answer proves anything.
     */
    async function submit (model: string, input: string, whose?: Whose): Promise<Submitted> {
      const headers = headersNow()
      if (headers === null) return { kind: 'unsent', failure: unreachable, retryAfterMs: null, suspect: 'account' }
      const { origin, path, server } = baseNow()
      let established: Socket | null = null
      const client = new Client(server, {
        // No pipelining at all means `connection: close`.
        pipelining: 0,
        connect: (target, callback) => { connectForSubmit(target, socket => { established = socket }, callback) }
      })
      const span = beginCall(tracing, 'falgate.submit', { method: 'POST', server }, whose)
      const answer = await span.around(async () => await exchange(client, { origin, path: `${path}/${model}`, method: 'POST', headers: headers.submit, body: input }, {
        deadlineMs: timeouts.submitMs,
        bodyLimitBytes: SMALL_BODY_BYTES,
        calls,
        // undici would do that, too, and make errors for it: to write down where they were made takes longer than all else that is done here.
        onEnd: () => { established?.destroy(answered) }
      }))
      const sent = established !== null
      // An answer ended its connection; what got none must not be sent any more.
      if (answer.kind === 'no-answer') await client.destroy()
      options.onRequest?.('submit', outcomeOf(answer))
      tellTrouble(account, 'submit', answer, whose)
      const came = answer.kind === 'answer' ? submitted(answer, censor) : unanswered(answer, sent)
      span.end(answer, came)
      return came
    }

    function pathsOf (model: string, requestId: string): ReturnType<typeof requestUrls> {
      return requestUrls(baseNow().path, model, requestId)
    }

    function openStatusReader (model: string, requestId: string, whose?: Whose): StatusReader {
      const reader = createStatusReader({
        poll: signal => ask('status', `${pathsOf(model, requestId).status}?logs=1`, signal),
        stream: (onEvent, onOver) => openStream(`${pathsOf(model, requestId).stream}?logs=1`, requestId, onEvent, onOver, whose),
        pauses: timeouts,
        censor,
        onTrouble: answer => {
          options.log?.warn({ ...factsOf(whose), fal_request_id: requestId, status: answer.kind === 'answer' ? answer.status : null }, 'the status of a generation cannot be read; asking again')
          tellTrouble(account, 'status', answer, whose)
        },
        onClose: () => readers.delete(reader)
      })
      readers.add(reader)
      if (closing.signal.aborted) reader.close()
      return whose === undefined ? reader : spanned(reader, tracing, whose)
    }

    async function state (model: string, requestId: string, signal: AbortSignal, whose?: Whose): ReturnType<Upstream['state']> {
      const answer = await tracing.below(whose?.trace ?? null, async () => await ask('status', pathsOf(model, requestId).status, signal))
      tellTrouble(account, 'status', answer, whose)
      return stateIn(answer, censor) ?? 'unavailable'
    }

    /** A status stream, or null where there is no key to ask with. However it ends, it is just over: the reader polls then. */
    function openStream (path: string, requestId: string, onEvent: (text: string) => void, onOver: () => void, whose?: Whose): EventStream | null {
      const headers = headersNow()
      if (headers === null) return null
      const limits = { headersMs: timeouts.statusMs, silenceMs: timeouts.streamSilenceMs, bodyLimitBytes: SMALL_BODY_BYTES, endMs: STREAM_END_MS }
      return openEventStream(pool, { origin: baseNow().origin, path, headers: headers.stream }, limits, {
        onEvent,
        onOver: (outcome, code) => {
          options.onRequest?.('stream', outcome)
          if (code !== null) options.log?.debug({ ...factsOf(whose), fal_request_id: requestId, error: code }, 'a status stream broke; polling')
          onOver()
        }
      })
    }

    async function result (model: string, requestId: string, signal: AbortSignal, whose?: Whose): ReturnType<Upstream['result']> {
      const span = beginCall(tracing, 'falgate.result', { method: 'GET', server: baseNow().server }, whose)
      const answer = await span.around(async () => await ask('result', pathsOf(model, requestId).response, signal))
      tellTrouble(account, 'result', answer, whose)
      const read: Result = answer.kind === 'no-answer' ? { kind: 'unavailable', retryAfterMs: null } : readResult(model, answer)
      span.end(answer, read)
      if (read.kind === 'no-output' && answer.kind === 'answer') options.log?.error({ ...factsOf(whose), fal_request_id: requestId, unreadable: answer.unreadable }, 'a result is no output of its model')
      return read
    }

    async function cancel (model: string, requestId: string, whose?: Whose): ReturnType<Upstream['cancel']> {
      const answer = await tracing.below(whose?.trace ?? null, async () => await ask('cancel', pathsOf(model, requestId).cancel))
      tellTrouble(account, 'cancel', answer, whose)
      if (answer.kind === 'no-answer') return 'unavailable'
      if (answer.status === 400) return 'too-late'
      if (answer.status === 404) return 'missing'
      if (answer.status !== 200 && answer.status !== 202) return 'unavailable'
      const word = statusWord(answer.text)
      if (word === 'ALREADY_COMPLETED') return 'too-late'
      return word === 'NOT_FOUND' ? 'missing' : 'asked'
    }

    return { submit, openStatusReader, state, result, cancel }
  }

  /** Tells operators what callers are not told. That there is no key is told where it was taken away. */
  function tellTrouble (upstream: string | null, operation: UpstreamOperation, answer: Answer | NoAnswer, whose?: Whose): void {
    if (answer !== NO_KEY) tell({ operation, account: upstream === null ? undefined : accountNameIn(upstream), facts: factsOf(whose) }, answer)
  }

  async function close (): Promise<void> {
    for (const reader of readers) reader.close()
    closing.abort()
    for (const given of connecting) given.destroy()
    await pool.destroy()
  }

  return {
    of: account => {
      let upstream = opened.get(account)
      if (upstream === undefined) opened.set(account, upstream = open(account))
      return upstream
    },
    close
  }
}

/** The headers of requests with one key. */
interface Headers { readonly key: string, readonly plain: Fields, readonly submit: Fields, readonly stream: Fields }
type Fields = ExchangeRequest['headers']

/**
 * What every request carries. Nothing that asks fal for other than its default behaviour: its own retries cost nothing, as only
 * successful outputs are billed, so no `x-fal-no-retry`; deadlines are the core's, so no start timeout.
 */
function headersWith (key: string): Headers {
  const plain = {
    authorization: `Key ${key}`,
    accept: 'application/json',
    // Without it any coding would be allowed (RFC 9110, section 12.5.3), and results are kept as fal sent them.
    'accept-encoding': 'identity',
    'user-agent': 'falgate'
  }
  return { key, plain, submit: { 'content-type': 'application/json', ...plain }, stream: { ...plain, accept: 'text/event-stream' } }
}

/** The queue's base, and its parts. */
interface Base {
  readonly url: string
  /** What undici and spans take the address of a server from, read already. */
  readonly server: URL
  readonly origin: string
  /** Without a slash at its end. */
  readonly path: string
}

function baseOf (url: string): Base {
  const { origin, path } = targetOf(url)
  return { url, server: new URL(origin), origin, path: path === '/' ? '' : path }
}

function factsOf (whose: Whose | undefined): object {
  return whose === undefined ? {} : lineFactsOf(whose)
}

/** What it proves that a submit got no answer; `sent`: something may have reached fal. */
function unanswered ({ why, code }: NoAnswer, sent: boolean): Submitted {
  return sent
    ? { kind: 'lost', requestId: null, suspect: code === NOT_HTTP ? 'account' : 'request', cause: `no answer: ${why} (${code})` }
    : { kind: 'unsent', failure: unreachable, retryAfterMs: null, suspect: 'account' }
}

/** What an answer to a submit proves (rule 18 of the ledger). Everything that is not a clear refusal may have been a purchase. */
function submitted (answer: Answer, censor: Censor): Submitted {
  const body = parseObject(answer.text ?? '')
  const requestId = answer.status < 300 ? readRequestId(body?.['request_id']) : null
  if (body === null || requestId === null) return notAccepted(answer, censor)
  return { kind: 'accepted', requestId, position: statusIn(body, censor)?.position ?? null }
}

function notAccepted (answer: Answer, censor: Censor): Submitted {
  const { status } = answer
  const error = readErrorBody(answer.text ?? '', headerOf(answer, falHeaders.errorType))
  // What is cut off is an answer that was lost; what is there and not of fal's form comes from something in front of fal.
  const suspect = error === null && answer.unreadable !== 'cut' ? 'account' : 'request'
  if (status === 429) return { kind: 'unsent', failure: busy, retryAfterMs: retryAfterMsOf(answer), suspect, busy: true }
  const named = readRequestId(headerOf(answer, falHeaders.requestId))
  if (status === 503 && error !== null) return { kind: 'unsent', failure: busy, retryAfterMs: retryAfterMsOf(answer), suspect, ...(named === null ? {} : { requestId: named }) }
  if (status >= 400 && status < 500) {
    // A 4xx is no purchase whatever else it says, and here fal says that it would go well another time.
    const isTransient = headerOf(answer, falHeaders.needsRetry) === '1' && status !== 401 && status !== 403
    return isTransient ? { kind: 'unsent', failure: busy, retryAfterMs: retryAfterMsOf(answer), suspect } : { kind: 'refused', failure: refusalOf(status, error, censor) }
  }
  if (status >= 300) return { kind: 'lost', requestId: status >= 500 ? named : null, suspect, cause: `answered ${status}` }
  return { kind: 'lost', requestId: named, suspect, cause: `answered ${status} without a request id` }
}

function readRequestId (value: unknown): string | null {
  return typeof value === 'string' && REQUEST_ID.test(value) ? value : null
}
