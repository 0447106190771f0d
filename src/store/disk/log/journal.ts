// The journal: batches, each written and synced before it counts, in segments. A segment that could not be written or synced is never touched again. The next one says
// up to where it is valid, so that nothing that was rejected is replayed.

import { join } from 'node:path'
import type { Place } from '../../memory/texts.ts'
import { FILE_MODE, nameOf, removeIfThere, syncFolder } from './folder.ts'
import { encodeFrame, type Encoded } from './frames.ts'
import type { Position, SegmentHead } from './heads.ts'
import { isNoSpace, writeAll, type FilePort, type PortFile } from './port.ts'

/** How often it is looked whether the file that is written to can still be found under its path. */
const LOOK_MS = 1000

export interface JournalOptions {
  readonly port: FilePort
  readonly folder: string
  /** Is the folder found under its path? */
  readonly isInPlace: () => Promise<boolean>
  /** Where it goes on; `null`: from nothing. */
  readonly last: Position | null
  /** May the last segment be written to? Otherwise the next batch begins a new one. */
  readonly isLastWhole: boolean
  readonly newFile: () => number
  /** A segment was made. */
  readonly onSegment: (file: number) => void
  /** A segment was given up. */
  readonly onGivenUp: (file: number) => void
}

export interface Journal {
  /** Rejects with why the batch is not on disk. One call at a time, as of all of these. */
  readonly append: (records: readonly string[], texts: readonly string[]) => Promise<{ readonly places: readonly Place[], readonly bytes: number }>
  /** What is appended from now on lies in this segment or later ones, and nothing from before. */
  readonly begin: () => Promise<{ readonly from: number, readonly batch: number }>
  readonly close: () => Promise<void>
}

interface Segment { readonly file: number, readonly opened: PortFile }

/** Opens the journal. Rejects when the last segment cannot be opened and synced: what was read of it is relied upon. */
export async function openJournal ({ port, folder, isInPlace, last, isLastWhole, newFile, onSegment, onGivenUp }: JournalOptions): Promise<Journal> {
  /** The last valid byte and batch. */
  let end: Position | null = last
  let hasBatches = true
  let segment: Segment | null = null
  let lookedAtMs = -Infinity

  await syncFolder(port, folder)
  if (last !== null) {
    const opened = await port.open(pathOf(last.file), 'r+')
    await opened.sync()
    if (isLastWhole) segment = { file: last.file, opened }
    else await opened.close()
  }

  function pathOf (file: number): string {
    return join(folder, nameOf({ file, ending: 'log' }))
  }

  async function beginSegment (): Promise<Segment> {
    const previous = segment
    // From here on nothing is appended to the one before: the new one, even if it is not whole, may say where that one ends.
    segment = null
    await previous?.opened.close().catch(() => {}) // it was synced
    const file = newFile()
    const head: SegmentHead = { after: end }
    const batch = end?.batch ?? 0
    const { bytes } = encodeFrame('segment', batch, [JSON.stringify(head)])
    const opened = await port.open(pathOf(file), 'wx', FILE_MODE)
    try {
      await writeAll(opened, bytes, 0)
      await opened.sync()
      await syncFolder(port, folder)
    } catch (error) {
      await opened.close().catch(() => {}) // it is not used
      await removeIfThere(port, folder, nameOf({ file, ending: 'log' }))
      throw error
    }
    end = { file, bytes: bytes.length, batch }
    hasBatches = false
    segment = { file, opened }
    onSegment(file)
    return segment
  }

  async function giveUp (failed: Segment): Promise<void> {
    segment = null
    onGivenUp(failed.file)
    try {
      await beginSegment()
    } catch {
      // A process that dies before a segment could be begun must not find the batch again.
      await failed.opened.truncate(end?.bytes ?? 0).catch(() => {}) // whatever is left to try
    }
    await failed.opened.close().catch(() => {}) // it is not used any more
  }

  /** A file whose folder was removed takes whatever is written, and nobody ever finds it; nor does the next process, where the folder was put elsewhere. */
  async function lookAfter (used: Segment): Promise<void> {
    if (performance.now() - lookedAtMs < LOOK_MS) return
    lookedAtMs = performance.now()
    if ((await used.opened.stat()).nlink === 0 || !await isInPlace()) await giveUp(used)
  }

  async function write (to: Segment, { bytes }: Encoded, position: number): Promise<void> {
    try {
      await writeAll(to.opened, bytes, position)
    } catch (error) {
      const isCutOff = isNoSpace(error) && await to.opened.truncate(position).then(() => true, () => false)
      if (!isCutOff) await giveUp(to)
      throw error
    }
    try {
      await to.opened.datasync()
    } catch (error) {
      await giveUp(to)
      throw error
    }
  }

  return {
    append: async (records, texts) => {
      const batch = (end?.batch ?? 0) + 1
      const encoded = encodeFrame('batch', batch, records, texts)
      if (segment !== null) await lookAfter(segment)
      const to = segment ?? await beginSegment()
      const offset = end?.bytes ?? 0
      await write(to, encoded, offset)
      const { bytes } = encoded
      end = { file: to.file, bytes: offset + bytes.length, batch }
      hasBatches = true
      return { places: encoded.texts.map(text => ({ file: to.file, offset: offset + text.offset, bytes: text.bytes })), bytes: bytes.length }
    },
    begin: async () => {
      const { file } = segment !== null && !hasBatches ? segment : await beginSegment()
      return { from: file, batch: end?.batch ?? 0 }
    },
    close: async () => {
      const { opened } = segment ?? {}
      segment = null
      await opened?.close()
    }
  }
}
