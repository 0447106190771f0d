// Room that is held back on the disk, so that what must be written still fits when the disk is full.

import { randomFillSync } from 'node:crypto'
import { join } from 'node:path'
import { FILE_MODE } from './folder.ts'
import { hasCode, isNoSpace, writeAll, type FilePort } from './port.ts'

export const RESERVE_NAME = 'reserve'
export const RESERVE_BYTES = 8 * 1024 * 1024

export interface Reserve {
  readonly isThere: () => boolean
  /** Makes it unless it is there. `false`: there is no room. Rejects when the folder cannot be written for another reason. */
  readonly make: () => Promise<boolean>
  readonly giveUp: () => Promise<void>
}

export function createReserve (port: FilePort, folder: string, bytes: number): Reserve {
  const path = join(folder, RESERVE_NAME)
  let isThere = false

  async function isWhole (): Promise<boolean> {
    try {
      const file = await port.open(path, 'r')
      try {
        return (await file.stat()).size === bytes
      } finally {
        await file.close()
      }
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  async function write (): Promise<void> {
    const file = await port.open(path, 'wx', FILE_MODE)
    try {
      // Neither a hole nor anything that a file system could compress.
      await writeAll(file, randomFillSync(Buffer.allocUnsafe(bytes)), 0)
      await file.sync()
    } finally {
      await file.close()
    }
  }

  async function remove (): Promise<void> {
    await port.unlink(path).catch(error => { if (!hasCode(error, 'ENOENT')) throw error })
  }

  return {
    isThere: () => isThere,
    make: async () => {
      if (isThere || await isWhole()) {
        isThere = true
        return true
      }
      await remove()
      // As much again has to be free beside it: what would be given up at once is not worth having. Where that cannot be asked, it is tried.
      const freeBytes = await port.statfs(folder).then(({ bavail, bsize }) => bavail * bsize, () => Infinity)
      if (freeBytes < 2 * bytes) return false
      try {
        await write()
      } catch (error) {
        await remove()
        if (isNoSpace(error)) return false
        throw error
      }
      isThere = true
      return true
    },
    giveUp: async () => {
      isThere = false
      await remove()
    }
  }
}
