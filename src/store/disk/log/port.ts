// The functions of a file system that the log on disk uses, so that a test can put faults between.

import { chown, mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** An open file; positions and lengths in bytes. Like a `FileHandle` of Node's, which is one. */
export interface PortFile {
  /** May read less than was asked for; nothing only at the end. */
  readonly read: (buffer: Uint8Array, offset: number, length: number, position: number) => Promise<{ readonly bytesRead: number }>
  /** May write less than was asked for. */
  readonly write: (buffer: Uint8Array, offset: number, length: number, position: number) => Promise<{ readonly bytesWritten: number }>
  readonly datasync: () => Promise<void>
  readonly sync: () => Promise<void>
  readonly truncate: (bytes: number) => Promise<void>
  /** `nlink`: by how many names it can be found; 0 for one that was removed. */
  readonly stat: () => Promise<{ readonly size: number, readonly nlink: number }>
  readonly close: () => Promise<void>
}

/** Rejects as Node's functions of the same names do. */
export interface FilePort {
  /** `r`: to be read, also a folder to be synced; `r+`: to be written, too; `wx`: made by this call. */
  readonly open: (path: string, flags: 'r' | 'r+' | 'wx', mode?: number) => Promise<PortFile>
  readonly readdir: (path: string) => Promise<string[]>
  readonly mkdir: (path: string, options: { readonly recursive: true, readonly mode: number }) => Promise<unknown>
  readonly rename: (from: string, to: string) => Promise<void>
  readonly unlink: (path: string) => Promise<void>
  /** Which file or folder is found there: its number on its file system. */
  readonly stat: (path: string) => Promise<{ readonly dev: number, readonly ino: number }>
  /** Blocks of `bsize` bytes that are free for this user. */
  readonly statfs: (path: string) => Promise<{ readonly type: number, readonly bsize: number, readonly bavail: number }>
}

/**
 * Those of the system. What root makes belongs to whom the folder around it belongs to, as in a package or an image it is not root: after an operator's command the
 * gateway could not open its own ledger otherwise.
 */
export const realFiles: FilePort = {
  open: async (path, flags, mode) => {
    const file = await open(path, flags, mode)
    try {
      if (flags === 'wx') await handOver(path)
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  },
  mkdir: async (path, options) => {
    const first = await mkdir(path, options)
    if (first !== undefined) await handOver(first)
  },
  readdir,
  rename,
  unlink,
  stat,
  statfs
}

/** See `realFiles`. */
export async function handOver (path: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = await stat(dirname(resolve(path)))
  if (uid !== 0) await chown(path, uid, gid)
}

/** Writes all of it, in one call where the system takes it so. Rejects with what the system said; then a part of it may be there. */
export async function writeAll (file: PortFile, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    if (bytesWritten === 0) throw new Error('The system wrote nothing, and said no reason.')
    done += bytesWritten
  }
}

/** Reads until the buffer is full or the file ends, and gives how many bytes there are. */
export async function readFully (file: PortFile, buffer: Uint8Array, position: number): Promise<number> {
  let done = 0
  while (done < buffer.length) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

/** Is there no room on the disk, or none for this user? */
export function isNoSpace (error: unknown): boolean {
  return hasCode(error, 'ENOSPC') || hasCode(error, 'EDQUOT')
}

export function hasCode (error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
