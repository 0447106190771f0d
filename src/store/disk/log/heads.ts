// What stands at the beginning of a segment and of a snapshot, and at the end of a snapshot.

import { recordOf } from '../../../generation/fields.ts'

/** Up to where a segment is valid: what lies behind this byte is never replayed, and this batch is the last one before it. */
export interface Position { readonly file: number, readonly bytes: number, readonly batch: number }

/** The head of a segment: what it goes on from. `null`: it is the first one. */
export interface SegmentHead { readonly after: Position | null }

/** The head of a snapshot: it is followed by the batches of this segment and later ones, the first of which is the one behind `batch`. */
export interface SnapshotHead { readonly from: number, readonly batch: number }

/** A texts file that a snapshot leads to: its length, and how many bytes of it are of texts that something leads to. */
export interface TextsFile { readonly file: number, readonly bytes: number, readonly aliveBytes: number }

/** The end of a snapshot: how much it has. */
export interface SnapshotEnd { readonly slices: number, readonly records: number, readonly texts: readonly TextsFile[] }

/** Each of these throws for what it is not. */
export function segmentHeadIn (records: readonly string[]): SegmentHead {
  const { after } = objectIn(records)
  return { after: after === null ? null : positionOf(after) }
}

export function snapshotHeadIn (records: readonly string[]): SnapshotHead {
  const { from, batch } = objectIn(records)
  return { from: count(from), batch: count(batch) }
}

export function snapshotEndIn (records: readonly string[]): SnapshotEnd {
  const { slices, records: number, texts } = objectIn(records)
  if (!Array.isArray(texts)) throw new TypeError('There is no list of texts files.')
  return {
    slices: count(slices),
    records: count(number),
    texts: texts.map((one: unknown) => {
      const { file, bytes, aliveBytes } = recordOf(one)
      return { file: count(file), bytes: count(bytes), aliveBytes: count(aliveBytes) }
    })
  }
}

function positionOf (value: unknown): Position {
  const { file, bytes, batch } = recordOf(value)
  return { file: count(file), bytes: count(bytes), batch: count(batch) }
}

function objectIn (records: readonly string[]): Readonly<Record<string, unknown>> {
  const [record = '', ...more] = records
  if (more.length > 0) throw new TypeError('There is more than one record.')
  return recordOf(JSON.parse(record))
}

function count (value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new TypeError(`${JSON.stringify(value)} is no number of things.`)
}
