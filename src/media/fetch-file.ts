// Fetches one file: bounded in bytes and time, and going on where a connection was cut.

import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { Dispatcher } from 'undici'
import { PRIVATE_ADDRESS } from '../public-address.ts'
import type { AddressRule, WayToFile } from './address-rule.ts'

export interface FetchedFile {
  readonly kind: 'fetched'
  readonly bytes: number
  readonly sha256: string
  /** What the server said that it is. */
  readonly declaredType: string | null
}

/**
 * `gone`: the server does not have it any more. `refused`: it will not be fetched however often it is tried: not from there, or too long.
 * `failed`: perhaps later. `why` is a word for logs, and holds nothing of the address.
 */
export type Fetched = FetchedFile | { readonly kind: 'gone' | 'refused' | 'failed', readonly why: string }

export interface FetchFileOptions {
  readonly allowed: AddressRule
  /** By the way that the rule names. */
  readonly dispatchers: Readonly<Record<WayToFile, Dispatcher>>
  readonly maxBytes: number
  /** Gives it up. */
  readonly signal: AbortSignal
}

const MAX_REDIRECTS = 3
/** How often it goes on after a cut. */
const MAX_CUTS = 3
/** Nothing arrives for so long: the connection counts as cut. */
const SILENCE_MS = 15_000

/** What was written so far, over all connections. */
interface Progress {
  readonly sink: Sink
  hash: ReturnType<typeof createHash>
  bytes: number
  /** What the file was when it began to arrive: only the same one is gone on with. */
  validator: string | null
  type: string | null
}

/** Where the bytes of a file go. What it throws is a fault of its own, and none of the network. */
export interface Sink {
  /** What came so far is of no use: the file begins again. */
  readonly begin: () => Promise<void>
  /** `at`: how many bytes came before. */
  readonly write: (chunk: Buffer, at: number) => Promise<unknown>
}

type Turn = Fetched | { readonly kind: 'whole' } | { readonly kind: 'redirected', readonly to: URL } | { readonly kind: 'cut', readonly why: string }

/** Into the spool, without the file in memory. Never rejects but for faults of the spool's disk. `path` is a new file, and is there in any case afterwards. */
export async function fetchFile (address: URL, path: string, options: FetchFileOptions): Promise<Fetched> {
  const file = await open(path, 'wx', 0o600)
  try {
    return await fetchInto(address, {
      begin: async () => { await file.truncate(0) },
      write: async (chunk, at) => await file.write(chunk, 0, chunk.length, at)
    }, options)
  } finally {
    await file.close()
  }
}

/** Never rejects but for faults of the sink. */
export async function fetchInto (address: URL, sink: Sink, options: FetchFileOptions): Promise<Fetched> {
  const progress: Progress = { sink, hash: createHash('sha256'), bytes: 0, validator: null, type: null }
  let cuts = 0
  for (let url = address, redirects = 0; ;) {
    const turn = await oneRequest(url, progress, options)
    if (turn.kind === 'whole') return { kind: 'fetched', bytes: progress.bytes, sha256: progress.hash.digest('hex'), declaredType: progress.type }
    if (turn.kind === 'redirected') {
      if (++redirects > MAX_REDIRECTS) return { kind: 'failed', why: 'redirects' }
      url = turn.to
    } else if (turn.kind === 'cut') {
      if (options.signal.aborted || ++cuts > MAX_CUTS) return { kind: 'failed', why: turn.why }
    } else return turn
  }
}

async function oneRequest (url: URL, progress: Progress, { allowed, dispatchers, maxBytes, signal }: FetchFileOptions): Promise<Turn> {
  const way = allowed(url)
  if (way === null) return { kind: 'refused', why: 'address' }
  const from = progress.validator === null ? 0 : progress.bytes
  try {
    const { statusCode, headers, body } = await dispatchers[way].request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'GET',
      headers: { 'accept-encoding': 'identity', ...(from === 0 || progress.validator === null ? {} : { range: `bytes=${from}-`, 'if-range': progress.validator }) },
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
      signal
    })
    const refuse = (turn: Turn): Turn => {
      // What comes is of no use to anybody, and nobody waits for its end.
      body.on('error', () => {}).destroy()
      return turn
    }
    if (statusCode === 404 || statusCode === 410) return refuse({ kind: 'gone', why: `http-${statusCode}` })
    if ([301, 302, 303, 307, 308].includes(statusCode)) {
      const to = headers['location']
      return refuse(typeof to === 'string' && URL.canParse(to, url.href) ? { kind: 'redirected', to: new URL(to, url.href) } : { kind: 'failed', why: 'redirects' })
    }
    const isRest = statusCode === 206 && from > 0 && String(headers['content-range']).startsWith(`bytes ${from}-`)
    if (statusCode !== 200 && !isRest) return refuse({ kind: 'failed', why: `http-${statusCode}` })
    // Bytes that mean others would be stored under a name that says what they are.
    if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity') return refuse({ kind: 'failed', why: 'encoded' })
    const length = headers['content-length'] === undefined ? null : Number(headers['content-length'])
    if (length !== null && (isRest ? from : 0) + length > maxBytes) return refuse({ kind: 'refused', why: 'too-long' })
    if (!isRest) await startAgain(progress, textIn(headers['etag']), textIn(headers['content-type']))

    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) continue
      if (progress.bytes + chunk.length > maxBytes) return refuse({ kind: 'refused', why: 'too-long' })
      await ofSink(progress.sink.write(chunk, progress.bytes))
      progress.hash.update(chunk)
      progress.bytes += chunk.length
    }
    return progress.bytes === 0 ? { kind: 'failed', why: 'empty' } : { kind: 'whole' }
  } catch (error) {
    if (error instanceof SinkFault) throw error
    const why = codeOf(error)
    if (why === PRIVATE_ADDRESS) return { kind: 'refused', why: 'address' }
    return signal.aborted ? { kind: 'failed', why: 'deadline' } : { kind: 'cut', why }
  }
}

/** Only a strong validator says that the rest is of the same bytes (RFC 9110, section 13.1.5). */
async function startAgain (progress: Progress, etag: string | null, type: string | null): Promise<void> {
  await ofSink(progress.sink.begin())
  progress.hash = createHash('sha256')
  progress.bytes = 0
  progress.validator = etag?.startsWith('"') === true ? etag : null
  progress.type = type
}

function textIn (header: string | string[] | undefined): string | null {
  return typeof header === 'string' ? header : null
}

function codeOf (error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'UNNAMED'
}

/** A fault of where the bytes go, and none of the network. */
class SinkFault extends Error {}

async function ofSink (work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    throw new SinkFault(codeOf(error), { cause: error })
  }
}
