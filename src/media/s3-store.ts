// Stored files in a bucket: `<prefix>/<name>`. The bucket stays private: files are handed out by the gateway alone.

import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import type { ByteRange, Opened } from '../generation/media.ts'
import { isFileName, sha256In } from './file-name.ts'
import type { MediaStore, StoredFile } from './media-store.ts'
import { BucketFault, createBucket, type BucketOptions } from './s3.ts'
import { openOwnSpool } from './spool.ts'

/** A file that was stored so long ago is stored again when it is met again: what tidies up goes by its age. */
const REFRESH_MS = 12 * 3_600_000

/** What is written to see whether that is possible. No stored file has such a name. */
const PROBE = 'falgate-check'
const SHA256_OF_NOTHING = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

export async function createS3Store (options: BucketOptions): Promise<MediaStore> {
  const { ask, close } = createBucket(options)
  const { name: bucket, prefix, endpoint } = options.address
  const below = prefix === '' ? '' : `${prefix}/`
  const spool = await openOwnSpool()
  const keyOf = (name: string): string => {
    if (!isFileName(name)) throw new Error('no name of a stored file')
    return below + name
  }

  async function headOf (name: string, signal?: AbortSignal): Promise<StoredFile | null> {
    try {
      const { headers, body } = await ask({ method: 'HEAD', key: keyOf(name), signal })
      await body.dump()
      return { name, bytes: Number(headers['content-length']), storedAtMs: Date.parse(String(headers['last-modified'])) || 0 }
    } catch (error) {
      if (error instanceof BucketFault && error.status === 404) return null
      throw error
    }
  }

  async function open (name: string, range: ByteRange | null): Promise<Opened> {
    try {
      const { headers, body } = await ask({ method: 'GET', key: keyOf(name), ...(range === null ? {} : { headers: { range: rangeText(range) } }) })
      const [, first, last, bytes] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(String(headers['content-range'])) ?? []
      if (first !== undefined) return { kind: 'opened', bytes: Number(bytes), first: Number(first), last: Number(last), content: body }
      const length = Number(headers['content-length'])
      return { kind: 'opened', bytes: length, first: 0, last: length - 1, content: body }
    } catch (error) {
      if (!(error instanceof BucketFault) || (error.status !== 404 && error.status !== 416)) throw error
      const head = error.status === 404 ? null : await headOf(name)
      return head === null ? { kind: 'missing' } : { kind: 'out-of-range', bytes: head.bytes }
    }
  }

  return {
    place: `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}${endpoint === null ? '' : ` at ${endpoint}`}`,
    spoolFolder: spool.folder,
    put: async (name, { path, bytes, type }, signal) => {
      const known = await headOf(name, signal)
      if (known === null || known.bytes !== bytes || Date.now() - known.storedAtMs > REFRESH_MS) {
        const { body } = await ask({ method: 'PUT', key: keyOf(name), headers: { 'content-type': type }, body: { stream: createReadStream(path), bytes, sha256: sha256In(name) }, signal })
        await body.dump()
      }
      await rm(path, { force: true })
    },
    open,
    bytesOf: async name => (await headOf(name))?.bytes ?? null,
    remove: async name => {
      try {
        const { body } = await ask({ method: 'DELETE', key: keyOf(name) })
        await body.dump()
      } catch (error) {
        if (!(error instanceof BucketFault && error.status === 404)) throw error
      }
    },
    list: async function * () {
      for (let from: string | null = null, isMore = true; isMore;) {
        const { body } = await ask({ method: 'GET', key: '', query: { 'list-type': '2', ...below === '' ? {} : { prefix: below }, ...from === null ? {} : { 'continuation-token': from } } })
        const page = await text(body)
        for (const [, entry = ''] of page.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
          const name = (textIn(entry, 'Key') ?? '').slice(below.length)
          if (isFileName(name)) yield { name, bytes: Number(textIn(entry, 'Size')), storedAtMs: Date.parse(textIn(entry, 'LastModified') ?? '') || 0 }
        }
        from = textIn(page, 'NextContinuationToken')
        isMore = from !== null
      }
    },
    check: async () => {
      for (const method of ['PUT', 'GET'] as const) {
        const { body } = await ask({ method, key: below + PROBE, ...(method === 'PUT' ? { body: { stream: '', bytes: 0, sha256: SHA256_OF_NOTHING } } : {}) })
        await body.dump()
      }
    },
    close: async () => {
      await close()
      await spool.remove()
    }
  }
}

function rangeText (range: ByteRange): string {
  return range.kind === 'last' ? `bytes=-${range.bytes}` : `bytes=${range.first}-${range.last ?? ''}`
}

/** The text of an element that has no others in it, in an answer of S3. */
function textIn (xml: string, element: string): string | null {
  const [, found = null] = new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml) ?? []
  return found === null ? null : found.replace(/&(amp|lt|gt|quot|apos|#39|#34);/g, (_, name: string) => entities[name] ?? '')
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", '#39': "'", '#34': '"' }
