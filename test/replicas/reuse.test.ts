// Requests for any picture of an input are one purchase over all replicas, and every replica serves what another bought.

import t from 'tap'
import { at } from '../support/crowd.ts'
import { moneyOf } from '../support/money.ts'
import { deploy, USUAL_LEASE } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { until } from '../support/until.ts'

const reuse = { headers: { 'falgate-cache': 'reuse' } }
const only = { headers: { 'falgate-cache': 'only' } }
const body = { prompt: 'a red bicycle' }

t.test('on two replicas all who ask for reuse wait for one purchase, and a picture bought on one serves them on the other', async t => {
  const deployment = await deploy(t, { env: USUAL_LEASE })
  const { sandbox, ledger, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const calls = Array.from({ length: 20 }, async (_, n) => await at(replicas, n).generate(body, reuse))
  await sandbox.bill.untilAccepted(1)
  release()
  const replies = await Promise.all(calls)
  t.same([...new Set(replies.map(({ status }) => status))], [200])
  t.equal(new Set(replies.map(({ text }) => text)).size, 1)
  t.equal(replies.filter(({ headers }) => headers.get('falgate-cost-usd') === '0.06').length, 1)
  t.equal(sandbox.bill.accepted, 1)

  for (const [other, seed] of [[{ prompt: 'a seeded one' }, 7], [{ prompt: 'an unseeded one' }, undefined]] as const) {
    const bought = await at(replicas, 0).generate({ ...other, seed })
    const hit = await at(replicas, 1).generate(other, reuse)
    t.equal(hit.text, bought.text)
    t.match(hit.headers.get('cache-status'), /^falgate; hit; ttl=/)
  }
  t.equal(sandbox.bill.accepted, 3)
  await moneyOf(t, deployment, replicas)
  t.same(await ledger.audit(), [])
})

t.test('Redis restarted empty: what is asked for with reuse is joined again while it runs, and found again when it had just finished', async t => {
  const redis = await restartableRedis(t)
  const deployment = await deploy(t, { redisUrl: redis.url, env: USUAL_LEASE })
  const { sandbox, ledger, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  const done = await at(replicas, 0).generate({ prompt: 'done' })
  const release = sandbox.faults.holdJobs()
  const call = at(replicas, 0).generate(body, reuse)
  await until(async () => (await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: 'running' })).rows.length === 1)
  await redis.kill()
  await redis.start('empty')
  await until(async () => (await ledger.gauges().catch(() => null))?.atUpstream === 1)
  await until(async () => (await at(replicas, 1).generate({ prompt: 'done' }, only)).status === 200)
  const again = at(replicas, 1).generate(body, reuse)
  t.equal((await at(replicas, 1).generate({ prompt: 'done' }, reuse)).text, done.text)
  release()
  t.equal((await again).text, (await call).text)
  t.equal((await again).headers.get('falgate-cost-usd'), '0')
  t.equal(sandbox.bill.accepted, 2)
  await moneyOf(t, deployment, replicas, { counters: 'at-most' })
  t.same(await ledger.audit(), [])
})
