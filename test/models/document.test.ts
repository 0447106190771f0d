// A document becomes two schemas that stand alone, or one sentence that says why not.

import fc from 'fast-check'
import t from 'tap'
import { MAX_DOCUMENT_BYTES, MAX_SCHEMA_NODES, readDocument, type ModelDocument } from '../../src/models/document.ts'
import { DOCUMENT_ID, falDocument, falDocumentText, plainInput, plainOutput, referenceTo, type FalDocumentOptions } from '../support/fal-documents.ts'

type Json = Readonly<Record<string, unknown>>

function read (text: string, id = DOCUMENT_ID): ModelDocument {
  const reading = readDocument(text, id)
  if (!reading.ok) throw new Error(reading.fault)
  return reading.document
}

function faultOf (text: string, id = DOCUMENT_ID): string {
  const reading = readDocument(text, id)
  return reading.ok ? 'no fault' : reading.fault
}

function inputWith (properties: Json): Json {
  return { type: 'object', properties }
}

t.test('a document says what its model takes and answers', async t => {
  const document = read(falDocumentText(plainInput, plainOutput, { about: 'Paints.', category: 'text-to-image' }))
  t.same(document, { endpointId: DOCUMENT_ID, title: DOCUMENT_ID, description: 'Paints.', category: 'text-to-image', isDeprecated: false, input: plainInput, output: plainOutput })
  t.equal(read(falDocumentText(plainInput, plainOutput, { isDeprecated: true })).isDeprecated, true)
  t.equal(read('\ufeff \n' + falDocumentText()).endpointId, DOCUMENT_ID, 'a byte order mark is no fault')
  t.equal(read(falDocumentText(plainInput, plainOutput, { hasNoOutput: true })).output, null)
  t.equal(read(falDocumentText(plainInput, {})).output, null, 'an output that says nothing is none')
})

t.test('input and output are what the paths lead to, whatever components are called', async t => {
  const options = { inputName: '21Result', outputName: 'mangled__module__models__Thing', components: { PainterElementInput: inputWith({ wrong: {} }), PainterOutput: inputWith({ wrong: {} }) } }
  const document = read(falDocumentText(plainInput, plainOutput, options))
  t.same(document.input, plainInput)
  t.same(document.output, plainOutput)
})

t.test('an input that does nothing but refer is what it refers to, with what it says of its own', async t => {
  const body = { allOf: [referenceTo('Middle')], description: 'mine' }
  const { input } = read(falDocumentText(plainInput, plainOutput, { body, components: { Middle: { $ref: '#/components/schemas/PainterInput', title: 'Middle' } } }))
  t.same(input, { ...plainInput, title: 'Middle', description: 'mine' })
  t.same(read(falDocumentText(plainInput, plainOutput, { body: plainInput })).input, plainInput, 'a schema in place')
})

t.test('only what is reached is kept, and references lead to it within the schema', async t => {
  const Size = { type: 'object', properties: { width: { type: 'integer', exclusiveMinimum: 0 }, unit: referenceTo('a/b~c') } }
  const { input, output } = read(falDocumentText(inputWith({
    size: { anyOf: [referenceTo('Size'), { enum: ['square'] }, { type: 'null' }], default: 'square' },
    again: { ...referenceTo('Size'), description: 'siblings stay', examples: [1] },
    one: { allOf: [referenceTo('Size')], default: { $ref: 'data, not a reference' } },
    list: { type: 'array', items: referenceTo('Size') },
    tuple: { prefixItems: [{ type: 'number' }, referenceTo('Size')] },
    $ref: { type: 'string', const: 'a field of this name' },
    properties: { type: 'object', additionalProperties: referenceTo('Size') },
    deep: { $ref: '#/components/schemas/Size/properties/width' },
    escaped: { $ref: '#/components/schemas/a~1b~0c' },
    encoded: { $ref: '#/components/schemas/a~1b%7E0c' }
  }), plainOutput, { components: { Size, 'a/b~c': { type: 'string' }, Unused: { $ref: '#/nowhere' } } }))
  const size = { $ref: '#/$defs/Size' }
  const unit = { $ref: '#/$defs/a_b_c' }
  t.same(input, {
    type: 'object',
    properties: {
      size: { anyOf: [size, { enum: ['square'] }, { type: 'null' }], default: 'square' },
      again: { ...size, description: 'siblings stay', examples: [1] },
      one: { allOf: [size], default: { $ref: 'data, not a reference' } },
      list: { type: 'array', items: size },
      tuple: { prefixItems: [{ type: 'number' }, size] },
      $ref: { type: 'string', const: 'a field of this name' },
      properties: { type: 'object', additionalProperties: size },
      deep: { $ref: '#/$defs/Size.properties.width' },
      escaped: unit,
      encoded: unit
    },
    $defs: { a_b_c: { type: 'string' }, Size: { type: 'object', properties: { width: { type: 'integer', exclusiveMinimum: 0 }, unit } }, 'Size.properties.width': { type: 'integer', exclusiveMinimum: 0 } }
  })
  t.same(output, plainOutput)
})

t.test('a pointer through a path and its media type is followed', async t => {
  const place = `#/paths/~1${DOCUMENT_ID.replaceAll('/', '~1')}/post/responses/200/content/application~1json/schema/$ref`
  t.match(faultOf(falDocumentText(inputWith({ a: { $ref: place } }))), /is not in the document/, 'a text is no schema')
  const { input } = read(falDocumentText(inputWith({ a: { $ref: place.replace(/\/\$ref$/, '') } })))
  t.same(Object.keys(input), ['type', 'properties', '$defs'])
})

t.test('components whose names fall together stay two', async t => {
  const { input } = read(falDocumentText(inputWith({ a: referenceTo('x y'), b: referenceTo('x/y') }), plainOutput, { components: { 'x y': { type: 'string' }, 'x/y': { type: 'number' } } }))
  t.same(input['properties'], { a: { $ref: '#/$defs/x_y' }, b: { $ref: '#/$defs/x_y.2' } })
  t.same(input['$defs'], { x_y: { type: 'string' }, 'x_y.2': { type: 'number' } })
})

t.test('names of prototypes are names like others', async t => {
  const components = JSON.parse('{"__proto__": {"type": "string"}, "constructor": {"type": "number"}}')
  const { input, output } = read(falDocumentText(
    inputWith({ constructor: { type: 'string' }, toString: referenceTo('__proto__'), valueOf: referenceTo('constructor') }),
    JSON.parse('{"type": "object", "properties": {"__proto__": {"type": "string"}}}'),
    { components }
  ))
  t.same(Object.keys(Object(input['properties'])), ['constructor', 'toString', 'valueOf'])
  t.same(Object.entries(Object(input['$defs'])), [['proto__', { type: 'string' }], ['constructor.2', { type: 'number' }]])
  t.ok(Object.hasOwn(Object(output?.['properties']), '__proto__'), 'an own name, not a prototype')
  t.equal(Object.getPrototypeOf(output?.['properties']), Object.prototype)
  t.match(faultOf(falDocumentText(JSON.parse('{"type": "object", "properties": {"__proto__": {"type": "string"}}}'))), /field named "__proto__"/)
  t.match(faultOf(falDocumentText(inputWith({ a: referenceTo('toString') }))), /which is not in the document/)
  t.match(faultOf(JSON.stringify({ ...falDocument(), paths: {} }).replace('"paths":{}', '"paths":{"__proto__":{}}')), /no POST at the path/)
})

const faults: readonly (readonly [title: string, text: string, fault: RegExp])[] = [
  ['null', 'null', /^The document is `null`/],
  ['nothing', ' \n', /^The document is empty\.$/],
  ['a page', '<!doctype html><title>Not here</title>', /^The document is HTML/],
  ['cut off', falDocumentText().slice(0, -1), /^The document is not JSON\.$/],
  ['a list', '[]', /^The document is no JSON object\.$/],
  ['a text', '"no"', /^The document is no JSON object\.$/],
  ['an error of the catalogue', '{"error": {"code": "expansion_failed", "message": "secret"}}', /^The catalogue answered an error in place of the document: "expansion_failed"\.$/],
  ['an error without a code', '{"error": "secret"}', /^The catalogue answered an error in place of the document\.$/],
  ['some other JSON', '{"detail": "Not found"}', /^The document is no OpenAPI document: it has no "paths"\.$/],
  ['too large', `{"paths": "${'ä'.repeat(MAX_DOCUMENT_BYTES / 2)}"}`, /^The document is larger than 1 MiB\.$/],
  ['too deep', '{"a":' + '['.repeat(100_000) + ']'.repeat(100_000) + '}', /^The document nests deeper than 64 levels\.$/],
  ['for another endpoint', dressed({ namedId: 'acme/other' }), /^The document is for "acme\/other", not for "acme\/painter\/v1"\.$/],
  ['for the same in other capitals', dressed({ namedId: DOCUMENT_ID.toUpperCase() }), /^The document is for "ACME\/PAINTER\/V1", not for /],
  ['for nobody', dressed({ namedId: null }), /does not say which endpoint it is for/],
  ['without its path', dressed({ pathId: 'acme/painter' }), /^The document has no POST at the path "\/acme\/painter\/v1"\.$/],
  ['without an input', dressed({ hasNoInput: true }), /^The document has no input: the POST takes no JSON body\.$/],
  ['of an input that is a list', dressed({ body: { type: 'array', items: {} } }), /^The input is no object with named fields\.$/],
  ['of an input without names', dressed({ body: { type: 'object' } }), /^The input is no object with named fields\.$/],
  ['of an input that may be null', dressed({ body: { type: ['object', 'null'], properties: {} } }), /^The input is no object with named fields\.$/],
  ['of an input that is anything', dressed({ body: true }), /^The input is no object with named fields\.$/],
  ['of an input that is no schema', dressed({ body: 5 }), /^The input has something else where a schema belongs\.$/],
  ['of a field that is no schema', field([]), /^The input has something else where a schema belongs\.$/],
  ['of a union that is no list', field({ anyOf: {} }), /"anyOf" that is no list/],
  ['of fields that are a list', field({ properties: [] }), /"properties" that are no schemas by name/],
  ['with a reference to nothing', field(referenceTo('Nothing')), /^The input refers to "#\/components\/schemas\/Nothing", which is not in the document\.$/],
  ['with a reference that is no pointer', field({ $ref: '#Size' }), /^The input refers to "#Size", which is not in the document\.$/],
  ['with a reference to all', field({ $ref: '#' }), /which is not in the document/],
  ['with a broken escape', field({ $ref: '#/components/schemas/a~2b' }), /which is not in the document/],
  ['with a broken encoding', field({ $ref: '#/components/schemas/%zz' }), /which is not in the document/],
  ['with a reference that is a number', field({ $ref: 5 }), /"\$ref" that is no text/],
  ['with a reference to elsewhere', field({ $ref: 'https://example.com/a.json#/A' }), /^The input refers to another document by "https:\/\/example.com\/a.json#\/A"/],
  ['with an anchor', field({ $dynamicRef: '#a' }), /uses "\$dynamicRef"/],
  ['with an id', field({ $id: 'https://example.com/a' }), /uses "\$id"/],
  ['of an input that holds itself', field(referenceTo('PainterInput')), /^The input refers to itself by "#\/components\/schemas\/PainterInput": recursive/],
  ['of an input that is itself', dressed({ body: referenceTo('A'), components: { A: referenceTo('B'), B: { allOf: [referenceTo('A')] } } }), /^The input refers to itself by /],
  ['of an output in a circle', falDocumentText(plainInput, { type: 'object', properties: { a: referenceTo('A') } }, { components: { A: { items: referenceTo('B') }, B: { not: referenceTo('A') } } }), /^The output refers to itself by /],
  ['of an output with a reference to nothing', dressed({ result: referenceTo('Nothing') }), /^The output refers to /],
  ['of 10,000 fields', falDocumentText(inputWith(Object.fromEntries(Array.from({ length: 10_000 }, (_, nth) => [`field${nth}`, { type: 'string' }])))), /more than 2,000 schemas/],
  ['of an enum of 30,000 words', field({ enum: Array.from({ length: 30_000 }, (_, nth) => nth) }), /more than 20,000 values/],
  ['of references that double at every step', field(referenceTo('D0'), doubling(30)), /more than 20,000 schemas when its references are followed/],
  ['of a long row of references', field(referenceTo('R0'), rowOf(100)), /nests deeper than 64 schemas/],
  ['of a long row that was half walked before', falDocumentText(inputWith({ a: referenceTo('R30'), b: referenceTo('R0') }), plainOutput, { components: rowOf(70) }), /nests deeper than 64 schemas/]
]

function dressed (options: FalDocumentOptions): string {
  return falDocumentText(plainInput, plainOutput, options)
}

function field (schema: unknown, components: Json = {}): string {
  return falDocumentText(inputWith({ a: schema }), plainOutput, { components })
}

function doubling (steps: number): Json {
  return Object.fromEntries(Array.from({ length: steps }, (_, nth) => [`D${nth}`, nth === steps - 1 ? {} : { anyOf: [referenceTo(`D${nth + 1}`), referenceTo(`D${nth + 1}`)] }]))
}

function rowOf (steps: number): Json {
  return Object.fromEntries(Array.from({ length: steps }, (_, nth) => [`R${nth}`, nth === steps - 1 ? {} : { items: referenceTo(`R${nth + 1}`) }]))
}

for (const [title, text, fault] of faults) {
  t.test(`a document is refused with a sentence: ${title}`, async t => {
    t.match(faultOf(text), fault)
    t.notMatch(faultOf(text), /secret|[\r\n]/)
  })
}

t.test('the bound of the schemas is exact, and counts those of input and output together', async t => {
  // Beside the fields there are the input itself, and the output.
  const fields = (many: number): Json => inputWith(Object.fromEntries(Array.from({ length: many }, (_, nth) => [`f${nth}`, true])))
  const output = { type: 'object' }
  t.equal(faultOf(falDocumentText(fields(MAX_SCHEMA_NODES - 2), output)), 'no fault')
  t.match(faultOf(falDocumentText(fields(MAX_SCHEMA_NODES - 1), output)), /more than 2,000 schemas/)
})

t.test('a sentence repeats nothing long and no line of a document', async t => {
  const fault = faultOf(dressed({ namedId: '\n\u001b[31m\ud800' + 'x'.repeat(100_000) }))
  t.ok(fault.length < 300)
  t.notMatch(fault, /[\u0000-\u001f\ud800-\udfff]/) // eslint-disable-line no-control-regex
})

t.test('whatever a document holds, it is read or refused, and what is read refers to nothing outside', async () => {
  const names = ['A', 'B', '__proto__', 'constructor', 'a/b']
  const { schema } = fc.letrec(tie => ({
    schema: fc.oneof({ maxDepth: 4, depthSize: 'small' },
      fc.constantFrom<unknown>(true, {}, { type: 'string' }, null, 5, [], 'x'),
      fc.constantFrom(...names, 'Nothing').map(referenceTo),
      fc.record({ anyOf: fc.array(tie('schema'), { maxLength: 3 }) }),
      fc.record({ items: tie('schema'), description: fc.string() }),
      fc.record({ type: fc.constant('object'), properties: fc.dictionary(fc.oneof(fc.constantFrom(...names, '$ref', 'properties'), fc.string()), tie('schema'), { maxKeys: 3 }) })
    )
  }))
  const fields = fc.dictionary(fc.constantFrom('a', 'b', 'constructor'), schema, { maxKeys: 3 })
  fc.assert(fc.property(fields, fc.array(schema, { minLength: names.length, maxLength: names.length }), (properties, parts) => {
    const reading = readDocument(falDocumentText(inputWith(properties), plainOutput, { components: Object.fromEntries(names.map((name, nth) => [name, parts[nth]])) }), DOCUMENT_ID)
    if (!reading.ok) return /^[A-Z].*\.$/.test(reading.fault)
    return !JSON.stringify(reading.document).includes('#/components/')
  }))
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), text => !readDocument(text, DOCUMENT_ID).ok))
  fc.assert(fc.property(fc.jsonValue(), value => {
    const reading = readDocument(JSON.stringify({ ...falDocument(), components: value }), DOCUMENT_ID)
    return !reading.ok && reading.fault.endsWith('.')
  }))
})
