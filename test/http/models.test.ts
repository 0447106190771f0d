// `GET /models` and what is below it: what a tenant may use and nothing else, and a document for each model that stands by itself.

import { Ajv2020 } from 'ajv/dist/2020.js'
import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { isObject } from '../../src/schema.ts'
import { key, startGateway, tenant, type Gateway, type Reply } from '../support/gateway.ts'
import { plainInput, plainOutput } from '../support/fal-documents.ts'
import { documentModel } from '../support/model-files.ts'

/** Refers to components of its document, which a model keeps below `$defs`. */
const nested = {
  input: { ...plainInput, properties: { prompt: { type: 'string' }, seed: { type: 'integer' }, style: { $ref: '#/components/schemas/Style' }, frames: { type: 'array', items: { $ref: '#/components/schemas/Frame' } } } },
  output: { ...plainOutput, properties: { images: { type: 'array', items: { $ref: '#/components/schemas/Image' } } } },
  components: {
    Style: { type: 'string', enum: ['oil', 'ink'] },
    Frame: { type: 'object', properties: { style: { $ref: '#/components/schemas/Style' } } },
    Image: { type: 'object', required: ['url'], properties: { url: { type: 'string' } } }
  }
}
const one = documentModel({ endpointId: 'acme/painter-pro', ...nested })
/** Its last part is the other's. */
const homonym = documentModel({ endpointId: 'easel/painter-pro', price: { usd: 0.2, per: 'call' } })
const closed = documentModel({ endpointId: 'acme/painter-shut', isConfirmed: false })
const models = createModels([imagen4Ultra], { added: [one, homonym, closed] })
const all = [imagen4Ultra, one, homonym].map(({ endpointId }) => endpointId)

const press = { key: key('press') }

async function start (t: Test): Promise<Gateway> {
  return await startGateway(t, { models, tenants: { tenants: [tenant('studio'), tenant('press', { models: ['acme/*'] })] } })
}

function idsIn (reply: Reply): readonly unknown[] {
  return [reply.json()['models']].flat().map(model => isObject(model) ? model['id'] : null)
}

/** Every value of a member with this name, wherever it is. */
function valuesOf (value: unknown, name: string): readonly unknown[] {
  if (Array.isArray(value)) return value.flatMap(item => valuesOf(item, name))
  return isObject(value) ? Object.entries(value).flatMap(([key, part]) => key === name ? [part, ...valuesOf(part, name)] : valuesOf(part, name)) : []
}

function at (value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((part, name) => isObject(part) ? part[name] : undefined, value)
}

t.test('a tenant is shown the models that it may use, and none that is closed', async t => {
  const gateway = await start(t)
  const mine = await gateway.get('/models')
  t.same(idsIn(mine), all)
  t.same(idsIn(await gateway.get('/models', press)), [one.endpointId])
  t.match(mine.json(), {
    models: [
      { id: imagen4Ultra.endpointId, default: true, price_usd: 0.06, seed: 'in-and-out', href: `/models/${imagen4Ultra.endpointId}` },
      { id: one.endpointId, default: false, price_usd: 0.05, seed: 'in' },
      { id: homonym.endpointId, price_usd: 0.2, seed: 'none' }
    ]
  })
  t.equal((await gateway.get('/models', { key: null })).status, 401)
})

t.test('what is known of a model is at its id, with slashes encoded or not, and changes only with it', async t => {
  const gateway = await start(t)
  const plain = await gateway.get(`/models/${one.endpointId}`)
  t.equal(plain.status, 200)
  t.match(plain.json(), { id: one.endpointId, price: { usd: 0.05, per: 'call' }, highest_price_usd: 0.05, input: { required: ['prompt'] }, output: { required: ['images'] }, openapi: `/models/${one.endpointId}/openapi.json` })
  for (const path of [`/models/${encodeURIComponent(one.endpointId)}`, '/models/acme%2fpainter-pro']) t.equal((await gateway.get(path)).text, plain.text, path)

  for (const path of ['/models', `/models/${one.endpointId}`, `/models/${one.endpointId}/openapi.json`, `/models/${encodeURIComponent(one.endpointId)}/openapi.json`]) {
    const first = await gateway.get(path)
    const etag = first.headers.get('etag') ?? ''
    t.match(etag, /^"[\w-]{43}"$/, 'a strong tag')
    t.match(first.headers.get('cache-control'), 'private')
    for (const known of [etag, `"other", ${etag}`, '*']) {
      const again = await gateway.get(path, { headers: { 'if-none-match': known } })
      t.same([again.status, again.text, again.headers.get('etag')], [304, '', etag], path)
    }
    t.equal((await gateway.get(path, { headers: { 'if-none-match': '"other"' } })).status, 200)
  }
})

t.test('a model that a tenant may not use is told of neither by its document nor as the nearest one', async t => {
  const gateway = await start(t)
  for (const path of [`/models/${homonym.endpointId}`, `/models/${homonym.endpointId}/openapi.json`]) t.match((await gateway.get(path, press)).json(), { status: 403, code: 'not-allowed' }, path)
  t.match((await gateway.get('/models/easel/painter-por')).json(), { status: 404, code: 'model-unknown', detail: `The nearest one is ${homonym.endpointId}.` })
  t.match((await gateway.get('/models/acme/painter-por', press)).json(), { status: 404, detail: `The nearest one is ${one.endpointId}.` })
  for (const path of ['/models/easel/painter-por', '/generate/easel/painter-por', '/fal/easel/painter-por', '/fal/queue/easel/painter-por']) {
    const reply = path.startsWith('/models') ? await gateway.get(path, press) : await gateway.generate({ prompt: 'x' }, { path, ...press })
    t.equal(reply.status, 404, path)
    t.notMatch(reply.text, homonym.endpointId, path)
  }
  for (const path of ['/models/acme/painter-shu', '/models/acme/painter-shutt/openapi.json']) t.notMatch((await gateway.get(path)).text, closed.endpointId, 'nobody can buy it')
  for (const path of ['/models/x', '/models/%E0%A4%A', '/models/openapi.json', `/models/${'a/'.repeat(500)}b`]) t.ok([400, 404, 414].includes((await gateway.get(path)).status), path)
})

t.test('a closed model is told of in the same way wherever it is asked for: not in the list, and refused by its id with what to do', async t => {
  const gateway = await start(t)
  const bought = await gateway.generate({ prompt: 'a fair' }, { path: `/generate/${closed.endpointId}` })
  t.match(bought.json(), { status: 403, code: 'model-closed', detail: /falgate model price/ })
  for (const path of [`/models/${closed.endpointId}`, `/models/${closed.endpointId}/openapi.json`]) {
    const { status, code, detail } = (await gateway.get(path)).json()
    t.same({ status, code, detail }, { status: 403, code: 'model-closed', detail: bought.json()['detail'] }, path)
  }
  t.match((await startGateway(t, { models, tenants: { tenants: [tenant('studio', { models: ['easel/*'] })] } }).then(async other => await other.get(`/models/${closed.endpointId}`))).json(), { code: 'not-allowed' }, 'without a permission that is what is told, as of an open one')
})

t.test('the document of a model stands by itself: its references lead somewhere, its names are its own', async t => {
  const gateway = await start(t)
  const names: string[] = []
  for (const { endpointId } of [imagen4Ultra, one, homonym]) {
    const document = (await gateway.get(`/models/${endpointId}/openapi.json`)).json()
    assertDocument(t, document)
    t.match(document, { openapi: /^3\.1\./, paths: { [`/generate/${endpointId}`]: { post: {} }, [`/fal/${endpointId}`]: { post: {} }, [`/fal/queue/${endpointId}`]: { post: {} } } })
    const own = Object.keys(Object(at(document, 'components', 'schemas'))).filter(name => /(Input|Output)/.test(name))
    t.ok(own.length >= 2, endpointId)
    names.push(...own)
    const others = models.all.filter(model => model.endpointId !== endpointId).map(model => `/generate/${model.endpointId}`)
    t.same(Object.keys(Object(document['paths'])).filter(path => others.includes(path)), [], 'nothing of other models')
  }
  t.equal(new Set(names).size, names.length, names.join())
  for (const name of ['AcmePainterProInput', 'AcmePainterProOutput', 'EaselPainterProInput', 'EaselPainterProOutput']) t.ok(names.includes(name), name)
})

/** What an OpenAPI 3.1 document has to keep that a reader of one would trip over. */
function assertDocument (t: Test, document: Record<string, unknown>): void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false })
  for (const [name, schema] of Object.entries(Object(at(document, 'components', 'schemas')))) {
    t.ok(isObject(schema) && ajv.validateSchema(schema), `${name} is a schema`)
    t.match(name, /^[A-Za-z0-9._-]+$/)
  }
  const references = valuesOf(document, '$ref').filter(reference => typeof reference === 'string')
  t.ok(references.length > 10, 'they were found')
  t.same(references.filter(reference => !reference.startsWith('#/components/') || at(document, ...reference.slice(2).split('/')) === undefined), [], 'every reference leads to a component')
  const operations = Object.entries(Object(document['paths'])).flatMap(([path, item]) => Object.values(Object(item)).map(operation => ({ path, operation })))
  const ids = operations.map(({ operation }) => at(operation, 'operationId'))
  t.equal(new Set(ids).size, ids.length, 'every operation has a name of its own')
  t.notOk(ids.includes(undefined))
  for (const { path, operation } of operations) {
    const declared = [at(operation, 'parameters') ?? []].flat().filter(parameter => at(parameter, 'in') === 'path').map(parameter => String(at(parameter, 'name')))
    t.same(declared.toSorted(), [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name).toSorted(), `the parameters of ${path}`)
    t.ok(isObject(at(operation, 'responses')) && Object.keys(Object(at(operation, 'responses'))).length > 0, path)
  }
}
