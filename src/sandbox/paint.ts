// Draws the picture of a recipe.

import type { Canvas } from './canvas.ts'
import type { Recipe } from './recipe.ts'

export function paint ({ width, height, mood, layout }: Recipe): Canvas {
  const palette = new Uint8Array(768)
  for (let i = 0; i < 768; i++) palette[i] = ((mood[i % 3] ?? 0) + Math.floor(i / 3)) & 255
  const pixels = new Uint8Array(width * height)
  for (let y = 0; y < height; y++) {
    const level = Math.floor(128 + 127 * Math.sin(y / (20 + (layout[0] ?? 0) / 8)))
    pixels.fill(level, y * width, (y + 1) * width)
  }
  return { width, height, palette, pixels }
}
