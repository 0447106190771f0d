// Bills that cannot be: they move no budget further than ten times what was reserved, and stop their model, not the company.

import t from 'tap'
import { runHere } from '../support/cli.ts'
import { startGateway, tenant } from '../support/gateway.ts'
import { sumOf } from '../support/money.ts'
import { plainClient } from '../support/redis-store.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const TWELVE_DIGITS = 123_456_789_012

t.test('two answers with twelve digits of units: usage and metrics are sound, and nothing is bought until an operator has looked', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio'), tenant('press')] } })
  const release = gateway.sandbox.faults.holdJobs()
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', units: TWELVE_DIGITS, times: 2 })
  const calls = [1, 2].map(async seed => await gateway.generate({ prompt: 'x', seed }))
  await gateway.sandbox.bill.untilAccepted(2)
  release()
  for (const reply of await Promise.all(calls)) t.match([reply.status, reply.headers.get('falgate-cost-usd')], [200, '0.6'])
  const usage = await gateway.get('/usage')
  t.match([usage.status, usage.json()], [200, { month: { spent_usd: 1.2, reserved_usd: 0 } }])
  const metrics = (await gateway.get('/metrics')).text
  t.equal(sumOf(metrics, 'falgate_overruns_total'), 2)
  t.equal(sumOf(metrics, 'falgate_costs_assumed_total'), 2)
  t.equal(sumOf(metrics, 'falgate_spend_usd_total'), 1.2)
  t.equal(sumOf(metrics, 'falgate_upstream_state', 'state="price-unsure"'), 1)

  const refused = await gateway.generate({ prompt: 'y' })
  t.match([refused.status, refused.json()['code'], refused.headers.get('retry-after')], [503, 'price-unsure', '60'])
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 })).headers.get('falgate-cost-usd'), '0', 'what is stored is served')
  t.equal(gateway.sandbox.bill.submits, 2)
})

t.test('a header of more digits than any number has is absurd, not unread', async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', units: 1e20 })
  t.equal((await gateway.generate({ prompt: 'x' })).headers.get('falgate-cost-usd'), '0.6')
  t.equal((await gateway.generate({ prompt: 'y' })).json()['code'], 'price-unsure')
})

t.test('fal\'s clients are told that it may be sent again later', async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', units: 11 })
  await gateway.generate({ prompt: 'x' })
  const refused = await gateway.generate({ prompt: 'y' }, { path: '/fal/fal-ai/imagen4/preview/ultra' })
  t.match([refused.status, refused.headers.get('x-fal-error-type'), refused.headers.get('x-fal-needs-retry')], [503, 'price_unsure', '1'])
})

t.test('sums that an older version booked can be read, and corrected', async t => {
  const { operatorEnv: { REDIS_URL: url = '', REDIS_NAMESPACE: namespace = '' }, startReplica, ledger } = await deploy(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 5, per: 'month' } })] } })
  const replica = await startReplica()
  await replica.generate({ prompt: 'x', seed: 1 })
  const [month] = await ledger.balances([{ owner: 'studio', per: 'month' }])
  await plainClient(t, url).hincrby(`{${namespace}}:m:studio:${month?.period}`, 'spent', '14814814681440000')
  const usage = await replica.get('/usage')
  t.match([usage.status, usage.json()], [200, { budget: { left_usd: 0 } }])
  t.match(usage.text, '"spent_usd":9007199254.740991', 'the largest sum that is exact')
  t.equal(sumOf((await replica.get('/metrics')).text, 'falgate_budget_left_usd', 'tenant="studio"'), 0)
  t.equal((await replica.generate({ prompt: 'y' })).status, 402)
})

t.test('on all replicas together: an error line, a closed model, and the operator\'s word that opens it', async t => {
  const deployment = await deploy(t)
  const { sandbox, startReplica, ledger } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  const [first, second] = replicas
  if (first === undefined || second === undefined) return
  sandbox.faults.add({ kind: 'job', operation: 'submit', units: TWELVE_DIGITS })
  const id = String((await first.generate({ prompt: 'x' })).headers.get('falgate-generation'))
  await until(async () => (await second.generate({ prompt: 'y' })).json()['code'] === 'price-unsure')
  const log = (): string => replicas.map(replica => replica.log()).join('')
  await until(() => log().includes('"to":"price-unsure"'))
  t.match(log(), /"level":"error".*"booked_usd":"0.6","reserved_usd":"0.06","msg":"fal billed more than ten times the reservation/)
  t.match(log(), /"level":"error".*"scope":"fal-ai\/imagen4\/preview\/ultra","from":"ok","to":"price-unsure"/)

  const said = await runHere(['correct', id, '--usd', '0.06'], deployment.operatorEnv)
  t.same(said, { code: 0, stdout: `${id} is corrected: $0.06 of studio is spent instead of $0.6; fal-ai/imagen4/preview/ultra is bought again\n`, stderr: '' })
  await until(async () => (await second.generate({ prompt: 'z', seed: 1 })).status === 200)
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 120_000 }])
  await until(() => log().includes('an operator corrected what a generation cost'))
  t.equal(log().split('an operator has looked at what this model costs').length, 2, 'told once')
})
