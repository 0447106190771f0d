// Large pictures: painted at a whole fraction of their size and enlarged, because painting takes the time of the whole process.

import type { Recipe } from '../recipe.ts'
import type { Canvas } from './canvas.ts'
import { paint } from './paint.ts'

/** What is painted dot by dot. */
const MAX_PAINTED_PIXELS = 2560 * 1792

/** The picture of a recipe of any size. */
export function paintAnySize (recipe: Recipe): Canvas {
  const factor = Math.ceil(Math.sqrt(recipe.width * recipe.height / MAX_PAINTED_PIXELS))
  if (factor <= 1) return paint(recipe)
  const small = paint({ ...recipe, width: Math.ceil(recipe.width / factor), height: Math.ceil(recipe.height / factor) })
  return enlarged(small, factor, recipe.width, recipe.height)
}

function enlarged (small: Canvas, factor: number, width: number, height: number): Canvas {
  const pixels = new Uint8Array(width * height)
  for (let y = 0; y < height; y++) {
    const start = y * width
    if (y % factor > 0) {
      pixels.copyWithin(start, start - width, start)
      continue
    }
    const from = Math.floor(y / factor) * small.width
    for (let x = 0; x < width; x++) pixels[start + x] = small.pixels[from + Math.floor(x / factor)] ?? 0
  }
  return { width, height, palette: small.palette, pixels }
}
