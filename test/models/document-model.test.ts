// A model out of a document: what the gateway asks it is answered from there, and a document that cannot be used fails no call with anything but a sentence.

import t from 'tap'
import { readDocument } from '../../src/models/document.ts'
import { createDocumentModel, inputFaultOf } from '../../src/models/document-model.ts'
import type { Model } from '../../src/models/model.ts'
import { parsePriceRule } from '../../src/models/price-rule.ts'
import { DOCUMENT_ID, falDocumentText, plainOutput } from '../support/fal-documents.ts'

type Json = Readonly<Record<string, unknown>>

function modelOf (properties: Json, { required = [] as readonly string[], price = { usd: 0.1, per: 'call' } as Json, output = plainOutput, input = {} as Json } = {}): Model {
  const read = readDocument(falDocumentText({ type: 'object', properties, required, ...input }, output, { category: 'text-to-image', about: 'Paints.' }), DOCUMENT_ID)
  const parsed = parsePriceRule(price)
  if (!read.ok || !parsed.ok) throw new Error('the test\'s own document or price is faulty')
  return createDocumentModel({ document: read.document, rule: parsed.rule, cacheVersion: 3, isOpen: true })
}

const text = { type: 'string' }

t.test('a model says of itself what its document says', async t => {
  t.match(modelOf({ prompt: text, seed: { type: 'integer' } }), {
    endpointId: DOCUMENT_ID,
    description: 'Paints.',
    category: 'text-to-image',
    isDeprecated: false,
    cacheVersion: 3,
    seed: 'in',
    takesFiles: false,
    isOpen: true
  })
})

t.test('a body is read into what was given and, beside it, the valid defaults that are asked for', async t => {
  const model = modelOf({ prompt: text, num_images: { type: 'integer', default: 1 }, steps: { type: 'integer', default: 'many' } }, { required: ['prompt'] })
  t.match(model.readInput({ prompt: 'a' }, { unknownFields: 'refuse', sentDefaults: ['num_images', 'steps'] }), { ok: true, given: { prompt: 'a' }, sent: { prompt: 'a', num_images: 1 } })
  t.match(model.readInput({ promt: 'a' }, { unknownFields: 'refuse', sentDefaults: [] }), { ok: false })
  t.same([...model.defaults], [['num_images', 1]])
})

t.test('the example is the document\'s own where that is valid, and else what the model requires, filled in', async t => {
  t.same(modelOf({ prompt: text }, { input: { examples: [{ prompt: 'Own words' }] } }).example, { prompt: 'Own words' })
  t.same(modelOf({ prompt: text, count: { type: 'integer', minimum: 2 } }, { required: ['prompt', 'count'], input: { examples: [{ prompt: 1 }] } }).example, { prompt: 'A red bicycle leaning on a blue wall', count: 2 })
  t.same(modelOf({ prompt: { ...text, examples: ['A fair'] }, seed: { type: 'integer' } }).example, { prompt: 'A fair', seed: 42 }, 'with a seed, so that it is bought once')
  t.same(modelOf({ image_urls: { type: 'array', items: text }, mode: { enum: ['fast', 'slow'] }, size: { anyOf: [{ type: 'object', properties: { width: { type: 'integer', minimum: 8 } }, required: ['width'] }, { type: 'null' }] } }, { required: ['image_urls', 'mode', 'size'] }).example, {
    image_urls: ['https://example.com/picture.png'], mode: 'fast', size: { width: 8 }
  })
})

t.test('the files of a call are counted by the fields that say so, and what is left out counts as its default', async t => {
  const count = { type: 'integer', minimum: 1, maximum: 4 }
  const model = modelOf({ num_images: { ...count, default: 1 }, max_images: count })
  t.equal(model.filesOf({ num_images: 3, max_images: 2 }), 6)
  t.equal(model.filesOf({}), 4, 'without a default as many as may be')
  t.equal(modelOf({ prompt: text }).filesOf({}), 1)
  t.equal(modelOf({ takes: count }, { price: { usd: 1, per: 'image', count: 'takes' } }).filesOf({ takes: 4 }), 4)
})

t.test('pictures are asked for where the answer holds some', async t => {
  const fields = { num_images: { type: 'integer' }, image_size: text }
  t.same(modelOf(fields).pictures({ num_images: 2, image_size: 'square' }), [{ width: 512, height: 512 }, { width: 512, height: 512 }])
  const file = { type: 'object', properties: { url: text } }
  t.equal(modelOf(fields, { output: { type: 'object', properties: { image: file } } }).pictures({}).length, 1)
  t.same(modelOf(fields, { output: { type: 'object', properties: { video: file } } }).pictures({}), [])
})

t.test('a model takes files by what its document marks, or by the names of fields', async t => {
  for (const [name, schema] of Object.entries<Json>({
    image_url: text, image_urls: { type: 'array', items: text }, audio_url: text, voice: text, zip_file: text, source: { ...text, ui: { field: 'audio' } }, thing: { ...text, format: 'data-uri' }
  })) t.equal(modelOf({ [name]: schema }).takesFiles, true, name)
  for (const [name, schema] of Object.entries<Json>({
    prompt: text, webhook_url: text, num_images: { type: 'integer' }, image_size: { enum: ['square'] }, voice: { enum: ['low', 'high'] }, images: { type: 'boolean' }
  })) t.equal(modelOf({ [name]: schema }).takesFiles, false, name)
})

t.test('what reading needs is compiled piece by piece, until nothing is left', async t => {
  const model = modelOf({ prompt: text, steps: { type: 'integer' } })
  let pieces = 0
  while (model.compileNext()) pieces++
  t.ok(pieces > 0)
  t.equal(model.compileNext(), false)
  t.equal(modelOf({ prompt: { ...text, pattern: '(?=a)b' } }).compileNext(), false, 'what cannot be is left')
})

t.test('a call of a model whose schema cannot be compiled is refused in a sentence, and the fault is told to those that ask for it', async t => {
  const model = modelOf({ prompt: { type: 'string', pattern: '(?=a)b' } })
  t.match(model.readInput({ prompt: 'a' }, { unknownFields: 'refuse', sentDefaults: [] }), { ok: false, faults: [{ path: '', code: 'model_unusable' }] })
  t.same([...model.defaults], [])
  t.same(model.example, { prompt: 'A red bicycle leaning on a blue wall' })
  t.match(inputFaultOf(model), /has a pattern that cannot be checked in bounded time/)
  t.equal(inputFaultOf(modelOf({ prompt: text })), null)
})
