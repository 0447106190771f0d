// Frames: what the log's files are made of. A frame has a head of fixed length, then records (JSON texts, one a line), then texts, each with its own head, so that one
// can be read and checked without the rest.
//
// Head, 36 bytes, numbers little-endian, and the same in every format version:
//
//     0  magic, 12 bytes          20  number, u48, two zeros
//    12  CRC-32, u32              28  bytes of the records, u32
//    16  format version, u16      32  bytes of the texts with their heads, u32
//    18  kind, u16
//
// The checksum is that of the head behind it, the records and the texts' heads.
//
// A text's head, 8 bytes: CRC-32 of the text, its length in bytes.
//
// Texts and records are UTF-8, which has no byte 0xFF. So no text that a caller sends can look like the beginning of a frame.

import { crc32 } from 'node:zlib'
import { readFully, type PortFile } from './port.ts'

const MAGIC = Buffer.from([0xff, ...Buffer.from('falgateLOG'), 0xff])
const HEAD_BYTES = 36
/** From here on a frame is covered by its checksum. */
const COVERED = 16
export const TEXT_HEAD_BYTES = 8
/** Since 2 a row of a snapshot has the places of its texts, and which of its names lead to it. Since 3 its texts have no names, unless it is looked after. */
export const FORMAT_VERSION = 3

/** The first version that reads a frame of this kind. */
const versions: Partial<Readonly<Record<Kind, number>>> = { part: 2, slice: 3 }

/** No frame is longer than these two together, some 1.25 GiB. A string can hold the records. */
const MAX_RECORDS_BYTES = 256 * 1024 * 1024
const MAX_TEXTS_BYTES = 1024 * 1024 * 1024

/** So much of a file is read at once, at least. */
const WINDOW_BYTES = 1024 * 1024

/** What a frame is, by the number of its kind. The first frame of a file says what the file is: a `segment` of batches, a `snapshot` of slices with an end, or `texts`.
 * A batch that is too long for one frame has parts before it, with its number. */
const kinds = [null, 'segment', 'batch', 'snapshot', 'slice', 'end', 'texts', 'part'] as const

export type Kind = Exclude<typeof kinds[number], null>

/** Where a text lies in its file: behind its head. */
export interface TextAt { readonly offset: number, readonly bytes: number }

/** A frame as bytes, and where its texts lie, counted from its beginning. */
export interface Encoded { readonly bytes: Buffer, readonly texts: readonly TextAt[] }

/** Makes a frame. Throws when it would be too long, and for a record of more than one line. */
export function encodeFrame (kind: Kind, number: number, records: readonly string[], texts: readonly string[] = []): Encoded {
  if (records.some(record => record.includes('\n'))) throw new TypeError('A record has more than one line.')
  const lines = records.join('\n')
  const recordsBytes = Buffer.byteLength(lines)
  const lengths = texts.map(text => Buffer.byteLength(text))
  const textsBytes = lengths.reduce((sum, bytes) => sum + TEXT_HEAD_BYTES + bytes, 0)
  if (recordsBytes > MAX_RECORDS_BYTES || textsBytes > MAX_TEXTS_BYTES) throw new RangeError(`${recordsBytes} bytes of records and ${textsBytes} bytes of texts are too long for one write to the ledger's disk.`)
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + recordsBytes + textsBytes)
  MAGIC.copy(bytes)
  bytes.writeUInt16LE(versions[kind] ?? 1, 16)
  bytes.writeUInt16LE(kinds.indexOf(kind), 18)
  bytes.writeUIntLE(number, 20, 6)
  bytes.writeUInt16LE(0, 26)
  bytes.writeUInt32LE(recordsBytes, 28)
  bytes.writeUInt32LE(textsBytes, 32)
  bytes.write(lines, HEAD_BYTES)
  let at = HEAD_BYTES + recordsBytes
  let crc = crc32(bytes.subarray(COVERED, at))
  const places = texts.map((text, index) => {
    const length = lengths[index] ?? 0
    bytes.write(text, at + TEXT_HEAD_BYTES)
    writeTextHead(bytes, at, length)
    crc = crc32(bytes.subarray(at, at + TEXT_HEAD_BYTES), crc)
    const place = { offset: at + TEXT_HEAD_BYTES, bytes: length }
    at += TEXT_HEAD_BYTES + length
    return place
  })
  bytes.writeUInt32LE(crc, 12)
  return { bytes, texts: places }
}

/** The head of the text that lies behind it already. */
function writeTextHead (bytes: Buffer, at: number, length: number): void {
  bytes.writeUInt32LE(crc32(bytes.subarray(at + TEXT_HEAD_BYTES, at + TEXT_HEAD_BYTES + length)), at)
  bytes.writeUInt32LE(length, at + 4)
}

/** A text with its head, as it lies in a file. Throws when it is too long. */
export function encodeText (text: string): Buffer {
  const length = Buffer.byteLength(text)
  if (length > MAX_TEXTS_BYTES) throw new RangeError(`A text of ${length} bytes is too long for the ledger's disk.`)
  const bytes = Buffer.allocUnsafe(TEXT_HEAD_BYTES + length)
  bytes.write(text, TEXT_HEAD_BYTES)
  writeTextHead(bytes, 0, length)
  return bytes
}

/** The text of `length` bytes in its bytes with their head, or `null` when they are damaged. */
export function decodeText (bytes: Buffer, length: number): string | null {
  if (bytes.length !== TEXT_HEAD_BYTES + length || bytes.readUInt32LE(4) !== length) return null
  const text = bytes.subarray(TEXT_HEAD_BYTES)
  return crc32(text) === bytes.readUInt32LE(0) ? text.toString() : null
}

/** A sound frame. Its records are read from a buffer that belongs to the reader, before the next frame is looked at. */
export interface Frame {
  /** `null`: this version knows none with that number. */
  readonly kind: Kind | null
  readonly number: number
  /** Of its first byte in the file. */
  readonly offset: number
  /** The whole frame's. */
  readonly bytes: number
  readonly records: () => readonly string[]
  readonly texts: readonly TextAt[]
}

/** Why there is no frame at this byte that could be read. A newer version is that of a sound one. */
export interface Fault { readonly offset: number, readonly newerVersion: number | null }

/**
 * Reads frames from the byte `from` on, and gives each to `take`, until that has enough, until the byte `to`, or until the first place where no sound frame lies. Only
 * what is sound is given. A file that ends before `to` is a fault. What `take` throws is thrown.
 */
export async function readFrames (file: PortFile, from: number, to: number, take: (frame: Frame) => 'enough' | undefined): Promise<Fault | null> {
  const read = createWindow(file, to)
  for (let offset = from; offset < to;) {
    if (!read.has(offset, HEAD_BYTES) && !await read.load(offset, HEAD_BYTES)) return { offset, newerVersion: null }
    const head = headAt(read.bytes, offset - read.start)
    if (head === null) return { offset, newerVersion: null }
    const bytes = HEAD_BYTES + head.recordsBytes + head.textsBytes
    if (!read.has(offset, bytes) && !await read.load(offset, bytes)) return { offset, newerVersion: null }
    const frame = frameAt(read.bytes, offset - read.start, head, offset)
    if (frame === null) return { offset, newerVersion: null }
    if (head.version > FORMAT_VERSION) return { offset, newerVersion: head.version }
    if (take(frame) === 'enough') return null
    offset += bytes
  }
  return null
}

/** Where the first sound frame begins from this byte on, or `null`. */
export async function findFrame (file: PortFile, from: number, to: number): Promise<number | null> {
  const window = Buffer.allocUnsafe(WINDOW_BYTES)
  for (let start = from; start < to;) {
    const length = await readFully(file, window.subarray(0, Math.min(WINDOW_BYTES, to - start)), start)
    if (length < MAGIC.length) return null
    const read = window.subarray(0, length)
    for (let at = read.indexOf(MAGIC); at !== -1; at = read.indexOf(MAGIC, at + 1)) {
      let isSound = false
      await readFrames(file, start + at, to, () => {
        isSound = true
        return 'enough'
      })
      if (isSound) return start + at
    }
    start += length - (MAGIC.length - 1)
    if (length < WINDOW_BYTES) return null
  }
  return null
}

interface Head { readonly crc: number, readonly version: number, readonly kind: number, readonly number: number, readonly recordsBytes: number, readonly textsBytes: number }

function headAt (bytes: Buffer, at: number): Head | null {
  // Three numbers are compared sooner than twelve bytes.
  if (bytes.readUInt32LE(at) !== MAGIC.readUInt32LE(0) || bytes.readUInt32LE(at + 4) !== MAGIC.readUInt32LE(4) || bytes.readUInt32LE(at + 8) !== MAGIC.readUInt32LE(8)) return null
  const recordsBytes = bytes.readUInt32LE(at + 28)
  const textsBytes = bytes.readUInt32LE(at + 32)
  if (recordsBytes > MAX_RECORDS_BYTES || textsBytes > MAX_TEXTS_BYTES) return null
  return { crc: bytes.readUInt32LE(at + 12), version: bytes.readUInt16LE(at + 16), kind: bytes.readUInt16LE(at + 18), number: bytes.readUIntLE(at + 20, 6), recordsBytes, textsBytes }
}

/** The frame that begins at `at` in these bytes, which have all of it, and at `offset` in its file. `null`: it is not sound. */
function frameAt (bytes: Buffer, at: number, head: Head, offset: number): Frame | null {
  const { number, recordsBytes, textsBytes } = head
  const recordsFrom = at + HEAD_BYTES
  const recordsTo = recordsFrom + recordsBytes
  const end = recordsTo + textsBytes
  const texts: TextAt[] = []
  let crc = crc32(bytes.subarray(at + COVERED, recordsTo))
  for (let text = recordsTo; text < end;) {
    const from = text + TEXT_HEAD_BYTES
    const to = from > end ? Infinity : from + bytes.readUInt32LE(text + 4)
    if (to > end || crc32(bytes.subarray(from, to)) !== bytes.readUInt32LE(text)) return null
    crc = crc32(bytes.subarray(text, from), crc)
    texts.push({ offset: offset + from - at, bytes: to - from })
    text = to
  }
  if (crc !== head.crc) return null
  return { kind: kinds[head.kind] ?? null, number, offset, bytes: end - at, texts, records: () => recordsBytes === 0 ? [] : bytes.toString('utf8', recordsFrom, recordsTo).split('\n') }
}

/** The part of a file that is in memory. */
interface Window {
  /** What was read, from the byte `start` of the file on. */
  readonly bytes: Buffer
  readonly start: number
  readonly has: (offset: number, bytes: number) => boolean
  /** Reads that many bytes from there, and more. `false`: the file, or what may be read of it, ends before. */
  readonly load: (offset: number, bytes: number) => Promise<boolean>
}

function createWindow (file: PortFile, to: number): Window {
  let whole = Buffer.allocUnsafe(Math.min(WINDOW_BYTES, Math.max(to, HEAD_BYTES)))
  let bytes = whole.subarray(0, 0)
  let start = 0
  const has = (offset: number, length: number): boolean => offset >= start && offset + length <= start + bytes.length
  return {
    get bytes () { return bytes },
    get start () { return start },
    has,
    load: async (offset, length) => {
      if (offset + length > to) return false
      if (whole.length < length) whole = Buffer.allocUnsafe(length)
      const read = await readFully(file, whole.subarray(0, Math.min(whole.length, to - offset)), offset)
      bytes = whole.subarray(0, read)
      start = offset
      return has(offset, length)
    }
  }
}
