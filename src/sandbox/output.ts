// The model's answer as text, in the shapes that fal's Imagen 4 has had over time.

import type { Model, ModelInput } from '../models/model.ts'
import { pathOf, recipeOf } from './recipe.ts'

/** fal changed the answer: `B` (October 2025) echoes the seed, `C` (December 2025) and `D` (April 2026) have sizes and a description instead. */
export type OutputShape = 'B' | 'C' | 'D'

/** The output as JSON text, in which a seed of any size keeps its digits, and how many pictures are in it. */
export function outputOf (shape: OutputShape, model: Model, input: ModelInput, seed: string, filesUrl: string): { readonly text: string, readonly pictures: number } {
  const wanted = input['num_images']
  const pictures = typeof wanted === 'number' ? wanted : 1
  const images = Array.from({ length: pictures }, (_, index) => {
    const recipe = recipeOf(model, input, seed, index)
    const file = { url: `${filesUrl}/${pathOf(recipe)}`, content_type: 'image/png', file_name: 'output.png' }
    return shape === 'B' ? file : { ...file, width: recipe.width, height: recipe.height }
  })
  // Written by hand because a number that JSON.stringify could write would have been rounded.
  const rest = shape === 'B' ? `"seed":${seed}` : '"description":"Drawn by the sandbox, not by the model."'
  return { text: `{"images":${JSON.stringify(images)},${rest}}`, pictures }
}
