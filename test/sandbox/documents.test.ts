// Models that came as documents: their answers have the shape that the document gives them, and cost what their price rule says.

import t from 'tap'
import { createDocumentModel } from '../../src/models/document-model.ts'
import { readDocument } from '../../src/models/document.ts'
import type { Model } from '../../src/models/model.ts'
import { createModels } from '../../src/models/models.ts'
import { parsePriceRule } from '../../src/models/price-rule.ts'
import { DOCUMENT_ID, falDocumentText, promptAnd, referenceTo } from '../support/fal-documents.ts'
import { decodePng } from '../support/png.ts'
import { startSandbox, type RunningSandbox } from '../support/sandbox.ts'

type Json = Readonly<Record<string, unknown>>

const image = { type: 'object', title: 'Image', required: ['url'], properties: { url: { type: 'string' }, content_type: { anyOf: [{ type: 'string' }, { type: 'null' }] }, width: { type: 'integer' }, height: { type: 'integer' } } }
const file = { type: 'object', title: 'File', required: ['url'], properties: { url: { type: 'string' }, file_size: { type: 'integer' } } }
const images = { type: 'array', items: referenceTo('Image') }

function modelOf (fields: Json, members: Json, { price = { usd: 0.08, per: 'image' }, required = Object.keys(members), category = 'text-to-image', hasNoOutput = false }: { readonly price?: Json, readonly required?: readonly string[], readonly category?: string, readonly hasNoOutput?: boolean } = {}): Model {
  const read = readDocument(falDocumentText(
    promptAnd(fields),
    { type: 'object', required, properties: members },
    { components: { Image: image, File: file }, category, hasNoOutput }
  ), DOCUMENT_ID)
  if (!read.ok) throw new Error(read.fault)
  const parsed = parsePriceRule(price)
  if (!parsed.ok) throw new Error(parsed.faults.join())
  return createDocumentModel({ document: read.document, rule: parsed.rule, cacheVersion: 1, isOpen: true })
}

const counted = { num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1 } }

async function run (sandbox: RunningSandbox, input: object | string) {
  return await sandbox.call(`/run/${DOCUMENT_ID}`, { method: 'POST', body: typeof input === 'string' ? input : JSON.stringify(input) })
}

async function playing (t: Parameters<typeof startSandbox>[0], model: Model, options: Parameters<typeof startSandbox>[1] = {}): Promise<RunningSandbox> {
  return await startSandbox(t, { ...options, models: createModels([model]) })
}

function urlsIn (body: unknown): readonly string[] {
  const list: unknown = Reflect.get(Object(body), 'images')
  return Array.isArray(list) ? list.map(one => String(Reflect.get(Object(one), 'url'))) : []
}

t.test('four pictures are four units, of the size that was asked for, and four different ones', async t => {
  const sandbox = await playing(t, modelOf({ ...counted, aspect_ratio: { type: 'string', enum: ['1:1', '16:9'] } }, { images }))
  const { status, headers, body } = await run(sandbox, { prompt: 'a heron', num_images: 4, aspect_ratio: '16:9' })
  t.equal(status, 200)
  t.equal(headers.get('x-fal-billable-units'), '4')
  const urls = urlsIn(body)
  t.equal(new Set(urls).size, 4)
  t.match(body, { images: [{ content_type: 'image/png', file_name: 'output.png', width: 1360, height: 768 }] })
  const png = decodePng(Buffer.from(await (await fetch(urls[3] ?? '')).arrayBuffer()))
  t.match(png, { width: 1360, height: 768 })
  t.equal(sandbox.bill.billedUnits, 4)
})

t.test('units are the price by the price of one, exactly', async t => {
  const resolution = { type: 'string', enum: ['1K', '4K'], default: '1K' }
  const fields = { ...counted, resolution, search: { type: 'boolean', default: false } }
  const rule = { usd: 0.08, per: 'image', times: { resolution: { '1K': 1, '4K': 2 } }, plus: { search: { false: 0, true: 0.015 } } }
  for (const [price, input, units] of [
    [rule, { resolution: '4K' }, '2'],
    [rule, { num_images: 2 }, '2'],
    [rule, { search: true }, '1.1875'],
    [{ ...rule, usd: 0.06 }, { search: true }, '1.25'],
    [{ ...rule, usd: 0.09 }, { search: true }, '1.166666666666'],
    [{ max_usd: 0.5 }, { num_images: 3 }, '1']
  ] as const) {
    const sandbox = await playing(t, modelOf(fields, { images }, { price }))
    t.equal((await run(sandbox, { prompt: 'a heron', ...input })).headers.get('x-fal-billable-units'), units, JSON.stringify(input))
  }
})

t.test('4K is drawn in full', async t => {
  const sandbox = await playing(t, modelOf({ resolution: { type: 'string' } }, { images }))
  const { body } = await run(sandbox, { prompt: 'a heron', resolution: '4K' })
  t.match(decodePng(Buffer.from(await (await fetch(urlsIn(body)[0] ?? '')).arrayBuffer())), { width: 4096, height: 4096 })
})

t.test('an answer has what its document requires, and nothing in it claims to be the model\'s', async t => {
  const rows: readonly (readonly [title: string, members: Json, expected: Json, options?: Parameters<typeof modelOf>[2]])[] = [
    ['one picture', { image: referenceTo('Image') }, { image: { url: String, width: 1024 } }],
    ['a picture that may be null', { image: { anyOf: [referenceTo('Image'), { type: 'null' }] } }, { image: { url: String } }],
    ['pictures that are not required', { images }, { images: [{ url: String }] }, { required: [] }],
    ['masks', { masks: images }, { masks: [{ url: String }] }],
    ['side facts', { images, seed: { type: 'integer' }, prompt: { type: 'string' }, timings: { type: 'object', additionalProperties: { type: 'number' } }, has_nsfw_concepts: { type: 'array', items: { type: 'boolean' } }, description: { type: 'string' } },
      { images: [{}], seed: 7, prompt: 'a heron', timings: {}, has_nsfw_concepts: [false], description: 'Drawn by the sandbox, not by the model.' }],
    ['words, numbers and objects', { images, mode: { type: 'string', enum: ['fast'] }, version: { const: 3 }, cost: { type: 'number' }, meta: { type: 'object', required: ['note'], properties: { note: { type: 'string' } } }, left: { anyOf: [{ type: 'integer' }, { type: 'null' }] } },
      { mode: 'fast', version: 3, cost: 0, meta: { note: 'Made by the sandbox, not by the model.' }, left: null }],
    ['a sound', { audio: referenceTo('File') }, { audio: { url: /\.wav$/, content_type: 'audio/wav' } }, { category: 'text-to-audio' }],
    ['a video', { video: referenceTo('File') }, { video: { url: /\.mp4$/, content_type: 'video/mp4' } }, { category: 'text-to-video' }],
    ['a text', { output: { type: 'string' } }, { output: 'Made by the sandbox, not by the model.' }, { category: 'llm' }],
    ['nothing that is typed', {}, { images: [{ url: String }] }, { hasNoOutput: true }]
  ]
  for (const [title, members, expected, options] of rows) {
    const model = modelOf({ seed: { type: 'integer' } }, members, { ...options, price: { usd: 1, per: 'call' } })
    const sandbox = await playing(t, model)
    const { status, body } = await run(sandbox, { prompt: 'a heron', seed: 7 })
    t.equal(status, 200, title)
    t.match(body, expected, title)
    t.ok(model.answers.judge(body).isSuccess, `${title}: the gateway takes it for a success`)
    for (const address of model.answers.filesIn(body)) t.equal((await fetch(address)).status, 200, title)
  }
})

t.test('a seed of any size keeps its digits', async t => {
  const sandbox = await playing(t, modelOf({ seed: { type: 'integer' } }, { images, seed: { type: 'integer' } }))
  t.match((await run(sandbox, '{"prompt":"a heron","seed":196619188014358660}')).text, '"seed":196619188014358660')
})

t.test('JPEG and WebP are written as asked, and say that they are not the model\'s', async t => {
  const sandbox = await playing(t, modelOf({ output_format: { type: 'string', enum: ['png', 'jpeg', 'webp'] }, image_size: { type: 'string' } }, { images }))
  for (const [format, start] of [['jpeg', 'ffd8ff'], ['webp', '52494646']] as const) {
    const { body } = await run(sandbox, { prompt: 'a heron', output_format: format, image_size: 'square' })
    t.match(body, { images: [{ content_type: `image/${format}`, file_name: `output.${format}` }] })
    const response = await fetch(urlsIn(body)[0] ?? '')
    t.equal(response.headers.get('content-type'), `image/${format}`)
    const bytes = Buffer.from(await response.arrayBuffer())
    t.equal(bytes.toString('hex', 0, start.length / 2), start)
    t.ok(bytes.includes('not by the model'))
  }
})

t.test('without the encoder the picture is PNG, and says so', async t => {
  const sandbox = await playing(t, modelOf({ output_format: { type: 'string' } }, { images }), { formats: new Set(['png']) })
  const { body } = await run(sandbox, { prompt: 'a heron', output_format: 'webp' })
  t.match(body, { images: [{ url: /\.png$/, content_type: 'image/png', file_name: 'output.png' }] })
  t.equal((await fetch(urlsIn(body)[0] ?? '')).headers.get('content-type'), 'image/png')
})

t.test('with sync_mode the pictures are inside the answer, by the queue as well, unless the word means something else', async t => {
  const sandbox = await playing(t, modelOf({ sync_mode: { anyOf: [{ type: 'boolean' }, { type: 'string' }] }, image_size: { type: 'string' } }, { images }))
  const { body } = await run(sandbox, { prompt: 'a heron', sync_mode: true, image_size: 'square' })
  t.match(urlsIn(body), [/^data:image\/png;base64,/])
  t.match(decodePng(Buffer.from((urlsIn(body)[0] ?? '').replace(/^.*,/, ''), 'base64')), { width: 512, height: 512 })
  const id = await sandbox.submitted({ prompt: '"url":"http://x/files/y/z.png"', sync_mode: true, image_size: 'square' })
  t.match(urlsIn((await sandbox.call(`/queue/${DOCUMENT_ID.split('/').slice(0, 2).join('/')}/requests/${id}`)).body), [/^data:/])
  t.match(urlsIn((await run(sandbox, { prompt: 'a heron', sync_mode: 'loop' })).body), [/^http/])
})

t.test('what is wrong with an input is told in fal\'s form, and costs nothing', async t => {
  const fields = { ...counted, image_size: { anyOf: [{ type: 'string', enum: ['square'] }, { type: 'object', properties: { width: { type: 'integer', maximum: 100 } } }] }, urls: { type: 'array', items: { type: 'string' } }, short: { type: 'string', maxLength: 2 } }
  const sandbox = await playing(t, modelOf(fields, { images }))
  const { status, body, headers } = await run(sandbox, { num_images: 9, image_size: 3, urls: ['a', 1], short: 'long', unknown: true })
  t.equal(status, 422)
  t.equal(headers.get('x-fal-billable-units'), '0')
  t.match(body, {
    detail: [
      { loc: ['body', 'prompt'], msg: 'Field required', type: 'missing' },
      { loc: ['body', 'num_images'], type: 'less_than_equal', ctx: { le: 4 }, input: 9 },
      { loc: ['body', 'image_size'], msg: String, type: String },
      { loc: ['body', 'urls', 1], type: 'type_error', input: 1 },
      { loc: ['body', 'short'], type: 'sequence_too_long' }
    ]
  })
  t.equal(sandbox.bill.billedUnits, 0)
})

t.test('a model whose files the sandbox cannot make says so, and costs nothing', async t => {
  const sandbox = await playing(t, modelOf({}, { model_mesh: referenceTo('File') }, { category: 'image-to-3d', price: { usd: 1, per: 'call' } }))
  const { status, body, headers } = await run(sandbox, { prompt: 'a chair' })
  t.equal(status, 422)
  t.equal(headers.get('x-fal-billable-units'), '0')
  t.match(body, { detail: [{ type: 'sandbox_cannot_play', msg: /cannot play acme\/painter\/v1/ }] })
})
