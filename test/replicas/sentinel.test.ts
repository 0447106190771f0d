// A primary that Sentinels watch, and a real failover while pictures are bought: meanwhile there is 503 and nothing else, and afterwards nothing was bought twice.

import t, { type Test } from 'tap'
import { startApp, type RunningApp } from '../../src/app.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { redisAt } from '../../src/store/redis/clients.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { times } from '../support/admission.ts'
import { runHere } from '../support/cli.ts'
import { bookOf, CENTRAL_KEY, configOf, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { freePort } from '../support/processes.ts'
import { startSentinel } from '../support/redis-sentinel.ts'
import { plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'
import { startSandbox, type RunningSandbox } from '../support/sandbox.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

const CALLERS = 4

async function openGateway (t: Test, sandbox: RunningSandbox, env: Readonly<Record<string, string>>): Promise<RunningApp> {
  const app = await startApp({
    config: { ...configOf({ ...env, FAL_CONCURRENCY: '20', LEASE_SECONDS: '5' }), falQueueUrl: `${sandbox.base}/queue` },
    models: builtInModels,
    tenants: bookOf({ tenants: [tenant('studio', { rateLimit: { max: 100_000, windowSeconds: 60 } })] }),
    falKey: CENTRAL_KEY,
    redisUrl: env['REDIS_URL'] ?? null,
    version: '0.0.0-test'
  })
  t.teardown(app.close)
  return app
}

t.test('a failover of Sentinel under load is 503 for a while, and nothing is bought twice or lost', async t => {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const primary = await startRedis(t, ['--appendonly', 'yes'])
  const replica = await startRedis(t, ['--appendonly', 'yes', '--replicaof', '127.0.0.1', String(primary.port)])
  const second = plainClient(t, replica.url)
  await until(async () => (await second.info('replication')).includes('master_link_status:up'))
  const sentinel = await startSentinel(t, { name: 'main', primaryPort: primary.port, quorum: 1 })
  const watching = plainClient(t, `redis://127.0.0.1:${sentinel}`)
  await until(async () => String(await watching.call('SENTINEL', 'REPLICAS', 'main')).includes(String(replica.port)))

  // Nobody listens at the first one: the others are asked.
  const env = { REDIS_URL: 'redis://main', REDIS_NAMESPACE: 'fg', REDIS_SENTINELS: `127.0.0.1:${await freePort()},127.0.0.1:${sentinel}` }
  t.match(await runHere(['check'], env), { code: 0 })
  const { url } = await openGateway(t, sandbox, env)

  const over = new AbortController()
  const answers = new Map<string, number>()
  let asked = 0
  let served = 0
  /** Goes on with each request until it has its picture, under one key. */
  async function call (): Promise<void> {
    while (!over.signal.aborted) {
      const n = asked++
      for (let isServed = false; !isServed;) {
        const response = await fetch(`${url}/generate`, {
          method: 'POST',
          headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json', 'idempotency-key': `key-${n}` },
          body: JSON.stringify({ prompt: 'failover', seed: n })
        })
        const body: unknown = await response.json()
        isServed = response.status === 200
        const answer = isServed ? '200' : `${response.status} ${String(Reflect.get(Object(body), 'code'))}`
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
      }
      served += 1
    }
  }
  const calls = Promise.all(Array.from({ length: CALLERS }, call))
  await until(() => served > 20)
  await primary.stop()
  await until(async () => (await second.info('replication')).includes('role:master'), { what: 'Sentinel made the replica the primary' })
  const then = served
  await until(() => served > then + 20)
  over.abort()
  await calls

  t.ok(answers.has('503 store-unavailable'), 'the failover was met')
  t.same([...answers.keys()].filter(answer => answer !== '200' && answer !== '503 store-unavailable'), [], JSON.stringify([...answers]))
  const digests = sandbox.bill.requests.map(({ bodyDigest }) => bodyDigest)
  t.equal(new Set(digests).size, digests.length, 'nothing was bought twice')
  t.equal(sandbox.bill.accepted, asked, 'and everything once')
  const ledger = createRedisLedger({ url: redisAt({ url: env.REDIS_URL, ca: null }, { cluster: false, sentinels: [{ host: '127.0.0.1', port: sentinel }] }), namespace: 'fg', times })
  t.teardown(ledger.close)
  await ledger.connect()
  await until(async () => (await ledger.gauges()).atUpstream === 0)
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: asked * 60_000 }])
  t.same(await ledger.audit(), [])
})
