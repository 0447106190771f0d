// What log and metrics tell of a generation's end: once, whichever process or person ended it.

import t from 'tap'
import { startGateway, tenant, type Gateway } from '../support/gateway.ts'
import { moneyOf, sumOf } from '../support/money.ts'
import { startRedisGate } from '../support/redis-gate.ts'
import { redisUrl } from '../support/redis.ts'
import { deploy, type Replica } from '../support/replicas.ts'
import { until, untilStatus } from '../support/until.ts'

const later = { headers: { prefer: 'respond-async' } }

async function counter (gateway: Pick<Gateway, 'get'>, name: string, labels = ''): Promise<number> {
  return sumOf((await gateway.get('/metrics')).text, name, labels)
}

/** The log lines about a generation that say where it went, of all these processes. */
function moves (replicas: readonly Replica[], to: string): readonly string[] {
  return replicas.flatMap(replica => replica.log().split('\n').filter(line => line.includes('"msg":"generation"') && line.includes(`"to":"${to}"`)))
}

t.test('cancelled in the queue: counted once, though nobody ran it', async t => {
  const gateway = await startGateway(t, { config: { falConcurrency: 0 } })
  const id = String((await gateway.generate({ prompt: 'x' }, later)).json()['id'])
  await gateway.post(`/generations/${id}/cancel`)
  await gateway.post(`/generations/${id}/cancel`)
  await until(async () => await counter(gateway, 'falgate_generations_total') > 0)
  t.equal(await counter(gateway, 'falgate_generations_total', 'outcome="cancelled"'), 1)
  t.equal(await counter(gateway, 'falgate_spend_usd_total'), 0)
})

t.test('expired in the queue: counted once', async t => {
  const gateway = await startGateway(t, { config: { falConcurrency: 0, queueMs: 50 } })
  const id = String((await gateway.generate({ prompt: 'x' }, later)).json()['id'])
  await untilStatus(gateway, id, 'failed')
  await until(async () => await counter(gateway, 'falgate_generations_total') > 0)
  t.equal(await counter(gateway, 'falgate_generations_total', 'outcome="failed"'), 1)
})

t.test('a cost that fal does not name is that of the table, and counted as assumed', async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', hideUnits: true })
  t.equal((await gateway.generate({ prompt: 'x' })).status, 200)
  t.equal(await counter(gateway, 'falgate_costs_assumed_total'), 1)
  t.equal(await counter(gateway, 'falgate_spend_usd_total'), 0.06)
})

t.test('billed above the reservation: spent in full, and counted', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 0.1, per: 'month' } })] } })
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', units: 2.5 })
  t.equal((await gateway.generate({ prompt: 'x' })).headers.get('falgate-cost-usd'), '0.15')
  t.match((await gateway.get('/usage')).json(), { budget: { spent_usd: 0.15, left_usd: 0 } })
  t.equal(await counter(gateway, 'falgate_overruns_total'), 1)
  t.equal(await counter(gateway, 'falgate_budget_left_usd'), 0)
})

t.test('a caller that leaves before its answer is counted, and the one that reattaches the picture saves its price', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const first = gateway.generate({ prompt: 'x' }, { signal: leaving.signal }).catch(() => null)
  await gateway.sandbox.bill.untilAccepted(1)
  leaving.abort()
  await first
  await until(async () => await counter(gateway, 'falgate_undelivered_total', 'tenant="studio"') === 1)
  const second = gateway.generate({ prompt: 'x' })
  release()
  t.match((await second).headers.get('cache-status'), 'detail=adopted')
  t.equal(await counter(gateway, 'falgate_saved_usd_total', 'by="adopted"'), 0.06)
  t.match((await gateway.get('/usage')).json(), { month: { spent_usd: 0.06 }, saved: { adopted_usd: 0.06 } })
})

t.test('an end that two processes report is told by the one that came first', async t => {
  const deployment = await deploy(t)
  const { sandbox, startReplica, untilGeneration } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const call = replicas[0]?.generate({ prompt: 'x', seed: 1 })
  const row = await untilGeneration(({ phase }) => phase === 'running')
  const owner = replicas.find(({ name }) => name === row.owner)
  owner?.child.kill('SIGSTOP')
  await untilGeneration(({ takeovers }) => takeovers === 1)
  release()
  await untilGeneration(({ phase }) => phase === 'succeeded')
  owner?.child.kill('SIGCONT') // it still believes that it follows the generation, and reports the end as well
  t.equal((await call)?.status, 200)
  await until(async () => sumOf((await owner?.get('/metrics'))?.text ?? '', 'falgate_slots') > 0)
  await moneyOf(t, deployment, replicas)
  t.equal(moves(replicas, 'succeeded').length, 1)
  t.match(moves(replicas, 'succeeded')[0], /"cost_usd":"0.06","reserved_usd":"0.06"/)
})

t.test('an end whose answer from Redis is lost is counted and logged all the same, once', async t => {
  const gate = await startRedisGate(t, await redisUrl())
  const deployment = await deploy(t)
  const replica = await deployment.startReplica({ REDIS_URL: gate.url })
  const held = gate.holdAt('finish', 'after')
  const call = replica.generate({ prompt: 'x' })
  await held
  gate.resume()
  t.equal((await call).status, 200)
  await until(() => moves([replica], 'succeeded').length > 0)
  await moneyOf(t, deployment, [replica])
  t.equal(moves([replica], 'succeeded').length, 1)
})

t.test('the request line says what a call cost and saved', async t => {
  const { startReplica } = await deploy(t)
  const replica = await startReplica()
  await replica.generate({ prompt: 'x', seed: 1 })
  await replica.generate({ prompt: 'x', seed: 1 })
  await until(() => replica.log().split('\n').filter(line => line.includes('"route":"/generate"')).length === 2)
  const lines = replica.log().split('\n').filter(line => line.includes('"route":"/generate"'))
  t.match(lines[0], /"source":"bought".*"cost_usd":"0.06","saved_usd":"0"/)
  t.match(lines[1], /"source":"hit".*"cost_usd":"0","saved_usd":"0.06"/)
})
