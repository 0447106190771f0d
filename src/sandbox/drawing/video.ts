// A second of video as MP4: H.264 whose blocks are not compressed (I_PCM), so that it needs no encoder and plays wherever H.264 does.
// ITU-T H.264, 7.3; ISO/IEC 14496-12 and -15.

import { CLIP_HEIGHT, CLIP_SECONDS, CLIP_WIDTH } from '../clips.ts'
import { drawBanner } from './banner.ts'
import { createCanvas, type Canvas } from './canvas.ts'
import { paintScene } from './paint.ts'

const FRAMES = 4
const BLOCK = 16
/** So many pixels the view moves from frame to frame. */
const STEP = 8
const NOTICE = 'Made by the sandbox, not by the model.'

/** The file's bytes: a view that moves over a picture. */
export function videoOf (layout: Buffer): Buffer {
  const scene = paintScene({ width: CLIP_WIDTH + STEP * (FRAMES - 1), height: CLIP_HEIGHT, mood: layout.subarray(0, 9), layout: layout.subarray(9) })
  return mp4Of(Array.from({ length: FRAMES }, (_, index) => frameOf(viewOf(scene, index * STEP), index)))
}

function viewOf (scene: Canvas, left: number): Canvas {
  const view = createCanvas(CLIP_WIDTH, CLIP_HEIGHT)
  view.palette.set(scene.palette)
  for (let y = 0; y < CLIP_HEIGHT; y++) view.pixels.set(scene.pixels.subarray(y * scene.width + left, y * scene.width + left + CLIP_WIDTH), y * CLIP_WIDTH)
  drawBanner(view, '')
  return view
}

// ------------------------------------------------------------------------------------------------ H.264

/** Bits of a stream, the highest first. */
class Bits {
  readonly #bytes: number[] = []
  #current = 0
  #count = 0

  /** An unsigned number of so many bits. */
  fixed (value: number, length: number): this {
    for (let bit = length - 1; bit >= 0; bit--) this.#bit((value >> bit) & 1)
    return this
  }

  /** An unsigned number in Exp-Golomb code. A signed 0 is written the same. */
  golomb (value: number): this {
    const length = 32 - Math.clz32(value + 1)
    return this.fixed(0, length - 1).fixed(value + 1, length)
  }

  align (): this {
    while (this.#count > 0) this.#bit(0)
    return this
  }

  /** Whole bytes; the stream is aligned. */
  bytes (values: Iterable<number>): this {
    for (const value of values) this.#bytes.push(value)
    return this
  }

  /** Everything, with the bit that ends it. */
  end (): Buffer {
    this.#bit(1)
    this.align()
    return Buffer.from(this.#bytes)
  }

  #bit (bit: number): void {
    this.#current = this.#current * 2 + bit
    if (++this.#count < 8) return
    this.#bytes.push(this.#current)
    this.#current = 0
    this.#count = 0
  }
}

/** A unit of the stream: its type, and bytes in which nothing looks like the start of another. */
function unit (header: number, payload: Buffer): Buffer {
  const bytes = [header]
  let zeros = 0
  for (const byte of payload) {
    if (zeros >= 2 && byte <= 3) {
      bytes.push(3)
      zeros = 0
    }
    bytes.push(byte)
    zeros = byte === 0 ? zeros + 1 : 0
  }
  return Buffer.from(bytes)
}

const BASELINE = 66
const CONSTRAINTS = 0xc0
const LEVEL = 30

/** Sequence parameters: the size, and that frames come in the order in which they are shown. */
const sequence = unit(0x67, new Bits()
  .fixed(BASELINE, 8).fixed(CONSTRAINTS, 8).fixed(LEVEL, 8)
  .golomb(0).golomb(0).golomb(2).golomb(1).fixed(0, 1)
  .golomb(CLIP_WIDTH / BLOCK - 1).golomb(CLIP_HEIGHT / BLOCK - 1)
  .fixed(1, 1).fixed(1, 1).fixed(0, 1).fixed(0, 1)
  .end())

/** Picture parameters: no choice of anything, except that the deblocking filter can be turned off. */
const picture = unit(0x68, new Bits()
  .golomb(0).golomb(0).fixed(0, 2).golomb(0).golomb(0).golomb(0).fixed(0, 3).golomb(0).golomb(0).golomb(0)
  .fixed(1, 1).fixed(0, 2)
  .end())

const PCM_BLOCK = 25
const INTRA_SLICE = 7

/** A frame that stands alone. */
function frameOf (canvas: Canvas, index: number): Buffer {
  const { light, blue, red } = planesOf(canvas)
  const bits = new Bits()
    .golomb(0).golomb(INTRA_SLICE).golomb(0).fixed(0, 4).golomb(index % 2).fixed(0, 2).golomb(0).golomb(1)
  for (let y = 0; y < CLIP_HEIGHT; y += BLOCK) {
    for (let x = 0; x < CLIP_WIDTH; x += BLOCK) {
      bits.golomb(PCM_BLOCK).align()
      for (let row = 0; row < BLOCK; row++) bits.bytes(light.subarray((y + row) * CLIP_WIDTH + x, (y + row) * CLIP_WIDTH + x + BLOCK))
      for (const plane of [blue, red]) {
        for (let row = 0; row < BLOCK / 2; row++) {
          const start = (y / 2 + row) * CLIP_WIDTH / 2 + x / 2
          bits.bytes(plane.subarray(start, start + BLOCK / 2))
        }
      }
    }
  }
  return unit(0x65, bits.end())
}

/** Light and colours (BT.601, the narrow range), the colours at half the size. */
function planesOf ({ palette, pixels }: Canvas): { readonly light: Uint8Array, readonly blue: Uint8Array, readonly red: Uint8Array } {
  const light = new Uint8Array(CLIP_WIDTH * CLIP_HEIGHT)
  const blue = new Uint8Array(light.length / 4)
  const red = new Uint8Array(light.length / 4)
  for (const [place, index] of pixels.entries()) {
    const [r, g, b] = [palette[index * 3] ?? 0, palette[index * 3 + 1] ?? 0, palette[index * 3 + 2] ?? 0]
    light[place] = Math.round(16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255)
    const x = place % CLIP_WIDTH
    const y = Math.floor(place / CLIP_WIDTH)
    if (x % 2 > 0 || y % 2 > 0) continue
    const half = y / 2 * CLIP_WIDTH / 2 + x / 2
    blue[half] = Math.round(128 + (-37.797 * r - 74.203 * g + 112 * b) / 255)
    red[half] = Math.round(128 + (112 * r - 93.786 * g - 18.214 * b) / 255)
  }
  return { light, blue, red }
}

// ------------------------------------------------------------------------------------------------ MP4

const SCALE = 1_000
const DURATION = CLIP_SECONDS * SCALE
const UNITY = [0x00010000, 0, 0, 0, 0x00010000, 0, 0, 0, 0x40000000]

function mp4Of (frames: readonly Buffer[]): Buffer {
  const samples = frames.map(frame => Buffer.concat([words(frame.length), frame]))
  const start = box('ftyp', Buffer.from('isom'), words(0x200), Buffer.from('isomavc1mp41'))
  const notice = box('free', Buffer.from(NOTICE))
  // The place of the samples is known once the size of everything before them is.
  const before = start.length + notice.length + movie(samples, 0).length + 8
  return Buffer.concat([start, notice, movie(samples, before), box('mdat', ...samples)])
}

function movie (samples: readonly Buffer[], offset: number): Buffer {
  const avc = Buffer.concat([Buffer.from([1, BASELINE, CONSTRAINTS, LEVEL, 0xff, 0xe1]), halves(sequence.length), sequence, Buffer.from([1]), halves(picture.length), picture])
  const entry = box('avc1', Buffer.alloc(6), halves(1), Buffer.alloc(16), halves(CLIP_WIDTH, CLIP_HEIGHT), words(0x00480000, 0x00480000, 0), halves(1), Buffer.alloc(32), halves(24, 0xffff), box('avcC', avc))
  const table = box('stbl',
    box('stsd', words(0, 1), entry),
    box('stts', words(0, 1, samples.length, DURATION / samples.length)),
    box('stsc', words(0, 1, 1, samples.length, 1)),
    box('stsz', words(0, 0, samples.length, ...samples.map(sample => sample.length))),
    box('stco', words(0, 1, offset)))
  const media = box('mdia',
    box('mdhd', words(0, 0, 0, SCALE, DURATION), halves(0x55c4, 0)),
    box('hdlr', words(0, 0), Buffer.from('vide'), words(0, 0, 0), Buffer.from('sandbox\0')),
    box('minf', box('vmhd', words(1), halves(0, 0, 0, 0)), box('dinf', box('dref', words(0, 1), box('url ', words(1)))), table))
  return box('moov',
    box('mvhd', words(0, 0, 0, SCALE, DURATION, 0x00010000), halves(0x0100, 0), words(0, 0, ...UNITY, 0, 0, 0, 0, 0, 0, 2)),
    box('trak', box('tkhd', words(3, 0, 0, 1, 0, DURATION, 0, 0), halves(0, 0, 0, 0), words(...UNITY, CLIP_WIDTH * 0x10000, CLIP_HEIGHT * 0x10000)), media))
}

function box (name: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([words(body.length + 8), Buffer.from(name, 'latin1'), body])
}

function words (...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4)
  return bytes
}

function halves (...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2)
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2)
  return bytes
}
