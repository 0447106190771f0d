// Limits: purchases are counted in admission, calls at the door; repeats and stored results cost nothing.

import t from 'tap'
import { key, startGateway, tenant } from '../support/gateway.ts'

t.test('purchases beyond the rate are refused, while hits and repeats stay free', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { rateLimit: { max: 3, windowSeconds: 60 } }), tenant('press')] } })
  for (let seed = 0; seed < 3; seed++) {
    const reply = await gateway.generate({ prompt: 'x', seed })
    t.match(reply.headers.get('ratelimit'), new RegExp(`"purchases";r=${2 - seed};t=\\d+`))
  }
  const refused = await gateway.generate({ prompt: 'x', seed: 3 })
  t.equal(refused.status, 429)
  t.equal(refused.json()['code'], 'rate-limited')
  t.match(refused.headers.get('ratelimit'), /"purchases";r=0;t=\d+/)
  t.match(refused.headers.get('ratelimit-policy'), /"purchases";q=3;w=60/)
  const after = Number(refused.headers.get('retry-after'))
  t.ok(after >= 1 && after <= 60)
  const hit = await gateway.generate({ prompt: 'x', seed: 0 })
  t.equal(hit.status, 200)
  t.notMatch(hit.headers.get('ratelimit'), /purchases/, 'a hit cannot know it')
  t.equal((await gateway.generate({ prompt: 'x', seed: 3 }, { key: key('press') })).status, 200, 'another tenant has its own')
  t.equal(gateway.sandbox.bill.billedUnits, 4)
})

t.test('100 pass of 300 at once', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { rateLimit: { max: 100, windowSeconds: 60 }, maxQueued: 1000 })] } })
  const replies = await Promise.all(Array.from({ length: 300 }, async (_, seed) => await gateway.generate({ prompt: 'x', seed })))
  t.equal(replies.filter(reply => reply.status === 200).length, 100)
  t.equal(replies.filter(reply => reply.status === 429).length, 200)
  t.equal(gateway.sandbox.bill.billedUnits, 100)
})

t.test('calls of every kind are bounded for each tenant', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { callLimit: { max: 3, windowSeconds: 60 } }), tenant('press')] } })
  for (let call = 0; call < 3; call++) t.equal((await gateway.get('/generations')).status, 200)
  const refused = await gateway.get('/generations')
  t.equal(refused.status, 429)
  t.equal(refused.headers.get('ratelimit-policy'), '"calls";q=3;w=60')
  t.match(refused.headers.get('ratelimit'), /^"calls";r=0;t=\d+$/)
  t.ok(refused.headers.get('retry-after'))
  t.equal((await gateway.generate({ prompt: 'x' })).status, 429)
  t.equal((await gateway.get('/generations', { key: key('press') })).status, 200)
  t.equal((await fetch(`${gateway.url}/healthz`)).status, 200)
})

t.test('a tenant has no more under way than it may', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 1, maxQueued: 2 })] } })
  const release = gateway.sandbox.faults.holdJobs()
  const later = { headers: { prefer: 'respond-async' } }
  for (let seed = 0; seed < 3; seed++) t.equal((await gateway.generate({ prompt: 'x', seed }, later)).status, 202)
  const refused = await gateway.generate({ prompt: 'x', seed: 3 }, later)
  t.equal(refused.status, 429)
  t.equal(refused.json()['code'], 'queue-full')
  t.ok(refused.headers.get('retry-after'))
  t.equal((await gateway.generate({ prompt: 'x', seed: 0 }, later)).status, 202, 'a repeat joins')
  release()
})

t.test('a budget is never exceeded, no matter how many callers race for it', async t => {
  const gateway = await startGateway(t, { tenants: { budget: { usd: 0.6, per: 'day' }, tenants: [tenant('studio', { budget: { usd: 0.3, per: 'day' }, maxQueued: 1000 }), tenant('press', { maxQueued: 1000 })] } })
  const calls = Array.from({ length: 60 }, async (_, seed) => await gateway.generate({ prompt: 'x', seed }, { key: key(seed % 2 === 0 ? 'studio' : 'press') }))
  const replies = await Promise.all(calls)
  t.equal(replies.filter(reply => reply.status === 200).length, 10)
  const refused = replies.filter(reply => reply.status === 402)
  t.equal(refused.length, 50)
  t.ok(refused.every(reply => reply.json()['code'] === 'budget-exhausted'))
  t.equal(gateway.sandbox.bill.billedUnits, 10)
})
