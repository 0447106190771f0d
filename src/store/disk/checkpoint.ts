// Checkpoints: the whole state as one snapshot, in slices between which the ledger goes on, so that the journal before it can go.
// An entry may be newer in the snapshot than at its beginning. What the journal has of it since then is put back over it at a start, and ends with the same.

import { setImmediate as turn } from 'node:timers/promises'
import { isFinal } from '../memory/books.ts'
import { canBeListed, writeForm } from '../memory/packed-row.ts'
import type { State } from '../memory/state.ts'
import { referTo, type Place } from '../memory/texts.ts'
import { figuresOf } from './figures.ts'
import type { Lines } from './lines.ts'
import type { Checkpoint, DiskLog } from './log.ts'
import { entryRecord, figuresRecord, formRecord, linesRecord, rowRecord, textRecord, type LineChunk } from './records.ts'
import { codecs, type Image } from './tables.ts'
import type { Kept, Texts } from './texts.ts'

/** A journal is not worth a checkpoint before it is that long, nor before it is as long as the snapshot would be. */
const MIN_JOURNAL_BYTES = 64 * 1024 * 1024

/** So many lines of the journal of money are in memory at most, about. */
const MAX_LINES = 20_000

/** A checkpoint that failed is tried again after so much more. */
const RETRY_BYTES = 1024 * 1024

/** Entries in a slice: a fraction of a millisecond. */
const SLICE = 200

/** Rows that are packed take less time. A slice of so many is so long that V8 never copies it, and a start keeps it as it is. */
const ROWS_SLICE = 400

interface CheckpointOptions {
  readonly state: State
  readonly log: DiskLog
  readonly texts: Texts
  readonly lines: Lines
  readonly flush: () => Promise<void>
  readonly onFailure: (error: unknown) => void
}

export interface Checkpoints {
  /** Makes one if the journal is long enough, beside what goes on. */
  readonly consider: () => void
  /** Makes one, or waits for the one that is being made. */
  readonly make: () => Promise<void>
  /** Resolves when none is being made. */
  readonly close: () => Promise<void>
}

export function createCheckpoints ({ state, log, texts, lines, flush, onFailure }: CheckpointOptions): Checkpoints {
  let making: Promise<void> | null = null
  let isClosed = false
  /** After a failure the next one waits until the journal is that long. */
  let retryAtBytes = 0

  function make (): Promise<void> {
    making ??= makeOne().finally(() => { making = null })
    return making
  }

  async function makeOne (): Promise<void> {
    const checkpoint = await log.beginCheckpoint()
    state.names.noteFolded(true)
    try {
      const after = await writeAll(checkpoint)
      // What was written may be newer than what the journal has.
      await flush()
      await checkpoint.commit()
      for (const apply of after) apply()
    } catch (error) {
      await checkpoint.abort()
      throw error
    } finally {
      state.names.noteFolded(false)
    }
  }

  /** Gives what is to be done once the snapshot counts. */
  async function writeAll (checkpoint: Checkpoint): Promise<(() => void)[]> {
    const after: (() => void)[] = []
    const forms = new Map<string, number>()
    let slice: string[] = []
    /** Records of packed rows: where a text has other characters than these, each character of a slice takes more room. */
    let rows: string[] = []

    async function end (): Promise<void> {
      if (isClosed) throw new Error('The ledger is being closed.')
      // A form comes before its rows.
      await checkpoint.write(slice)
      await checkpoint.write(rows)
      slice = []
      rows = []
      await turn()
    }

    async function keep ({ place, moveTo }: Kept): Promise<Place> {
      const to = await checkpoint.keep(place)
      if (!isSame(place, to)) after.push(() => { moveTo(to) })
      return to
    }

    /** A row with the places of its texts, and the letters of the names that are kept with it. A text that is not on disk yet is in the journal with the next group. */
    async function rowOf (id: string, image: Image): Promise<Image> {
      const entry = state.rows.look(id)
      const whole: Record<string, string> = { ...image }
      if (entry === undefined) return whole
      const kept = texts.placesOfRow(entry)
      if (kept.length === Number('hasInput' in image) + Number('hasOutput' in image)) whole['leads'] = state.names.foldedOf(entry)
      // Where it lies is read later than its names are, so they stand by themselves.
      else state.rows.get(id)
      for (const one of kept) whole[one.name] = referTo(await keep(one))
      return whole
    }

    /** The record of a row that is packed and to be put back so; `null`: it is to be written like others. */
    async function packedRecordOf (id: string): Promise<string | null> {
      const packed = state.rows.packedAt(id)
      const own = packed?.texts() ?? []
      if (packed === null || !canBeListed(own)) return null
      const entry = packed.glance(id)
      const kept = texts.placesOfRow(entry)
      const isWhole = kept.length === Number(entry.row.input !== null) + Number(entry.row.output !== null)
      if (!isWhole || !isFinal(entry.row) || entry.hidden.askAtMs !== null) return null
      const leads = state.names.foldedOf(entry)
      const { form } = packed
      const number = forms.get(form.key) ?? forms.size
      if (number === forms.size) slice.push(formRecord(number, writeForm(form)))
      forms.set(form.key, number)
      for (const one of kept) own[form.own.findIndex(({ name }) => name === one.name)] = referTo(await keep(one))
      return rowRecord(id, number, leads, own)
    }

    slice.push(figuresRecord(figuresOf(state)))
    for (const [table, { keys, image }] of Object.entries(codecs)) {
      for (const key of table === 'names' ? state.names.unfolded() : keys(state)) {
        const packed = table === 'rows' ? await packedRecordOf(key) : null
        if (packed !== null) {
          rows.push(packed)
          if (rows.length >= ROWS_SLICE) await end()
          continue
        }
        const now = image(state, key)
        if (now === null) continue
        slice.push(entryRecord(table, key, table === 'rows' ? await rowOf(key, now) : now))
        for (const kept of table === 'asides' ? texts.placesOfAside(key) : []) slice.push(textRecord(kept.owner, await keep(kept)))
        if (slice.length >= SLICE) await end()
      }
    }
    const chunks: LineChunk[] = []
    for (const chunk of lines.chunks()) chunks.push({ ...chunk, place: await checkpoint.keep(chunk.place) })
    for (const { text, first, last, count } of lines.inMemory()) chunks.push({ first, last, count, place: await checkpoint.add(text) })
    for (const chunk of chunks) slice.push(linesRecord(chunk))
    await end()
    after.push(() => { lines.laidAside(chunks) })
    return after
  }

  return {
    consider: () => {
      const isLong = log.bytesSinceCheckpoint > Math.max(MIN_JOURNAL_BYTES, log.snapshotBytes) || state.journal.length > MAX_LINES
      if (!(isLong || log.wantsCheckpoint) || making !== null || isClosed || log.bytesSinceCheckpoint < retryAtBytes) return
      make().then(() => { retryAtBytes = 0 }, error => {
        retryAtBytes = log.bytesSinceCheckpoint + RETRY_BYTES
        onFailure(error)
      })
    },
    make,
    close: async () => {
      isClosed = true
      await making?.catch(() => {}) // told by who began it
    }
  }
}

function isSame (one: Place, other: Place): boolean {
  return one.file === other.file && one.offset === other.offset
}
