// Writing below MODELS_DIR: a gateway that looks at the folder meanwhile sees a whole file or none.

import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Writes a file in one step: whole, and on the disk when the promise resolves. The name it has meanwhile is not that of a model. Rejects as the file
 * system does, and leaves nothing behind then.
 */
export async function saveFile (dir: string, name: string, text: string): Promise<void> {
  await mkdir(dir, { recursive: true })
  const temporary = join(dir, `.${name}.${process.pid}.tmp`)
  try {
    const file = await open(temporary, 'w', 0o644)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, join(dir, name))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFolder(dir)
}

/** Removes a file, so that it stays removed. False: there was none. */
export async function removeFile (dir: string, name: string): Promise<boolean> {
  try {
    await rm(join(dir, name))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
  await syncFolder(dir)
  return true
}

/** The name of a file is on the disk once its folder is. Some file systems cannot be asked for that. */
async function syncFolder (dir: string): Promise<void> {
  try {
    const folder = await open(dir, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch {
    // The file is written all the same; only a crash of the machine could take its name back.
  }
}
