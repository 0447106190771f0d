// Sheets of coloured paper, cut in waves and laid over each other, each throwing a shadow on the one behind.

import { addRamp, FIRST_FREE, grainOf, type Canvas } from './canvas.ts'
import { along, colour, mix, type Colour } from './colour.ts'
import { between, type Random } from './random.ts'

const SHEETS = 11
const LEVELS = 22

export function drawPaper (canvas: Canvas, mood: Random, layout: Random): void {
  const { width, height, pixels } = canvas
  const colours = sheetColours(mood)
  const black = colour(0.12, 0.03, mood())
  const ramps = Array.from({ length: SHEETS }, (_, sheet) => {
    const plain = along(colours, sheet / (SHEETS - 1))
    return addRamp(canvas, FIRST_FREE + sheet * LEVELS, LEVELS, [mix(plain, black, 0.55), plain, mix(plain, colour(1, 0, 0), 0.22)])
  })
  const tilt = between(layout, -0.35, 0.35)
  const tops = ramps.map((_, sheet) => sheet === 0 ? new Float32Array(width).fill(-1) : edgeOf(canvas, layout, sheet, tilt))

  const shadow = Math.min(width, height) * 0.05
  const fade = height * 0.3
  const current = new Uint8Array(width)
  const nextTop = new Float32Array(width)
  for (let x = 0; x < width; x++) nextTop[x] = topAfter(tops, 0, x)

  for (let y = 0; y < height; y++) {
    const grain = grainOf(y)
    const row = y * width
    for (let x = 0; x < width; x++) {
      const dither = grain[x & 7] ?? 0
      let next = nextTop[x] ?? 0
      while (y + dither >= next) {
        const front = frontAt(tops, current[x] ?? 0, x, y + dither)
        current[x] = front
        next = topAfter(tops, front, x)
        nextTop[x] = next
      }
      const sheet = current[x] ?? 0
      const depth = y - (tops[sheet]?.[x] ?? 0)
      const lit = depth < fade ? 1 - depth / fade : 0
      const dark = next - y < shadow ? 1 - (next - y) / shadow : 0
      const level = LEVELS * (0.5 + 0.42 * lit - 0.5 * dark * dark) + dither
      pixels[row + x] = FIRST_FREE + sheet * LEVELS + (level <= 0 ? 0 : level < LEVELS ? level | 0 : LEVELS - 1)
    }
  }
}

function sheetColours (mood: Random): readonly [Colour, ...Colour[]] {
  const hue = mood()
  const turn = between(mood, 0.18, 0.55) * (mood() < 0.5 ? -1 : 1)
  const bright = colour(between(mood, 0.86, 0.95), 0.07, hue)
  const deep = colour(between(mood, 0.26, 0.36), 0.1, hue + turn)
  const steps = [bright, colour(0.78, 0.14, hue + turn * 0.3), colour(0.58, 0.16, hue + turn * 0.65), deep] as const
  return mood() < 0.5 ? steps : [steps[3], steps[2], steps[1], steps[0]]
}

/** For each column the height at which a sheet begins: a few long waves, in pixels from the top. */
function edgeOf ({ width, height }: Canvas, layout: Random, sheet: number, tilt: number): Float32Array {
  const base = height * (sheet / SHEETS - 0.02)
  const waves = Array.from({ length: 3 }, (_, index) => ({
    turns: between(layout, 0.35, 1.1) * (index + 1) * width / Math.max(width, height),
    phase: layout(),
    reach: height * between(layout, 0.03, 0.11) / (index + 1)
  }))
  return Float32Array.from({ length: width }, (_, x) => {
    const across = x / width
    return waves.reduce((y, { turns, phase, reach }) => y + reach * Math.sin((across * turns + phase) * 2 * Math.PI), base + tilt * (across - 0.5) * height * 0.5)
  })
}

/** The foremost sheet that has begun at this place, from `sheet` on. */
function frontAt (tops: readonly Float32Array[], sheet: number, x: number, y: number): number {
  let front = sheet
  for (let index = sheet + 1; index < tops.length; index++) {
    if (y >= (tops[index]?.[x] ?? Infinity)) front = index
  }
  return front
}

/** Where the next sheet in front of this one begins. */
function topAfter (tops: readonly Float32Array[], sheet: number, x: number): number {
  let next = Infinity
  for (let index = sheet + 1; index < tops.length; index++) next = Math.min(next, tops[index]?.[x] ?? Infinity)
  return next
}
