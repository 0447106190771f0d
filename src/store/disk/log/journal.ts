// The journal: batches, each written and synced before it counts, in segments. A segment that could not be written or synced is never touched again. The next one says
// up to where it is valid, so that nothing that was rejected is replayed.

import { join } from 'node:path'
import type { Place } from '../../memory/texts.ts'
import { FILE_MODE, nameOf, removeIfThere, syncFolder } from './folder.ts'
import { encodeFrame, type Encoded } from './frames.ts'
import type { Position, SegmentHead } from './heads.ts'
import { PART_BYTES, piecesOf, type Piece } from './parts.ts'
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
  /** So many bytes of records, or of texts, are in one frame at most. */
  readonly partBytes?: number | undefined
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
export async function openJournal ({ port, folder, isInPlace, last, isLastWhole, newFile, partBytes = PART_BYTES, onSegment, onGivenUp }: JournalOptions): Promise<Journal> {
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

  /** `start`: where its batch begins, and what a full disk leaves of it is cut off. */
  async function write (to: Segment, bytes: Buffer, position: number, start: number): Promise<void> {
    try {
      await writeAll(to.opened, bytes, position)
    } catch (error) {
      const isCutOff = isNoSpace(error) && await to.opened.truncate(start).then(() => true, () => false)
      if (!isCutOff) await giveUp(to)
      throw error
    }
  }

  async function sync (written: Segment): Promise<void> {
    try {
      await written.opened.datasync()
    } catch (error) {
      await giveUp(written)
      throw error
    }
  }

  /** Encodes a piece that comes behind others: when that fails, none of them may stay in a file that goes on. */
  async function encodeLater (to: Segment, kind: 'part' | 'batch', batch: number, { records, texts }: Piece): Promise<Encoded> {
    try {
      return encodeFrame(kind, batch, records, texts)
    } catch (error) {
      await giveUp(to)
      throw error
    }
  }

  return {
    append: async (records, texts) => {
      const batch = (end?.batch ?? 0) + 1
      const [first = { records, texts }, ...others] = piecesOf({ records, texts }, partBytes)
      let encoded = encodeFrame(others.length > 0 ? 'part' : 'batch', batch, first.records, first.texts)
      if (segment !== null) await lookAfter(segment)
      const to = segment ?? await beginSegment()
      const start = end?.bytes ?? 0
      let length = 0
      const places: Place[] = []
      for (let piece = 0; ; piece += 1) {
        await write(to, encoded.bytes, start + length, start)
        places.push(...placesOf(to.file, start + length, encoded))
        length += encoded.bytes.length
        const next = others[piece]
        if (next === undefined) break
        const isLast = piece === others.length - 1
        // The last one proves that its parts were there.
        if (isLast) await sync(to)
        encoded = await encodeLater(to, isLast ? 'batch' : 'part', batch, next)
      }
      await sync(to)
      end = { file: to.file, bytes: start + length, batch }
      hasBatches = true
      return { places, bytes: length }
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

function placesOf (file: number, offset: number, { texts }: Encoded): readonly Place[] {
  return texts.map(text => ({ file, offset: offset + text.offset, bytes: text.bytes }))
}
