// Dry runs on a shared ledger: every replica tells the same, also one that drains or may not buy, and each is one line of the log.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { tenant, type Reply } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { deploy, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const headers = { 'falgate-dry-run': '1' }

async function ask (t: Test, replica: Replica, body: object, more: Readonly<Record<string, string>> = {}): Promise<Record<string, unknown>> {
  const reply: Reply = await replica.generate(body, { headers: { ...more, ...headers } })
  t.match([reply.status, reply.headers.get('falgate-dry-run')], [200, '1'], reply.text)
  return reply.json()
}

t.test('two replicas tell the same of what one of them bought, ask each other about callers, and leave ledger and books as they were', async t => {
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 1, per: 'month' } })] } })
  const [one, two] = await Promise.all([startReplica(), startReplica()])
  await one.generate({ prompt: 'stored', seed: 1 })
  const release = sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const waiting = one.generate({ prompt: 'waited for' }, { signal: leaving.signal }).catch(() => null)
  const running = one.generate({ prompt: 'running', seed: 2 })
  await sandbox.bill.untilAccepted(3)
  const balances = async () => await ledger.balances([{ owner: 'studio', per: 'month' }, { owner: '*', per: 'month' }])
  const before = await balances()
  for (let round = 0; round < 25; round++) {
    for (const replica of [one, two]) {
      t.match(await ask(t, replica, { prompt: 'stored', seed: 1 }), { would: 'hit', budget: { left_usd: 0.82, per: 'month' } })
      t.match(await ask(t, replica, { prompt: 'running', seed: 2 }), { would: 'join' })
    }
  }
  for (const replica of [one, two]) t.match(await ask(t, replica, { prompt: 'waited for' }), { would: 'buy', price: { highest_usd: 0.06 } }, 'somebody is there')
  t.same(await balances(), before)
  t.notOk((await untilGeneration(({ phase }) => phase === 'running')).joined)
  leaving.abort()
  await waiting
  await until(async () => (await ask(t, two, { prompt: 'waited for' }))['would'] === 'reattach')
  t.same(await balances(), before)
  release()
  t.equal((await running).status, 200)
  t.equal(sandbox.bill.accepted, 3)
  t.same(await ledger.audit(), [])
  const lines = two.log().split('\n').filter(line => line.includes('"dry_run":true'))
  t.match(lines[0], /"route":"\/generate","status":200,"tenant":"studio"/)
  t.notMatch(two.log(), /"source":/)
})

t.test('a replica with older prices tells that it would not buy, and one whose rule is new makes it nobody\'s by asking', async t => {
  t.testdir({})
  const { startReplica } = await deploy(t)
  const file = (name: string, usd: number): string => {
    const path = join(t.testdirName, `${name}.json`)
    writeFileSync(path, JSON.stringify({ prices: { 'fal-ai/imagen4/preview/ultra': usd }, tenants: [tenant('studio')] }))
    return path
  }
  const older = await startReplica({ TENANTS_FILE: file('older', 0.06) })
  const newer = await startReplica({ TENANTS_FILE: file('newer', 0.07) })
  t.equal((await older.generate({ prompt: 'x' })).status, 200)
  t.match(await ask(t, newer, { prompt: 'x', seed: 1 }), { would: 'buy', price: { highest_usd: 0.07 } })
  t.match(await ask(t, older, { prompt: 'x', seed: 1 }), { would: 'buy', price: { highest_usd: 0.06 } })
  t.equal((await newer.generate({ prompt: 'x' })).status, 200)
  t.match(await ask(t, older, { prompt: 'x', seed: 1 }), { would: 'refuse', problem: { code: 'price-table-differs', status: 503 } })
})

t.test('a process that drains answers: what is stored would be a hit, and the rest is refused', async t => {
  const { sandbox, startReplica } = await deploy(t)
  const replica = await startReplica()
  await replica.generate({ prompt: 'stored', seed: 1 })
  const release = sandbox.faults.holdJobs()
  const waiting = replica.generate({ prompt: 'waiting', seed: 1 })
  await sandbox.bill.untilAccepted(2)
  replica.child.kill('SIGTERM')
  await until(async () => (await replica.get('/readyz')).text === 'draining')
  t.match(await ask(t, replica, { prompt: 'new', seed: 1 }), { would: 'refuse', problem: { code: 'draining', status: 503 }, price: { highest_usd: 0.06 }, queue: { in_flight: 1 } })
  t.match(await ask(t, replica, { prompt: 'stored', seed: 1 }), { would: 'hit', problem: null })
  t.match(await ask(t, replica, { prompt: 'stored', seed: 1 }, { 'idempotency-key': 'order-1' }), { would: 'refuse', problem: { code: 'draining' } })
  release()
  t.equal((await waiting).status, 200)
  t.equal((await replica.ended).code, 0)
})

t.test('with a Redis that is not fit to buy with it tells that, as every call would hear it', async t => {
  const redis = await startRedis(t, ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
  const { startReplica } = await deploy(t, { redisUrl: redis.url })
  const replica = await startReplica()
  t.match(await ask(t, replica, { prompt: 'x', seed: 1 }), { would: 'refuse', problem: { code: 'store-unfit' }, price: { highest_usd: 0.06 }, budget: null, rate_limit: null, queue: null })
})

t.test('with Redis away it tells only of what lies in the process, and fails as a call does', async t => {
  const redis = await startRedis(t, [])
  const { startReplica } = await deploy(t, { redisUrl: redis.url })
  const replica = await startReplica()
  await replica.generate({ prompt: 'x', seed: 1 })
  await redis.stop()
  const reply = await replica.generate({ prompt: 'x', seed: 2 }, { headers })
  t.match([reply.status, reply.json()['code'], reply.headers.get('falgate-dry-run')], [503, 'store-unavailable', '1'])
  t.match(await ask(t, replica, { prompt: 'x', seed: 1 }), { would: 'hit', problem: null, price: { highest_usd: 0.06 }, rate_limit: null, queue: null })
})
