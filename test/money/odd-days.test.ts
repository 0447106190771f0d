// Odd days: what happens to money and pictures when files, months and keys change under way. Each a stated behaviour.

import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, price, successOf, times } from '../support/admission.ts'
import { key, startGateway, tenant } from '../support/gateway.ts'
import { moneyOf } from '../support/money.ts'
import { deploy } from '../support/replicas.ts'
import { until, untilStatus } from '../support/until.ts'

const later = { headers: { prefer: 'respond-async' } }

t.test('a tenant that is removed while its generations run: they finish and are booked, its key is refused', async t => {
  const file = join(t.testdir({}), 'tenants.json')
  const write = (...tenants: readonly unknown[]): void => {
    writeFileSync(file + '.new', JSON.stringify({ tenants }))
    renameSync(file + '.new', file)
  }
  write(tenant('studio'), tenant('press'))
  const gateway = await startGateway(t, { env: { TENANTS_FILE: file }, tenants: { tenants: [tenant('studio'), tenant('press')] } })
  const release = gateway.sandbox.faults.holdJobs()
  const waiting = gateway.generate({ prompt: 'x', seed: 1 })
  const id = String((await gateway.generate({ prompt: 'y', seed: 2 }, later)).json()['id'])
  await gateway.sandbox.bill.untilAccepted(2)

  write(tenant('press'))
  await gateway.reload()
  t.equal((await gateway.get('/usage')).json()['code'], 'key-unknown')
  t.equal((await gateway.generate({ prompt: 'z' })).json()['code'], 'key-unknown')
  release()
  const reply = await waiting
  t.equal(reply.status, 200, 'a caller that waits is answered')
  t.equal(reply.headers.get('falgate-cost-usd'), '0.06')

  write(tenant('press'), tenant('studio'))
  await gateway.reload()
  t.match(await untilStatus(gateway, id, 'succeeded'), { cost_usd: 0.06 })
  t.match((await gateway.get('/usage')).json(), { month: { spent_usd: 0.12, reserved_usd: 0 } }, 'what it spent meanwhile is on its account when it comes back')
})

t.test('a budget that is lowered below what is spent: nothing more is bought, 0 is left, what is stored is still free', async t => {
  const file = join(t.testdir({}), 'tenants.json')
  const write = (usd: number): void => {
    writeFileSync(file + '.new', JSON.stringify({ tenants: [tenant('studio', { budget: { usd, per: 'month' } })] }))
    renameSync(file + '.new', file)
  }
  write(1)
  const gateway = await startGateway(t, { env: { TENANTS_FILE: file }, tenants: { tenants: [tenant('studio', { budget: { usd: 1, per: 'month' } })] } })
  await gateway.generate({ prompt: 'x', seed: 1 })
  await gateway.generate({ prompt: 'x', seed: 2 })
  write(0.1)
  await gateway.reload()
  t.match((await gateway.get('/usage')).json(), { budget: { usd: 0.1, spent_usd: 0.12, reserved_usd: 0, left_usd: 0 } })
  t.match((await gateway.get('/metrics')).text, 'falgate_budget_left_usd{tenant="studio"} 0\n')
  const refused = await gateway.generate({ prompt: 'x', seed: 3 })
  t.equal(refused.status, 402)
  t.equal(refused.json()['code'], 'budget-exhausted')
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 })).status, 200)
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('a budget of the company that is set within a month counts what was spent in it before', async t => {
  const file = join(t.testdir({}), 'tenants.json')
  const write = (budget: object): void => {
    writeFileSync(file + '.new', JSON.stringify({ ...budget, tenants: [tenant('studio'), tenant('press')] }))
    renameSync(file + '.new', file)
  }
  write({})
  const gateway = await startGateway(t, { env: { TENANTS_FILE: file } })
  await gateway.generate({ prompt: 'x', seed: 1 })
  await gateway.generate({ prompt: 'x', seed: 2 }, { key: key('press') })
  write({ budget: { usd: 0.12, per: 'month' } })
  await gateway.reload()
  t.equal((await gateway.generate({ prompt: 'x', seed: 3 })).status, 402)
  t.match((await gateway.get('/metrics')).text, 'falgate_budget_left_usd{tenant="*"} 0\n')
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('a month that ends between reserving and settling: the old month pays, the new one starts with nothing', async t => {
  let nowMs = Date.UTC(2026, 10, 30, 23, 59, 59, 999)
  const ledger = createMemoryLedger({ times, now: () => nowMs })
  t.teardown(ledger.close)
  const budgets = [{ owner: 'studio', limit: price, per: 'month' as const }]
  const bought = admissionOf({ budgets })
  t.match(await ledger.admit(bought), { outcome: 'bought', row: { accounts: [{ owner: 'studio', period: '2026-11' }] } })
  t.match(await ledger.admit(admissionOf({ budgets })), { why: 'budget' })
  await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  nowMs += 1
  t.match(await ledger.admit(admissionOf({ budgets })), { outcome: 'bought', row: { accounts: [{ period: '2026-12' }] } })
  t.match(await ledger.finish(bought.id, 1, 'a', successOf()), { phase: 'succeeded' })
  t.match(await ledger.balances(budgets), [{ period: '2026-12', held: price, spent: 0 }])
  t.match(await ledger.journal(0, nowMs + 1, 10), [{ atMs: nowMs, accounts: [{ period: '2026-11' }], amount: price }], 'the line has the time of the end and the account of the admission')
  t.same(ledger.audit(), [])
})

t.test('an idempotency key has at most 255 characters: the 256th is a bad header and buys nothing', async t => {
  const gateway = await startGateway(t)
  const longest = { headers: { 'idempotency-key': 'k'.repeat(255) } }
  t.equal((await gateway.generate({ prompt: 'x' }, longest)).status, 200)
  t.equal((await gateway.generate({ prompt: 'x' }, longest)).headers.get('idempotent-replayed'), 'true')
  for (const keyed of ['k'.repeat(256), 'a b', '']) {
    const refused = await gateway.generate({ prompt: 'x' }, { headers: { 'idempotency-key': keyed } })
    t.equal(refused.status, 400, `${keyed.length} characters`)
    t.equal(refused.json()['code'], 'bad-header')
  }
  t.equal(gateway.sandbox.bill.submits, 1)
})

t.test('another tenant\'s generation is answered as one that does not exist: same status, body and headers', async t => {
  const gateway = await startGateway(t)
  const id = String((await gateway.generate({ prompt: 'x' })).headers.get('falgate-generation'))
  const nobodys = '0192f0c0-0000-7000-8000-000000000000'
  const press = { key: key('press'), headers: { 'x-request-id': 'same' } }
  for (const [method, path] of [['get', ''], ['post', '/cancel']] as const) {
    const [theirs, none] = [await gateway[method](`/generations/${id}${path}`, press), await gateway[method](`/generations/${nobodys}${path}`, press)]
    t.equal(theirs.status, 404)
    t.equal(theirs.text, none.text)
    const stable = ({ headers }: typeof theirs): readonly unknown[] => [...headers].filter(([name]) => name !== 'date' && name !== 'server-timing' && name !== 'ratelimit')
    t.same(stable(theirs), stable(none))
  }
})

t.test('an operator settles what is unknown: every replica tells it, one counts it', async t => {
  const deployment = await deploy(t)
  const { sandbox, ledger, startReplica, untilGeneration } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  sandbox.faults.add({ kind: 'reset', operation: 'submit', accepted: true })
  t.equal((await replicas[0]?.generate({ prompt: 'x' }))?.status, 502)
  const { id } = await untilGeneration(({ phase }) => phase === 'unknown')
  const open = await moneyOf(t, deployment, replicas)
  t.match(open, { spent: 0, held: price, unknown: price, billed: price })
  await deployment.settleAt(id, true, ledger.now() + 600_000)
  await until(async () => {
    const texts = await Promise.all(replicas.map(async replica => (await replica.get('/metrics')).text))
    return texts.join('').includes('outcome="failed"')
  })
  t.match(await moneyOf(t, deployment, replicas), { spent: price, held: 0, unknown: 0 })
  t.same(await ledger.audit(), [])
})
