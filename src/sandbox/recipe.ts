// What a picture is drawn from, and the file name that holds all of it: pictures are drawn when they are read, nothing is stored.

import { createHash } from 'node:crypto'
import { fieldNamesOf, type Model, type ModelInput, type PixelSize } from '../models/model.ts'

/** The kinds of files that pictures are drawn as. */
export type PictureFormat = 'png' | 'jpeg' | 'webp'

export interface Recipe extends PixelSize {
  readonly format: PictureFormat
  /** Bytes that only the prompt and model decide: kind of scene and colours. */
  readonly mood: Buffer
  /** Bytes that the whole input decides, seed included: where everything stands. */
  readonly layout: Buffer
  /** Digits to show in the picture; `''` when there are too many. */
  readonly seed: string
}

const MOOD_BYTES = 9
const LAYOUT_BYTES = 15
const MAX_SHOWN_DIGITS = 20

/** Bounds of what an address may ask for, since drawing takes memory and time. What models call 4K is just within them. */
const MAX_SIDE_PIXELS = 8192
const MAX_PIXELS = 4096 * 4096

const NAME = /^([\w-]{32})-([1-9]\d{0,3})x([1-9]\d{0,3})(?:-s(-?\d{1,20}))?_output\.(png|jpeg|webp)$/

/** Folder names as on fal's CDN, where an animal stands in the address. */
const animals = ['tiger', 'zebra', 'koala', 'panda', 'otter', 'heron', 'lynx', 'gecko']

/** Fields that decide how many files there are and how they are handed over, and nothing of what is in them. */
const aside = new Set(['seed', 'output_format', 'sync_mode'])

/** The recipes of pictures of these sizes: the same input with the same seed gives the same pictures, whatever was left to defaults. */
export function recipesOf (model: Model, input: ModelInput, seed: string, sizes: readonly PixelSize[], format: PictureFormat): readonly Recipe[] {
  const others = fieldNamesOf(model).filter(name => !aside.has(name)).map(name => [name, input[name]])
  const all = digest(JSON.stringify([model.endpointId, others, seed]))
  const mood = digest(JSON.stringify([model.endpointId, input['prompt']])).subarray(0, MOOD_BYTES)
  return sizes.map((size, index) => ({
    ...withinBounds(size),
    format,
    mood,
    layout: digest(`${all.toString('hex')} ${index}`).subarray(0, LAYOUT_BYTES),
    // One that is neither taken nor told would say nothing; it is another for each call all the same, as the model's own is.
    seed: model.seed === 'none' || seed.length > MAX_SHOWN_DIGITS ? '' : seed
  }))
}

/** What a model makes beyond the bounds is drawn smaller, in the same shape, so that every address that is handed out can be read. */
function withinBounds ({ width, height }: PixelSize): PixelSize {
  const factor = Math.min(1, MAX_SIDE_PIXELS / width, MAX_SIDE_PIXELS / height, Math.sqrt(MAX_PIXELS / (width * height)))
  return { width: Math.max(1, Math.floor(width * factor)), height: Math.max(1, Math.floor(height * factor)) }
}

/** `tiger/….png`: the path of a picture below the files folder. */
export function pathOf (recipe: Recipe): string {
  const animal = animals[(recipe.layout[0] ?? 0) % animals.length] ?? 'tiger'
  const bytes = Buffer.concat([recipe.mood, recipe.layout]).toString('base64url')
  const seed = recipe.seed === '' ? '' : `-s${recipe.seed}`
  return `${animal}/${bytes}-${recipe.width}x${recipe.height}${seed}_output.${recipe.format}`
}

/** The recipe in a file name, or `null` when it is none or asks for more pixels than any model makes. */
export function recipeIn (name: string): Recipe | null {
  const [, bytes, widthText, heightText, seed = '', format] = NAME.exec(name) ?? []
  if (bytes === undefined) return null
  const width = Number(widthText)
  const height = Number(heightText)
  if (width > MAX_SIDE_PIXELS || height > MAX_SIDE_PIXELS || width * height > MAX_PIXELS) return null
  const decoded = Buffer.from(bytes, 'base64url')
  return { width, height, format: format === 'jpeg' || format === 'webp' ? format : 'png', seed, mood: decoded.subarray(0, MOOD_BYTES), layout: decoded.subarray(MOOD_BYTES) }
}

function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
