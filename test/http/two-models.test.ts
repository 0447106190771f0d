// A gateway with two models: each has its own fields, price, files and addresses, and nothing of one is taken for the other's.

import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { parseTenants } from '../../src/tenants/book.ts'
import { key, parseObject, startGateway, STUDIO_KEY, tenant, type Gateway, type GatewayOptions, type Reply } from '../support/gateway.ts'
import { microOf, sumOf } from '../support/money.ts'
import { poster, posterNamed, seedlessPoster } from '../support/poster.ts'
import { until } from '../support/until.ts'

const models = createModels([imagen4Ultra, poster])
const POSTER = { path: `/generate/${poster.endpointId}` }
const RUN_POSTER = { path: `/fal/${poster.endpointId}` }

async function start (t: Test, options: GatewayOptions = {}): Promise<Gateway> {
  return await startGateway(t, { models, ...options })
}

function costOf (reply: Reply): string {
  return `${reply.status} ${reply.headers.get('falgate-cost-usd')}`
}

function filesIn (reply: Reply): number {
  const { images } = reply.json()
  return Array.isArray(images) ? new Set(images.map(image => JSON.stringify(image))).size : 0
}

async function fal (gateway: Gateway, method: string, path: string, body?: object, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  const response = await fetch(gateway.url + path, {
    method,
    headers: { authorization: `Key ${STUDIO_KEY}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: () => parseObject(text) }
}

t.test('each model has its own route, fields, price and files', async t => {
  const gateway = await start(t)
  const picture = await gateway.generate({ prompt: 'a fair', resolution: '1K' }, { path: `/generate/${imagen4Ultra.endpointId}` })
  t.equal(costOf(picture), '200 0.06')
  t.equal(filesIn(picture), 1)
  const printed = await gateway.generate({ prompt: 'a fair', paper: 'glossy', framed: true, ink: '#ff0000' }, POSTER)
  t.equal(costOf(printed), '200 0.09', 'two units, which are one call')
  t.equal(filesIn(printed), 2, 'two pictures of their own')
  t.equal(gateway.sandbox.bill.billedUnits, 3)

  t.match((await gateway.generate({ prompt: 'a fair', paper: 'plain' })).json(), { errors: [{ path: '/paper', code: 'unknown_field' }] })
  t.match((await gateway.generate({ prompt: 'a fair', resolution: '1K' }, POSTER)).json(), { errors: [{ path: '/resolution', code: 'unknown_field' }] })
  t.match((await gateway.generate({ prompt: 'a fair', ink: 'red' }, POSTER)).json(), { errors: [{ path: '/ink', code: 'pattern', message: /must match pattern/ }] })
  t.match((await gateway.generate({ prompt: '  ' })).json(), { errors: [{ path: '/prompt', code: 'blank', message: 'must not be blank' }] })
})

t.test('the operations of models whose endpoint ids differ in punctuation only have names of their own', async t => {
  const endpointIds = ['studio/poster/v1.5', 'studio/poster-v1/5', 'studio-poster/v1-5', 'studio/poster/v1-5-2', 'studio/poster_v1.5']
  const gateway = await start(t, { models: createModels(endpointIds.map(posterNamed)) })
  const names = [...(await gateway.get('/openapi.json')).text.matchAll(/"operationId":"([^"]*)"/g)].map(([, name]) => name)
  t.ok(names.length > 3 * endpointIds.length, 'they were found')
  t.same(names.filter((name, index) => names.indexOf(name) !== index), [])
  t.ok(names.includes('generate_studio_poster_v1_5'), 'the first keeps its name')
  const { schemas } = Object((await gateway.get('/openapi.json')).json()['components'])
  t.equal(Object.keys(Object(schemas)).filter(name => /^StudioPosterV15\d*Input$/.test(name)).length, endpointIds.length, 'and so have their schemas')
})

t.test('the first model of the list answers POST /generate', async t => {
  const gateway = await start(t, { models: createModels([poster, imagen4Ultra]) })
  t.equal(costOf(await gateway.generate({ prompt: 'a fair', paper: 'plain' })), '200 0.09')
  t.equal(costOf(await gateway.generate({ prompt: 'a fair' }, { path: `/generate/${imagen4Ultra.endpointId}` })), '200 0.06')
  t.match((await gateway.get('/openapi.json')).json(), { paths: { '/generate': { post: { summary: 'Make a picture with Poster' } } } })
})

t.test('the same prompt and seed are one picture for each model, also when the seed was learned', async t => {
  const gateway = await start(t)
  const input = { prompt: 'a fair', seed: 42 }
  const replies = [await gateway.generate(input), await gateway.generate(input, POSTER)]
  t.same(replies.map(costOf), ['200 0.06', '200 0.09'])
  const again = [await gateway.generate(input), await gateway.generate(input, POSTER), await gateway.generate(input, RUN_POSTER)]
  t.same(again.map(reply => reply.text), [replies[0]?.text, replies[1]?.text, replies[1]?.text])
  t.not(replies[0]?.text, replies[1]?.text)
  t.equal(gateway.sandbox.bill.accepted, 2)

  const { seed } = (await gateway.generate({ prompt: 'a fair' }, POSTER)).json()
  t.equal(costOf(await gateway.generate({ prompt: 'a fair', seed }, POSTER)), '200 0', 'its answer named the seed')
  t.equal(costOf(await gateway.generate({ prompt: 'a fair', seed })), '200 0.06', 'which says nothing about the other model')
  const keyed = { 'idempotency-key': 'k' }
  await gateway.generate({ prompt: 'a fair' }, { headers: keyed })
  t.match((await gateway.generate({ prompt: 'a fair' }, { ...POSTER, headers: keyed })).json(), { code: 'idempotency-key-reused' })
})

t.test('what a call costs is fal\'s units at the price of one, never above what was reserved for all of them', async t => {
  // A third of a micro-dollar cannot be booked, so half of an odd price is rounded up, and so is what is reserved.
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 10, per: 'day' } })], prices: { [poster.endpointId]: 0.100001 } } })
  for (const prompt of ['a', 'b', 'c']) t.equal(costOf(await gateway.generate({ prompt }, POSTER)), '200 0.100002')
  t.equal(costOf(await gateway.generate({ prompt: 'd', copies: 1 }, POSTER)), '200 0.050001', 'one copy is one unit')
  t.equal((await gateway.generate({ prompt: 'd', copies: 1 }, RUN_POSTER)).headers.get('x-fal-billable-units'), '1')
  t.equal((await gateway.generate({ prompt: 'e' }, RUN_POSTER)).headers.get('x-fal-billable-units'), '2')
  t.match((await gateway.get('/usage')).json(), { month: { spent_usd: 0.50001, reserved_usd: 0 }, models: [{ price_usd: 0.06 }, { id: poster.endpointId, price_usd: 0.100002 }] })
  const metrics = (await gateway.get('/metrics')).text
  t.equal(microOf(sumOf(metrics, 'falgate_spend_usd_total', `model="${poster.endpointId}"`)), 500_010)
  t.equal(sumOf(metrics, 'falgate_spend_usd_total', `model="${imagen4Ultra.endpointId}"`), 0)
})

t.test('a tenant asks for the models that it may use, and sees no others', async t => {
  const prices = { [imagen4Ultra.endpointId]: 0.07 }
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { allow: { paper: ['plain'] } }), tenant('press', { models: [poster.endpointId] })], prices } })
  const press = { key: key('press') }
  t.match((await gateway.generate({ prompt: 'x' }, press)).json(), { code: 'not-allowed' })
  t.equal(costOf(await gateway.generate({ prompt: 'x' }, { ...POSTER, ...press })), '200 0.09')
  t.same((await gateway.get('/usage', press)).json()['models'], [{ id: poster.endpointId, price_usd: 0.09 }])
  t.same((await gateway.get('/usage')).json()['models'], [{ id: imagen4Ultra.endpointId, price_usd: 0.07 }, { id: poster.endpointId, price_usd: 0.09 }])
  t.match((await gateway.generate({ prompt: 'x', paper: 'glossy' }, POSTER)).json(), { code: 'not-allowed', detail: 'This tenant may set paper only to "plain".' })
  t.equal(costOf(await gateway.generate({ prompt: 'x' })), '200 0.07', 'a model without that parameter is not bound by it')
})

t.test('a tenants file is held against the models on offer, all of them', async t => {
  const faultsOf = (entry: object, offered = models): readonly string[] => {
    const read = parseTenants(JSON.stringify({ tenants: [tenant('studio', { ...entry })], prices: { [poster.endpointId]: 0.05 } }), { models: offered })
    return read.ok ? [] : read.faults
  }
  t.same(faultsOf({ models: [poster.endpointId], allow: { paper: ['glossy'] } }), [])
  t.same(faultsOf({ allow: { paper: ['glossy'], resolution: ['1K'] } }), [])
  t.same(faultsOf({ models: [imagen4Ultra.endpointId], allow: { paper: ['glossy'] } }), ['/tenants/0/allow/paper: none of the tenant\'s models has this parameter'])
  t.same(faultsOf({ models: [poster.endpointId] }, createModels([imagen4Ultra])), ['/prices/print-shop~1press~1poster: is not a model on offer', '/tenants/0/models/0: is not a model on offer'])
})

t.test('fal\'s clients reach both models, each under its own names', async t => {
  const gateway = await start(t)
  const submitted = await fal(gateway, 'POST', `/fal/queue/${poster.endpointId}`, { prompt: 'a fair', resolution: '2K' })
  const id = String(submitted.json()['request_id'])
  t.match(submitted.json(), { response_url: `${gateway.url}/fal/queue/print-shop/press/requests/${id}` })
  const at = `/fal/queue/print-shop/press/requests/${id}`
  await until(async () => (await fal(gateway, 'GET', `${at}/status`)).json()['status'] === 'COMPLETED')
  const result = await fal(gateway, 'GET', at)
  t.equal(filesIn(result), 2)
  t.equal(result.headers.get('x-fal-billable-units'), '2')
  t.equal((await fal(gateway, 'GET', `/fal/queue/${poster.endpointId}/requests/${id}`)).text, result.text)
  t.equal((await fal(gateway, 'GET', `/fal/queue/fal-ai/imagen4/requests/${id}`)).status, 404)
  t.match((await fal(gateway, 'GET', `/generations/${id}`)).json(), { model: poster.endpointId, status: 'succeeded' })

  const proxied = await fal(gateway, 'POST', '/fal/proxy', { prompt: 'a fair', copies: 1 }, { 'x-fal-target-url': `https://fal.run/${poster.endpointId}` })
  t.equal(filesIn(proxied), 1)
  t.equal((await fal(gateway, 'POST', '/fal/print-shop/press/stamp', {})).json()['detail'], 'Path /stamp not found. The nearest one is print-shop/press/poster.')
  t.equal((await fal(gateway, 'POST', '/fal/print-shop/paper', {})).json()['detail'], 'Application "paper" not found. GET /models lists those that this key may use.')
})

t.test('models that share an app share its addresses, and the row says which it was', async t => {
  const gateway = await start(t, { models: createModels([poster, seedlessPoster]) })
  for (const { endpointId } of [poster, seedlessPoster]) {
    const id = String((await fal(gateway, 'POST', `/fal/queue/${endpointId}`, { prompt: 'a fair' })).json()['request_id'])
    await until(async () => (await fal(gateway, 'GET', `/fal/queue/print-shop/press/requests/${id}/status`)).json()['status'] === 'COMPLETED')
    t.equal((await fal(gateway, 'GET', `/fal/queue/${endpointId}/requests/${id}`)).status, 200)
    t.match((await fal(gateway, 'GET', `/generations/${id}`)).json(), { model: endpointId })
  }
})

t.test('a model that takes no seed stores nothing, whatever seed a client of fal sends along', async t => {
  const gateway = await start(t, { models: createModels([imagen4Ultra, seedlessPoster]) })
  const replies: Reply[] = []
  for (const seed of [1, 1, 2, 0.5]) replies.push(await gateway.generate({ prompt: 'a fair', seed }, { path: `/fal/${seedlessPoster.endpointId}` }))
  t.same(replies.map(reply => reply.status), [200, 200, 200, 200])
  t.equal(new Set(replies.map(reply => reply.text)).size, replies.length)
  t.same(Object.keys(replies[0]?.json() ?? {}), ['images'])
  t.equal(gateway.sandbox.bill.accepted, replies.length)
})

t.test('the OpenAPI document shows both models, each with its own schemas and names', async t => {
  const gateway = await start(t)
  const { paths, components } = (await gateway.get('/openapi.json')).json()
  const { schemas } = Object(components)
  const names: Readonly<Record<string, string>> = { [imagen4Ultra.endpointId]: 'FalAiImagen4PreviewUltra', [poster.endpointId]: 'PrintShopPressPoster' }
  const told = JSON.stringify(paths)
  for (const { endpointId, input, output } of models.all) {
    for (const path of [`/generate/${endpointId}`, `/fal/${endpointId}`, `/fal/queue/${endpointId}`]) {
      t.match(paths, { [path]: { post: { requestBody: { content: { 'application/json': { schema: { $ref: `#/components/schemas/${names[endpointId]}${path.startsWith('/fal/') ? 'FalInput' : 'Input'}` } } } } } } }, path)
    }
    t.match(schemas, { [`${names[endpointId]}Input`]: { title: input['title'] }, [`${names[endpointId]}Output`]: { title: output?.['title'] } })
  }
  t.match(paths, { '/generate': { post: { summary: 'Make a picture with Imagen 4 Ultra' } }, '/fal/queue/print-shop/press/requests/{id}/status': {} })
  const ids = [...told.matchAll(/"operationId":"([^"]+)"/g)].map(([, id]) => id)
  t.equal(new Set(ids).size, ids.length, 'every operation has its own name')
})
