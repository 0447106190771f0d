// The line at the foot of every picture that says where it comes from.

import { INK, PAPER, type Canvas } from './canvas.ts'

const GLYPH_WIDTH = 5
const GLYPH_HEIGHT = 7

/** Seven rows of five dots, the leftmost dot being the highest bit. Only what the banner says. */
const glyphs: Readonly<Record<string, readonly number[]>> = {
  A: [14, 17, 17, 31, 17, 17, 17],
  B: [30, 17, 17, 30, 17, 17, 30],
  D: [30, 17, 17, 17, 17, 17, 30],
  E: [31, 16, 16, 30, 16, 16, 31],
  G: [14, 17, 16, 23, 17, 17, 15],
  H: [17, 17, 17, 31, 17, 17, 17],
  I: [14, 4, 4, 4, 4, 4, 14],
  L: [16, 16, 16, 16, 16, 16, 31],
  M: [17, 27, 21, 21, 17, 17, 17],
  N: [17, 25, 21, 19, 17, 17, 17],
  O: [14, 17, 17, 17, 17, 17, 14],
  S: [15, 16, 16, 14, 1, 1, 30],
  T: [31, 4, 4, 4, 4, 4, 4],
  X: [17, 17, 10, 4, 10, 17, 17],
  0: [14, 17, 19, 21, 25, 17, 14],
  1: [4, 12, 4, 4, 4, 4, 14],
  2: [14, 17, 1, 2, 4, 8, 31],
  3: [31, 2, 4, 2, 1, 17, 14],
  4: [2, 6, 10, 18, 31, 2, 2],
  5: [31, 16, 30, 1, 1, 17, 14],
  6: [6, 8, 16, 30, 17, 17, 14],
  7: [31, 1, 2, 4, 8, 8, 8],
  8: [14, 17, 17, 14, 17, 17, 14],
  9: [14, 17, 17, 15, 1, 2, 12],
  '-': [0, 0, 0, 14, 0, 0, 0]
}

/** Writes the banner into the lower left corner, in the two colours that are reserved for it. */
export function drawBanner (canvas: Canvas, seed: string): void {
  canvas.palette.set([18, 18, 24], INK * 3)
  canvas.palette.set([250, 248, 240], PAPER * 3)

  const text = 'SANDBOX - NOT THE MODEL' + (seed === '' ? '' : `   SEED ${seed}`)
  const dot = Math.max(1, Math.round(Math.min(canvas.width, canvas.height) / 450))
  const pad = 4 * dot
  const width = text.length * (GLYPH_WIDTH + 1) * dot - dot + 2 * pad
  const height = GLYPH_HEIGHT * dot + 2 * pad
  const left = 6 * dot
  const top = canvas.height - height - 6 * dot

  fill(canvas, left, top, width, height, INK)
  for (const [place, character] of [...text].entries()) {
    const rows = glyphs[character] ?? []
    for (const [row, dots] of rows.entries()) {
      for (let column = 0; column < GLYPH_WIDTH; column++) {
        if ((dots >> (GLYPH_WIDTH - 1 - column) & 1) === 0) continue
        fill(canvas, left + pad + (place * (GLYPH_WIDTH + 1) + column) * dot, top + pad + row * dot, dot, dot, PAPER)
      }
    }
  }
}

/** A filled rectangle, cut off at the picture's edges. */
function fill ({ width, height, pixels }: Canvas, left: number, top: number, columns: number, rows: number, index: number): void {
  const right = Math.min(left + columns, width)
  for (let y = Math.max(top, 0); y < Math.min(top + rows, height); y++) pixels.fill(index, y * width + left, y * width + right)
}
