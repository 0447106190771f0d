// Draws the picture of a recipe: the prompt chooses the kind of scene and its colours, prompt and seed together where everything stands.

import type { Recipe } from '../recipe.ts'
import { drawBanner } from './banner.ts'
import { createCanvas, type Canvas } from './canvas.ts'
import { drawMarble } from './marble.ts'
import { drawPaper } from './paper.ts'
import { createRandom, type Random } from './random.ts'
import { drawRidges } from './ridges.ts'

/** Fills the canvas. `mood` is for kinds and colours, `layout` for places. */
export type Scene = (canvas: Canvas, mood: Random, layout: Random) => void

/** The landscape comes more often: it looks most like a picture that somebody asked for. */
const scenes: readonly [Scene, ...Scene[]] = [drawRidges, drawRidges, drawPaper, drawMarble]

/** The picture, the same for the same recipe; takes some 20 ms for each million pixels. */
export function paint (recipe: Recipe): Canvas {
  const canvas = paintScene(recipe)
  drawBanner(canvas, recipe.seed)
  return canvas
}

/** The picture without its banner. */
export function paintScene (recipe: Pick<Recipe, 'width' | 'height' | 'mood' | 'layout'>): Canvas {
  const canvas = createCanvas(recipe.width, recipe.height)
  const mood = createRandom(recipe.mood)
  const layout = createRandom(Buffer.concat([recipe.mood, recipe.layout]))
  const scene = scenes[Math.floor(mood() * scenes.length)] ?? scenes[0]
  scene(canvas, mood, layout)
  return canvas
}
