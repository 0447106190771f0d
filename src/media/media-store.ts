// Where stored files are: a folder, or a bucket of S3. Names are those of `file-name.ts`; files never change.

import type { ByteRange, Opened } from '../generation/media.ts'

/** What is kept of one file. */
export interface StoredFile { readonly name: string, readonly bytes: number, readonly storedAtMs: number }

export interface MediaStore {
  /** For logs and checks: what it is, and where. Never a secret. */
  readonly place: string
  /** A folder of this machine in which files are put together before they are stored. */
  readonly spoolFolder: string
  /** Stores the file at a path of the spool, which is gone after that. What is there already is not stored again. Rejects when it could not be stored, or not before the signal fires. */
  readonly put: (name: string, spooled: SpooledFile, signal: AbortSignal) => Promise<void>
  /** `null`: the whole file. Rejects when nobody can tell whether it is there. */
  readonly open: (name: string, range: ByteRange | null) => Promise<Opened>
  /** How long a file is; `null`: it is not there. */
  readonly bytesOf: (name: string) => Promise<number | null>
  /** Twice is harmless. */
  readonly remove: (name: string) => Promise<void>
  /** All files, in no order, as they are found. */
  readonly list: () => AsyncIterable<StoredFile>
  /** Can files be stored, and read? Rejects with why not. */
  readonly check: () => Promise<void>
  readonly close: () => Promise<void>
}

/** A file of the spool, and what it will be served as. */
export interface SpooledFile { readonly path: string, readonly bytes: number, readonly type: string }

/** The bytes of a range in a file of this length; `null`: it holds none of them. */
export function bytesIn (range: ByteRange | null, bytes: number): { readonly first: number, readonly last: number } | null {
  if (range === null) return { first: 0, last: bytes - 1 }
  const first = range.kind === 'last' ? Math.max(0, bytes - range.bytes) : range.first
  const last = range.kind === 'last' ? bytes - 1 : Math.min(range.last ?? bytes - 1, bytes - 1)
  return first > last ? null : { first, last }
}
