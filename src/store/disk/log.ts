// The log on disk: batches of records in a journal, texts beside them that are read only when asked for, and checkpoints, so that the journal does not grow for ever.
// It knows nothing of what the records say.

import type { Place } from '../memory/texts.ts'
import { listFolder, makeFolder, nameOf, removeIfThere, standing, unusable } from './log/folder.ts'
import { openJournal } from './log/journal.ts'
import { isNoSpace, realFiles, type FilePort } from './log/port.ts'
import { createReadable } from './log/readable.ts'
import { replay, type Tail } from './log/replay.ts'
import { createReserve, RESERVE_BYTES } from './log/reserve.ts'
import { beginSnapshot, type SnapshotWriter, type Written } from './log/snapshot.ts'
import { createTurns } from './log/turns.ts'

/** Records are JSON texts of one line, opaque to the log. `texts`: larger texts that belong to them, kept beside and read only when asked for. */
export interface Batch { readonly records: readonly string[], readonly texts: readonly string[] }

export interface LogOptions {
  /** It belongs to this process already. It is made when it is not there. */
  readonly folder: string
  readonly files?: FilePort | undefined
  /** How much room is held back for a full disk. By default 8 MiB. */
  readonly reserveBytes?: number
  /** So many bytes of records, or of texts, are in one frame at most. By default 64 MiB. */
  readonly partBytes?: number | undefined
  /**
   * Called for all records of the snapshot, then of the journal, in order, while the log is opened. `places`: where the texts of that record's batch lie; none for a
   * record of a snapshot. Throwing stops the start with file and place in the message.
   */
  readonly onRecord: (record: string, places: readonly Place[], from: 'snapshot' | 'journal') => void
  /** The last write was cut off: so many bytes from there on, in this file, are no batch, and are ignored from now on. */
  readonly onDamage: (damage: Tail) => void
}

export interface DiskLog {
  /**
   * Resolves when the batch is on disk, with the places of its texts. Rejects with why it is not; then nothing of it is ever replayed, and another append may be tried.
   * (Only a process that ends while its disk takes nothing at all any more, neither a new file nor that this one is cut, may find it again.) One at a time.
   */
  readonly append: (batch: Batch) => Promise<readonly Place[]>
  /** Reads a text. Begun synchronously: the file stays readable for this read whatever a checkpoint removes after the call. Rejects when the text is damaged. */
  readonly readText: (place: Place) => Promise<string>
  /** Everything appended from now on goes to a new segment; the ledger writes slices of its state meanwhile, between and during appends. One at a time. */
  readonly beginCheckpoint: () => Promise<Checkpoint>
  /** What has to be replayed besides the snapshot. */
  readonly bytesSinceCheckpoint: number
  /** The length of the last snapshot; 0 without one. */
  readonly snapshotBytes: number
  /** A file had to be given up, so that a checkpoint should be made soon. */
  readonly wantsCheckpoint: boolean
  /** The disk is full: the reserve is used up or gone, and nothing new should be begun. */
  readonly isFull: boolean
  /** Tries to have the reserve again; true when it is there. */
  readonly makeRoom: () => Promise<boolean>
  readonly close: () => Promise<void>
}

export interface Checkpoint {
  /** A text that stays: where it will lie. Copies it when its file goes away (an old segment, or a texts file that is mostly dead). */
  readonly keep: (place: Place) => Promise<Place>
  /** A new text in the texts file of this checkpoint. */
  readonly add: (text: string) => Promise<Place>
  /** A slice. Its records name their texts by absolute place, so `onRecord` gets no places for them. */
  readonly write: (records: readonly string[]) => Promise<void>
  /** Synced, renamed, the folder synced; then old segments, snapshots and texts files that no `keep` or `add` of this checkpoint left alive are removed. */
  readonly commit: () => Promise<void>
  readonly abort: () => Promise<void>
}

/**
 * Opens the log in a folder. Rejects with a sentence that says what to do when the folder cannot be used, when it was written by a newer version, and (a `DamageError`)
 * when something of it is damaged that was acknowledged.
 */
export async function openLog ({ folder, files = realFiles, reserveBytes = RESERVE_BYTES, partBytes, onRecord, onDamage }: LogOptions): Promise<DiskLog> {
  await makeFolder(files, folder)
  const { port, isInPlace } = await standing(files, folder).catch(error => { throw unusable(folder, error) })
  await listFolder(port, folder).catch(error => { throw unusable(folder, error) })
  const found = await replay({ port, folder, onRecord })
  const reserve = createReserve(port, folder, reserveBytes)
  await reserve.make().catch(error => { throw unusable(folder, error) })

  const readable = createReadable(port, folder)
  for (const { file } of found.segments) readable.add({ file, ending: 'log' })
  for (const { file } of found.snapshot?.texts ?? []) readable.add({ file, ending: 'texts' })
  let nextFile = found.nextFile
  const newFile = (): number => nextFile++
  let snapshot = found.snapshot
  let checkpoint: SnapshotWriter | null = null
  /** Bytes of the journal: all that was replayed or appended, and how many of them the snapshot has. */
  let journalBytes = found.segments.reduce((sum, { bytes }) => sum + bytes, 0)
  let bytesInSnapshot = 0
  let lastGivenUp: number | null = found.givenUp

  const journal = await openJournal({
    port,
    folder,
    isInPlace,
    last: found.segments.at(-1) ?? null,
    isLastWhole: found.tails.length === 0,
    newFile,
    partBytes,
    onSegment: file => { readable.add({ file, ending: 'log' }) },
    onGivenUp: file => { lastGivenUp = file }
  }).catch(error => { throw unusable(folder, error) })
  for (const name of found.orphans) await removeIfThere(port, folder, name)
  for (const tail of found.tails) onDamage(tail)

  const inTurn = createTurns()

  /** On a full disk the reserve is given up, so that what is tried again finds room, and so is a snapshot that is being written. */
  async function givingRoom<Result> (work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      if (isNoSpace(error)) {
        await reserve.giveUp().catch(() => {}) // then there is no room, which is said already
        checkpoint?.doom(error)
      }
      throw error
    }
  }

  async function beginCheckpoint (): Promise<Checkpoint> {
    if (checkpoint !== null) throw new Error('A checkpoint of the ledger is being made already.')
    const head = await journal.begin()
    const bytesBefore = journalBytes
    checkpoint = await beginSnapshot({
      ...head,
      port,
      folder,
      readable,
      newFile,
      texts: snapshot?.texts ?? [],
      onCommit: async written => {
        snapshot = written
        bytesInSnapshot = bytesBefore
        await removeBefore(written)
      },
      onEnd: () => { checkpoint = null }
    })
    return checkpoint
  }

  /** Removes what a snapshot has taken the place of. What cannot be removed is looked for again by the next one, and by the next start. */
  async function removeBefore ({ file: snapshotFile, from, texts }: Written): Promise<void> {
    const used = new Set([snapshotFile, ...texts.map(({ file }) => file)])
    for (const { file } of texts) readable.add({ file, ending: 'texts' })
    const files = await listFolder(port, folder).then(({ files }) => files, () => [])
    for (const one of files) {
      if (used.has(one.file) || (one.ending === 'log' && one.file >= from)) continue
      if (!await readable.remove(one.file)) await removeIfThere(port, folder, nameOf(one))
    }
  }

  return {
    append: async ({ records, texts }) => await inTurn(async () => await givingRoom(async () => {
      const { places, bytes } = await journal.append(records, texts)
      journalBytes += bytes
      return places
    })),
    readText: readable.text,
    beginCheckpoint: async () => await inTurn(beginCheckpoint),
    get bytesSinceCheckpoint () { return journalBytes - bytesInSnapshot },
    get snapshotBytes () { return snapshot?.bytes ?? 0 },
    get wantsCheckpoint () { return lastGivenUp !== null && lastGivenUp >= (snapshot?.from ?? 0) },
    get isFull () { return !reserve.isThere() },
    makeRoom: async () => await inTurn(async () => await reserve.make().catch(() => false)),
    close: async () => {
      await checkpoint?.abort()
      await inTurn(journal.close)
      await readable.close()
    }
  }
}
