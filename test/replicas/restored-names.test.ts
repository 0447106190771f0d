// Redis comes back without what it knew, and the processes are alive: what they held or had just finished is found again by its seed and its key, and nothing
// is bought a second time.

import t from 'tap'
import { moneyOf } from '../support/money.ts'
import { startRedisGate } from '../support/redis-gate.ts'
import { deploy, USUAL_LEASE } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { until } from '../support/until.ts'

const key = { headers: { 'idempotency-key': 'order-1' } }

t.test('Redis restarted empty: the same seed, the same key and the seed just finished are not bought again', async t => {
  const redis = await restartableRedis(t)
  const deployment = await deploy(t, { redisUrl: redis.url, env: USUAL_LEASE })
  const { sandbox, ledger, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  const [one, other] = replicas
  if (one === undefined || other === undefined) throw new Error('there is no replica')
  const done = await one.generate({ prompt: 'done', seed: 1 })
  const release = sandbox.faults.holdJobs()
  const calls = [one.generate({ prompt: 'seeded', seed: 2 }), one.generate({ prompt: 'keyed' }, key)]
  await until(async () => (await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: 'running' })).rows.length === 2)
  await redis.kill()
  await redis.start('empty')
  await until(async () => (await ledger.gauges().catch(() => null))?.atUpstream === 2)
  await until(async () => await ledger.ping().then(() => true, () => false))
  await until(async () => (await other.generate({ prompt: 'done', seed: 1 }, { headers: { 'falgate-cache': 'only' } })).status === 200)
  const again = [other.generate({ prompt: 'seeded', seed: 2 }), other.generate({ prompt: 'keyed' }, key)]
  const hit = await other.generate({ prompt: 'done', seed: 1 })
  t.equal(hit.text, done.text)
  t.match(hit.headers.get('cache-status'), /hit/)
  release()
  const texts = (await Promise.all(calls)).map(({ text }) => text)
  const replies = await Promise.all(again)
  t.same(replies.map(({ text }) => text), texts)
  t.match(replies.map(({ headers }) => headers.get('falgate-cost-usd')), ['0', '0'])
  t.equal(sandbox.bill.accepted, 3)
  await moneyOf(t, deployment, replicas, { counters: 'at-most' })
  t.same(await ledger.audit(), [])
})

t.test('what asks for the same before the lost one is put back waits with it in the end, and pays nothing', async t => {
  const redis = await restartableRedis(t)
  const gate = await startRedisGate(t, redis.url)
  const deployment = await deploy(t, { redisUrl: redis.url, env: USUAL_LEASE })
  const { sandbox, ledger, startReplica } = deployment
  const owner = await startReplica({ REDIS_URL: gate.url })
  const other = await startReplica({ FAL_CONCURRENCY: '0' })
  const release = sandbox.faults.holdJobs()
  const bodies = [[{ prompt: 'seeded', seed: 2 }, {}], [{ prompt: 'keyed' }, key]] as const
  const calls = bodies.map(async ([body, options]) => await owner.generate(body, options))
  await until(async () => (await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: 'running' })).rows.length === 2)
  gate.refuse(['renew', 'restore', 'recordProgress', 'finish'])
  await redis.kill()
  await redis.start('empty')
  await until(async () => await ledger.ping().then(() => true, () => false))
  await until(async () => (await other.get('/usage')).status === 200)
  const again = bodies.map(async ([body, options]) => await other.generate(body, options))
  await until(async () => ((await ledger.gauges().catch(() => null))?.waiting.get('studio') ?? 0) === 2)
  await until(() => owner.log().includes('nothing is bought until'))
  gate.refuse([])
  await until(async () => ((await ledger.gauges()).waiting.get('studio') ?? 0) === 0)
  release()
  const texts = (await Promise.all(calls)).map(({ text }) => text)
  const replies = await Promise.all(again)
  t.same(replies.map(({ status, text }) => `${status} ${text}`), texts.map(text => `200 ${text}`))
  t.match(replies.map(({ headers }) => headers.get('falgate-cost-usd')), ['0', '0'], 'what was reserved for them is given back')
  for (const { headers } of replies) t.equal((await other.get(`/generations/${String(headers.get('falgate-generation'))}`)).status, 200, 'under the ids that they were given')
  t.equal(sandbox.bill.accepted, 2)
  t.match(await moneyOf(t, deployment, [owner, other], { counters: 'at-most' }), { held: 0 })
  t.same(await ledger.audit(), [])
})
