// `Falgate-Cache: reuse`: any stored picture of the input will do; otherwise one is bought, and others that ask in the same way join.

import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { key, startGateway, tenant, type Gateway, type GatewayOptions } from '../support/gateway.ts'
import { seedlessPoster } from '../support/poster.ts'
import { until } from '../support/until.ts'

const reuse = { headers: { 'falgate-cache': 'reuse' } }
const only = { headers: { 'falgate-cache': 'only' } }
const refresh = { headers: { 'falgate-cache': 'refresh' } }
const bypass = { headers: { 'falgate-cache': 'bypass' } }
const body = { prompt: 'a red bicycle' }
const BOUGHT = 'falgate; fwd=miss; stored; detail=bought'
const HIT = /^falgate; hit; ttl=5183\d\d$/

async function start (t: Test, options: GatewayOptions = {}): Promise<Gateway> {
  return await startGateway(t, { models: createModels([imagen4Ultra, seedlessPoster]), ...options })
}

t.test('the first request for reuse buys and stores, and the next ones get that answer byte for byte, its seed in it', async t => {
  const gateway = await start(t)
  const bought = await gateway.generate(body, reuse)
  t.equal(bought.headers.get('cache-status'), BOUGHT)
  t.equal(bought.headers.get('falgate-cost-usd'), '0.06')
  t.type(bought.json()['seed'], 'number')
  const again = await gateway.generate({ ...body, resolution: '1K' }, reuse)
  t.match(again.headers.get('cache-status'), HIT)
  t.equal(again.text, bought.text)
  t.match(again.headers.get('age'), /^\d$/)
  t.same(['falgate-cost-usd', 'falgate-saved-usd', 'falgate-generation'].map(name => again.headers.get(name)), ['0', '0.06', bought.headers.get('falgate-generation')])
  t.equal((await gateway.generate({ ...body, prompt: 'a blue bicycle' }, reuse)).headers.get('cache-status'), BOUGHT, 'of this very input')
  t.match((await gateway.generate({ ...body, seed: bought.json()['seed'] })).headers.get('cache-status'), HIT, 'and it is stored under its seed as ever')
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('it works for models that have no seed at all, also for fal\'s clients', async t => {
  const gateway = await start(t)
  const path = `/generate/${seedlessPoster.endpointId}`
  const run = `/fal/${seedlessPoster.endpointId}`
  const submit = `/fal/queue/${seedlessPoster.endpointId}`
  const bought = await gateway.generate(body, { path: run, ...reuse })
  t.equal(bought.headers.get('cache-status'), BOUGHT)
  t.equal((await gateway.generate({ ...body, seed: 7 }, { path: run, ...reuse })).text, bought.text, 'a seed that the model does not take is none')
  t.match((await gateway.generate(body, { path, ...reuse })).headers.get('cache-status'), HIT)
  const submitted = await gateway.generate(body, { path: submit, ...reuse })
  const collected = await gateway.get(`${submit}/requests/${String(submitted.json()['request_id'])}`)
  t.equal(collected.text, bought.text)
  t.equal(collected.headers.get('x-fal-billable-units'), '0')
  t.equal((await gateway.generate(body, { path })).headers.get('cache-status'), BOUGHT, 'without it each request is a new picture')
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('a picture that was bought without it serves it, seeded or not, and the newest is the one', async t => {
  const gateway = await start(t)
  const plain = await gateway.generate(body)
  t.equal((await gateway.generate(body, reuse)).text, plain.text)
  const seeded = await gateway.generate({ ...body, seed: 42 })
  t.equal(seeded.headers.get('cache-status'), BOUGHT)
  t.equal((await gateway.generate(body, reuse)).text, seeded.text)
  const fresh = await gateway.generate(body, refresh)
  t.equal(fresh.headers.get('cache-status'), 'falgate; fwd=request; stored; detail=bought')
  t.equal((await gateway.generate(body, reuse)).text, fresh.text)
  t.match((await gateway.generate({ ...body, seed: 42 })).headers.get('cache-status'), HIT, 'each still has its seed')
  t.equal((await gateway.generate({ ...body, seed: 42 }, reuse)).status, 400)
  t.equal(gateway.sandbox.bill.accepted, 3)
})

t.test('an older answer that is replayed is not the newest again', async t => {
  const gateway = await start(t)
  const keyed = { headers: { 'idempotency-key': 'order-1', 'falgate-cache': 'reuse' } }
  const old = await gateway.generate(body, keyed)
  const fresh = await gateway.generate(body, refresh)
  t.equal((await gateway.generate(body, reuse)).text, fresh.text)
  t.equal((await gateway.generate(body, keyed)).text, old.text)
  t.equal((await gateway.generate(body, reuse)).text, fresh.text)
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('a bypass leaves nothing to reuse, and a result too long to be stored neither', async t => {
  const gateway = await start(t)
  await gateway.generate(body, bypass)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', insideBytes: 300_000 })
  t.equal((await gateway.generate(body, reuse)).headers.get('cache-status'), 'falgate; fwd=miss; detail=bought')
  t.equal((await gateway.generate(body, only)).status, 504)
  t.equal((await gateway.generate(body, reuse)).headers.get('cache-status'), BOUGHT)
})

t.test('with a seed it is refused, and nothing is bought', async t => {
  const gateway = await start(t)
  const reply = await gateway.generate({ ...body, seed: 7 }, reuse)
  t.equal(reply.status, 400)
  t.match(reply.json(), { code: 'bad-header', detail: /reuse.*seed/ })
  t.equal((await gateway.generate({ ...body, seed: 7 }, { path: `/fal/${imagen4Ultra.endpointId}`, ...reuse })).status, 400)
  t.equal(gateway.sandbox.bill.submits, 0)
})

t.test('only without a seed is answered with any stored picture of the input, or 504', async t => {
  const gateway = await start(t)
  const missing = await gateway.generate(body, only)
  t.equal(missing.status, 504)
  t.equal(missing.json()['code'], 'not-cached')
  const bought = await gateway.generate({ ...body, seed: 42 })
  const found = await gateway.generate(body, only)
  t.equal(found.text, bought.text)
  t.match(found.headers.get('cache-status'), HIT)
  t.equal((await gateway.generate({ ...body, seed: 43 }, only)).status, 504, 'a seed is that seed')
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('all who ask for reuse while it is bought wait for one purchase, of whichever tenant of the group; others buy their own', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' }), tenant('apart')] } })
  const release = gateway.sandbox.faults.holdJobs()
  const first = gateway.generate(body, reuse)
  await gateway.sandbox.bill.untilAccepted(1)
  const crowd = Array.from({ length: 20 }, async (_, n) => await gateway.generate(body, { ...reuse, key: key(n % 2 === 0 ? 'studio' : 'press') }))
  const plain = gateway.generate(body)
  const apart = gateway.generate(body, { ...reuse, key: key('apart') })
  await gateway.sandbox.bill.untilAccepted(3)
  const listed = async (key: string): Promise<unknown> => (await gateway.get('/generations', { key })).json()['generations']
  await until(async () => { const rows = await listed(key('press')); return Array.isArray(rows) && rows.length === 10 })
  release()
  const text = (await first).text
  for (const call of crowd) {
    const reply = await call
    t.equal(reply.text, text)
    t.equal(reply.headers.get('cache-status'), 'falgate; fwd=miss; stored; collapsed; detail=joined')
    t.equal(reply.headers.get('falgate-cost-usd'), '0')
  }
  for (const call of [plain, apart]) t.equal((await call).headers.get('cache-status'), BOUGHT)
  t.equal(gateway.sandbox.bill.accepted, 3)
})

t.test('a caller that is gone leaves its purchase to those that ask for reuse, not to those that do not', async t => {
  const gateway = await start(t)
  const release = gateway.sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const left = gateway.generate(body, { ...reuse, signal: leaving.signal }).catch(() => null)
  await gateway.sandbox.bill.untilAccepted(1)
  leaving.abort()
  await left
  const plain = gateway.generate(body)
  await gateway.sandbox.bill.untilAccepted(2)
  const again = gateway.generate(body, reuse)
  release()
  t.equal((await plain).headers.get('cache-status'), BOUGHT)
  t.match((await again).headers.get('falgate-cost-usd'), '0')
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('a billed failure, or one of which nobody knows, answers requests for reuse as what it is for 15 minutes', async t => {
  for (const fault of [{ kind: 'job', operation: 'submit', error: 'content_policy_violation', units: 1 }, { kind: 'reset', operation: 'submit', accepted: true }] as const) {
    const gateway = await start(t)
    gateway.sandbox.faults.add(fault)
    const first = await gateway.generate(body, reuse)
    const again = await gateway.generate(body, reuse)
    t.equal(again.json()['code'], first.json()['code'])
    t.match(again.headers.get('cache-status'), /^falgate; hit; ttl=(900|8\d\d); detail=(failed|unknown)-before$/)
    t.match(again.json()['detail'], /Falgate-Cache: refresh/)
    t.equal(again.headers.get('falgate-cost-usd') ?? '0', '0')
    t.equal(gateway.sandbox.bill.accepted, 1)
    const fresh = await gateway.generate(body, refresh)
    t.equal(fresh.status, 200)
    t.equal((await gateway.generate(body, reuse)).text, fresh.text, 'which a success ends')
  }
})

t.test('a failure that was not billed is bought again', async t => {
  const gateway = await start(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'internal_server_error' })
  t.not((await gateway.generate(body, reuse)).status, 200)
  t.equal((await gateway.generate(body, reuse)).headers.get('cache-status'), BOUGHT)
})
