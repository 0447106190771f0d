// Writes an indexed picture as PNG (W3C PNG, third edition), with texts beside it.

import { promisify } from 'node:util'
import { crc32, deflate } from 'node:zlib'
import type { Canvas } from './canvas.ts'

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10])
const INDEXED = 3

/** Off the event loop, in zlib's threads. */
const compress = promisify(deflate)

/** The file's bytes; `texts` become `tEXt` chunks and have to be Latin-1. */
export async function encodePng ({ width, height, palette, pixels }: Canvas, texts: Readonly<Record<string, string>>): Promise<Buffer> {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, INDEXED, 0, 0, 0], 8)

  // Each row starts with its filter: none, since neighbouring indexes say nothing about each other.
  const rows = Buffer.alloc((width + 1) * height)
  for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1)

  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    ...Object.entries(texts).map(([keyword, text]) => chunk('tEXt', Buffer.from(`${keyword}\0${text}`, 'latin1'))),
    chunk('PLTE', palette),
    chunk('IDAT', await compress(rows, { level: 2 })),
    chunk('IEND', Buffer.alloc(0))
  ])
}

function chunk (type: string, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(data.length + 12)
  bytes.writeUInt32BE(data.length, 0)
  bytes.write(type, 4, 'latin1')
  bytes.set(data, 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, data.length + 8)), data.length + 8)
  return bytes
}
