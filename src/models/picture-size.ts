// How many pictures an input asks for, and of which size: for those that draw in place of the model.
//
// Documents name the words of a field and seldom what they mean in pixels. What they leave open is filled in here, plausibly: nothing is priced by it.

import { isObject } from '../schema.ts'
import { definitionOf, objectOf } from './json-schema.ts'
import type { ModelInput, PixelSize } from './model.ts'
import { pictureCounts, sizeWords, type PresetSize } from './usual-fields.ts'

type Schema = Readonly<Record<string, unknown>>

/** What is known of a model besides its input: names of further fields that count pictures, and words of sizes that mean other pixels for this model. */
export interface PictureHints {
  readonly counts?: readonly string[]
  readonly sizes?: ReadonlyMap<string, PresetSize>
}

/** No model makes more in one call; a document without a bound may be asked for any number. */
const MAX_PICTURES = 100

/** The longest side that a document of fal allows. */
const MAX_SIDE = 14_142

/** Sides that are computed are multiples of this, as those of most models are. */
const SIDE_STEP = 16

/** What `1K` means as the side of a square. */
const K = 1024

/** Nothing is more than so many times as wide as high, or as high as wide. */
const MAX_RATIO = 16

/** Where a size stands whole. */
const sizeFields = ['image_size', 'size']

/** Words in the place of an aspect ratio. */
const ratioWords: Readonly<Record<string, number>> = { square: 1, landscape: 4 / 3, portrait: 3 / 4 }

/**
 * The size of each picture that an input asks for. `schema` is the input's: its defaults stand for what the input leaves out, and where neither says anything
 * it is one picture of 1024 × 1024.
 */
export function pictureSizes (input: ModelInput, schema: Schema, hints: PictureHints = {}): readonly PixelSize[] {
  const fields = viewOf(input, schema)
  const size = sizeOf(fields, hints)
  return Array.from({ length: countOf(fields, hints) }, () => size)
}

/** The value of a field, or else its default. */
type Fields = (name: string) => unknown

function viewOf (input: ModelInput, schema: Schema): Fields {
  const properties = objectOf(schema['properties'])
  return name => {
    const given = Object.hasOwn(input, name) ? input[name] : undefined
    if (given !== undefined && given !== null) return given
    return Object.hasOwn(properties, name) ? defaultOf(properties[name], schema) : undefined
  }
}

/** The default that a schema states, itself or where it refers to. References may form a circle, so steps are bounded. */
function defaultOf (schema: unknown, root: Schema): unknown {
  let current: unknown = schema
  for (let steps = 0; steps < 8 && isObject(current); steps++) {
    if (Object.hasOwn(current, 'default')) return current['default']
    const all: unknown = current['allOf']
    const reference = current['$ref']
    current = reference !== undefined ? definitionOf(root, reference) : Array.isArray(all) ? all[0] : undefined
  }
  return undefined
}

function countOf (fields: Fields, hints: PictureHints): number {
  let product = 1
  for (const name of new Set([...pictureCounts, ...hints.counts ?? []])) product *= numberIn(fields(name)) ?? 1
  return Math.min(MAX_PICTURES, Math.max(1, Math.round(product)))
}

function sizeOf (fields: Fields, hints: PictureHints): PixelSize {
  for (const name of sizeFields) {
    const size = wholeSize(fields(name), hints)
    if (size !== null) return size
  }
  const sides = sidesIn(fields('width'), fields('height'))
  if (sides !== null) return sides
  const ratio = ratioIn(fields('aspect_ratio')) ?? ratioIn(fields('image_size')) ?? 1
  for (const name of ['resolution', ...sizeFields]) {
    const value = fields(name)
    const size = wholeSize(value, hints) ?? areaSize(value, ratio)
    if (size !== null) return size
  }
  return shaped(K * K, ratio)
}

/** A size that stands whole in one value: an object of sides, a word of the table, `1024x768` or `1024*768`. */
function wholeSize (value: unknown, { sizes }: PictureHints): PixelSize | null {
  if (isObject(value)) return sidesIn(value['width'], value['height'])
  if (typeof value !== 'string') return null
  const known = sizes?.get(value) ?? sizeWords.get(value)
  if (known !== undefined) return bounded(known[0], known[1])
  const [, width, height] = /^\s*(\d{1,6})\s*[x×*]\s*(\d{1,6})\s*$/i.exec(value) ?? []
  return width === undefined ? null : sidesIn(width, height)
}

/** A size of which one value says how large it is, and another which shape: `2K`, `0.5k`, `auto_4K`, `512sq`, `1080p`, `4 MP`. */
function areaSize (value: unknown, ratio: number): PixelSize | null {
  if (typeof value !== 'string') return null
  const word = value.trim().toLowerCase()
  const [, kilo] = /(?:^|[^\d.])(\d{1,2}(?:\.\d{1,3})?)\s*k$/.exec(word) ?? []
  if (kilo !== undefined) return shaped((Number(kilo) * K) ** 2, ratio)
  const [, megapixels] = /^(\d{1,3}(?:\.\d{1,3})?)\s*mp$/.exec(word) ?? []
  if (megapixels !== undefined) return shaped(Number(megapixels) * 1_000_000, ratio)
  const [, lines] = /^(\d{2,5})p$/.exec(word) ?? []
  if (lines !== undefined) return ratio >= 1 ? bounded(Number(lines) * ratio, Number(lines), 2) : bounded(Number(lines), Number(lines) / ratio, 2)
  const [, side] = /^(\d{2,5})(?:sq|px)?$/.exec(word) ?? []
  return side === undefined ? null : shaped(Number(side) ** 2, ratio)
}

/** Width to height: `16:9`, `16/9`, `landscape_16_9`, `portrait`; `null` for `auto` and what is none. */
function ratioIn (value: unknown): number | null {
  if (typeof value !== 'string') return null
  const word = value.trim().toLowerCase()
  const preset = sizeWords.get(word)
  if (preset !== undefined) return preset[0] / preset[1]
  if (Object.hasOwn(ratioWords, word)) return ratioWords[word] ?? null
  const [, width, height] = /^(\d{1,4}(?:\.\d{1,4})?)\s*[:/x]\s*(\d{1,4}(?:\.\d{1,4})?)$/.exec(word) ?? []
  const ratio = Number(width) / Number(height)
  return Number.isFinite(ratio) && ratio > 0 ? Math.min(MAX_RATIO, Math.max(1 / MAX_RATIO, ratio)) : null
}

function sidesIn (width: unknown, height: unknown): PixelSize | null {
  const wide = numberIn(width)
  const high = numberIn(height)
  // One side alone is that of a square.
  return wide === null && high === null ? null : bounded(wide ?? high ?? K, high ?? wide ?? K)
}

/** A size of about so many pixels, in this shape. */
function shaped (pixels: number, ratio: number): PixelSize {
  return bounded(Math.sqrt(pixels * ratio), Math.sqrt(pixels / ratio), SIDE_STEP)
}

function bounded (width: number, height: number, step = 1): PixelSize {
  const side = (length: number): number => Math.min(MAX_SIDE, Math.max(step, Math.round(length / step) * step))
  return { width: side(width), height: side(height) }
}

/** A number above 0, also as a text. */
function numberIn (value: unknown): number | null {
  const number = typeof value === 'number' ? value : typeof value === 'string' && /^\d{1,6}(\.\d{1,6})?$/.test(value) ? Number(value) : NaN
  return Number.isFinite(number) && number > 0 ? number : null
}
