// The checked-in OpenAPI document is the one that the routes give.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { isProblemCode, problems, problemsMetBy } from '../src/errors.ts'
import { isObject } from '../src/schema.ts'
import { currentOpenapi, openapiFile } from './support/openapi.ts'

t.test('openapi/openapi.json is what the gateway serves (npm run openapi)', async t => {
  t.equal(readFileSync(openapiFile, 'utf8'), await currentOpenapi())
})

t.test('the document holds no key', async t => {
  t.notMatch(readFileSync(openapiFile, 'utf8'), /fg_(?!demo_sandbox|<)/)
})

/** Those that routes answer with which document the shape of an error of fal's or OpenAI's instead, and those of browser tokens, which nobody is given yet. */
const undocumented = ['target-refused', 'start-timeout', 'file-unavailable', 'upload-failed']

t.test('every problem is documented by the routes whose requests can meet it', async t => {
  const paths = Object.entries<Record<string, { responses: unknown }>>(JSON.parse(readFileSync(openapiFile, 'utf8')).paths)
  const operations = paths.flatMap(([path, item]) => Object.values(item).map(({ responses }) => ({ path, text: JSON.stringify(responses) })))
  const native = operations.filter(({ path }) => /^\/(generate|generations|tokens|usage|media)/.test(path))
  t.ok(native.length > 5, 'they were found')
  for (const { path, text } of native.filter(({ path }) => !path.startsWith('/media'))) t.same(problemsMetBy('calling').filter(code => !text.includes(`\`${code}\``)), [], path)
  const codes = Object.keys(problems).filter(isProblemCode)
  t.same(codes.filter(code => !native.some(({ text }) => text.includes(`\`${code}\``)) && problems[code].metBy !== 'arriving').toSorted(), undocumented.toSorted())
})

type Json = Readonly<Record<string, unknown>>

/** Every object in a value, with its place. */
function objectsIn (value: unknown, place = ''): ReadonlyArray<{ readonly place: string, readonly object: Json }> {
  if (Array.isArray(value)) return value.flatMap((item, index) => objectsIn(item, `${place}/${index}`))
  return isObject(value) ? [{ place, object: value }, ...Object.entries(value).flatMap(([name, part]) => objectsIn(part, `${place}/${name}`))] : []
}

const document: Json & { readonly paths: Json, readonly components: { readonly schemas: Readonly<Record<string, Json>> } } = JSON.parse(readFileSync(openapiFile, 'utf8'))
const { schemas } = document.components
const objects = objectsIn(document)

function parametersAt (path: string, method: string): Readonly<Record<string, { required?: boolean, schema: Json }>> {
  const operation: { parameters?: ReadonlyArray<{ name: string, required?: boolean, schema: Json }> } = Object(Object(document.paths[path])[method])
  return Object.fromEntries((operation.parameters ?? []).map(parameter => [parameter.name, parameter]))
}

t.test('a whole number that may have more than 32 bits is said to have 64: others lose what was paid for in clients that are generated', async t => {
  const wholes = objects.filter(({ object: { type } }) => type === 'integer')
  t.ok(wholes.length > 8, 'they were found')
  const isNarrow = ({ minimum, maximum }: Json): boolean => typeof minimum === 'number' && minimum >= -(2 ** 31) && typeof maximum === 'number' && maximum < 2 ** 31
  t.same(wholes.filter(({ object }) => object['format'] !== 'int64' && !isNarrow(object)).map(({ place }) => place), [])
  const seeds = wholes.filter(({ place }) => /\/seed(\/anyOf\/0)?$/.test(place))
  t.equal(seeds.length, 4, 'in, in at fal\'s doors, out, out at OpenAI\'s door')
  for (const { object } of seeds) t.equal(object['format'], 'int64')
})

/** Two bodies for one status are what generated clients cannot read, so that it is told in words where a dry run has which. */
const toldInWords = ['DryRun']

t.test('every component is referred to, and every schema of a model is a component', async t => {
  const referred = new Set(objects.map(({ object: { $ref } }) => $ref))
  t.same(Object.keys(schemas).filter(name => !referred.has(`#/components/schemas/${name}`)), toldInWords)
  t.same(objects.filter(({ place, object: { properties } }) => place.startsWith('/paths') && isObject(properties) && Object.keys(properties).length > 0).map(({ place }) => place), [])
  t.same(Object.keys(schemas).filter(name => /Imagen/.test(name)), ['FalAiImagen4PreviewUltraInput', 'FalAiImagen4PreviewUltraFalInput', 'FalAiImagen4PreviewUltraOutput'])
})

t.test('what later versions may add is no fault to a client of this one: codes are texts', async t => {
  t.same(objects.filter(({ object }) => Array.isArray(object['enum']) && object['enum'].includes('store-unavailable')), [])
  t.match(schemas['Problem'], { properties: { code: { type: 'string', 'x-extensible-enum': Object.keys(problems) } } })
})

t.test('no member of an error is a choice of types, which does not compile in every language', async t => {
  t.equal(Object.hasOwn(Object(Object(schemas['FalError']?.['properties']).detail), 'anyOf'), false)
  t.same(objectsIn(schemas['FalError']).filter(({ object }) => 'anyOf' in object || 'oneOf' in object), [])
})

t.test('a parameter with a default may be left out, and a header with a few words names them', async t => {
  for (const { object } of objects) if (typeof object['in'] === 'string' && isObject(object['schema']) && 'default' in object['schema']) t.equal(object['required'], false, String(object['name']))
  t.match(parametersAt('/generations', 'get'), { limit: { required: false, schema: { default: 20 } } })
  for (const path of ['/generate', '/generations', '/generate/{endpoint_id}']) t.match(parametersAt(path, 'post'), { 'Falgate-Cache': { schema: { enum: ['refresh', 'bypass', 'reuse', 'only'] } } }, path)
})

t.test('POST /generations has one success, and says so where a caller would ask for two', async t => {
  const { responses }: { responses: Json } = Object(Object(document.paths['/generations']).post)
  t.same(Object.keys(responses).filter(status => status < '400'), ['202'])
  t.match(Object(parametersAt('/generate', 'post')['Prefer']), { description: /POST \/generations/ })
})
