// An indexed picture in memory, its palette, and the pattern by which steps between colours are hidden.

import { along, toRgb, type Colour } from './colour.ts'

export interface Canvas {
  readonly width: number
  readonly height: number
  /** 256 colours, three bytes each. */
  readonly palette: Uint8Array
  /** One index a pixel, rows from the top. */
  readonly pixels: Uint8Array
}

/** The first two colours belong to the banner. */
export const INK = 0
export const PAPER = 1
export const FIRST_FREE = 2

export function createCanvas (width: number, height: number): Canvas {
  return { width, height, palette: new Uint8Array(256 * 3), pixels: new Uint8Array(width * height) }
}

/** Neighbouring palette entries that lead from one colour to another. */
export interface Ramp {
  readonly start: number
  readonly count: number
}

/** Fills the palette from `start` with `count` steps through `colours` and says where they are. */
export function addRamp ({ palette }: Canvas, start: number, count: number, colours: readonly [Colour, ...Colour[]]): Ramp {
  for (let step = 0; step < count; step++) palette.set(toRgb(along(colours, count > 1 ? step / (count - 1) : 0)), (start + step) * 3)
  return { start, count }
}

const ORDER = 8

/** Bayer's 8 × 8 pattern, in [0, 1): added before a level is cut to a whole number, it turns steps into a fine even grain. */
const bayer = Float32Array.from({ length: ORDER * ORDER }, (_, index) => {
  const x = index % ORDER
  const y = Math.floor(index / ORDER)
  let value = 0
  for (let bit = 0; bit < 3; bit++) value = value * 4 + (((x ^ y) >> bit) & 1) * 2 + ((y >> bit) & 1)
  return value / (ORDER * ORDER)
})

/** The pattern's row for the picture's row `y`; column `x` is at `x & 7`. */
export function grainOf (y: number): Float32Array {
  const row = (y % ORDER) * ORDER
  return bayer.subarray(row, row + ORDER)
}
