// The texts file of a checkpoint: those that stay and would go away with their files, and new ones.

import { join } from 'node:path'
import type { Place } from '../../memory/texts.ts'
import { FILE_MODE, nameOf, removeIfThere } from './folder.ts'
import { encodeFrame, TEXT_HEAD_BYTES } from './frames.ts'
import { writeAll, type FilePort, type PortFile } from './port.ts'

/** So much is written at once, about. */
const WRITE_BYTES = 1024 * 1024

/** What was added so far. */
export interface Added { readonly file: number, readonly bytes: number }

export interface TextsWriter {
  /** Adds a text with its head, as `encodeText` makes it. One call at a time, as of all of these. */
  readonly add: (bytes: Buffer) => Promise<Place>
  /** All of it is on disk. `null`: nothing was added, and there is no file. */
  readonly finish: () => Promise<Added | null>
  readonly close: () => Promise<void>
  readonly remove: () => Promise<void>
}

export function createTextsWriter (port: FilePort, folder: string, newFile: () => number): TextsWriter {
  let opened: PortFile | null = null
  let file: number | null = null
  let written = 0
  let waiting: Buffer[] = []
  let waitingBytes = 0

  async function begin (): Promise<number> {
    const number = newFile()
    file = number
    opened = await port.open(join(folder, nameOf({ file: number, ending: 'texts' })), 'wx', FILE_MODE)
    push(encodeFrame('texts', number, []).bytes)
    return number
  }

  function push (bytes: Buffer): void {
    waiting.push(bytes)
    waitingBytes += bytes.length
  }

  async function flush (): Promise<void> {
    if (opened === null) throw new Error('The texts file of a checkpoint is not open.')
    await writeAll(opened, waiting.length === 1 ? waiting[0] ?? Buffer.alloc(0) : Buffer.concat(waiting), written)
    written += waitingBytes
    waiting = []
    waitingBytes = 0
  }

  async function close (): Promise<void> {
    const closing = opened
    opened = null
    await closing?.close()
  }

  return {
    add: async bytes => {
      const number = file ?? await begin()
      const place = { file: number, offset: written + waitingBytes + TEXT_HEAD_BYTES, bytes: bytes.length - TEXT_HEAD_BYTES }
      push(bytes)
      if (waitingBytes >= WRITE_BYTES) await flush()
      return place
    },
    finish: async () => {
      if (file === null) return null
      await flush()
      await opened?.sync()
      await close()
      return { file, bytes: written }
    },
    close,
    remove: async () => { if (file !== null) await removeIfThere(port, folder, nameOf({ file, ending: 'texts' })) }
  }
}
