// Flowing bands as in marbled paper: noise, bent by noise, read through a palette of bands.

import { FIRST_FREE, grainOf, type Canvas } from './canvas.ts'
import { along, colour, mix, toRgb, type Colour } from './colour.ts'
import { between, createNoise, layered, type Random } from './random.ts'

/** Noise is reckoned at this many places along the longer side and drawn out between them. */
const CELLS = 192
const LEVELS = 256 - FIRST_FREE

export function drawMarble (canvas: Canvas, mood: Random, layout: Random): void {
  const { width, height, pixels } = canvas
  const colours = bandColours(mood)
  const bands = Math.round(between(mood, 5, 11))
  const black = colour(0.12, 0.05, mood())
  const white = colour(1, 0, 0)
  for (let level = 0; level < LEVELS; level++) {
    const share = level / (LEVELS - 1)
    // Each band is lit on one side and shaded on the other, which makes it look raised.
    const within = (share * bands) % 1
    const plain = along(colours, share)
    const raised = mix(mix(plain, black, 0.55 * within ** 4), white, 0.3 * (1 - within) ** 2)
    // The edge between two bands is soft, since the grain would tear a hard one.
    canvas.palette.set(toRgb(mix(plain, raised, Math.min(1, within * 7, (1 - within) * 7))), (FIRST_FREE + level) * 3)
  }

  const cell = Math.max(width, height) / CELLS
  const columns = Math.ceil(width / cell) + 2
  const rows = Math.ceil(height / cell) + 2
  const field = fieldOf(columns, rows, layout)

  const last = LEVELS - 1.01
  for (let y = 0; y < height; y++) {
    const grain = grainOf(y)
    const up = Math.floor(y / cell)
    const down = y / cell - up
    const row = y * width
    for (let column = 0; column * cell < width; column++) {
      const at = up * columns + column
      const left = (field[at] ?? 0) * (1 - down) + (field[at + columns] ?? 0) * down
      const right = (field[at + 1] ?? 0) * (1 - down) + (field[at + columns + 1] ?? 0) * down
      const first = Math.ceil(column * cell)
      const end = Math.min(Math.ceil((column + 1) * cell), width)
      const step = (right - left) / cell * last
      let value = (left + (right - left) * (first / cell - column)) * last
      for (let x = first; x < end; x++) {
        pixels[row + x] = FIRST_FREE + ((value + (grain[x & 7] ?? 0)) | 0)
        value += step
      }
    }
  }
}

function bandColours (mood: Random): readonly [Colour, ...Colour[]] {
  // From green over blue to red: dark yellows look like mud.
  const hue = between(mood, 0.45, 1)
  const turn = between(mood, 0.1, 0.2) * (hue > 0.72 ? -1 : 1)
  return [
    colour(0.24, 0.09, hue),
    colour(0.45, 0.15, hue + turn * 0.35),
    colour(0.68, 0.16, hue + turn * 0.8),
    colour(0.92, 0.07, hue + turn * 1.1),
    colour(0.74, 0.14, hue + turn * 1.5),
    colour(0.4, 0.13, hue + turn * 2)
  ]
}

/** The bent noise, spread over the whole of [0, 1]. */
function fieldOf (columns: number, rows: number, layout: Random): Float32Array {
  const noise = createNoise(layout)
  const scale = between(layout, 1.2, 2.2) / CELLS
  const bend = between(layout, 1.6, 3.2)
  const field = new Float32Array(columns * rows)
  let low = Infinity
  let high = -Infinity
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const x = column * scale
      const y = row * scale
      const bentX = x + bend * (layered(noise, 2, x + 11, y + 3) - 0.5)
      const bentY = y + bend * (layered(noise, 2, x + 41, y + 29) - 0.5)
      const value = layered(noise, 3, bentX * 1.6, bentY * 1.6)
      field[row * columns + column] = value
      low = Math.min(low, value)
      high = Math.max(high, value)
    }
  }
  return field.map(value => (value - low) / (high - low))
}
