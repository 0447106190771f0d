// A folder of models for the benchmark: documents as large and as deep as those of picture models are, each of another endpoint.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commonComponents, orNull, referenceTo } from '../support/fal-documents.ts'
import { modelFile, type ModelFileOptions } from '../support/model-files.ts'

type Json = Readonly<Record<string, unknown>>

/** Says at some length what a field is for, as documents do. */
function about (title: string, what: string): Json {
  return { title, description: `${what} Lower values follow the text less and leave the model more freedom; higher ones do the opposite.` }
}

const properties: Json = {
  prompt: { type: 'string', minLength: 1, maxLength: 5000, examples: ['A lighthouse in a storm, oil on canvas'], ...about('Prompt', 'What the picture shows.') },
  negative_prompt: { type: 'string', default: '', ...about('Negative Prompt', 'What to keep out of the picture.') },
  image_size: { anyOf: [referenceTo('ImageSize'), { type: 'string', enum: ['square_hd', 'square', 'portrait_4_3', 'portrait_16_9', 'landscape_4_3', 'landscape_16_9'] }], default: 'landscape_4_3', ...about('Image Size', 'The size of the picture.') },
  num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1, ...about('Num Images', 'How many pictures.') },
  num_inference_steps: { type: 'integer', minimum: 1, maximum: 50, default: 28, ...about('Num Inference Steps', 'How many steps are taken.') },
  guidance_scale: { type: 'number', minimum: 0, maximum: 20, default: 3.5, ...about('Guidance Scale', 'How close the picture is to the text.') },
  seed: orNull({ type: 'integer', ...about('Seed', 'The same seed and the same text make the same picture.') }),
  loras: { type: 'array', items: referenceTo('LoraWeight'), maxItems: 5, default: [], ...about('Loras', 'Weights that are merged in.') },
  controls: { type: 'array', items: referenceTo('Control'), default: [], ...about('Controls', 'Pictures that guide it.') },
  output_format: { type: 'string', enum: ['jpeg', 'png', 'webp'], default: 'jpeg', ...about('Output Format', 'The format of the picture.') },
  enable_safety_checker: { type: 'boolean', default: true, ...about('Enable Safety Checker', 'Whether pictures are looked at.') },
  acceleration: { type: 'string', enum: ['none', 'regular', 'high'], default: 'none', ...about('Acceleration', 'How much is done for speed.') }
}

const components: Json = {
  ...commonComponents,
  LoraWeight: { type: 'object', title: 'LoraWeight', required: ['path'], properties: { path: { type: 'string', ...about('Path', 'Where the weights are.') }, scale: { type: 'number', minimum: 0, maximum: 4, default: 1, ...about('Scale', 'How strong they are.') } } },
  Control: {
    type: 'object',
    title: 'Control',
    required: ['path', 'picture'],
    properties: {
      path: { type: 'string', ...about('Path', 'Where the weights are.') },
      picture: { type: 'string', ...about('Picture', 'Where the picture is.') },
      strength: { type: 'number', minimum: 0, maximum: 2, default: 1, ...about('Strength', 'How strong it is.') },
      mask: orNull({ type: 'string', ...about('Mask', 'Which part it is for.') })
    }
  }
}

const output: Json = {
  type: 'object',
  title: 'PainterOutput',
  required: ['images', 'seed'],
  properties: {
    images: { type: 'array', items: referenceTo('File'), title: 'Images', description: 'The pictures.' },
    seed: { type: 'integer', title: 'Seed', description: 'The seed that was used.' },
    timings: { type: 'object', additionalProperties: { type: 'number' }, title: 'Timings' },
    prompt: { type: 'string', title: 'Prompt', description: 'The text that was used.' }
  }
}

/** What the file of one of these models is made of. */
export function benchModel (index: number): ModelFileOptions {
  return {
    endpointId: `acme/painter-${index}/v1`,
    // Titles and texts of a document are its own.
    input: { type: 'object', title: `Painter${index}Input`, required: ['prompt'], properties, 'x-fal-order-properties': Object.keys(properties) },
    output,
    components,
    about: `Painter ${index} makes pictures from a text.`,
    price: { usd: 0.025, per: 'image', max_usd: 0.1 }
  }
}

/** An input with every field, and what such a model answers. */
export const fullInput: Json = {
  prompt: 'A lighthouse in a storm, oil on canvas',
  negative_prompt: 'people',
  image_size: { width: 1024, height: 768 },
  num_images: 2,
  num_inference_steps: 30,
  guidance_scale: 4.5,
  seed: 42,
  loras: [{ path: 'https://files.example/weights', scale: 0.8 }],
  controls: [{ path: 'https://files.example/weights', picture: 'https://files.example/picture', strength: 0.5, mask: null }],
  output_format: 'png',
  enable_safety_checker: false,
  acceleration: 'regular'
}

export const fullOutput: Json = { images: [{ url: 'https://files.example/1.png', content_type: 'image/png', file_size: 1048576 }], seed: 42, timings: { inference: 1.25 }, prompt: 'A lighthouse in a storm, oil on canvas' }

/** Writes so many models below a folder. Gives the bytes of a file, on average. */
export function writeModels (dir: string, count: number): number {
  mkdirSync(dir, { recursive: true })
  let bytes = 0
  for (let index = 0; index < count; index++) {
    const { name, text } = modelFile(benchModel(index))
    bytes += Buffer.byteLength(text)
    writeFileSync(join(dir, name), text)
  }
  return bytes / count
}
