// Imagen 4 Ultra on fal: text to image, one picture a call.
// Source of every fact: the model's page on fal (October 2025 state) and, for pixel sizes, Google's table for Imagen 4.

import { Type } from '@sinclair/typebox'
import { isObject } from '../schema.ts'
import { createBuiltIn, type BuiltIn } from './built-in-model.ts'
import { NOT_BLANK } from './faults.ts'
import { oneOf, text } from './fields.ts'
import type { ModelInput, PixelSize } from './model.ts'
import { sizeWords } from './usual-fields.ts'

const aspectRatios = ['1:1', '16:9', '9:16', '3:4', '4:3'] as const
const resolutions = ['1K', '2K'] as const

/** Width and height at `1K`; `2K` doubles both. */
const pixelsAt1K: Readonly<Record<string, readonly [width: number, height: number]>> = {
  '1:1': [1024, 1024],
  '16:9': [1408, 768],
  '9:16': [768, 1408],
  '4:3': [1280, 896],
  '3:4': [896, 1280]
}

function sizeOf (input: ModelInput): PixelSize {
  const [width, height] = pixelsAt1K[String(input['aspect_ratio'])] ?? [1024, 1024]
  const factor = input['resolution'] === '2K' ? 2 : 1
  return { width: width * factor, height: height * factor }
}

/**
 * Many clients of fal's send `image_size`, as most of its models take it: a word, or width and height. Where it has exactly the shape of one of this model's
 * ratios, and no ratio was given, that is what was meant.
 */
function inOwnWords (body: ModelInput): ModelInput {
  if (!Object.hasOwn(body, 'image_size') || Object.hasOwn(body, 'aspect_ratio')) return body
  const { image_size: size, ...others } = body
  const [width, height] = typeof size === 'string' ? sizeWords.get(size) ?? [] : isObject(size) ? [size['width'], size['height']] : []
  const ratio = aspectRatios.find(ratio => isOfRatio(width, height, ratio))
  return ratio === undefined ? body : { ...others, aspect_ratio: ratio }
}

function isOfRatio (width: unknown, height: unknown, ratio: string): boolean {
  const [across, down] = ratio.split(':').map(Number)
  return typeof width === 'number' && typeof height === 'number' && width > 0 && height > 0 && width * (down ?? NaN) === height * (across ?? NaN)
}

/** What stands in its file. */
export const imagen4UltraDefinition: BuiltIn = {
  endpointId: 'fal-ai/imagen4/preview/ultra',
  title: 'Imagen 4 Ultra',
  description: 'Google\'s highest quality image generation model: one picture from a text.',
  category: 'text-to-image',
  cacheVersion: 1,
  price: { usd: 0.06, per: 'image' },
  pictures: input => [sizeOf(input)],
  inOwnWords,
  example: { prompt: 'A red bicycle leaning on a blue wall', seed: 42 },
  input: Type.Object({
    prompt: text({ description: 'What the picture shows.', minLength: 1, pattern: NOT_BLANK, examples: ['A red bicycle leaning on a blue wall, morning light'] }),
    negative_prompt: Type.Optional(text({ description: 'What to keep out of the picture.', default: '' })),
    aspect_ratio: Type.Optional(oneOf(aspectRatios, { description: 'Width to height of the picture.', default: '1:1' })),
    num_images: Type.Optional(Type.Integer({ description: 'How many pictures; this model makes one a call.', minimum: 1, maximum: 1, default: 1 })),
    seed: Type.Optional(Type.Integer({ description: 'Any whole number of at most 1,000 digits: the model reads JSON in Python, which takes no integer of more than 4,300. With the same seed the same request is bought once. `-1` is a seed like every other, and none by chance: leave the field out for that.', examples: [42] })),
    resolution: Type.Optional(oneOf(resolutions, { description: 'Size of the picture: about one or about four million pixels.', default: '1K' }))
  }, { additionalProperties: false, title: 'Imagen4UltraInput', description: 'What to make.' }),
  output: Type.Object({
    images: Type.Array(Type.Object({
      url: Type.String({ description: 'Where the picture is. Anybody who knows the address can read it.' }),
      content_type: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      file_name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      file_size: Type.Optional(Type.Union([Type.Integer(), Type.Null()], { description: 'Bytes.' }))
    }, { additionalProperties: true })),
    seed: Type.Optional(Type.Integer({ description: 'The seed that was used, where the model names it.' }))
  }, { additionalProperties: true, title: 'Imagen4UltraOutput', description: 'The model\'s answer, byte for byte.' })
}

export const imagen4Ultra = createBuiltIn(imagen4UltraDefinition)
