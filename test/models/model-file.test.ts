// The file of a model: what is written is read again, and what is wrong with it is told without its values.

import t from 'tap'
import { MAX_MODEL_FILE_BYTES, modelFileText, readModelFile } from '../../src/models/model-file.ts'
import { modelFile } from '../support/model-files.ts'

const { name, text } = modelFile()
const whole: Record<string, unknown> = JSON.parse(text)

/** The faults of the file with some of its members replaced; `undefined` leaves one out. */
function faultsWith (members: Readonly<Record<string, unknown>>, fileName = name): readonly string[] {
  const read = readModelFile(fileName, JSON.stringify({ ...whole, ...members }))
  return read.ok ? [] : read.faults
}

t.test('a file that was written is read as it was', async t => {
  const read = readModelFile(name, text)
  t.match(read, { ok: true, file: { endpointId: 'acme/painter/v1', added: '2026-11-28', cacheVersion: 1, isConfirmed: true, rule: { unitPrice: 50_000, per: 'call' }, document: { endpointId: 'acme/painter/v1' } } })
  t.equal(read.ok && modelFileText(read.file), text)
  t.match(text, /^{\n {2}"endpoint_id"/, 'for people, too')
  t.match(readModelFile(name, '\ufeff' + text), { ok: true }, 'an editor may have put a mark in front')
})

t.test('a document that is nearly too large is written without white space', async t => {
  const source = { many: Array.from({ length: 120_000 }, () => [1]) }
  const large = modelFileText({ endpointId: 'a/b', added: '2026-11-28', cacheVersion: 1, price: {}, isConfirmed: true, documentSha256: '', source })
  t.ok(Buffer.byteLength(large) < MAX_MODEL_FILE_BYTES)
})

const table: readonly (readonly [title: string, faults: readonly string[], expected: readonly string[]])[] = [
  ['not an object', (read => read.ok ? [] : read.faults)(readModelFile(name, '[]')), ['the file: expected an object with the endpoint id, the price and the document of a model']],
  ['not JSON', (read => read.ok ? [] : read.faults)(readModelFile(name, '{"price": SECRET')), ['the file is not valid JSON: expected a value at line 1, column 11']],
  ['several members', faultsWith({ added: 'SECRET', cache_version: 0, confirmed: 1, colour: 'SECRET', price: undefined }), [
    '/price: is missing',
    '/colour: is not a known field',
    '/added: expected a day such as 2026-11-28',
    '/cache_version: expected a whole number from 1 to 1000000000',
    '/confirmed: expected true or false'
  ]],
  ['no endpoint id', faultsWith({ endpoint_id: '../SECRET' }), ['/endpoint_id: expected an endpoint id, such as fal-ai/nano-banana-2']],
  ['the name of another', faultsWith({}, 'acme__painter__v2.json'), ['/endpoint_id: the file of this model has to be named acme__painter__v1.json']],
  ['the name in other letters', faultsWith({}, 'ACME__painter__v1.json'), ['/endpoint_id: the file of this model has to be named acme__painter__v1.json']],
  ['no document', faultsWith({ document: null }), ['/document: The document is `null`: fal knows no endpoint with this id, or publishes no document for it.']],
  ['a document of another model', faultsWith({ endpoint_id: 'acme/other' }, 'acme__other.json'), ['/document: The document is for "acme/painter/v1", not for "acme/other".']],
  ['no price', faultsWith({ price: {} }), ['/price: expected usd with per, or max_usd']],
  ['a price of a field that is not there', faultsWith({ price: { usd: 1, per: 'call', times: { promt: { a: 2 } } } }), ['/price/times/promt: the model has no such field; did you mean "prompt"?']],
  ['price and document', faultsWith({ price: { usd: 'SECRET', per: 'call' }, document: [] }), ['/document: The document is no JSON object.', '/price/usd: expected dollars as a plain number of at most 1000, with at most 12 digits after the point']]
]

for (const [title, faults, expected] of table) {
  t.test(`a file is refused with a sentence for each fault: ${title}`, async t => {
    t.same([...faults].sort(), [...expected].sort())
    t.notMatch(faults.join(), 'SECRET')
  })
}
