// What a model's answer has to hold to be a success, and where its files are.

import t from 'tap'
import { readDocument } from '../../src/models/document.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createOutputReader, type NoSuccess } from '../../src/models/output.ts'
import { DOCUMENT_ID, falDocumentText, plainInput, referenceTo, type FalDocumentOptions } from '../support/fal-documents.ts'

type Json = Readonly<Record<string, unknown>>

const file: Json = { type: 'object', required: ['url'], properties: { url: { type: 'string' }, content_type: { anyOf: [{ type: 'string' }, { type: 'null' }] } } }
const address = 'https://files.example/a.png'
const other = 'https://files.example/b.png'
const inside = 'data:image/png;base64,AAAA'

/** The error that a model answers for an input: every line has a `url`. */
const errorBody = { detail: [{ loc: ['body', 'prompt'], msg: 'refused', type: 'content_policy_violation', url: 'https://docs.example/errors' }] }

function reader (output: Json, options: FalDocumentOptions = {}) {
  const reading = readDocument(falDocumentText(plainInput, output, options), DOCUMENT_ID)
  if (!reading.ok) throw new Error(reading.fault)
  return createOutputReader(reading.document)
}

function object (properties: Json, required: readonly string[] = Object.keys(properties)): Json {
  return { type: 'object', properties, required }
}

const untyped = createOutputReader({ output: null })
const components = { File: file, registry__image__models__Image: { ...file, title: 'Image' } }
const pictures = object({ images: { type: 'array', items: referenceTo('File') }, seed: { type: 'integer' } })

interface Case { readonly output: Json | null, readonly answer: unknown, readonly files: readonly string[] }

const successes: Readonly<Record<string, Case>> = {
  'a list of files by reference': { output: pictures, answer: { images: [{ url: address }, { url: other }], seed: 1 }, files: [address, other] },
  'pictures inside the answer': { output: pictures, answer: { images: [{ url: inside, content_type: 'image/png' }] }, files: [inside] },
  'one file': { output: object({ video: referenceTo('File') }), answer: { video: { url: address } }, files: [address] },
  'a reference with words beside it': { output: object({ picture: { ...referenceTo('File'), description: 'It.' } }), answer: { picture: { url: address } }, files: [address] },
  'a component of a mangled name': { output: object({ all: { type: 'array', items: referenceTo('registry__image__models__Image') } }), answer: { all: [{ url: address }] }, files: [address] },
  'a file that may be null, and is not': { output: object({ picture: { anyOf: [referenceTo('File'), { type: 'null' }] } }), answer: { picture: { url: address } }, files: [address] },
  'a file that is null beside a list of masks': { output: object({ image: { anyOf: [referenceTo('File'), { type: 'null' }] }, masks: { type: 'array', items: referenceTo('File') } }), answer: { image: null, masks: [{ url: address }] }, files: [address] },
  'null in a list of files that may be null': { output: object({ frames: { type: 'array', items: { anyOf: [referenceTo('File'), { type: 'null' }] } } }), answer: { frames: [null, { url: address }] }, files: [address] },
  'a file by `allOf`': { output: object({ picture: { allOf: [referenceTo('File')] } }), answer: { picture: { url: address } }, files: [address] },
  'files by name': { output: object({ meshes: { type: 'object', additionalProperties: referenceTo('File') } }), answer: { meshes: { low: { url: address }, high: { url: other } } }, files: [address, other] },
  'files in a tuple': { output: object({ pair: { type: 'array', prefixItems: [{ type: 'string' }, referenceTo('File')] } }), answer: { pair: ['a', { url: address }] }, files: [address] },
  'a file deep inside': { output: object({ results: { type: 'array', items: object({ frame: object({ still: referenceTo('File') }) }) } }), answer: { results: [{ frame: { still: { url: address } } }] }, files: [address] },
  'a training\'s files, one of which is null': { output: object({ weights: referenceTo('File'), config: referenceTo('File') }), answer: { weights: { url: address }, config: null }, files: [address] },
  'an answer that is itself the file': { output: file, answer: { url: address }, files: [address] },
  'a file whose address may be null, and is not': { output: object({ picture: object({ url: { anyOf: [{ type: 'string' }, { type: 'null' }] } }) }), answer: { picture: { url: address } }, files: [address] },
  'files in a member that the schema calls `detail`': { output: object({ detail: { type: 'array', items: referenceTo('File') } }), answer: { detail: [{ url: address }] }, files: [address] },

  'a picture with odd fields around it': { output: pictures, answer: { images: [{ url: address, content_type: 7, file_size: 'big', width: null }], seed: 'seven', timings: [] }, files: [address] },
  'a picture without the other required fields': { output: pictures, answer: { images: [{ url: address }] }, files: [address] },
  'a picture beside a `detail`': { output: pictures, answer: { images: [{ url: address }], detail: 'low' }, files: [address] },
  'one picture of several': { output: pictures, answer: { images: [{ url: '' }, null, 7, { url: other }] }, files: [other] },
  'one picture where a list was promised': { output: pictures, answer: { images: { url: address } }, files: [address] },
  'a picture under the other usual name': { output: pictures, answer: { image: { url: address } }, files: [address] },
  'addresses where files were promised': { output: pictures, answer: { images: [address, other] }, files: [address, other] },
  'a file\'s data without an address': { output: pictures, answer: { images: [{ url: null, file_data: 'AAAA' }] }, files: [] },
  'a picture as a text': { output: object({ image: { type: 'string' } }), answer: { image: 'AAAA' }, files: [] },
  'a picture of a model without a typed output': { output: null, answer: { images: [{ url: address }] }, files: [address] },
  'a model of a thing without a typed output': { output: null, answer: { model_urls: { glb: { url: address }, obj: null } }, files: [address] },
  'a training without a typed output': { output: null, answer: { diffusers_lora_file: { url: address }, config_file: { url: other } }, files: [address, other] },

  'a text': { output: object({ text: { type: 'string' } }), answer: { text: 'a cat' }, files: [] },
  'an empty text, such as what silence says': { output: object({ text: { type: 'string' }, chunks: { type: 'array' } }), answer: { text: '', chunks: [] }, files: [] },
  'a text whose other required field is null': { output: object({ text: { type: 'string' }, reasoning: { type: 'string' } }), answer: { text: 'a cat', reasoning: null }, files: [] },
  'a text where a picture may be, and is not': { output: object({ text: { type: 'string' }, image: referenceTo('File') }, ['text']), answer: { text: 'no', image: null }, files: [] },
  'a text in one of two forms': { output: { anyOf: [object({ text: { type: 'string' } }), object({ words: { type: 'array' } })] }, answer: { words: ['a'] }, files: [] },
  'a number': { output: object({ score: { type: 'number' } }), answer: { score: 0 }, files: [] },
  'a text of a model without a typed output': { output: null, answer: { answer: 'a cat' }, files: [] },
  'a `detail` of a model that gives one': { output: object({ detail: { type: 'string' } }), answer: { detail: 'a cat' }, files: [] }
}

for (const [title, { output, answer, files }] of Object.entries(successes)) {
  t.test(`a success: ${title}`, async t => {
    const read = output === null ? untyped : reader(output, { components })
    t.same(read.judge(answer), { isSuccess: true })
    t.same(read.filesIn(answer), files)
  })
}

interface Failure { readonly output: Json | null, readonly answer: unknown, readonly reason: NoSuccess, readonly mayHoldFile?: boolean }

const text = object({ text: { type: 'string' } })
const failures: Readonly<Record<string, Failure>> = {
  'an error of fal, whose lines have addresses': { output: pictures, answer: errorBody, reason: 'error' },
  'an error of fal of a model that says texts': { output: object({ text: { type: 'string' } }, []), answer: errorBody, reason: 'error' },
  'an error of fal of a model without a typed output': { output: null, answer: errorBody, reason: 'error' },
  'an error of fal of a model whose files have any name': { output: { type: 'object', additionalProperties: { type: 'array', items: referenceTo('File') } }, answer: errorBody, reason: 'error' },
  'an error as a text': { output: pictures, answer: { detail: 'gone' }, reason: 'error' },
  'no pictures': { output: pictures, answer: { images: [], seed: 7 }, reason: 'no-file' },
  'no pictures and nothing else': { output: pictures, answer: { images: [] }, reason: 'empty' },
  nulls: { output: pictures, answer: { images: null, seed: null }, reason: 'empty' },
  'no pictures of a model without a typed output': { output: null, answer: { images: [], seed: 7 }, reason: 'no-file' },
  nothing: { output: pictures, answer: {}, reason: 'empty' },
  'nothing of a model without a typed output': { output: null, answer: {}, reason: 'empty' },
  'nothing of a model that says texts': { output: text, answer: {}, reason: 'empty' },
  'empty lists of a model that makes lists': { output: object({ objects: { type: 'array' } }), answer: { objects: [] }, reason: 'empty' },
  'pictures without an address': { output: pictures, answer: { images: [{ url: '' }, { url: null }, { content_type: 'image/png' }] }, reason: 'no-file' },
  'a seed alone, of a model whose picture is not required': { output: object({ picture: referenceTo('File'), seed: { type: 'integer' } }, ['seed']), answer: { seed: 7 }, reason: 'no-file' },
  'another field than the required one': { output: text, answer: { txt: 'a cat' }, reason: 'field-missing' },
  'an address where nobody expects a file': { output: pictures, answer: { outputs: [{ link: address }] }, reason: 'no-file', mayHoldFile: true },
  'a list': { output: pictures, answer: [{ url: address }], reason: 'no-object' },
  null: { output: pictures, answer: null, reason: 'no-object' },
  'a word': { output: null, answer: address, reason: 'no-object' }
}

for (const [title, { output, answer, reason, mayHoldFile = false }] of Object.entries(failures)) {
  t.test(`no success: ${title}`, async t => {
    const read = output === null ? untyped : reader(output, { components })
    t.same(read.judge(answer), { isSuccess: false, reason, mayHoldFile })
    t.same(read.filesIn(answer), [])
  })
}

t.test('the built-in model\'s output reads the same way', async t => {
  const read = createOutputReader({ output: { ...imagen4Ultra.output } })
  t.same(read.judge({ images: [{ url: address }], seed: 1 }), { isSuccess: true })
  t.same(read.judge({ images: [], seed: 1 }), { isSuccess: false, reason: 'no-file', mayHoldFile: false })
  t.same(read.judge(errorBody), { isSuccess: false, reason: 'error', mayHoldFile: false })
})

t.test('a schema that leads to itself ends the search', async t => {
  const self: Json = { anyOf: [{ $ref: '#/$defs/B' }], properties: { next: { $ref: '#/$defs/A' } } }
  const read = createOutputReader({ output: { properties: { tree: { $ref: '#/$defs/A' } }, required: ['tree'], $defs: { A: self, B: { $ref: '#/$defs/A' } } } })
  t.same(read.judge({ tree: { next: { next: 1 } } }), { isSuccess: true }, 'it makes no file')
  const alone = createOutputReader({ output: { $ref: '#/$defs/A', $defs: { A: { $ref: '#/$defs/A' } } } })
  t.same(alone.judge({ a: 1 }), { isSuccess: true })
})

t.test('an answer that nests without end is searched within bounds', async t => {
  const node: Json = { type: 'object', properties: { next: { $ref: '#/$defs/Node' }, many: { type: 'array', items: { $ref: '#/$defs/Node' } }, file } }
  const read = createOutputReader({ output: { type: 'object', properties: { images: { $ref: '#/$defs/Node' } }, $defs: { Node: node } } })
  const depth = 100_000
  const deep: unknown = JSON.parse('{"images":' + '{"next":'.repeat(depth) + '1' + '}'.repeat(depth) + '}')
  t.same(read.judge(deep), { isSuccess: false, reason: 'no-file', mayHoldFile: false })
  const wide = { images: { many: Array.from({ length: 200_000 }, () => ({ many: [] })) } }
  t.same(read.judge(wide), { isSuccess: false, reason: 'no-file', mayHoldFile: false })
  t.equal(read.filesIn({ images: Array.from({ length: 5_000 }, () => ({ url: address })) }).length, 1_000)
})

t.test('members of the prototype are no files', async t => {
  const read = createOutputReader({ output: object({ picture: file, constructor: file, toString: file }) })
  t.same(read.filesIn(JSON.parse(`{"__proto__": {"url": "${address}"}}`)), [])
  t.equal(read.judge({ a: 1 }).isSuccess, false)
})
