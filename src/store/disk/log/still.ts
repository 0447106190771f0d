// The log of a folder as it is at one moment, for whoever reads it while another process goes on writing there. Nothing in the folder is changed.

import { basename, join } from 'node:path'
import type { Place } from '../../memory/texts.ts'
import { DamageError } from './damage.ts'
import { listFolder, nameOf, type LogFile } from './folder.ts'
import { hasCode, type FilePort, type PortFile } from './port.ts'
import { createReadable } from './readable.ts'
import { replay, type ReplayOptions } from './replay.ts'

/** How often files may go away while they are opened, which a checkpoint does once in a while. */
const TRIES = 20

export interface StillLog {
  /** As {@link DiskLog.readText}. */
  readonly readText: (place: Place) => Promise<string>
  readonly close: () => Promise<void>
}

interface StillFiles { readonly files: FilePort, readonly close: () => Promise<void> }

/**
 * Opens the files of the log for reading and keeps them open, so that what a checkpoint removes stays readable, up to where they were written then: what is read of the
 * journal is all of it up to one batch. Rejects as Node does when the folder or a file cannot be read.
 */
async function stillFiles (port: FilePort, folder: string): Promise<StillFiles> {
  const names = async (): Promise<readonly string[]> => (await listFolder(port, folder)).files.map(nameOf)
  for (let tries = 1; ; tries += 1) {
    const before = await names()
    const opened = new Map<string, PortFile>()
    const close = async (): Promise<void> => { for (const file of opened.values()) await file.close().catch(() => {}) } // they were only read
    try {
      for (const name of before) opened.set(name, await stillFile(await port.open(join(folder, name), 'r')))
      const after = await names()
      if (before.join() === after.join()) return { files: asPort(port, opened), close }
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) {
        await close()
        throw error
      }
      // One of the names that were read a moment ago is gone, or the whole folder, which the next look tells.
    }
    await close()
    if (tries === TRIES) throw new Error(`The files in ${folder} change all the time: try again.`)
  }
}

/** It seems to end where it ended when this was called. */
async function stillFile (file: PortFile): Promise<PortFile> {
  const { size, nlink } = await file.stat()
  return {
    read: async (buffer, offset, length, position) => await file.read(buffer, offset, Math.max(0, Math.min(length, size - position)), position),
    stat: async () => ({ size, nlink }),
    write: refuse,
    datasync: refuse,
    sync: refuse,
    truncate: refuse,
    close: file.close.bind(file)
  }
}

function asPort ({ stat, statfs }: FilePort, opened: ReadonlyMap<string, PortFile>): FilePort {
  return {
    open: async path => {
      const file = opened.get(basename(path))
      if (file === undefined) throw Object.assign(new Error(`${path} was not there when the folder was opened`), { code: 'ENOENT' })
      return { ...file, close: async () => {} } // all of them are closed together
    },
    readdir: async () => [...opened.keys()],
    mkdir: refuse,
    rename: refuse,
    unlink: refuse,
    stat,
    statfs
  }
}

async function refuse (): Promise<never> {
  throw Object.assign(new Error('The ledger is only read.'), { code: 'EROFS' })
}

interface ReadOptions {
  readonly folder: string
  readonly files: FilePort
  readonly onRecord: ReplayOptions['onRecord']
}

/** Reads the log of a folder, which may be another process'. Rejects as `openLog` does when something is damaged. */
export async function readStill ({ folder, files: port, onRecord }: ReadOptions): Promise<StillLog> {
  const { files, close } = await stillFiles(port, folder)
  try {
    const { segments, snapshot } = await replay({ port: files, folder, onRecord })
    const readable = createReadable(files, folder)
    const all: readonly LogFile[] = [...segments.map(({ file }) => ({ file, ending: 'log' as const })), ...(snapshot?.texts ?? []).map(({ file }) => ({ file, ending: 'texts' as const }))]
    for (const file of all) readable.add(file)
    return { readText: readable.text, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A batch that is being written while it is read may look like damage; what is damaged looks so again. */
export async function mayBePassing<Result> (read: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof DamageError) || tries === 3) throw error
    }
  }
}
