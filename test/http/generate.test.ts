// What `POST /generate` answers when all goes well.

import t from 'tap'
import { key, parseObject, startGateway, tenant, type Reply } from '../support/gateway.ts'
import { decodePng } from '../support/png.ts'
import { untilStatus } from '../support/until.ts'

async function pictureOf (reply: Reply): Promise<Buffer> {
  const response = await fetch(urlOf(reply))
  return Buffer.from(await response.arrayBuffer())
}

function urlOf (reply: Reply): string {
  const { images } = reply.json()
  const [first] = Array.isArray(images) ? images : []
  return String(parseObject(JSON.stringify(first))['url'])
}

t.test('the model\'s output is the body, and everything else is in headers', async t => {
  const gateway = await startGateway(t)
  const reply = await gateway.generate({ prompt: 'a red bicycle', seed: 42 })
  t.equal(reply.status, 200)
  t.match(reply.headers.get('content-type'), /^application\/json/)
  t.match(reply.json(), { images: [{ url: /^http/ }], seed: 42 })
  t.same(Object.keys(reply.json()), ['images', 'seed'])
  t.equal(reply.headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought')
  t.match(reply.headers.get('falgate-generation'), /^[0-9a-f-]{36}$/)
  t.equal(reply.headers.get('falgate-cost-usd'), '0.06')
  t.equal(reply.headers.get('falgate-saved-usd'), '0')
  t.match(reply.headers.get('x-request-id'), /^[0-9a-f-]{36}$/)
  t.equal(reply.headers.get('cache-control'), 'no-store')
  t.equal(reply.headers.get('x-content-type-options'), 'nosniff')
  t.match(reply.headers.get('server-timing'), /^total;dur=\d/)
  t.equal(reply.headers.get('ratelimit-policy'), '"calls";q=6000;w=60, "purchases";q=60;w=60')
  t.match(reply.headers.get('ratelimit'), /^"calls";r=5999;t=\d+, "purchases";r=59;t=\d+$/)
  t.equal([...reply.headers.keys()].some(name => name.startsWith('x-fal')), false, 'nothing of fal\'s shows')
})

t.test('the same request with a seed is bought once and then comes from what is stored', async t => {
  const gateway = await startGateway(t)
  const first = await gateway.generate({ prompt: 'a red bicycle', seed: 42 })
  const second = await gateway.generate('{ "seed": 42.0, "resolution": "1K", "prompt": "a red bicycle" }')
  t.equal(second.text, first.text, 'byte for byte')
  t.match(second.headers.get('cache-status'), /^falgate; hit; ttl=5183\d\d$/)
  t.match(second.headers.get('age'), /^\d$/)
  t.equal(second.headers.get('falgate-cost-usd'), '0')
  t.equal(second.headers.get('falgate-saved-usd'), '0.06')
  t.equal(second.headers.get('falgate-generation'), first.headers.get('falgate-generation'))
  t.equal(gateway.sandbox.bill.accepted, 1)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('every parameter that can change the picture makes another one', async t => {
  const gateway = await startGateway(t)
  const base = { prompt: 'a red bicycle', seed: 42 }
  const others = [{}, { seed: 43 }, { prompt: 'a blue bicycle' }, { negative_prompt: 'rain' }, { aspect_ratio: '16:9' }, { resolution: '2K' }]
  for (const other of others) t.equal((await gateway.generate({ ...base, ...other })).headers.get('falgate-cost-usd'), '0.06', JSON.stringify(other))
  t.equal(gateway.sandbox.bill.billedUnits, others.length)
})

t.test('an Idempotency-Key stands for the body as it was sent: spaces and the order of fields are the same body, a default that is spelled out is another', async t => {
  const gateway = await startGateway(t)
  const headers = { 'idempotency-key': 'order-1' }
  const first = await gateway.generate('{"prompt":"x","seed":1}', { headers })
  t.equal((await gateway.generate('{ "seed": 1, "prompt": "x" }', { headers })).text, first.text)
  const other = await gateway.generate('{"prompt":"x","seed":1,"num_images":1}', { headers })
  t.equal(other.status, 422)
  t.equal(other.json()['code'], 'idempotency-key-reused')
})

t.test('without a seed each request is a new picture, and its seed is learned', async t => {
  const gateway = await startGateway(t)
  const first = await gateway.generate({ prompt: 'a red bicycle' })
  const second = await gateway.generate({ prompt: 'a red bicycle' })
  t.not(first.text, second.text)
  t.equal(gateway.sandbox.bill.billedUnits, 2)
  t.equal(first.headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought')
  const again = await gateway.generate({ prompt: 'a red bicycle', seed: first.json()['seed'] })
  t.equal(again.text, first.text)
  t.match(again.headers.get('cache-status'), /hit/)
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('where the answer names no seed nothing is learned and nothing is guessed', async t => {
  const gateway = await startGateway(t, { sandbox: { outputShape: 'D' } })
  const reply = await gateway.generate({ prompt: 'a red bicycle' })
  t.equal(reply.status, 200)
  t.notOk('seed' in reply.json())
  t.equal(reply.headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought', 'it is stored for those to whom any seed will do')
  t.equal((await gateway.get(`/generations/${reply.headers.get('falgate-generation')}`)).json()['seed'], null)
  t.equal((await gateway.generate({ prompt: 'a red bicycle', seed: 0 })).headers.get('falgate-cost-usd'), '0.06')
})

t.test('a seed of up to 1,000 digits travels unchanged, there and back', async t => {
  const gateway = await startGateway(t)
  for (const seed of ['196619188014358660', '-98765432109876543210', '7'.repeat(400), `-${'7'.repeat(1000)}`, '-1', '0']) {
    const reply = await gateway.generate(`{"prompt":"a red bicycle","seed":${seed}}`)
    t.equal(reply.status, 200)
    t.match(reply.text, `"seed":${seed}}`)
    const hit = await gateway.generate(`{"seed":${seed},"prompt":"a red bicycle"}`)
    t.match(hit.headers.get('cache-status'), /hit/)
    const generation = await gateway.get(`/generations/${reply.headers.get('falgate-generation')}`)
    t.equal(generation.json()['seed'], seed)
    t.match(generation.text, `"resolution":"1K","seed":${seed}}`, 'in the input, too')
  }
  t.equal(gateway.sandbox.bill.billedUnits, 6, 'neighbours beyond 2^53 are not mixed up')
})

t.test('the picture behind the answer has the documented size; same prompt and seed, same bytes; other seed, other picture', async t => {
  const gateway = await startGateway(t)
  const sizes = [['1:1', '1K', 1024, 1024], ['16:9', '1K', 1408, 768], ['9:16', '1K', 768, 1408], ['4:3', '1K', 1280, 896], ['3:4', '1K', 896, 1280], ['1:1', '2K', 2048, 2048]] as const
  for (const [ratio, resolution, width, height] of sizes) {
    const png = decodePng(await pictureOf(await gateway.generate({ prompt: 'a red bicycle', seed: 1, aspect_ratio: ratio, resolution })))
    t.same([png.width, png.height], [width, height], `${ratio} at ${resolution}`)
  }
  const one = await pictureOf(await gateway.generate({ prompt: 'a red bicycle', seed: 5 }))
  const bought = await gateway.generate({ prompt: 'a red bicycle', seed: 5 }, { headers: { 'falgate-cache': 'bypass' } })
  t.equal(bought.headers.get('cache-status'), 'falgate; fwd=bypass; detail=bought')
  t.ok(one.equals(await pictureOf(bought)), 'bought twice, drawn alike')
  t.notOk(one.equals(await pictureOf(await gateway.generate({ prompt: 'a red bicycle', seed: 6 }))))
})

t.test('100 identical requests at once are one purchase and 100 equal answers', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const calls = Array.from({ length: 100 }, async () => await gateway.generate({ prompt: 'a crowd', seed: 7 }))
  await gateway.sandbox.bill.untilAccepted(1)
  release()
  const replies = await Promise.all(calls)
  t.equal(new Set(replies.map(reply => reply.text)).size, 1)
  t.ok(replies.every(reply => reply.status === 200))
  const details = replies.map(reply => reply.headers.get('cache-status'))
  t.equal(details.filter(detail => detail === 'falgate; fwd=miss; stored; detail=bought').length, 1)
  t.ok(details.every(detail => /detail=bought|collapsed; detail=joined|hit/.test(detail ?? '')))
  t.equal(replies.filter(reply => reply.headers.get('falgate-cost-usd') === '0.06').length, 1)
  t.equal(gateway.sandbox.bill.accepted, 1)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
  t.match((await gateway.generate({ prompt: 'a crowd', seed: 7 })).headers.get('cache-status'), /hit/)
})

t.test('tenants share results only within a cache group, and then see no foreign id', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' }), tenant('alone')] } })
  const first = await gateway.generate({ prompt: 'shared', seed: 1 })
  const second = await gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('press') })
  t.equal(second.text, first.text)
  t.match(second.headers.get('cache-status'), /hit/)
  t.equal(second.headers.get('falgate-generation'), null)
  const third = await gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('alone') })
  t.match(third.headers.get('cache-status'), /bought/)
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('a joiner of another tenant reads the generation under an id of its own', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' })] } })
  const release = gateway.sandbox.faults.holdJobs()
  const buyer = gateway.generate({ prompt: 'shared', seed: 1 })
  await gateway.sandbox.bill.untilAccepted(1)
  const joiner = await gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('press'), headers: { prefer: 'respond-async' } })
  release()
  const id = String((await buyer).headers.get('falgate-generation'))
  const alias = String(joiner.json()['id'])
  t.not(alias, id)
  t.equal((await gateway.get(`/generations/${id}`, { key: key('press') })).status, 404)
  t.equal((await gateway.get(`/generations/${alias}`)).status, 404)
  const collected = await untilStatus(gateway, alias, 'succeeded', { key: key('press') })
  t.equal(collected['id'], alias)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('Falgate-Cache: refresh buys afresh and stores, only answers from what is stored or 504', async t => {
  const gateway = await startGateway(t)
  const missing = await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'falgate-cache': 'only' } })
  t.equal(missing.status, 504)
  t.equal(missing.json()['code'], 'not-cached')
  t.ok(missing.headers.get('retry-after'))
  t.equal(gateway.sandbox.bill.submits, 0)
  await gateway.generate({ prompt: 'x', seed: 1 })
  const refreshed = await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'falgate-cache': 'refresh' } })
  t.equal(refreshed.headers.get('cache-status'), 'falgate; fwd=request; stored; detail=bought')
  const only = await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'falgate-cache': 'only' } })
  t.equal(only.status, 200)
  t.equal(only.headers.get('falgate-generation'), refreshed.headers.get('falgate-generation'))
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('a browser\'s Cache-Control does not spend money', async t => {
  const gateway = await startGateway(t)
  await gateway.generate({ prompt: 'x', seed: 1 })
  const again = await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'cache-control': 'no-cache', pragma: 'no-cache' } })
  t.match(again.headers.get('cache-status'), /hit/)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('the request id and the trace of the caller are kept when they can do no harm', async t => {
  const gateway = await startGateway(t)
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'x-request-id': 'from-me.1' } })).headers.get('x-request-id'), 'from-me.1')
  t.match((await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'x-request-id': 'no spaces' } })).headers.get('x-request-id'), /^[0-9a-f-]{36}$/)
})
