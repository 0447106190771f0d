// The model's answer as text: pictures and seed, and for Imagen 4 the shapes that it has had over time.

import type { Model, ModelInput } from '../models/model.ts'
import { pathOf, recipesOf } from './recipe.ts'

/** fal changed Imagen's answer: `B` (October 2025) echoes the seed, as every model here does whose output has one, `C` (December 2025) and `D` (April 2026) have sizes and a description instead. */
export type OutputShape = 'B' | 'C' | 'D'

/** The output as JSON text, in which a seed of any size keeps its digits, and how many pictures are in it. */
export function outputOf (shape: OutputShape, model: Model, input: ModelInput, seed: string, filesUrl: string): { readonly text: string, readonly pictures: number } {
  const images = recipesOf(model, input, seed).map(recipe => {
    const file = { url: `${filesUrl}/${pathOf(recipe)}`, content_type: 'image/png', file_name: 'output.png' }
    return shape === 'B' ? file : { ...file, width: recipe.width, height: recipe.height }
  })
  // Written by hand because a number that JSON.stringify could write would have been rounded.
  const echo = (model.seed === 'out' || model.seed === 'in-and-out') ? `,"seed":${seed}` : ''
  const rest = shape === 'B' ? echo : ',"description":"Drawn by the sandbox, not by the model."'
  return { text: `{"images":${JSON.stringify(images)}${rest}}`, pictures: images.length }
}
