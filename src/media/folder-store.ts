// Stored files in a folder: `<first two of its name>/<name>`, written aside and renamed, so that what is there is whole.

import { createReadStream } from 'node:fs'
import { access, constants, mkdir, open, opendir, rename, rm, stat, utimes, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { isFileName } from './file-name.ts'
import { bytesIn, type MediaStore } from './media-store.ts'
import { openSharedSpool } from './spool.ts'

/** What is not longer is read at once: a stream of it would have as much in memory, and costs more. */
const AT_ONCE_BYTES = 65_536

/** Where files are put together, inside the folder: what is renamed has to stay on one file system. */
const SPOOL = 'incoming'

export async function createFolderStore (folder: string): Promise<MediaStore> {
  const spoolFolder = join(folder, SPOOL)
  await openSharedSpool(spoolFolder)

  return {
    place: folder,
    spoolFolder,
    put: async (name, { path }) => {
      const target = pathOf(folder, name)
      if (await isThere(target)) {
        // As old as what refers to it last.
        const now = new Date()
        await utimes(target, now, now)
        await rm(path, { force: true })
        return
      }
      await synced(path)
      await mkdir(join(folder, name.slice(0, 2)), { recursive: true })
      await rename(path, target)
      await synced(join(folder, name.slice(0, 2)))
    },
    open: async (name, range) => {
      const file = await opened(pathOf(folder, name))
      if (file === null) return { kind: 'missing' }
      const { size: bytes } = await file.stat()
      const part = bytesIn(range, bytes)
      if (part !== null && part.last - part.first >= AT_ONCE_BYTES) return { kind: 'opened', bytes, ...part, content: createReadStream('', { fd: file, start: part.first, end: part.last }) }
      const content = await allOf(file, part)
      return part !== null || range === null ? { kind: 'opened', bytes, first: 0, last: -1, ...part, content } : { kind: 'out-of-range', bytes }
    },
    bytesOf: async name => {
      try {
        return (await stat(pathOf(folder, name))).size
      } catch (error) {
        if (isMissing(error)) return null
        throw error
      }
    },
    remove: async name => { await rm(pathOf(folder, name), { force: true }) },
    list: async function * () {
      for await (const below of await opendir(folder)) {
        if (!below.isDirectory() || !/^[0-9a-f]{2}$/.test(below.name)) continue
        for await (const { name } of await opendir(join(folder, below.name))) {
          if (!isFileName(name)) continue
          const found = await stat(pathOf(folder, name)).catch(() => null)
          if (found !== null) yield { name, bytes: found.size, storedAtMs: found.mtimeMs }
        }
      }
    },
    check: async () => { await access(spoolFolder, constants.W_OK | constants.X_OK) },
    close: async () => {}
  }
}

/** These bytes of an open file, which is closed with that. No file becomes shorter. */
async function allOf (file: FileHandle, part: { readonly first: number, readonly last: number } | null): Promise<Buffer> {
  try {
    const bytes = part === null ? 0 : part.last - part.first + 1
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(bytes), 0, bytes, part?.first ?? 0)
    if (bytesRead < bytes) throw new Error('a stored file has become shorter')
    return buffer
  } finally {
    await file.close()
  }
}

function pathOf (folder: string, name: string): string {
  if (!isFileName(name)) throw new Error('no name of a stored file')
  return join(folder, name.slice(0, 2), name)
}

async function isThere (path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** On disk, and not only in the machine's memory. */
async function synced (path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function opened (path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

function isMissing (error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
