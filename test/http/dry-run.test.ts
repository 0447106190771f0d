// `Falgate-Dry-Run: 1`: what a call would get is told on every door that buys, and nothing is bought, written or counted.

import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { key, startGateway, tenant, type CallOptions, type Gateway, type GatewayOptions, type Reply } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'
import { seedlessPoster } from '../support/poster.ts'
import { until } from '../support/until.ts'

const dry = { 'falgate-dry-run': '1' }
const prompt = 'a red bicycle'
const { endpointId } = imagen4Ultra
const paths = ['/generate', `/generate/${endpointId}`, `/fal/${endpointId}`, `/fal/queue/${endpointId}`]
/** A model without an address of its own in the gateway's document, that makes two pictures. */
const posters = ['/generate', '/fal', '/fal/queue'].map(door => `${door}/${seedlessPoster.endpointId}`)

async function start (t: Test, options: GatewayOptions = {}): Promise<Gateway> {
  return await startGateway(t, { models: createModels([imagen4Ultra, seedlessPoster]), ...options })
}

/** The answer to a dry run, which has to be one. */
async function ask (t: Test, gateway: Gateway, body: unknown, { headers = {}, ...options }: CallOptions = {}): Promise<Record<string, unknown>> {
  const reply = await gateway.generate(body, { ...options, headers: { ...headers, ...dry } })
  assertDry(t, reply)
  return reply.json()
}

function assertDry (t: Test, reply: Reply): void {
  t.equal(reply.status, 200, reply.text)
  t.equal(reply.headers.get('falgate-dry-run'), '1')
  t.equal(reply.headers.get('cache-status'), 'falgate; detail=dry-run')
  t.notOk(reply.headers.has('falgate-generation') || reply.headers.has('falgate-cost-usd'))
  t.notMatch(reply.text, prompt)
}

t.test('every door tells the same of a call that would be bought, and buys nothing', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 5, per: 'day' }, rateLimit: { max: 7, windowSeconds: 60 } })] } })
  const expected = {
    dry_run: true,
    model: endpointId,
    valid: true,
    errors: [],
    would: 'buy',
    problem: null,
    price: { highest_usd: 0.06, how: '0.06 per image × 1 (num_images)' },
    budget: { left_usd: 5, per: 'day' },
    token: null,
    rate_limit: { left: 7, window_seconds: 60 },
    queue: { position: 0, in_flight: 0 }
  }
  for (const path of paths) t.same(await ask(t, gateway, { prompt }, { path }), expected, path)
  const proxied = { 'x-fal-target-url': `https://queue.fal.run/${endpointId}` }
  t.same(await ask(t, gateway, { prompt }, { path: '/fal/proxy', headers: proxied }), expected, 'the proxy')
  const dearer = { ...expected, model: seedlessPoster.endpointId, price: { highest_usd: 0.09, how: '0.045 per image × 2 (copies)' } }
  for (const path of posters) t.same(await ask(t, gateway, { prompt }, { path }), dearer, path)
  t.equal(gateway.sandbox.bill.submits, 0)
  t.same((await gateway.get('/generations')).json()['generations'], [])
})

t.test('a hundred dry runs leave budget, rate and list as they were, and the call costs what they said', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 1, per: 'month' } })] } })
  await gateway.generate({ prompt, seed: 1 })
  const before = await gateway.get('/usage')
  const told = await ask(t, gateway, { prompt }, { path: posters[0] ?? '' })
  for (let n = 0; n < 100; n++) t.same(await ask(t, gateway, { prompt }, { path: posters[n % posters.length] ?? '' }), told)
  t.equal((await gateway.get('/usage')).text, before.text)
  t.match(told, { budget: { left_usd: 0.94 }, price: { highest_usd: 0.09 } })
  const bought = await gateway.generate({ prompt }, { path: posters[0] ?? '' })
  t.equal(bought.headers.get('falgate-cost-usd'), '0.09')
  t.match(await ask(t, gateway, { prompt, copies: 1 }, { path: posters[0] ?? '' }), { budget: { left_usd: 0.85 }, price: { highest_usd: 0.045 }, would: 'buy' })
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('what would be free is told as what it is, on whichever door', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' }), tenant('apart')] } })
  const keyed = { headers: { 'idempotency-key': 'order-1' } }
  await gateway.generate({ prompt, seed: 1 })
  await gateway.generate({ prompt, seed: 2 }, keyed)
  const release = gateway.sandbox.faults.holdJobs()
  const running = gateway.generate({ prompt, seed: 3 })
  await gateway.sandbox.bill.untilAccepted(3)
  for (const path of paths) {
    t.match(await ask(t, gateway, { prompt, seed: 1 }, { path }), { would: 'hit', problem: null, price: { highest_usd: 0.06 } })
    t.match(await ask(t, gateway, { prompt, seed: 1 }, { path, key: key('press') }), { would: 'hit' }, 'a tenant of the group')
    t.match(await ask(t, gateway, { prompt, seed: 1 }, { path, key: key('apart') }), { would: 'buy' })
    t.match(await ask(t, gateway, { prompt }, { path, headers: { 'falgate-cache': 'reuse' } }), { would: 'hit' })
    t.match(await ask(t, gateway, { prompt, seed: 1 }, { path, headers: { 'falgate-cache': 'refresh' } }), { would: 'buy' })
    t.match(await ask(t, gateway, { prompt, seed: 1 }, { path, headers: { 'falgate-cache': 'only' } }), { would: 'hit' })
    t.match(await ask(t, gateway, { prompt, seed: 9 }, { path, headers: { 'falgate-cache': 'only' } }), { would: 'refuse', problem: { code: 'not-cached', status: 504 } })
    t.match(await ask(t, gateway, { prompt, seed: 2 }, { path, ...keyed }), { would: 'replay', problem: null })
    t.match(await ask(t, gateway, { prompt, seed: 4 }, { path, ...keyed }), { would: 'refuse', problem: { code: 'idempotency-key-reused' } })
    t.match(await ask(t, gateway, { prompt, seed: 3 }, { path, key: key('press') }), { would: 'join', queue: { position: 0, in_flight: 0 } })
    t.match(await ask(t, gateway, { prompt, seed: 3 }, { path }), { would: 'join', queue: { in_flight: 1 } })
  }
  t.match(await ask(t, gateway, { prompt, seed: 2 }, { headers: { 'idempotency-key': 'order-2' } }), { would: 'hit' })
  release()
  t.equal((await running).headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought', 'nobody joined it')
  t.equal((await gateway.generate({ prompt: 'another' }, { headers: { 'idempotency-key': 'order-2' } })).status, 200, 'the key stands for nothing')
})

t.test('what a caller left is foreseen as reattached, and what a caller waits for as a purchase', async t => {
  const gateway = await start(t)
  const release = gateway.sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const left = gateway.generate({ prompt }, { signal: leaving.signal }).catch(() => null)
  await gateway.sandbox.bill.untilAccepted(1)
  t.match(await ask(t, gateway, { prompt }), { would: 'buy' })
  leaving.abort()
  await left
  await until(async () => (await ask(t, gateway, { prompt }))['would'] === 'reattach')
  const again = gateway.generate({ prompt })
  release()
  t.match((await again).headers.get('cache-status'), /detail=adopted/)
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('an end without a picture that would answer the call is told as the problem that it is', async t => {
  for (const fault of [{ kind: 'job', operation: 'submit', error: 'content_policy_violation', units: 1 }, { kind: 'reset', operation: 'submit', accepted: true }] as const) {
    const gateway = await start(t)
    gateway.sandbox.faults.add(fault)
    await gateway.generate({ prompt, seed: 1 })
    const told = await ask(t, gateway, { prompt, seed: 1 })
    const real = (await gateway.generate({ prompt, seed: 1 })).json()
    t.match(told, { would: 'join', problem: { code: real['code'], title: real['title'], status: real['status'], detail: real['detail'] } })
  }
})

t.test('a body that does not fit is 200 with the faults of the 422, on fal\'s doors as well', async t => {
  const gateway = await start(t)
  const body = { prompt: '', num_images: 9 }
  const { errors } = (await gateway.generate(body)).json()
  for (const path of paths) {
    const told = await ask(t, gateway, body, { path })
    t.same(told['errors'], errors)
    t.match(told, { valid: false, would: 'refuse', problem: { code: 'invalid-input', status: 422 } })
    t.same([told['price'], told['budget'], told['rate_limit'], told['queue']], [null, null, null, null])
  }
  t.match(await ask(t, gateway, { prompt, colour: 'red' }), { valid: false })
  t.match(await ask(t, gateway, { prompt, colour: 'red' }, { path: `/fal/${endpointId}` }), { valid: true, would: 'buy' }, 'which that door leaves out')
})

t.test('what would refuse the call is told with the code and the sentence that it would get', async t => {
  const tenants = {
    tenants: [
      tenant('broke', { budget: { usd: 0.05, per: 'day' } }), tenant('slow', { rateLimit: { max: 1, windowSeconds: 3600 } }), tenant('narrow', { maxInFlight: 1, maxQueued: 0 }), tenant('studio')
    ]
  }
  const gateway = await start(t, { tenants, env: { BREAKER_FAILURES: '1' } })
  const release = gateway.sandbox.faults.holdJobs()
  const calls = ['slow', 'narrow'].map(async name => await gateway.generate({ prompt }, { key: key(name) }))
  await gateway.sandbox.bill.untilAccepted(2)
  const refused = async (name: string, code: string): Promise<void> => {
    const told = await ask(t, gateway, { prompt, seed: 5 }, { key: key(name) })
    const real = (await gateway.generate({ prompt, seed: 5 }, { key: key(name) })).json()
    t.equal(real['code'], code)
    t.match(told, { valid: true, would: 'refuse', problem: { code, title: real['title'], status: real['status'], detail: real['detail'] ?? null }, price: { highest_usd: 0.06 } })
  }
  await refused('broke', 'budget-exhausted')
  await refused('slow', 'rate-limited')
  await refused('narrow', 'queue-full')
  t.match(await ask(t, gateway, { prompt }, { key: key('slow') }), { rate_limit: { left: 0, window_seconds: 3600 }, queue: { in_flight: 1 } })
  release()
  await Promise.all(calls)
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'unauthorized' })
  await gateway.generate({ prompt: 'one that fails' })
  await refused('studio', 'upstream-account-blocked')
})

t.test('a model whose price nobody has confirmed, and an input without a highest price, are refused as the call would be, and the tenant\'s standing is told', async t => {
  const closed = documentModel({ endpointId: 'acme/closed', isConfirmed: false })
  const input = { type: 'object', required: ['prompt', 'duration'], properties: { prompt: { type: 'string' }, duration: { type: 'integer', minimum: 1 } } }
  const bounded = documentModel({ endpointId: 'acme/film', input, price: { usd: 0.1, per: 'second', max_usd: 5 } })
  // No file may say that; a call of it may be too dear for any rule.
  const film = { ...bounded, rule: { ...bounded.rule, max: null } }
  const gateway = await startGateway(t, { models: createModels([imagen4Ultra, closed, film]), tenants: { tenants: [tenant('studio', { budget: { usd: 3, per: 'day' } })] } })
  for (const [path, body, code] of [['/generate/acme/closed', { prompt }, 'model-closed'], ['/generate/acme/film', { prompt, duration: 1_000_000 }, 'price-unknown']] as const) {
    const told = await ask(t, gateway, body, { path })
    const real = (await gateway.generate(body, { path })).json()
    t.equal(real['code'], code)
    t.match(told, { valid: true, would: 'refuse', problem: { code, detail: real['detail'] }, price: null, budget: { left_usd: 3 }, queue: { position: 0 } })
  }
  t.match(await ask(t, gateway, { prompt, duration: 7 }, { path: '/generate/acme/film' }), { would: 'buy', price: { highest_usd: 0.7 } })
  t.equal(gateway.sandbox.bill.submits, 0)
})

t.test('what is no call stays an error: key, model, header, body', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { callLimit: { max: 10, windowSeconds: 3600 } }), tenant('press', { models: [endpointId] })] } })
  const call = async (options: CallOptions, body: unknown = { prompt }): Promise<unknown> => {
    const { status, json } = await gateway.generate(body, { ...options, headers: { ...dry, ...options.headers } })
    return [status, json()['code'] ?? json()['error_type']]
  }
  t.same(await call({ key: null }), [401, 'key-missing'])
  t.same(await call({ key: 'fg_nobody_x' }), [401, 'key-unknown'])
  t.same(await call({ path: '/generate/fal-ai/none' }), [404, 'model-unknown'])
  t.same(await call({ path: `/generate/${seedlessPoster.endpointId}`, key: key('press') }), [403, 'not-allowed'])
  t.same(await call({}, '{"prompt'), [400, 'malformed-json'])
  t.same(await call({ headers: { 'falgate-cache': 'never' } }), [400, 'bad-header'])
  t.same(await call({ headers: { 'falgate-cache': 'reuse' } }, { prompt, seed: 1 }), [400, 'bad-header'])
  for (const value of ['0', 'true', '', '1, 1']) t.same(await call({ headers: { 'falgate-dry-run': value } }), [400, 'bad-header'], value)
  t.same(await call({ path: paths[3] ?? '', headers: { 'falgate-dry-run': 'yes' } }), [400, 'bad_request'])
  t.same(await call({}), [200, undefined], 'the last of ten calls')
  t.same(await call({}), [429, 'rate-limited'], 'a dry run is a call')
  t.equal(gateway.sandbox.bill.submits, 0)
})

t.test('a web page may send the header and read it', async t => {
  const origin = 'https://studio.example'
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { origins: [origin] })] } })
  const preflight = await fetch(`${gateway.url}/generate`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'falgate-dry-run' } })
  t.match(preflight.headers.get('access-control-allow-headers'), 'falgate-dry-run')
  const reply = await gateway.generate({ prompt }, { headers: { ...dry, origin } })
  assertDry(t, reply)
  t.match(reply.headers.get('access-control-expose-headers'), 'falgate-dry-run')
})

t.test('metrics count neither a hit, nor a saving, nor a refusal', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 0.07, per: 'day' } })] } })
  await gateway.generate({ prompt, seed: 1 })
  const figures = async (): Promise<readonly string[]> => (await gateway.get('/metrics')).text.split('\n').filter(line => /^falgate_(answers|saved|refusals|undelivered|generations)/.test(line))
  const before = await figures()
  t.match(await ask(t, gateway, { prompt, seed: 1 }), { would: 'hit' })
  t.match(await ask(t, gateway, { prompt, seed: 2 }), { would: 'refuse', problem: { code: 'budget-exhausted' } })
  t.match(await ask(t, gateway, { seed: 2 }), { valid: false })
  t.same(await figures(), before)
})
