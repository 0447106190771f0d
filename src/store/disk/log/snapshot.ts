// A checkpoint that is being made: a snapshot in slices, and the texts that would go away with the files before it. It counts from the moment that the snapshot has its
// name; until its folder is synced nothing from before is removed, so that whichever of the two counts after a power cut is whole.

import { join } from 'node:path'
import type { Place } from '../../memory/texts.ts'
import { FILE_MODE, nameOf, removeIfThere, syncFolder, unfinishedName } from './folder.ts'
import { encodeFrame, encodeText, TEXT_HEAD_BYTES } from './frames.ts'
import type { SnapshotEnd, SnapshotHead, TextsFile } from './heads.ts'
import { hasCode, writeAll, type FilePort, type PortFile } from './port.ts'
import type { Readable } from './readable.ts'
import { createTextsWriter } from './texts-file.ts'
import { createTurns } from './turns.ts'

/** A texts file that is shorter is copied, so that checkpoints do not leave ever more files. */
const SMALL_BYTES = 8 * 1024 * 1024

/** So much is read at once where a text is copied: its neighbours are mostly next. */
const READ_BYTES = 64 * 1024

export interface SnapshotOptions extends SnapshotHead {
  readonly port: FilePort
  readonly folder: string
  readonly readable: Readable
  readonly newFile: () => number
  /** The texts files of the snapshot before. */
  readonly texts: readonly TextsFile[]
  /** It counts, and what was before may go. */
  readonly onCommit: (snapshot: Written) => Promise<void>
  /** It is over, one way or the other. */
  readonly onEnd: () => void
}

/** A snapshot that counts. */
export interface Written extends SnapshotHead { readonly file: number, readonly bytes: number, readonly texts: readonly TextsFile[] }

/** What `Checkpoint` of `../log.ts` says. */
export interface SnapshotWriter {
  readonly keep: (place: Place) => Promise<Place>
  readonly add: (text: string) => Promise<Place>
  readonly write: (records: readonly string[]) => Promise<void>
  readonly commit: () => Promise<void>
  readonly abort: () => Promise<void>
  /** Whatever is tried from now on rejects with this. */
  readonly doom: (reason: unknown) => void
}

export async function beginSnapshot ({ port, folder, readable, newFile, texts, from, batch, onCommit, onEnd }: SnapshotOptions): Promise<SnapshotWriter> {
  const inTurn = createTurns()
  const file = newFile()
  const name = nameOf({ file, ending: 'snapshot' })
  const writer = createTextsWriter(port, folder, newFile)
  const aliveBytes = new Map<number, number>()
  const staying = new Set(texts.filter(({ bytes, aliveBytes }) => bytes >= SMALL_BYTES && aliveBytes * 2 >= bytes).map(one => one.file))
  const going = new Set(texts.map(one => one.file).filter(file => !staying.has(file)))
  let block: { readonly file: number, readonly start: number, readonly bytes: Buffer } = { file: 0, start: 0, bytes: Buffer.alloc(0) }
  let doomed: { readonly reason: unknown } | null = null
  let stage: 'open' | 'named' | 'over' = 'open'
  let length = 0
  let slices = 0
  let count = 0

  const opened: PortFile = await port.open(join(folder, unfinishedName(file)), 'wx', FILE_MODE)
  try {
    const head: SnapshotHead = { from, batch }
    await writeFrame('snapshot', 0, [JSON.stringify(head)])
  } catch (error) {
    await discard()
    throw error
  }

  async function writeFrame (kind: 'snapshot' | 'slice' | 'end', number: number, records: readonly string[]): Promise<void> {
    const { bytes } = encodeFrame(kind, number, records)
    await writeAll(opened, bytes, length)
    length += bytes.length
  }

  /** Works in turn, unless it is over. */
  async function step<Result> (work: () => Promise<Result>): Promise<Result> {
    return await inTurn(async () => {
      if (doomed !== null) throw doomed.reason
      if (stage !== 'open') throw new Error('This checkpoint is over.')
      return await work()
    })
  }

  function noteAlive (file: number, bytes: number): void {
    aliveBytes.set(file, (aliveBytes.get(file) ?? 0) + TEXT_HEAD_BYTES + bytes)
  }

  async function addBytes (bytes: Buffer): Promise<Place> {
    const place = await writer.add(bytes)
    noteAlive(place.file, place.bytes)
    return place
  }

  /** The text with its head, as it lies there: one that is damaged stays so, and is told where it is read. */
  async function bytesAt ({ file, offset, bytes }: Place): Promise<Buffer> {
    const [from, length] = [offset - TEXT_HEAD_BYTES, bytes + TEXT_HEAD_BYTES]
    if (block.file !== file || from < block.start || from + length > block.start + block.bytes.length) block = { file, start: from, bytes: await readable.bytes(file, from, Math.max(length, READ_BYTES)) }
    const found = block.bytes.subarray(from - block.start, from - block.start + length)
    if (found.length < length) throw new Error(`A text of the ledger is missing: ${bytes} bytes at byte ${offset} of its file ${file}.`)
    return Buffer.from(found)
  }

  async function discard (): Promise<void> {
    await opened.close().catch(() => {}) // it is removed
    await writer.close().catch(() => {})
    await removeIfThere(port, folder, unfinishedName(file))
    await writer.remove()
  }

  /** Takes back the name. Only when that is certain may the texts go that the snapshot leads to. */
  async function unname (): Promise<void> {
    try {
      await port.unlink(join(folder, name)).catch(error => { if (!hasCode(error, 'ENOENT')) throw error })
      await removeIfThere(port, folder, unfinishedName(file))
      await syncFolder(port, folder)
    } catch {
      return // the next checkpoint removes both
    }
    await writer.remove()
  }

  return {
    doom: reason => { doomed ??= { reason } },
    keep: async place => await step(async () => {
      if (going.has(place.file) || (place.file < from && !staying.has(place.file))) return await addBytes(await bytesAt(place))
      if (staying.has(place.file)) noteAlive(place.file, place.bytes)
      return place
    }),
    add: async text => await step(async () => await addBytes(encodeText(text))),
    write: async records => await step(async () => {
      if (records.length === 0) return
      await writeFrame('slice', slices + 1, records)
      slices += 1
      count += records.length
    }),
    commit: async () => await step(async () => {
      const added = await writer.finish()
      const kept = [...texts.filter(one => staying.has(one.file)), ...added === null ? [] : [added]]
        .map(({ file, bytes }) => ({ file, bytes, aliveBytes: aliveBytes.get(file) ?? 0 }))
        .filter(({ aliveBytes }) => aliveBytes > 0)
      const end: SnapshotEnd = { slices, records: count, texts: kept }
      await writeFrame('end', slices, [JSON.stringify(end)])
      await opened.sync()
      await opened.close()
      await syncFolder(port, folder)
      stage = 'named'
      await port.rename(join(folder, unfinishedName(file)), join(folder, name))
      await syncFolder(port, folder)
      stage = 'over'
      onEnd()
      await onCommit({ from, batch, file, bytes: length, texts: kept })
    }),
    abort: async () => await inTurn(async () => {
      if (stage === 'over') return
      if (stage === 'named') await unname()
      else await discard()
      stage = 'over'
      onEnd()
    })
  }
}
