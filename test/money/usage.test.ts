// `GET /usage`, and the sum: everything that tells of money tells the same.

import t from 'tap'
import { key, startGateway, tenant } from '../support/gateway.ts'
import { microOf, moneyOf, sumOf, usageOf } from '../support/money.ts'
import { deploy } from '../support/replicas.ts'

t.test('without a budget: the month, the limits and the offer', async t => {
  const gateway = await startGateway(t)
  await gateway.generate({ prompt: 'x', seed: 1 })
  const reply = await gateway.get('/usage')
  t.equal(reply.status, 200)
  t.match(reply.headers.get('content-type'), 'application/json')
  t.match(reply.json(), {
    tenant: 'studio',
    month: { period: new Date().toISOString().slice(0, 7), spent_usd: 0.06, reserved_usd: 0 },
    budget: null,
    saved: { hit_usd: 0, joined_usd: 0, replayed_usd: 0, adopted_usd: 0, since: /^\d{4}-\d\d-\d\dT.*Z$/ },
    rate_limit: { max: 60, window_seconds: 60 },
    call_limit: { max: 6000, window_seconds: 60 },
    max_in_flight: 4,
    max_queued: 100,
    models: [{ id: 'fal-ai/imagen4/preview/ultra', price_usd: 0.06 }]
  })
  t.match((await gateway.get('/usage', { key: key('press') })).json(), { tenant: 'press', month: { spent_usd: 0 } }, 'everybody sees their own')
  t.equal((await gateway.get('/usage', { key: null })).status, 401)
})

t.test('a budget tells what is spent, reserved and left; a daily one beside the month', async t => {
  const gateway = await startGateway(t, {
    config: { falConcurrency: 1 },
    tenants: { tenants: [tenant('studio', { budget: { usd: 1, per: 'day' } })], prices: { 'fal-ai/imagen4/preview/ultra': 0.07 } }
  })
  await gateway.generate({ prompt: 'x' })
  const release = gateway.sandbox.faults.holdJobs()
  await gateway.generate({ prompt: 'y' }, { headers: { prefer: 'respond-async' } })
  await gateway.generate({ prompt: 'z' }, { headers: { prefer: 'respond-async' } })
  t.match((await gateway.get('/usage')).json(), {
    month: { spent_usd: 0.07, reserved_usd: 0.14 },
    budget: { usd: 1, per: 'day', period: new Date().toISOString().slice(0, 10), spent_usd: 0.07, reserved_usd: 0.14, left_usd: 0.79 },
    models: [{ price_usd: 0.07 }]
  })
  const metrics = (await gateway.get('/metrics')).text
  t.equal(microOf(sumOf(metrics, 'falgate_budget_held_usd')), 140_000)
  t.equal(microOf(sumOf(metrics, 'falgate_budget_left_usd')), 790_000)
  release()
})

t.test('what repeats saved is told by the process that answered them', async t => {
  const gateway = await startGateway(t)
  const keyed = { headers: { 'idempotency-key': 'k' } }
  await gateway.generate({ prompt: 'x', seed: 1 })
  for (let hit = 0; hit < 3; hit += 1) await gateway.generate({ prompt: 'x', seed: 1 })
  await gateway.generate({ prompt: 'y' }, keyed)
  await gateway.generate({ prompt: 'y' }, keyed)
  t.match((await gateway.get('/usage')).json(), { month: { spent_usd: 0.12 }, saved: { hit_usd: 0.18, replayed_usd: 0.06, joined_usd: 0, adopted_usd: 0 } })
  t.match((await gateway.get('/metrics')).text, 'falgate_saved_usd_total{tenant="studio",by="hit"} 0.18\n')
})

t.test('the sum: after purchases, hits, joins, refusals and cancels on three replicas everything agrees', async t => {
  const limits = { maxInFlight: 100, maxQueued: 1000, rateLimit: { max: 10_000, windowSeconds: 60 } }
  const deployment = await deploy(t, { tenants: { tenants: [tenant('studio', limits), tenant('press', { ...limits, budget: { usd: 0.3, per: 'month' } })] } })
  const { sandbox, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica(), startReplica()])
  sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation', times: 2 })
  const calls = Array.from({ length: 60 }, async (_, n) => await replicas[n % 3]?.generate({ prompt: 'x', ...(n % 2 === 0 ? { seed: n % 10 } : {}) }, { key: key(n % 4 === 0 ? 'press' : 'studio') }))
  await Promise.all(calls)
  const money = await moneyOf(t, deployment, replicas, { tenants: ['studio', 'press'] })
  t.ok(money.spent > 0)
  t.equal(money.held, 0)
  for (const replica of replicas) t.ok(Number(Object((await usageOf(replica, 'press'))['budget']).spent_usd) <= 0.3)
  t.same(await deployment.ledger.audit(), [])
})
