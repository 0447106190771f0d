// Texts of files that may go away: a file is removed once nobody reads from it any more.

import { join } from 'node:path'
import type { Place } from '../../memory/texts.ts'
import { DamagedTextError } from './damage.ts'
import { nameOf, removeIfThere, type LogFile } from './folder.ts'
import { decodeText, TEXT_HEAD_BYTES } from './frames.ts'
import { readFully, type FilePort, type PortFile } from './port.ts'

/** So many files are open for reading at most, but for those that are being read. */
const MAX_OPEN = 32

interface Entry {
  readonly name: string
  opened: Promise<PortFile> | null
  readers: number
  isGone: boolean
}

export interface Readable {
  readonly add: (file: LogFile) => void
  /** A text. The file is there until it is read, whatever is removed after this call. Rejects when it cannot be read, and when it is damaged. */
  readonly text: (place: Place) => Promise<string>
  /** That many bytes from there, or as many as the file has. */
  readonly bytes: (file: number, offset: number, length: number) => Promise<Buffer>
  /** Removes a file; at once, or when nobody reads from it any more. `false`: it is none of these. */
  readonly remove: (file: number) => Promise<boolean>
  readonly close: () => Promise<void>
}

export function createReadable (port: FilePort, folder: string): Readable {
  const entries = new Map<number, Entry>()

  /** Begins in this step. */
  async function using<Result> (file: number, read: (opened: PortFile) => Promise<Result>): Promise<Result> {
    const entry = entries.get(file)
    if (entry === undefined) throw new Error(`The ledger's file ${file} is not there.`)
    entry.readers += 1
    // The one that was used last is the last one to be closed.
    entries.delete(file)
    entries.set(file, entry)
    try {
      entry.opened ??= port.open(join(folder, entry.name), 'r')
      return await read(await entry.opened)
    } catch (error) {
      await close(entry)
      throw error
    } finally {
      entry.readers -= 1
      if (entry.isGone && entry.readers === 0) await unlink(file, entry)
      else await closeSome()
    }
  }

  async function close (entry: Entry): Promise<void> {
    const { opened } = entry
    entry.opened = null
    await opened?.then(async file => { await file.close() }).catch(() => {}) // it was only read
  }

  async function closeSome (): Promise<void> {
    const open = [...entries.values()].filter(({ opened }) => opened !== null)
    for (const entry of open.slice(0, -MAX_OPEN)) if (entry.readers === 0) await close(entry)
  }

  async function unlink (file: number, entry: Entry): Promise<void> {
    entries.delete(file)
    await close(entry)
    await removeIfThere(port, folder, entry.name)
  }

  return {
    add: file => { if (!entries.has(file.file)) entries.set(file.file, { name: nameOf(file), opened: null, readers: 0, isGone: false }) },
    text: async place => await using(place.file, async opened => {
      const bytes = Buffer.allocUnsafe(TEXT_HEAD_BYTES + place.bytes)
      const length = await readFully(opened, bytes, place.offset - TEXT_HEAD_BYTES)
      const text = decodeText(bytes.subarray(0, length), place.bytes)
      if (text === null) throw new DamagedTextError(`A text of the ledger is damaged: ${place.bytes} bytes at byte ${place.offset} of ${join(folder, entries.get(place.file)?.name ?? String(place.file))}.`)
      return text
    }),
    bytes: async (file, offset, length) => await using(file, async opened => {
      const bytes = Buffer.allocUnsafe(length)
      return bytes.subarray(0, await readFully(opened, bytes, offset))
    }),
    remove: async file => {
      const entry = entries.get(file)
      if (entry === undefined) return false
      entry.isGone = true
      if (entry.readers === 0) await unlink(file, entry)
      return true
    },
    close: async () => { for (const entry of entries.values()) await close(entry) }
  }
}
