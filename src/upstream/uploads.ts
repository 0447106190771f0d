// Files of callers on their way to fal's storage: fal is asked where a file goes, and its bytes are sent there. As fal's JavaScript client does it; nothing else is known
// of fal's storage.

import { open } from 'node:fs/promises'
import { Client, type buildConnector } from 'undici'
import { Problem } from '../errors.ts'
import { falHeaders } from '../fal-wire/headers.ts'
import type { FileToUpload, Upload } from '../generation/uploads.ts'
import { isPublicHost } from '../public-address.ts'
import { exchange, noAnswerOf, targetOf, type Answer, type NoAnswer } from './exchange.ts'
import { retryAfterMsOf } from './failures.ts'
import { parseObject } from './queue-status.ts'
import { createTroubleTeller, type UpstreamLog } from './tell-trouble.ts'

/** How the host of a place for a file may be reached: `public`: over TLS, at addresses that everybody can reach; `ours`: at an origin that operators configured, wherever it is. */
export type WayToStorage = 'public' | 'ours'

/** What became of a file. `blocked`: fal takes none of our keys. `given-up`: nobody waits for it any more. */
export type UploadOutcome = 'uploaded' | 'failed' | 'blocked' | 'given-up'

export interface UploadsOptions {
  /** Where fal is asked, without a trailing slash; asked for each file, as the built-in sandbox's port is known only late. */
  readonly restUrl: () => string
  /** The operator's name and fal's key of each account, in the order in which they are tried: a file need only be there. */
  readonly accounts: () => ReadonlyArray<{ readonly name: string, readonly key: string }>
  /** What makes connections: to where fal is asked, and to where files go. */
  readonly connect: Readonly<Record<'rest' | WayToStorage, buildConnector.connector>>
  /** Scheme, host and port of a storage that is not fal's own. */
  readonly ownOrigins: () => readonly string[]
  /** Where this process finds what fal, or what stands in for it, gives this address to. */
  readonly reached: (address: string) => string
  /** Told once of each file. `bytes`: how many are at fal. */
  readonly onUpload?: (outcome: UploadOutcome, bytes: number) => void
  readonly log?: UpstreamLog
  /** For a file in all; a minute by default. */
  readonly timeoutMs?: number
}

export interface Uploads {
  readonly upload: Upload
  /** Gives up what is under way. Twice is harmless. */
  readonly close: () => Promise<void>
}

const UPLOAD_MS = 60_000

/** fal is asked to let go of a file after a day: a generation waits and runs for hours at most, and what callers send is not to lie there longer than it is needed. */
const LIFECYCLE = JSON.stringify({ expiration_duration_seconds: 86_400 })

/** An answer has two addresses in it. */
const ANSWER_BYTES = 65_536
/** Addresses that are signed are long. */
const MAX_ADDRESS_CHARACTERS = 8_192

/** The status says all. What comes with it is read for a moment, so that the other side sees no broken connection. */
const REST_MS = 1000

const RETRY_SECONDS = 5
const MAX_RETRY_SECONDS = 60

/** Where a file goes, and the address that it has then. */
interface Place { readonly kind: 'place', readonly url: URL, readonly way: WayToStorage, readonly fileUrl: string }

/** `why` is a word for logs, and holds nothing of an address. */
interface Failed { readonly kind: 'failed', readonly step: 'ask' | 'send', readonly why: string, readonly retryAfterMs: number | null }

/** fal takes none of the keys. */
interface Blocked { readonly kind: 'blocked' }

/** fal's storage on undici. Nothing is tried twice but another account. */
export function createUploads (options: UploadsOptions): Uploads {
  const { restUrl, accounts, connect, onUpload = () => {}, log, timeoutMs = UPLOAD_MS } = options
  const tell = createTroubleTeller(log)
  const closing = new AbortController()

  async function upload (file: FileToUpload, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted()
    const overdue = AbortSignal.timeout(timeoutMs)
    const outcome = await carry(file, AbortSignal.any([signal, overdue, closing.signal]))
    if (outcome.kind === 'place') {
      onUpload('uploaded', file.bytes)
      return outcome.fileUrl
    }
    if (signal.aborted) onUpload('given-up', 0)
    signal.throwIfAborted()
    if (outcome.kind === 'blocked') {
      onUpload('blocked', 0)
      throw new Problem('upstream-account-blocked', { retryAfterSeconds: MAX_RETRY_SECONDS })
    }
    const { step, why, retryAfterMs } = outcome
    onUpload('failed', 0)
    log?.warn({ step, reason: overdue.aborted ? 'deadline' : closing.signal.aborted ? 'stopped' : why, bytes: file.bytes }, 'a file of a caller was not uploaded')
    throw new Problem('upload-failed', { retryAfterSeconds: retryAfterMs === null ? RETRY_SECONDS : Math.min(MAX_RETRY_SECONDS, Math.max(1, Math.ceil(retryAfterMs / 1000))) })
  }

  async function carry (file: FileToUpload, over: AbortSignal): Promise<Place | Failed | Blocked> {
    const place = await askWhere(file, over)
    if (place.kind !== 'place') return place
    return await send(file, place, over) ?? place
  }

  /** Asks fal with one key after another until it takes one. */
  async function askWhere (file: FileToUpload, over: AbortSignal): Promise<Place | Failed | Blocked> {
    for (const { name, key } of accounts()) {
      const answer = await ask(file, key, over)
      tell({ operation: 'upload', account: name, facts: {} }, answer)
      if (answer.kind === 'no-answer') return failed('ask', answer.code)
      if (answer.status === 401 || answer.status === 403) continue
      return placeIn(answer)
    }
    return { kind: 'blocked' }
  }

  /** On a connection of its own: files are few, and one that was kept might be closed by the other side at that very moment. */
  async function ask ({ type, ending }: FileToUpload, key: string, over: AbortSignal): Promise<Answer | NoAnswer> {
    const { origin, path } = targetOf(`${restUrl()}/storage/upload/initiate?storage_type=fal-cdn-v3`)
    const client = new Client(origin, { connect: connect.rest, pipelining: 0 })
    const answer = await exchange(client, {
      origin,
      path,
      method: 'POST',
      headers: {
        authorization: `Key ${key}`,
        accept: 'application/json',
        'accept-encoding': 'identity',
        'content-type': 'application/json',
        'user-agent': 'falgate',
        [falHeaders.uploadLifecycle]: LIFECYCLE
      },
      // What the caller calls its file may tell of people.
      body: JSON.stringify({ content_type: type, file_name: `upload.${ending}` })
    }, { deadlineMs: timeoutMs, bodyLimitBytes: ANSWER_BYTES, signal: over })
    client.destroy().catch(() => {}) // nothing is under way on it
    return answer
  }

  function placeIn (answer: Answer): Place | Failed {
    if (answer.status < 200 || answer.status >= 300) return failed('ask', `http-${answer.status}`, retryAfterMsOf(answer))
    if (answer.text === null) return failed('ask', answer.unreadable ?? 'cut')
    const said = parseObject(answer.text)
    const [uploadUrl, fileUrl] = [addressIn(said?.['upload_url']), addressIn(said?.['file_url'])]
    if (uploadUrl === null || fileUrl === null) return failed('ask', 'odd-answer')
    const url = new URL(options.reached(uploadUrl))
    const way = wayTo(url)
    // The file is read by fal and not from here, but it is no address to hand on that leads into a network.
    if (way === null || wayTo(new URL(options.reached(fileUrl))) === null) return failed('ask', 'address')
    return { kind: 'place', url, way, fileUrl }
  }

  /** `null`: nothing is sent there. Which hosts fal has for files is not known, so there is no list of them. */
  function wayTo ({ username, password, origin, protocol, hostname }: URL): WayToStorage | null {
    if (username !== '' || password !== '') return null
    if (options.ownOrigins().includes(origin)) return 'ours'
    return protocol === 'https:' && isPublicHost(hostname) ? 'public' : null
  }

  /** Sends the bytes, and no key: the address is all that is asked for. `null`: all of them are there. Redirects are not followed. Rejects when the file cannot be opened. */
  async function send ({ path, bytes, type }: FileToUpload, { url, way }: Place, over: AbortSignal): Promise<Failed | null> {
    const file = await open(path)
    const body = file.createReadStream()
    // Its faults are those of the request, and after that nobody's.
    body.on('error', () => {})
    const client = new Client(url.origin, { connect: connect[way], pipelining: 0 })
    try {
      const answer = await client.request({
        path: url.pathname + url.search,
        method: 'PUT',
        headers: { 'content-type': type, 'content-length': String(bytes) },
        body,
        // The one deadline counts.
        headersTimeout: 0,
        bodyTimeout: 0,
        signal: over
      })
      await answer.body.dump({ limit: ANSWER_BYTES, signal: AbortSignal.any([over, AbortSignal.timeout(REST_MS)]) }).catch(() => {}) // the status says all
      if (answer.statusCode < 200 || answer.statusCode >= 300) return failed('send', `http-${answer.statusCode}`, retryAfterMsOf(answer))
      // Who says that all is well before all was sent has a part of it.
      return body.bytesRead === bytes ? null : failed('send', 'early-answer')
    } catch (error) {
      return failed('send', noAnswerOf(error).code)
    } finally {
      body.destroy()
      client.destroy().catch(() => {}) // nothing is under way on it
    }
  }

  return { upload, close: async () => { closing.abort() } }
}

function failed (step: Failed['step'], why: string, retryAfterMs: number | null = null): Failed {
  return { kind: 'failed', step, why, retryAfterMs }
}

/** As `URL` writes it; `null`: it is none. */
function addressIn (value: unknown): string | null {
  if (typeof value !== 'string' || value.length > MAX_ADDRESS_CHARACTERS) return null
  return URL.parse(value)?.href ?? null
}
