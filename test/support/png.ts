// Reads an indexed PNG back into pixels, strictly enough to judge one: signature, checksums, header, filters.

import { crc32, inflateSync } from 'node:zlib'

export interface DecodedPng {
  readonly width: number
  readonly height: number
  /** Three bytes for each colour. */
  readonly palette: Buffer
  /** One palette index for each pixel, rows from the top. */
  readonly pixels: Buffer
  /** `tEXt` chunks. */
  readonly texts: ReadonlyMap<string, string>
}

const SIGNATURE = '89504e470d0a1a0a'

/** Throws with the reason when the bytes are not a PNG with 8 bits a pixel, a palette and no interlacing. */
export function decodePng (bytes: Buffer): DecodedPng {
  if (bytes.subarray(0, 8).toString('hex') !== SIGNATURE) throw new Error('Not the signature of a PNG')
  const chunks = [...chunksOf(bytes)]
  const header = chunks[0]
  if (header?.type !== 'IHDR' || chunks.at(-1)?.type !== 'IEND') throw new Error('IHDR is not first or IEND not last')
  if (header.data.subarray(8).toString('hex') !== '0803000000') throw new Error('Not 8 bits, indexed, without interlacing')

  const width = header.data.readUInt32BE(0)
  const height = header.data.readUInt32BE(4)
  const palette = chunks.find(chunk => chunk.type === 'PLTE')?.data
  if (palette === undefined || palette.length % 3 !== 0) throw new Error('No palette')
  const rows = inflateSync(Buffer.concat(chunks.filter(chunk => chunk.type === 'IDAT').map(chunk => chunk.data)))
  if (rows.length !== (width + 1) * height) throw new Error(`${rows.length} bytes are not ${width} × ${height} pixels and their filters`)

  const texts = new Map(chunks.filter(chunk => chunk.type === 'tEXt').map(chunk => {
    const [keyword = '', text = ''] = chunk.data.toString('latin1').split('\0')
    return [keyword, text]
  }))
  return { width, height, palette, pixels: unfilter(rows, width, height), texts }
}

function * chunksOf (bytes: Buffer): Generator<{ readonly type: string, readonly data: Buffer }> {
  for (let at = 8; at < bytes.length;) {
    const end = at + 8 + bytes.readUInt32BE(at)
    const type = bytes.toString('latin1', at + 4, at + 8)
    if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end)) throw new Error(`Wrong checksum of ${type}`)
    yield { type, data: bytes.subarray(at + 8, end) }
    at = end + 4
  }
}

/** Undoes the filters of PNG, third edition, section 9, for one byte a pixel. */
function unfilter (rows: Buffer, width: number, height: number): Buffer {
  const pixels = Buffer.alloc(width * height)
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (width + 1)]
    for (let x = 0; x < width; x++) {
      const left = x > 0 ? pixels[y * width + x - 1] ?? 0 : 0
      const up = y > 0 ? pixels[(y - 1) * width + x] ?? 0 : 0
      const corner = x > 0 && y > 0 ? pixels[(y - 1) * width + x - 1] ?? 0 : 0
      pixels[y * width + x] = (rows[y * (width + 1) + 1 + x] ?? 0) + predicted(filter, left, up, corner)
    }
  }
  return pixels
}

function predicted (filter: number | undefined, left: number, up: number, corner: number): number {
  switch (filter) {
    case 0: return 0
    case 1: return left
    case 2: return up
    case 3: return (left + up) >> 1
    case 4: {
      const guess = left + up - corner
      const [toLeft, toUp, toCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)]
      return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner
    }
    default: throw new Error(`No such filter: ${filter}`)
  }
}
