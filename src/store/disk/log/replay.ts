// From the files of the log to its records, in order: those of the snapshot, then those of the batches behind it. Nothing is changed on disk here.

import { join } from 'node:path'
import type { Place } from '../../memory/texts.ts'
import { DamageError, newerFormat, type Loss } from './damage.ts'
import { listFolder, nameOf, type LogFile } from './folder.ts'
import { findFrame, readFrames, type Fault } from './frames.ts'
import { segmentHeadIn, snapshotEndIn, snapshotHeadIn, type Position, type SegmentHead, type SnapshotEnd, type SnapshotHead, type TextsFile } from './heads.ts'
import type { FilePort, PortFile } from './port.ts'

/** Bytes behind the last sound batch: of a write that was cut off. `batch`: the number that it would have had. */
export interface Tail { readonly file: string, readonly offset: number, readonly bytes: number, readonly batch: number }

export interface ReplayOptions {
  readonly port: FilePort
  readonly folder: string
  readonly onRecord: (record: string, places: readonly Place[], from: 'snapshot' | 'journal') => void
}

/** What there is. */
export interface Replayed {
  readonly snapshot: { readonly file: number, readonly bytes: number, readonly from: number, readonly texts: readonly TextsFile[] } | null
  /** Those that were replayed, each up to where it is valid, in order. */
  readonly segments: readonly Position[]
  readonly tails: readonly Tail[]
  /** The last segment that was given up: something lies behind its end. */
  readonly givenUp: number | null
  /** Files that nothing leads to: what a crash left. */
  readonly orphans: readonly string[]
  readonly nextFile: number
}

/** Reads the folder. Rejects with a `DamageError`, or with a sentence that names the place, when what was acknowledged cannot be read. */
export async function replay ({ port, folder, onRecord }: ReplayOptions): Promise<Replayed> {
  const { files, unfinished, nextFile } = await listFolder(port, folder)
  const numbersOf = (ending: LogFile['ending']): number[] => files.filter(one => one.ending === ending).map(({ file }) => file)
  const snapshotFile = numbersOf('snapshot').at(-1)
  const snapshot = snapshotFile === undefined ? null : await readSnapshot(snapshotFile)
  for (const texts of snapshot?.texts ?? []) await checkTexts(texts)
  const { chain, tails } = await findChain(numbersOf('log'), snapshot)
  const segments: Position[] = []
  let givenUp: number | null = null
  for (const [index, segment] of chain.entries()) {
    const next = chain[index + 1]?.after ?? null
    const { position, tail } = await readSegment(segment, next)
    segments.push(position)
    if (next !== null && segment.size > next.bytes) givenUp = segment.file
    if (tail !== null) tails.unshift(tail)
  }
  const used = new Set([snapshotFile, ...segments.map(({ file }) => file), ...snapshot?.texts.map(({ file }) => file) ?? []])
  return { snapshot, segments, tails, givenUp, nextFile, orphans: [...files.filter(({ file }) => !used.has(file)).map(nameOf), ...unfinished] }

  async function reading<Result> (file: LogFile, read: (opened: PortFile, size: number, path: string) => Promise<Result>): Promise<Result> {
    const path = join(folder, nameOf(file))
    const opened = await port.open(path, 'r')
    try {
      return await read(opened, (await opened.stat()).size, path)
    } finally {
      await opened.close()
    }
  }

  function give (record: string, places: readonly Place[], from: 'snapshot' | 'journal', path: string, offset: number): void {
    try {
      onRecord(record, places, from)
    } catch (error) {
      throw new Error(`A record of ${path} at byte ${offset} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }

  async function readSnapshot (file: number): Promise<NonNullable<Replayed['snapshot']> & SnapshotHead> {
    return await reading({ file, ending: 'snapshot' }, async (opened, size, path) => {
      let head: SnapshotHead | null = null
      let end: SnapshotEnd | null = null
      let slices = 0
      let count = 0
      const fault = await readFrames(opened, 0, size, frame => {
        const isExpected = head === null ? frame.kind === 'snapshot' : end === null && ((frame.kind === 'slice' && frame.number === slices + 1) || frame.kind === 'end')
        if (!isExpected) throw new DamageError(path, frame.offset, 'another part of the snapshot belongs there', 'all')
        if (frame.kind === 'snapshot') head = snapshotHeadIn(frame.records())
        else if (frame.kind === 'end') end = snapshotEndIn(frame.records())
        else {
          const records = frame.records()
          slices += 1
          count += records.length
          for (const record of records) give(record, [], 'snapshot', path, frame.offset)
        }
        return undefined
      })
      if (fault !== null) throw faultOf(path, fault, 'no sound part of the snapshot lies there', 'all')
      const whole = wholeSnapshot(head, end)
      if (whole === null || whole.end.slices !== slices || whole.end.records !== count) throw new DamageError(path, size, 'the end of the snapshot is missing', 'all')
      return { ...whole.head, file, bytes: size, texts: whole.end.texts }
    })
  }

  async function checkTexts ({ file, bytes }: TextsFile): Promise<void> {
    if (!files.some(one => one.file === file && one.ending === 'texts')) throw new DamageError(join(folder, nameOf({ file, ending: 'texts' })), 0, 'the file is missing, and the snapshot leads to it', 'all')
    await reading({ file, ending: 'texts' }, async (opened, size, path) => {
      if (size < bytes) throw new DamageError(path, size, `the file ends there, and had ${bytes} bytes`, 'all')
      let kind: string | null = null
      const fault = await readFrames(opened, 0, size, frame => {
        kind = frame.kind
        return 'enough'
      })
      if (fault !== null || kind !== 'texts') throw faultOf(path, fault ?? { offset: 0, newerVersion: null }, 'it does not begin as a file of texts', 'all')
    })
  }

  /** The segments that follow the snapshot, each of which names the one before it, and what was left of one that was never begun. */
  async function findChain (numbers: readonly number[], snapshot: SnapshotHead | null): Promise<{ chain: Found[], tails: Tail[] }> {
    const found: Found[] = []
    for (const file of numbers) if (snapshot === null || file >= snapshot.from) found.push(await findSegment(file))
    const tails: Tail[] = []
    for (let last = found.at(-1); last !== undefined && last.head === null; last = found.at(-1)) {
      const { path, size } = last
      if (last.firstBatchAt !== null) throw new DamageError(path, 0, `its beginning cannot be read, and a sound batch lies behind it, at byte ${last.firstBatchAt}`, 'journal')
      if (size > 0) tails.push({ file: path, offset: 0, bytes: size, batch: 0 })
      found.pop()
    }
    const chain: Found[] = []
    for (let wanted = found.at(-1)?.file ?? snapshot?.from; wanted !== undefined;) {
      const isBeginningThere = snapshot !== null || (numbers[0] ?? wanted) < wanted
      const segment = found.find(({ file }) => file === wanted)
      const path = join(folder, nameOf({ file: wanted, ending: 'log' }))
      if (segment === undefined) throw new DamageError(path, 0, 'the file is missing, and what was written later goes on from it', isBeginningThere ? 'journal' : 'all')
      if (segment.head === null) throw new DamageError(path, 0, 'its beginning cannot be read, and what was written later goes on from it', 'journal')
      chain.unshift({ ...segment, after: segment.head.after })
      if (wanted === snapshot?.from) break
      wanted = segment.head.after?.file
    }
    const [first] = chain
    if (first !== undefined && snapshot !== null && (first.file !== snapshot.from || first.batch !== snapshot.batch)) throw new DamageError(first.path, 0, `it is not what the snapshot goes on with, batch ${snapshot.batch + 1}`, 'journal')
    const strayed = found.find(one => !chain.some(({ file }) => file === one.file) && one.firstBatchAt !== null)
    if (strayed !== undefined) throw new DamageError(strayed.path, strayed.firstBatchAt ?? 0, 'a sound batch lies there, and nothing goes on from this file', 'file')
    return { chain, tails }
  }

  async function findSegment (file: number): Promise<Found> {
    return await reading({ file, ending: 'log' }, async (opened, size, path) => {
      let head: SegmentHead | null = null
      let batch = 0
      let bytes = 0
      const fault = await readFrames(opened, 0, size, frame => {
        if (frame.kind === 'segment') {
          head = segmentHeadIn(frame.records())
          batch = frame.number
          bytes = frame.bytes
        }
        return 'enough'
      })
      if (fault !== null && fault.newerVersion !== null) throw newerFormat(path, fault.newerVersion)
      return { file, path, size, head, after: null, batch, bytes, firstBatchAt: await findFrame(opened, bytes, size) }
    })
  }

  /** `next`: what the next segment says of this one. */
  async function readSegment (segment: Found, next: Position | null): Promise<{ position: Position, tail: Tail | null }> {
    const { file, path, bytes: begin, batch: before } = segment
    return await reading({ file, ending: 'log' }, async (opened, size) => {
      let batch = before
      /** The parts of a batch that is still to come. */
      const parts: Parts = { at: null, records: [], places: [] }
      const to = next?.bytes ?? size
      const fault = await readFrames(opened, begin, to, frame => {
        if ((frame.kind !== 'batch' && frame.kind !== 'part') || frame.number !== batch + 1) throw new DamageError(path, frame.offset, `batch ${batch + 1} belongs there, and a ${frame.kind} with number ${frame.number} lies there`, 'journal')
        const places = frame.texts.map(({ offset, bytes }) => ({ file, offset, bytes }))
        if (frame.kind === 'part' || parts.at !== null) {
          parts.at ??= frame.offset
          for (const record of frame.records()) parts.records.push(record)
          for (const place of places) parts.places.push(place)
        }
        if (frame.kind === 'part') return undefined
        batch = frame.number
        if (parts.at === null) for (const record of frame.records()) give(record, places, 'journal', path, frame.offset)
        else for (const record of parts.records) give(record, parts.places, 'journal', path, parts.at)
        Object.assign(parts, { at: null, records: [], places: [] })
        return undefined
      })
      if (fault === null && parts.at === null && (next === null || next.batch === batch)) return { position: { file, bytes: to, batch }, tail: null }
      const at: Fault = { offset: parts.at ?? fault?.offset ?? to, newerVersion: fault?.newerVersion ?? null }
      if (next !== null) throw faultOf(path, at, `batch ${batch + 1} cannot be read, and the next file goes on from batch ${next.batch}`, 'journal')
      const soundAt = fault === null ? null : await findLater(opened, fault.offset + 1, size, batch + 1)
      if (soundAt !== null || at.newerVersion !== null) throw faultOf(path, at, `batch ${batch + 1} cannot be read, and a sound one lies behind it, at byte ${soundAt ?? size}`, 'journal')
      return { position: { file, bytes: at.offset, batch }, tail: { file: path, offset: at.offset, bytes: size - at.offset, batch: batch + 1 } }
    })
  }
}

/** The parts of a batch, and the byte at which the first of them begins; `null`: there is none. */
interface Parts { at: number | null, records: string[], places: Place[] }

/** Where a sound frame lies that proves that the batch `unfinished` was written: any but a part of that one, since its parts are synced before it. */
async function findLater (opened: PortFile, from: number, size: number, unfinished: number): Promise<number | null> {
  for (let at = await findFrame(opened, from, size); at !== null; at = await findFrame(opened, at + 1, size)) {
    let isProof = false
    await readFrames(opened, at, size, frame => {
      isProof = frame.kind !== 'part' || frame.number !== unfinished
      return 'enough'
    })
    if (isProof) return at
  }
  return null
}

/** A segment as it was found: `batch` and `bytes` are the last batch before it and the length of its head. */
interface Found {
  readonly file: number
  readonly path: string
  readonly size: number
  /** `null`: it cannot be read. */
  readonly head: SegmentHead | null
  readonly after: Position | null
  readonly batch: number
  readonly bytes: number
  readonly firstBatchAt: number | null
}

function wholeSnapshot (head: SnapshotHead | null, end: SnapshotEnd | null): { readonly head: SnapshotHead, readonly end: SnapshotEnd } | null {
  return head === null || end === null ? null : { head, end }
}

function faultOf (path: string, { offset, newerVersion }: Fault, what: string, loss: Loss): Error {
  return newerVersion === null ? new DamageError(path, offset, what, loss) : newerFormat(path, newerVersion)
}
