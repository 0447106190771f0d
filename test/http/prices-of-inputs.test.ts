// What a call of a document model may cost, at the door: bounds, refusals, and what is booked in the end.

import t from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { createModels } from '../../src/models/models.ts'
import { key, startGateway, tenant, type Gateway, type Reply } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'

const endpointIds = { counted: 'acme/painter/counted', capped: 'acme/painter/capped', free: 'acme/painter/free', open: 'acme/painter/open', closed: 'acme/painter/closed' }

const input = {
  type: 'object',
  required: ['prompt'],
  properties: { prompt: { type: 'string' }, num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1 }, quality: { type: 'string', enum: ['low', 'high'], default: 'high' } }
}
const speech = { type: 'object', required: ['text'], properties: { text: { type: 'string' }, duration: { type: 'integer', minimum: 1 } } }

const added = [
  documentModel({ endpointId: endpointIds.counted, input, price: { usd: 0.08, per: 'image' } }),
  documentModel({ endpointId: endpointIds.capped, input, price: { max_usd: 0.5 } }),
  documentModel({ endpointId: endpointIds.free, input, price: { usd: 0, per: 'call' } }),
  documentModel({ endpointId: endpointIds.open, input: speech, price: { usd: 0.01, per: '1000 characters' } }),
  documentModel({ endpointId: endpointIds.closed, input, isConfirmed: false })
]
const models = createModels(builtInModels.all, { added })

function costOf (reply: Reply): string {
  return `${reply.status} ${reply.headers.get('falgate-cost-usd')}`
}

async function call (gateway: Gateway, endpointId: string, body: object = { prompt: 'a fair' }): Promise<Reply> {
  return await gateway.generate(body, { path: `/generate/${endpointId}` })
}

t.test('a price that is only bounded is booked as a whole, whatever units fal names, and not at all when it names none that were billed', async t => {
  const gateway = await startGateway(t, { models })
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', units: 8 })
  t.equal(costOf(await call(gateway, endpointIds.capped)), '200 0.5')
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', units: 0 })
  t.equal(costOf(await call(gateway, endpointIds.capped)), '200 0')
  t.equal(costOf(await call(gateway, endpointIds.capped)), '200 0.5')
  t.match((await gateway.get('/usage')).json(), { month: { spent_usd: 1, reserved_usd: 0 } })
})

t.test('parts of units are booked to the micro-dollar, and what fal bills below the reservation is given back', async t => {
  const gateway = await startGateway(t, { models, tenants: { tenants: [tenant('studio', { budget: { usd: 0.32, per: 'day' } })] } })
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', units: 0.25 })
  t.equal(costOf(await call(gateway, endpointIds.counted, { prompt: 'a fair', num_images: 4 })), '200 0.02')
  t.match((await call(gateway, endpointIds.counted, { prompt: 'a fair', num_images: 4 })).json(), { code: 'budget-exhausted' })
  t.equal(costOf(await call(gateway, endpointIds.counted, { prompt: 'a fair', num_images: 3 })), '200 0.24')
})

t.test('what is free costs nothing, and asks no budget', async t => {
  const gateway = await startGateway(t, { models, tenants: { tenants: [tenant('studio', { budget: { usd: 0, per: 'day' } })] } })
  t.equal(costOf(await call(gateway, endpointIds.free)), '200 0')
  t.match((await call(gateway, endpointIds.counted)).json(), { code: 'budget-exhausted' })
})

t.test('a model whose price nobody has confirmed is not bought', async t => {
  const gateway = await startGateway(t, { models })
  t.match((await call(gateway, endpointIds.closed)).json(), { status: 403, code: 'model-closed' })
  t.equal(gateway.sandbox.bill.accepted, 0)
})

t.test('the tenants file may state another rule, or dollars that scale the model\'s own', async t => {
  const prices = { [endpointIds.counted]: 0.4, [endpointIds.capped]: { usd: 0.1, per: 'image', times: { quality: { low: 1, high: 3 } } } }
  const gateway = await startGateway(t, { models, tenants: { tenants: [tenant('studio')], prices } })
  t.equal(costOf(await call(gateway, endpointIds.counted)), '200 0.1', 'four of them are 0.4')
  const dry = await gateway.generate({ prompt: 'a fair' }, { path: `/generate/${endpointIds.capped}`, headers: { 'falgate-dry-run': '1' } })
  t.match(dry.json(), { price: { highest_usd: 0.3 } }, 'the default that the price depends on is sent, and counts')
  const cheap = await gateway.generate({ prompt: 'a fair', quality: 'low' }, { path: `/generate/${endpointIds.capped}`, headers: { 'falgate-dry-run': '1' } })
  t.match(cheap.json(), { price: { highest_usd: 0.1 } })
})

t.test('a field that a tenant is limited in is sent with the document\'s default where that is allowed, and has to be said where it is not', async t => {
  const gateway = await startGateway(t, { models, tenants: { tenants: [tenant('studio', { allow: { quality: ['high'] } }), tenant('press', { allow: { quality: ['low'] } })] } })
  const reply = await call(gateway, endpointIds.counted)
  t.equal(reply.status, 200)
  t.match((await gateway.get(`/generations/${reply.headers.get('falgate-generation')}`)).json(), { input: { quality: 'high', num_images: 1 } })
  t.match((await call(gateway, endpointIds.counted, { prompt: 'a fair', quality: 'low' })).json(), { code: 'not-allowed' })
  const press = { path: `/generate/${endpointIds.counted}`, key: key('press') }
  t.match((await gateway.generate({ prompt: 'a fair' }, press)).json(), { code: 'not-allowed', detail: 'This tenant may set quality only to "low".' })
  t.equal((await gateway.generate({ prompt: 'a fair', quality: 'low' }, press)).status, 200)
})
