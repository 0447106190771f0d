// `POST /generations`: the call of `POST /generate`, always answered with 202 and the generation, so that one schema fits every success.

import t from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { key, startGateway, tenant, type Gateway, type Reply } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'
import { poster } from '../support/poster.ts'
import { untilStatus } from '../support/until.ts'

const PATH = '/generations'
const ask = { path: PATH }

/** Where an answer says that its generation is, as a path. */
function placeOf (reply: Reply): string {
  return new URL(reply.headers.get('location') ?? '', 'http://gateway').pathname
}

async function bought (gateway: Gateway): Promise<Reply> {
  const reply = await gateway.generate({ prompt: 'a red bicycle', seed: 42 })
  t.equal(reply.status, 200)
  return reply
}

t.test('a picture that is bought is answered at once with its generation, which is collected by its id', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const reply = await gateway.generate({ prompt: 'a red bicycle' }, ask)
  t.equal(reply.status, 202)
  const id = String(reply.json()['id'])
  t.match(reply.json(), { status: /^(queued|running)$/, model: imagen4Ultra.endpointId, input: { prompt: 'a red bicycle' }, output: null, error: null })
  t.same([reply.headers.get('falgate-generation'), placeOf(reply)], [id, `/generations/${id}`])
  t.match(reply.headers.get('cache-status'), /detail=bought$/)
  release()
  t.match(await untilStatus(gateway, id, 'succeeded'), { output: { images: [{}] }, cost_usd: 0.06 })
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('what is stored is the same picture for both routes, and nothing is bought', async t => {
  const gateway = await startGateway(t)
  const picture = await bought(gateway)
  const reply = await gateway.generate({ prompt: 'a red bicycle', seed: 42 }, ask)
  t.equal(reply.status, 202)
  t.match(reply.json(), { id: picture.headers.get('falgate-generation'), status: 'succeeded', output: picture.json(), cost_usd: 0.06 })
  t.ok(reply.text.includes(`"output":${picture.text}`), 'byte for byte')
  t.match(reply.headers.get('cache-status'), /^falgate; hit; ttl=5183\d\d$/)
  t.same(['falgate-cost-usd', 'falgate-saved-usd'].map(name => reply.headers.get(name)), ['0', '0.06'])
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('a result that another tenant bought is read under an id of the caller\'s own, and cost it nothing', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' })] } })
  const picture = await bought(gateway)
  const reply = await gateway.generate({ prompt: 'a red bicycle', seed: 42 }, { ...ask, key: key('press') })
  t.equal(reply.status, 202)
  t.match(reply.json(), { status: 'succeeded', output: picture.json(), cost_usd: 0 })
  t.not(reply.json()['id'], picture.headers.get('falgate-generation'))
  t.match((await gateway.get(placeOf(reply), { key: key('press') })).json(), { output: picture.json() })
  const only = await gateway.generate({ prompt: 'a red bicycle', seed: 42 }, { ...ask, key: key('press'), headers: { 'falgate-cache': 'only' } })
  t.match(only.json(), { status: 504, code: 'not-cached' }, 'nothing is admitted for it, so there is no id')
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('a repeated Idempotency-Key gets the same generation, on either route', async t => {
  const gateway = await startGateway(t)
  const headers = { 'idempotency-key': 'order-1' }
  const body = { prompt: 'a red bicycle' }
  const id = String((await gateway.generate(body, { ...ask, headers })).json()['id'])
  await untilStatus(gateway, id, 'succeeded')
  const again = await gateway.generate(body, { ...ask, headers })
  t.equal(again.status, 202)
  t.match(again.json(), { id, status: 'succeeded', cost_usd: 0.06 })
  t.equal(again.headers.get('idempotent-replayed'), 'true')
  t.same((await gateway.generate(body, { headers })).json(), again.json()['output'])
  t.match((await gateway.generate({ ...body, seed: 1 }, { ...ask, headers })).json(), { code: 'idempotency-key-reused' })
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('one that has failed before is a generation with its error, in the same schema', async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation', hideUnits: true })
  const body = { prompt: 'a red bicycle', seed: 1 }
  const failed = await gateway.generate(body)
  const reply = await gateway.generate(body, ask)
  t.equal(reply.status, 202)
  t.match(reply.json(), { id: failed.headers.get('falgate-generation'), status: 'failed', output: null, error: { code: failed.json()['code'] } })
  t.match(reply.headers.get('cache-status'), /detail=failed-before$/)
})

t.test('Prefer: wait answers with the generation as it is by then', async t => {
  const gateway = await startGateway(t)
  const waited = await gateway.generate({ prompt: 'a red bicycle' }, { ...ask, headers: { prefer: 'wait=30' } })
  t.equal(waited.status, 202)
  t.match(waited.json(), { status: 'succeeded', output: { images: [{}] } })
  t.equal(waited.headers.get('preference-applied'), 'wait=30')
  t.equal(waited.headers.get('falgate-cost-usd'), '0.06')
  t.equal((await gateway.generate({ prompt: 'a blue bicycle' }, { ...ask, headers: { prefer: 'respond-async' } })).headers.get('preference-applied'), 'respond-async')
})

t.test('the query names the model, and one that is misspelt or given twice buys nothing', async t => {
  const gateway = await startGateway(t, { models: createModels([imagen4Ultra, poster]) })
  for (const spelt of [poster.endpointId, encodeURIComponent(poster.endpointId)]) {
    t.match((await gateway.generate({ prompt: 'a fair', paper: 'plain' }, { path: `${PATH}?model=${spelt}`, headers: { prefer: 'wait=30' } })).json(), { model: poster.endpointId })
  }
  t.match((await gateway.generate({ prompt: 'a fair', paper: 'plain' }, ask)).json(), { code: 'invalid-input', errors: [{ path: '/paper' }] }, 'left out, the default one')
  const { accepted } = gateway.sandbox.bill
  for (const [query, status, code] of [['model=print-shop/press/postre', 404, 'model-unknown'], ['model=', 404, 'model-unknown'], ['Model=x', 400, 'bad-query'], [`model=${poster.endpointId}&model=x`, 400, 'bad-query']] as const) {
    t.match((await gateway.generate({ prompt: 'a fair' }, { path: `${PATH}?${query}` })).json(), { status, code }, query)
  }
  t.equal(gateway.sandbox.bill.accepted, accepted)
})

t.test('what is refused is a problem, as on every door; a dry run tells it, and is 200', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 0.06, per: 'day' } })] } })
  const dry = await gateway.generate({ prompt: 'a fair' }, { ...ask, headers: { 'falgate-dry-run': '1' } })
  t.equal(dry.status, 200)
  t.match(dry.json(), { dry_run: true, would: 'buy' })
  t.equal(gateway.sandbox.bill.submits, 0)
  t.equal((await gateway.generate({ prompt: 'a fair' }, { ...ask, headers: { prefer: 'wait=30' } })).status, 202)
  t.match((await gateway.generate({ prompt: 'b' }, ask)).json(), { status: 402, code: 'budget-exhausted' })
  t.match((await gateway.generate({ prompt: 3 }, ask)).json(), { status: 422, code: 'invalid-input' })
  t.match((await gateway.generate({ prompt: 'a fair' }, { ...ask, key: null })).json(), { status: 401 })
})

t.test('a result with the pictures inside is in the generation, too, however long it is', async t => {
  const large = documentModel({
    endpointId: 'acme/inliner',
    input: promptAnd({ sync_mode: { type: 'boolean' }, num_images: { type: 'integer', minimum: 1, maximum: 4, default: 4 }, image_size: { type: 'string', enum: ['square_hd'], default: 'square_hd' } })
  })
  const gateway = await startGateway(t, { models: createModels([imagen4Ultra], { added: [large] }) })
  const headers = { 'idempotency-key': 'long', prefer: 'wait=30' }
  const options = { path: `${PATH}?model=${large.endpointId}`, headers }
  const first = await gateway.generate({ prompt: 'a heron', sync_mode: true, num_images: 4, image_size: 'square_hd' }, options)
  const again = await gateway.generate({ prompt: 'a heron', sync_mode: true, num_images: 4, image_size: 'square_hd' }, options)
  for (const reply of [first, again]) {
    t.equal(reply.status, 202)
    t.match(reply.json(), { status: 'succeeded', output: { images: [{ url: /^data:/ }] } })
    t.ok(Number(reply.json()['output_bytes']) > 256 * 1024)
  }
  t.equal(gateway.sandbox.bill.accepted, 1)
})
