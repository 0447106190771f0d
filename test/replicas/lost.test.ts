// What Redis forgot and nobody puts back: callers that wait for it are told, and told the truth about the money.

import t from 'tap'
import { deploy, USUAL_LEASE } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { until } from '../support/until.ts'

t.test('Redis restarted empty: a caller that waited in the queue is told that its generation is lost and was not bought, and the same request begins again', async t => {
  const redis = await restartableRedis(t)
  const { sandbox, startReplica, ledger } = await deploy(t, { redisUrl: redis.url, env: { FAL_CONCURRENCY: '0' } })
  const gateways = [await startReplica(), await startReplica()]
  const [one] = gateways
  const short = { prefer: 'wait=50' }
  const calls = gateways.map(async gateway => await gateway.generate({ prompt: 'in the queue', seed: 1 }))
  const asked = gateways.map(async gateway => await gateway.generate({ prompt: 'in the queue', seed: 2 }, { headers: short }))
  await until(async () => {
    const { rows } = await ledger.list({ tenant: 'studio', subject: '' }, { limit: 9, cursor: null, status: null })
    return (await ledger.getMany(rows.map(({ id }) => id))).filter(({ joined }) => joined).length === 2
  })
  // An answer comes after those to what was asked before on the same connection: a lost one would be asked for again.
  for (const gateway of gateways) t.equal((await gateway.get('/generations')).status, 200)
  await redis.kill()
  await redis.start('empty')
  for (const call of [...calls, ...asked]) {
    const reply = await call
    t.equal(reply.status, 503)
    t.match(reply.json(), { code: 'generation-lost', detail: /nothing was bought/, generation_id: String })
    t.ok(reply.headers.get('retry-after'))
  }
  t.equal((await one?.generate({ prompt: 'in the queue', seed: 1 }, { headers: { prefer: 'respond-async' } }))?.status, 202)
  t.equal(sandbox.bill.submits, 0)
})

t.test('Redis restarted empty after the owner of a running generation died: a caller that waits for it elsewhere is told that it may have been bought', async t => {
  const redis = await restartableRedis(t)
  const { sandbox, startReplica, untilGeneration } = await deploy(t, { redisUrl: redis.url, env: USUAL_LEASE })
  const owner = await startReplica()
  const other = await startReplica({ FAL_CONCURRENCY: '0' })
  sandbox.faults.holdJobs()
  owner.generate({ prompt: 'x', seed: 1 }).catch(() => {})
  await untilGeneration(({ phase }) => phase === 'running')
  const joined = other.generate({ prompt: 'x', seed: 1 })
  await untilGeneration(row => row.joined)
  t.equal((await other.get('/generations')).status, 200)
  owner.child.kill('SIGKILL')
  await redis.kill()
  await redis.start('empty')
  const reply = await joined
  t.equal(reply.status, 502)
  t.match(reply.json(), { code: 'outcome-unknown', detail: /store forgot it.*up to \$0\.06 may have been spent/ })
})
