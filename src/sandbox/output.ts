// The model's answer as text: its files, its seed, and for Imagen 4 the shapes that it has had over time.

import type { Model, ModelInput, PixelSize } from '../models/model.ts'
import { isObject } from '../schema.ts'
import { clipsOf, type Clip } from './clips.ts'
import { pathOf, recipesOf, type PictureFormat } from './recipe.ts'
import { DRAWN, shapedAnswer, usualOutput, type Facts, type MediaFile, type MediaKind } from './shape.ts'

/** fal changed Imagen's answer: `B` (October 2025) echoes the seed, as every model here does whose output has one, `C` (December 2025) and `D` (April 2026) have sizes and a description instead. */
export type OutputShape = 'B' | 'C' | 'D'

/** How an answer is made. */
export interface OutputOptions {
  readonly shape: OutputShape
  /** The base of the files' addresses. */
  readonly filesUrl: string
  /** The formats that pictures can be written in. */
  readonly formats: ReadonlySet<PictureFormat>
}

const FORMAT_WORDS: Readonly<Record<string, PictureFormat>> = { png: 'png', jpeg: 'jpeg', jpg: 'jpeg', webp: 'webp' }

/** The size of pictures beside what was asked for, such as the preview of a video. */
const USUAL_SIZE: PixelSize = { width: 1024, height: 1024 }

/** The output as JSON text, in which a seed of any size keeps its digits; `null`: the sandbox cannot play this model. */
export function outputOf (model: Model, input: ModelInput, seed: string, { shape, filesUrl, formats }: OutputOptions): string | null {
  const wanted = FORMAT_WORDS[String(input['output_format']).toLowerCase()] ?? 'png'
  const format = formats.has(wanted) ? wanted : 'png'
  const sizes = model.pictures(input)
  const recipes = recipesOf(model, input, seed, sizes.length > 0 ? sizes : [USUAL_SIZE], format)
  const pictures = recipes.map((recipe): MediaFile => ({
    url: `${filesUrl}/${pathOf(recipe)}`,
    contentType: `image/${format}`,
    fileName: `output.${format}`,
    width: recipe.width,
    height: recipe.height
  }))
  if (shape !== 'B') return JSON.stringify({ images: pictures.map(({ url, contentType, fileName, width, height }) => ({ url, content_type: contentType, file_name: fileName, width, height })), description: DRAWN })

  const files: Readonly<Record<MediaKind, readonly MediaFile[]>> = { picture: pictures, ...clipFiles(clipsOf(model, input, seed), filesUrl), other: [] }
  const facts: Facts = { files: kind => files[kind], seed, prompt: input['prompt'], category: model.category }
  const output = model.output ?? usualOutput(model.category)
  if (output === null) return null
  const answers = [false, true].map(all => shapedAnswer(output, facts, all))
  return answers.find(text => isAnswer(model, text)) ?? null
}

function clipFiles (clips: Readonly<Record<'audio' | 'video', Clip>>, filesUrl: string): Readonly<Record<'audio' | 'video', readonly MediaFile[]>> {
  const file = ({ path, contentType, fileName, seconds, width, height }: Clip): MediaFile => ({ url: `${filesUrl}/${path}`, contentType, fileName, seconds, ...(width !== undefined && { width }), ...(height !== undefined && { height }) })
  return { audio: [file(clips.audio)], video: [file(clips.video)] }
}

/** Would the gateway take it for what was bought? */
function isAnswer (model: Model, text: string): boolean {
  const answer: unknown = JSON.parse(text)
  return isObject(answer) && model.answers.judge(answer).isSuccess
}
