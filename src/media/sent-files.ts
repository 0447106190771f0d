// Pictures that callers send: checked by their bytes, and held in memory until they stand in an input, or on disk until fal has them.

import { createHash, randomUUID } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileTypeFromBuffer, fileTypeFromFile } from 'file-type'
import { LRUCache } from 'lru-cache'
import { Problem } from '../errors.ts'
import { SENT_FILES_BASE, type Refusal, type SentFile, type SentFiles } from '../generation/sent-file.ts'
import type { Upload } from '../generation/uploads.ts'
import { kindOf } from './kinds.ts'

/** What the files of one request may come to where they stand in its input: a third more of it in base64, which the ledger keeps while it is made. */
const MAX_INLINE_BYTES = 4 * 1024 * 1024

/** The same where they are uploaded to fal's storage. A request has to arrive whole in half a minute. */
const MAX_UPLOADED_BYTES = 32 * 1024 * 1024

/** What was uploaded stays for a day; what is made of it has begun long before half of that is over. */
const KNOWN_MS = 12 * 3_600_000
const MAX_KNOWN = 1000

const RETRY_SECONDS = 5

/** How archives begin, and what may stand in front of one, in hexadecimal. `file-type` searches these for what they hold, which is no picture, and takes a second for some. */
const SEARCHED = ['504b', '1f8b', 'efbbbf', '494433']
const OPENING_BYTES = 3

/** Holds pictures in memory. */
export function createInlineFiles (): SentFiles {
  return { maxBytes: MAX_INLINE_BYTES, take }

  async function take (content: Readable, maxBytes: number): Promise<SentFile | Refusal> {
    const chunks: Buffer[] = []
    const read = await readTo(content, maxBytes, chunk => { chunks.push(chunk) })
    if (typeof read === 'string') return read
    const bytes = Buffer.concat(chunks)
    if (isSearched(bytes.toString('hex', 0, OPENING_BYTES))) return 'no-picture'
    const told = await fileTypeFromBuffer(bytes).catch(() => undefined) // what it cannot follow is no picture
    const type = typeOf(told)
    return type === null ? 'no-picture' : { bytes: read, address: `data:${type};base64,${bytes.toString('base64')}`, upload: null, remove: async () => {} }
  }
}

export interface UploadedFilesOptions {
  readonly folder: string
  readonly upload: Upload
  /** In milliseconds, from whenever; the monotonic clock by default. */
  readonly now?: () => number
}

/** Puts pictures into a folder until they are uploaded to fal's storage. One that was uploaded lately is not uploaded again. */
export function createUploadedFiles ({ folder, upload, now = () => performance.now() }: UploadedFilesOptions): SentFiles {
  /** SHA-256 → address. */
  const known = new LRUCache<string, string>({ max: MAX_KNOWN, ttl: KNOWN_MS, ttlResolution: 0, perf: { now } })
  return { maxBytes: MAX_UPLOADED_BYTES, take }

  async function take (content: Readable, maxBytes: number): Promise<SentFile | Refusal> {
    const path = join(folder, randomUUID())
    const remove = async (): Promise<void> => { await rm(path, { force: true }) }
    try {
      const taken = await putDown(content, maxBytes, path, remove)
      if (typeof taken === 'string') await remove()
      return taken
    } catch (error) {
      await remove()
      // A disk that is full is nothing that the caller can mend, and may have room in a moment.
      throw new Problem('upload-failed', { retryAfterSeconds: RETRY_SECONDS, cause: error })
    }
  }

  async function putDown (content: Readable, maxBytes: number, path: string, remove: () => Promise<void>): Promise<SentFile | Refusal> {
    const sha256 = createHash('sha256')
    let opening = ''
    const file = await open(path, 'wx', 0o600)
    const bytes = await readTo(content, maxBytes, async chunk => {
      sha256.update(chunk)
      if (opening.length < 2 * OPENING_BYTES) opening += chunk.toString('hex', 0, OPENING_BYTES)
      await file.appendFile(chunk) // all of it, unlike what `write` promises
    }).finally(async () => { await file.close() })
    if (typeof bytes === 'string') return bytes
    if (isSearched(opening)) return 'no-picture'
    const told = await fileTypeFromFile(path).catch(() => undefined) // what it cannot follow is no picture
    const type = typeOf(told)
    if (told === undefined || type === null) return 'no-picture'
    const name = sha256.digest('hex')
    return {
      bytes,
      address: `${SENT_FILES_BASE}${name}.${told.ext}`,
      upload: async signal => {
        const before = known.get(name)
        if (before !== undefined) return before
        const address = await upload({ path, bytes, type, ending: told.ext }, signal)
        // Only now: to use a file does not make it stay there any longer.
        known.set(name, address)
        return address
      },
      remove
    }
  }
}

/** Reads a stream to its end. Gives how many bytes came, or why no more is read. Rejects with what `put` rejects with. */
async function readTo (content: Readable, maxBytes: number, put: (chunk: Buffer) => void | Promise<void>): Promise<number | Refusal> {
  const chunks: AsyncIterator<Buffer> = content[Symbol.asyncIterator]()
  let bytes = 0
  try {
    for (;;) {
      const next = await chunks.next().catch(() => null)
      if (next === null) return 'cut-off'
      if (next.done === true) return bytes === 0 ? 'empty' : bytes
      bytes += next.value.length
      if (bytes > maxBytes) return 'too-long'
      await put(next.value)
    }
  } finally {
    await chunks.return?.()
  }
}

function isSearched (opening: string): boolean {
  return SEARCHED.some(one => opening.startsWith(one))
}

/** The type of a picture, told by its bytes; `null`: it is none. */
function typeOf (told: { readonly ext: string } | undefined): string | null {
  const { type } = kindOf(told?.ext ?? '')
  return type.startsWith('image/') ? type : null
}
