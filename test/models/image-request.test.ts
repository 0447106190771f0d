// What OpenAI's clients ask for is said in the words that the model's own schema has; what it has no words for is a fault that names the field.

import t from 'tap'
import { mapImageRequest } from '../../src/models/image-request.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import type { Model } from '../../src/models/model.ts'
import { anySize, count, modelWith, oneOf } from '../support/image-models.ts'

type Json = Readonly<Record<string, unknown>>

const shaped = modelWith({ aspect_ratio: oneOf('auto', '1:1', '2:3', '3:2', '16:9'), resolution: oneOf('0.5K', '1K', '2K'), num_images: count(4) })
const sized = modelWith({ image_size: anySize, quality: oneOf('low', 'high', 'auto'), output_format: oneOf('jpg', 'png'), background: oneOf('opaque', 'transparent') })
const worded = modelWith({ image_size: oneOf('square_hd', 'portrait_4_3', 'landscape_16_9') })
const sided = modelWith({ width: { type: 'integer', minimum: 64, maximum: 2048 }, height: { type: 'integer', minimum: 64, maximum: 2048 } })
const free = modelWith({ aspect_ratio: { type: 'string' }, num_images: count(4, 2), user: { type: 'string' } })
const plain = modelWith({})

interface Row { readonly title: string, readonly model: Model, readonly asked: Json, readonly sent: Json, readonly changes?: Json, readonly calls?: number, readonly format?: string, readonly isStream?: boolean }

const rows: readonly Row[] = [
  { title: 'a prompt alone stays', model: plain, asked: { prompt: 'p' }, sent: { prompt: 'p' } },
  { title: 'a null says nothing', model: plain, asked: { prompt: 'p', n: null, size: null, quality: null, seed: null, stream: null }, sent: { prompt: 'p' } },
  { title: 'fields of the model pass as they are', model: shaped, asked: { prompt: 'p', seed: 7, aspect_ratio: '2:3', loras: [1] }, sent: { prompt: 'p', seed: 7, aspect_ratio: '2:3', loras: [1] } },
  { title: 'model and response_format are not sent', model: plain, asked: { prompt: 'p', model: 'x', response_format: 'b64_json' }, sent: { prompt: 'p' }, format: 'b64_json' },
  { title: 'OpenAI\'s own format where the model has no field for it', model: plain, asked: { prompt: 'p', output_format: 'png' }, sent: { prompt: 'p' }, changes: { output_format: 'not sent' } },
  { title: 'another format, which is a fault then', model: plain, asked: { prompt: 'p', output_format: 'webp' }, sent: { prompt: 'p', output_format: 'webp' } },
  { title: 'a format that the model\'s field does not take', model: modelWith({ output_format: oneOf('jpeg', 'webp') }), asked: { prompt: 'p', output_format: 'png' }, sent: { prompt: 'p', output_format: 'png' } },
  { title: 'stream is not sent', model: plain, asked: { prompt: 'p', stream: true, partial_images: 2 }, sent: { prompt: 'p' }, isStream: true, changes: { partial_images: 'none are made' } },
  { title: 'n is num_images where the model makes so many', model: shaped, asked: { prompt: 'p', n: 4 }, sent: { prompt: 'p', num_images: 4 }, changes: { n: 'num_images=4' } },
  { title: 'more than a call makes are calls', model: shaped, asked: { prompt: 'p', n: 5 }, sent: { prompt: 'p' }, calls: 5, changes: { n: '5 calls' } },
  { title: 'a model without a count is called n times', model: plain, asked: { prompt: 'p', n: 2 }, sent: { prompt: 'p' }, calls: 2, changes: { n: '2 calls' } },
  { title: 'one picture is asked for, whatever the model makes by default', model: free, asked: { prompt: 'p' }, sent: { prompt: 'p', num_images: 1 }, changes: { n: 'num_images=1' } },
  { title: 'each of many calls makes one', model: free, asked: { prompt: 'p', n: 6 }, sent: { prompt: 'p', num_images: 1 }, calls: 6, changes: { n: '6 calls' } },
  { title: 'the model\'s own count stays', model: free, asked: { prompt: 'p', num_images: 3 }, sent: { prompt: 'p', num_images: 3 } },
  { title: 'a size where the model takes pixels', model: sized, asked: { prompt: 'p', size: '1024x1536' }, sent: { prompt: 'p', image_size: { width: 1024, height: 1536 } }, changes: { size: 'image_size={"width":1024,"height":1536}' } },
  { title: 'a size as width and height', model: sided, asked: { prompt: 'p', size: '1024x1536' }, sent: { prompt: 'p', width: 1024, height: 1536 }, changes: { size: 'width=1024 height=1536' } },
  { title: 'a word of the model\'s for the size', model: sized, asked: { prompt: 'p', size: 'landscape_4_3' }, sent: { prompt: 'p', image_size: 'landscape_4_3' }, changes: { size: 'image_size=landscape_4_3' } },
  { title: 'the word that is nearest in shape', model: worded, asked: { prompt: 'p', size: '1792x1024' }, sent: { prompt: 'p', image_size: 'landscape_16_9' }, changes: { size: 'image_size=landscape_16_9' } },
  { title: 'the nearest shape and resolution', model: shaped, asked: { prompt: 'p', size: '1024x1536' }, sent: { prompt: 'p', aspect_ratio: '2:3', resolution: '1K' }, changes: { size: 'aspect_ratio=2:3 resolution=1K' } },
  { title: 'a small square', model: shaped, asked: { prompt: 'p', size: '512x512' }, sent: { prompt: 'p', aspect_ratio: '1:1', resolution: '0.5K' }, changes: { size: 'aspect_ratio=1:1 resolution=0.5K' } },
  { title: 'a resolution that the caller names stays', model: shaped, asked: { prompt: 'p', size: '512x512', resolution: '2K' }, sent: { prompt: 'p', resolution: '2K', aspect_ratio: '1:1' }, changes: { size: 'aspect_ratio=1:1' } },
  { title: 'auto where the model has it', model: shaped, asked: { prompt: 'p', size: 'auto' }, sent: { prompt: 'p', aspect_ratio: 'auto' }, changes: { size: 'aspect_ratio=auto' } },
  { title: 'auto elsewhere is to say nothing', model: plain, asked: { prompt: 'p', size: 'auto' }, sent: { prompt: 'p' }, changes: { size: 'not sent' } },
  { title: 'a shape that may be any text is said as a ratio', model: free, asked: { prompt: 'p', size: '1536x1024', n: 1 }, sent: { prompt: 'p', num_images: 1, aspect_ratio: '3:2' }, changes: { size: 'aspect_ratio=3:2', n: 'num_images=1' } },
  { title: 'the built-in model', model: imagen4Ultra, asked: { prompt: 'p', size: '1792x1024', n: 2 }, sent: { prompt: 'p', aspect_ratio: '16:9', resolution: '1K' }, calls: 2, changes: { size: 'aspect_ratio=16:9 resolution=1K', n: '2 calls' } },
  { title: 'the same word where the model has it', model: sized, asked: { prompt: 'p', quality: 'auto', background: 'transparent', output_format: 'png' }, sent: { prompt: 'p', quality: 'auto', background: 'transparent', output_format: 'png' } },
  { title: 'jpeg is jpg', model: sized, asked: { prompt: 'p', output_format: 'jpeg' }, sent: { prompt: 'p', output_format: 'jpg' }, changes: { output_format: 'jpg' } },
  { title: 'what asks for what is usual is not sent where there is no field for it', model: plain, asked: { prompt: 'p', quality: 'standard', background: 'auto', moderation: 'auto', output_compression: 100 }, sent: { prompt: 'p' }, changes: { quality: 'not sent', background: 'not sent', moderation: 'not sent', output_compression: 'not sent' } },
  { title: 'a user is named to models that ask for one', model: free, asked: { prompt: 'p', user: 'u', num_images: 1 }, sent: { prompt: 'p', user: 'u', num_images: 1 } },
  { title: 'and to no other', model: plain, asked: { prompt: 'p', user: 'u' }, sent: { prompt: 'p' }, changes: { user: 'not sent' } }
]

for (const { title, model, asked, sent, changes = {}, calls = 1, format = null, isStream = false } of rows) {
  t.test(title, async t => {
    const mapping = mapImageRequest(asked, model)
    if (!mapping.ok) throw new Error(JSON.stringify(mapping.faults))
    const { mapped } = mapping
    t.same({ sent: mapped.body, changes: Object.fromEntries(mapped.changes), calls: mapped.calls, format: mapped.format, isStream: mapped.isStream }, { sent, changes, calls, format, isStream })
  })
}

const faulty: readonly { readonly title: string, readonly model: Model, readonly asked: Json, readonly path: string, readonly says: RegExp }[] = [
  { title: 'n is a whole number from 1 to 10', model: plain, asked: { n: 11 }, path: '/n', says: /from 1 to 10/ },
  { title: 'n is no text', model: plain, asked: { n: '2' }, path: '/n', says: /whole number/ },
  { title: 'n beside the model\'s own count', model: free, asked: { n: 2, num_images: 2 }, path: '/n', says: /beside num_images/ },
  { title: 'a size that is none', model: shaped, asked: { size: 'large' }, path: '/size', says: /such as 1024x1536, or auto/ },
  { title: 'a size of a model that has no field for it', model: plain, asked: { size: '1024x1024' }, path: '/size', says: /no field for a size/ },
  { title: 'a size beside the model\'s own', model: shaped, asked: { size: '1024x1024', aspect_ratio: '1:1' }, path: '/size', says: /beside aspect_ratio/ },
  { title: 'a side that the model does not make', model: sided, asked: { size: '4096x4096' }, path: '/size', says: /fits no value of width and height/ },
  { title: 'a form of answers that is none', model: plain, asked: { response_format: 'png' }, path: '/response_format', says: /url, b64_json/ },
  { title: 'stream is true or false', model: plain, asked: { stream: 'yes' }, path: '/stream', says: /true or false/ },
  { title: 'a stream is of one call', model: plain, asked: { stream: true, n: 2 }, path: '/stream', says: /n has to be 1/ },
  { title: 'partial images are 0 to 3', model: plain, asked: { partial_images: 4 }, path: '/partial_images', says: /0 to 3/ }
]

for (const { title, model, asked, path, says } of faulty) {
  t.test(`a fault: ${title}`, async t => {
    t.match(mapImageRequest({ prompt: 'p', ...asked }, model), { ok: false, faults: [{ path, message: says }] })
  })
}
