// Two documents of one model: what may be asked for and what comes back is compared, not what is told about it.

import t from 'tap'
import { differencesBetween } from '../../src/models/difference.ts'
import { readDocument, type ModelDocument } from '../../src/models/document.ts'
import { DOCUMENT_ID, falDocumentText, plainOutput, referenceTo, type FalDocumentOptions } from '../support/fal-documents.ts'

type Json = Readonly<Record<string, unknown>>

function documentOf (properties: Json, options: FalDocumentOptions & { readonly required?: readonly string[], readonly output?: Json } = {}): ModelDocument {
  const read = readDocument(falDocumentText({ type: 'object', properties, required: options.required ?? [] }, options.output ?? plainOutput, options), DOCUMENT_ID)
  if (!read.ok) throw new Error(read.fault)
  return read.document
}

const text = { type: 'string' }

/** The differences as an operator reads them. */
function told (before: ModelDocument, after: ModelDocument): readonly string[] {
  return differencesBetween(before, after).map(({ kind, place, name, text }) => `${kind} ${place} ${name}: ${text}`)
}

t.test('fields that came, went and changed are told with what they are', async t => {
  const before = documentOf({ prompt: text, steps: { type: 'integer', minimum: 1, maximum: 50, default: 28 }, style: text }, { required: ['prompt'] })
  const after = documentOf({ prompt: text, steps: { type: 'integer', minimum: 1, maximum: 20, default: 10 }, ratio: { enum: ['1:1', '16:9'] } }, { required: ['prompt', 'ratio'] })
  t.same(told(before, after), [
    'changed input steps: whole number, 1 to 50, default 28 → whole number, 1 to 20, default 10',
    'removed input style: text',
    'added input ratio: one of 1:1, 16:9, required'
  ])
})

t.test('what is required, deprecated or far inside is told, too, and so is the answer', async t => {
  const size = (limit: number): Json => ({ type: 'object', properties: { width: { type: 'integer', maximum: limit } } })
  t.same(told(documentOf({ a: text }), documentOf({ a: text }, { required: ['a'] })), ['changed input a: text → text, required'])
  t.same(told(documentOf({ a: text }), documentOf({ a: { ...text, deprecated: true } })), ['changed input a: text → text, deprecated'])
  t.same(told(documentOf({ size: size(1) }), documentOf({ size: size(2) })), ['changed input size: { width }: changed further inside'])
  t.same(told(documentOf({ a: text }), documentOf({ a: text }, { isDeprecated: true })), ['changed model deprecated: it is deprecated now'])
  t.same(told(documentOf({ a: text }), documentOf({ a: text }, { output: { ...plainOutput, properties: { ...plainOutput['properties'] as Json, seed: { type: 'integer' } } } })), ['added output seed: whole number'])
})

t.test('texts, orders, vendors\' words and names of components are no difference', async t => {
  const size = { type: 'object', properties: { width: { type: 'integer' }, height: { type: 'integer' } } }
  const before = documentOf({ a: { ...text, title: 'A', description: 'One thing', 'x-fal': { fps: 1 } }, size: referenceTo('Size'), word: { enum: ['x', 'y'] } }, { components: { Size: size }, required: ['a', 'size'] })
  const after = documentOf({ word: { enum: ['y', 'x'] }, size: referenceTo('ImageSize'), a: { ...text, description: 'Another', examples: ['b'] } }, {
    components: { ImageSize: { ...size, properties: { height: { type: 'integer', title: 'Height' }, width: { type: 'integer' } } } }, required: ['size', 'a'], about: 'Other words'
  })
  t.same(told(before, after), [])
})

t.test('a field that is named like a word for people is compared as any other', async t => {
  t.same(told(documentOf({ title: { type: 'object', properties: { title: text } } }), documentOf({ title: { type: 'object', properties: { title: { type: 'integer' } } } })), ['changed input title: { title }: changed further inside'])
})
