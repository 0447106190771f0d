// The files of the log, by their names, and the sentences about a folder that cannot be used.

import { join } from 'node:path'
import { hasCode, type FilePort } from './port.ts'

/** Prompts lie in the folder. */
const FOLDER_MODE = 0o700
export const FILE_MODE = 0o600

const endings = ['log', 'snapshot', 'texts'] as const

/** A segment of the journal, a snapshot, or texts. All of them are numbered together. */
export type Ending = typeof endings[number]

export interface LogFile { readonly file: number, readonly ending: Ending }

export function nameOf ({ file, ending }: LogFile): string {
  return `${String(file).padStart(6, '0')}.${ending}`
}

/** A snapshot has this name until it counts. */
export function unfinishedName (file: number): string {
  return nameOf({ file, ending: 'snapshot' }) + UNFINISHED
}

const UNFINISHED = '.unfinished'

export interface Listing {
  /** In the order of their numbers. */
  readonly files: readonly LogFile[]
  readonly unfinished: readonly string[]
  /** Above every number in use. */
  readonly nextFile: number
}

/** The log's files in the folder. Others are left alone. */
export async function listFolder (port: FilePort, folder: string): Promise<Listing> {
  const names = await port.readdir(folder)
  const files = names.flatMap(name => fileOf(name) ?? []).toSorted((one, other) => one.file - other.file)
  const unfinished = names.filter(name => name.endsWith(UNFINISHED) && fileOf(name.slice(0, -UNFINISHED.length)) !== null)
  const numbers = [...files, ...unfinished.flatMap(name => fileOf(name.slice(0, -UNFINISHED.length)) ?? [])].map(({ file }) => file)
  return { files, unfinished, nextFile: numbers.reduce((most, file) => Math.max(most, file), 0) + 1 }
}

/** The file with this name, if it is one of the log's. */
export function fileOf (name: string): LogFile | null {
  const [number = '', ending, ...more] = name.split('.')
  const known = endings.find(one => one === ending)
  if (known === undefined || more.length > 0 || !/^\d{6,12}$/.test(number)) return null
  return { file: Number(number), ending: known }
}

/** A file's name is on the disk once its folder is. */
export async function syncFolder (port: FilePort, folder: string): Promise<void> {
  const opened = await port.open(folder, 'r')
  try {
    await opened.sync()
  } finally {
    await opened.close()
  }
}

/** A folder that is to stay where it is. */
export interface Standing {
  /** The same functions; but nothing is made, renamed or removed where another folder stands in its place, whose files these are not. */
  readonly port: FilePort
  /** Is it the folder that is found under its path? */
  readonly isInPlace: () => Promise<boolean>
}

/** Which folder it is, is found out now. */
export async function standing (port: FilePort, folder: string): Promise<Standing> {
  const { dev, ino } = await port.stat(folder)

  async function isInPlace (): Promise<boolean> {
    try {
      const found = await port.stat(folder)
      return found.dev === dev && found.ino === ino
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return false
      throw error
    }
  }

  async function assertInPlace (): Promise<void> {
    if (!await isInPlace()) throw Object.assign(new Error(`The folder ${folder} was taken away, or another one was put in its place. Put it back.`), { code: 'ENOENT' })
  }

  return {
    isInPlace,
    port: {
      ...port,
      open: async (path, flags, mode) => {
        if (flags === 'wx') await assertInPlace()
        return await port.open(path, flags, mode)
      },
      rename: async (from, to) => {
        await assertInPlace()
        await port.rename(from, to)
      },
      unlink: async path => {
        await assertInPlace()
        await port.unlink(path)
      }
    }
  }
}

/** Removes a file whose being there does no harm. */
export async function removeIfThere (port: FilePort, folder: string, name: string): Promise<void> {
  await port.unlink(join(folder, name)).catch(() => {}) // the next start looks again
}

/** Makes the folder unless it is there. Rejects with a sentence that names the folder, what is wrong with it, and what to do. */
export async function makeFolder (port: FilePort, folder: string): Promise<void> {
  await port.mkdir(folder, { recursive: true, mode: FOLDER_MODE }).catch(error => { throw unusable(folder, error) })
}

/** The sentence about a folder that cannot be written to, with the system's error as its cause. */
export function unusable (folder: string, cause: unknown): Error {
  const reason = reasons.find(([code]) => hasCode(cause, code))?.[1] ?? `the system says: ${cause instanceof Error ? cause.message : String(cause)}`
  return new Error(`The folder ${folder} cannot be used for the ledger: ${reason}.`, { cause })
}

const reasons: readonly (readonly [code: string, reason: string])[] = [
  ['EACCES', 'this user may not write there. Give the folder to the user that falgate runs as, or choose another one'],
  ['EPERM', 'this user may not write there. Give the folder to the user that falgate runs as, or choose another one'],
  ['EROFS', 'its file system is read-only. Mount it writable, or choose another one'],
  ['ENOTDIR', 'a part of its path is a file. Choose another one'],
  ['EEXIST', 'it is a file. Choose another one'],
  ['ENOENT', 'it was taken away, or its path leads nowhere. Make it, or choose another one'],
  ['ENOSPC', 'there is no space left on its disk. Make room there'],
  ['EDQUOT', 'this user has used up its quota there. Raise it, or make room']
]
