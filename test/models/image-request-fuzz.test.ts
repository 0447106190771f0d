// Whatever is asked for in OpenAI's words, of whichever model: nothing of it is left out in silence, and what is sent in other words fits the model.

import fc from 'fast-check'
import t from 'tap'
import { mapImageRequest, MAX_PICTURES } from '../../src/models/image-request.ts'
import type { ModelInput } from '../../src/models/model.ts'
import { anySize, count, modelWith, oneOf } from '../support/image-models.ts'

const fields: Readonly<Record<string, readonly object[]>> = {
  num_images: [count(4), count(1), count(10, 2)],
  image_size: [anySize, oneOf('square_hd', 'portrait_16_9'), { type: 'string' }],
  aspect_ratio: [oneOf('1:1', '2:3', '16:9'), oneOf('auto', '1:1'), { type: 'string' }],
  resolution: [oneOf('1K', '2K', '4K')],
  width: [{ type: 'integer', minimum: 256, maximum: 2048 }],
  height: [{ type: 'integer', minimum: 256, maximum: 2048 }],
  size: [oneOf('1024x1024', 'auto')],
  quality: [oneOf('low', 'high')],
  output_format: [oneOf('jpg', 'png'), oneOf('jpeg')],
  background: [oneOf('auto', 'transparent')],
  user: [{ type: 'string' }],
  seed: [{ type: 'integer' }]
}

const model = fc.record(Object.fromEntries(Object.entries(fields).map(([name, schemas]) => [name, fc.constantFrom(...schemas)])), { requiredKeys: [] }).map(fields => modelWith(fields))

const odd = fc.constantFrom<unknown>(null, true, 0, 1.5, -1, '', 'x', [], {}, [1], { a: 1 }, 2 ** 60)

const body = fc.record({
  prompt: fc.oneof({ weight: 9, arbitrary: fc.constant<unknown>('a fair') }, { weight: 1, arbitrary: odd }),
  model: fc.constant('any'),
  n: fc.oneof(fc.integer({ min: -1, max: 12 }), odd),
  size: fc.oneof(fc.constantFrom('auto', '1024x1024', '1024x1536', '1792x1024', '100x30000', '0x0', '16:9', 'square_hd'), odd),
  quality: fc.oneof(fc.constantFrom('auto', 'standard', 'hd', 'high'), odd),
  response_format: fc.oneof(fc.constantFrom('url', 'b64_json'), odd),
  style: fc.constantFrom('vivid', 'natural'),
  user: fc.string({ maxLength: 5 }),
  background: fc.constantFrom('auto', 'opaque', 'transparent'),
  moderation: fc.constantFrom('auto', 'low'),
  output_format: fc.constantFrom('png', 'jpeg', 'webp'),
  output_compression: fc.oneof(fc.constant(100), odd),
  partial_images: fc.oneof(fc.constantFrom(0, 1, 3), odd),
  stream: fc.oneof(fc.boolean(), odd),
  num_images: fc.constantFrom(1, 2),
  aspect_ratio: fc.constantFrom('1:1', 'x'),
  resolution: fc.constantFrom('1K', '9K'),
  seed: fc.oneof(fc.integer(), odd),
  ['__proto__']: odd,
  constructor: odd
}, { requiredKeys: ['prompt'] }).map((body): ModelInput => Object.fromEntries(Object.entries(body)))

/** What says how pictures are sent, and nothing of them. */
const aside = new Set(['model', 'response_format', 'stream'])

/** What is put in the place of words of OpenAI's. */
const made = ['num_images', 'image_size', 'aspect_ratio', 'resolution', 'width', 'height', 'size', 'output_format']

t.test('every field is sent as it is, told in other words, or a fault', async t => {
  fc.assert(fc.property(model, body, (model, asked) => {
    const mapping = mapImageRequest(asked, model)
    if (!mapping.ok) return mapping.faults.length > 0 && mapping.faults.every(({ path }) => Object.hasOwn(asked, path.slice(1)))
    const { mapped: { body: sent, changes, calls } } = mapping
    const silent = Object.entries(asked).filter(([name, value]) => value !== null && !aside.has(name) && !changes.has(name) && !(Object.hasOwn(sent, name) && sent[name] === value))
      // One picture, no partial ones, and what a size means that the model takes as it is.
      .filter(([name, value]) => !(name === 'n' && value === 1) && !(name === 'partial_images' && value === 0))
    const reading = model.readInput({ ...model.example, ...Object.fromEntries(Object.entries(sent).filter(([name]) => made.includes(name) && !Object.hasOwn(asked, name))) }, { unknownFields: 'refuse', sentDefaults: [] })
    return silent.length === 0 && reading.ok && calls >= 1 && calls <= MAX_PICTURES
  }), { numRuns: 3000 })
  t.pass('3000 requests')
})
