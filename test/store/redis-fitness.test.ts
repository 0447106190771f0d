// Which Redis may be trusted with money: what it is asked, what that means, and that nothing is bought where the books could be lost.

import t, { type Test } from 'tap'
import type { StoreFaultChange } from '../../src/store-faults.ts'
import { clusterOf } from '../../src/store/redis/clients.ts'
import { slotOf } from '../../src/store/redis/cluster.ts'
import { inspect } from '../../src/store/redis/inspect.ts'
import { conditionOf } from '../../src/store/redis/condition.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { faultsOf, readInfo } from '../../src/store/redis/server.ts'
import { admissionOf, freshId, successOf, times } from '../support/admission.ts'
import { startOldRedis } from '../support/old-redis.ts'
import { startCluster } from '../support/redis-cluster.ts'
import { liveLedger, plainClient, rejection } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'

const sound = { redis_version: '7.0.15', run_id: 'r1', role: 'master', master_replid: 'h1', maxmemory: '1000', maxmemory_policy: 'noeviction', aof_enabled: '1' }

function info (given: Readonly<Record<string, string>> = {}): string {
  return '# Server\r\n' + Object.entries({ ...sound, ...given }).map(([name, value]) => `${name}:${value}\r\n`).join('')
}

const faultsIn = (given: Readonly<Record<string, string>>): readonly string[] => [...faultsOf(readInfo(info(given))).keys()]

t.test('INFO is read into what a server is', async t => {
  t.same(readInfo(info()), { name: 'Redis 7.0.15', version: '7.0.15', runId: 'r1', replicationId: 'h1', isReplica: false, mode: null, maxMemoryBytes: 1000, policy: 'noeviction', hasLog: true })
  t.same(faultsIn({}), [])
  t.equal(readInfo(info({ redis_version: '7.2.4', valkey_version: '8.1.1' })).name, 'Valkey 8.1.1')
  t.equal(readInfo(info({ redis_version: '7.3.6', redict_version: '7.3.6' })).name, 'Redict 7.3.6')
  t.same(readInfo(''), { name: 'Redis of an unknown version', version: null, runId: null, replicationId: null, isReplica: false, mode: null, maxMemoryBytes: 0, policy: null, hasLog: null })
})

t.test('what breaks a promise is a fault, and what is not told proves nothing', async t => {
  for (const version of ['6.2.14', '6.2.5', '2.8.19']) t.same(faultsIn({ redis_version: version }), ['too-old'], version)
  for (const version of ['7.0.15', '7.4.1', '8.0.6', '10.0.0']) t.same(faultsIn({ redis_version: version }), [], version)
  t.same(faultsIn({ redis_version: '7.2.4', valkey_version: '8.0.1' }), [])
  for (const policy of ['allkeys-lru', 'allkeys-random', 'volatile-lru', 'volatile-ttl']) t.same(faultsIn({ maxmemory_policy: policy }), ['evicts'], policy)
  t.same(faultsIn({ maxmemory_policy: 'allkeys-lru', maxmemory: '0' }), [], 'without a bound nothing is thrown away')
  t.same(faultsIn({ aof_enabled: '0' }), ['not-persistent'])
  t.same(faultsIn({ role: 'slave' }), ['replica'])
  t.same([...faultsOf(readInfo('')).keys()], [])
  for (const [fault, sentence] of faultsOf(readInfo(info({ redis_version: '6.2.14', maxmemory_policy: 'allkeys-lru', aof_enabled: '0', role: 'slave' })))) {
    t.match(sentence, /needs Redis 7|set maxmemory-policy noeviction|set appendonly yes|to the primary/, fault)
  }
})

t.test('how a server is at this moment is read from a few short questions, of which the quickest answer tells the clock', async t => {
  let monotonicMs = 0
  const waits = [9, 3, 5]
  const condition = await conditionOf(async question => {
    if (question === 'info') return info({ used_memory: '70', total_system_memory: '900', aof_last_write_status: 'err', rdb_last_bgsave_status: 'ok', master_failover_state: 'waiting-for-sync', slave0: 'ip=::1,port=1,state=online,offset=5,lag=0', slave1: 'ip=::1,port=2,state=wait_bgsave,offset=0,lag=31' })
    const waitMs = waits.shift() ?? 6
    monotonicMs += waitMs
    // Half of the way there is over when it looks at its clock, which is 2 s ahead.
    return ['102', String(waitMs * 500)]
  }, { wallMs: () => 100_000, monotonicMs: () => monotonicMs })
  t.same(condition, {
    answerMs: 6,
    clockAheadMs: 2000,
    usedBytes: 70,
    machineBytes: 900,
    hasFailedWrite: true,
    hasFailedSnapshot: false,
    isFailingOver: true,
    replicas: [{ isOnline: true, lagSeconds: 0 }, { isOnline: false, lagSeconds: 31 }]
  })
})

t.test('a key\'s slot is the one that Redis Cluster gives it', async t => {
  const [node] = await startCluster(t)
  const redis = plainClient(t, `redis://127.0.0.1:${node?.port}`)
  for (const namespace of ['fg', 'staging', 'a-b_c', 'x'.repeat(64)]) t.equal(slotOf(`{${namespace}}:glob`), await redis.call('CLUSTER', 'KEYSLOT', `{${namespace}}:glob`))
})

interface Watched { readonly changes: StoreFaultChange[], readonly isThere: (fault: string) => boolean | undefined }

function watched (): Watched & { readonly onFault: (change: StoreFaultChange) => void } {
  const changes: StoreFaultChange[] = []
  return { changes, isThere: fault => changes.findLast(one => one.fault === fault)?.isThere, onFault: one => { changes.push(one) } }
}

const evicting = ['--appendonly', 'yes', '--maxmemory', '100mb', '--maxmemory-policy', 'volatile-lru']

t.test('with a Redis that evicts nothing is bought; what is stored, reads and evidence go on, and it is told once', async t => {
  const server = await startRedis(t, ['--appendonly', 'yes', '--maxmemory', '100mb'])
  const redis = plainClient(t, server.url)
  const { changes, isThere, onFault } = watched()
  const { ledger } = await liveLedger(t, server.url, { onFault, lookEveryMs: 20 })
  const deadline = (): number => ledger.now() + 5000
  const stored = freshId()
  await ledger.admit(admissionOf({ id: stored, deadlineMs: deadline(), cacheName: 'cache' }))
  await ledger.claim({ claimId: 'c1', deadlineMs: deadline(), replica: 'r1', slots: 10 })
  await ledger.finish(stored, 1, 'request-1', successOf())
  const running = freshId()
  await ledger.admit(admissionOf({ id: running, deadlineMs: deadline() }))
  await ledger.claim({ claimId: 'c2', deadlineMs: deadline(), replica: 'r1', slots: 10 })

  t.same(changes, [])
  await redis.config('SET', 'maxmemory-policy', 'volatile-lru')
  await until(() => isThere('evicts') === true)
  t.match(changes, [{ fault: 'evicts', sentence: /volatile-lru.*set maxmemory-policy noeviction/ }])
  t.match(await rejection(ledger.admit(admissionOf({ deadlineMs: deadline() }))), { code: 'store-unfit' })
  t.match(await rejection(ledger.claim({ claimId: 'c3', deadlineMs: deadline(), replica: 'r1', slots: 10 })), { code: 'store-unfit' })
  t.match(await ledger.lookup('cache'), { id: stored })
  t.match(await ledger.read(stored, { tenant: 'studio', subject: '' }), { phase: 'succeeded' })
  t.match(await ledger.finish(running, 1, 'request-2', successOf()), { phase: 'succeeded' })

  await redis.config('SET', 'maxmemory-policy', 'noeviction')
  await until(() => isThere('evicts') === false)
  t.match(await ledger.admit(admissionOf({ deadlineMs: deadline() })), { outcome: 'bought' })
  t.equal(changes.length, 2, 'one word for each change')
})

t.test('an operator who insists buys with a Redis that evicts, and the log says so', async t => {
  const server = await startRedis(t, evicting)
  const { changes, onFault } = watched()
  const { ledger } = await liveLedger(t, server.url, { onFault, isUnsafe: true })
  t.match(changes, [{ fault: 'evicts', isThere: true, sentence: /REDIS_UNSAFE is on/ }])
  t.match(await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })), { outcome: 'bought' })
})

t.test('an operator who insists buys with a Redis that tells an old version, and the log says so', async t => {
  const server = await startRedis(t, ['--appendonly', 'yes'])
  const { changes, onFault } = watched()
  const { ledger } = await liveLedger(t, await startOldRedis(t, server.port), { onFault, isUnsafe: true })
  t.match(changes, [{ fault: 'too-old', isThere: true, sentence: /needs Redis 7 or newer.*REDIS_UNSAFE is on/ }])
  t.match(await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })), { outcome: 'bought' })
})

t.test('a Redis that keeps no log of its writes is told, and bought with', async t => {
  const server = await startRedis(t)
  const { changes, onFault } = watched()
  const { ledger } = await liveLedger(t, server.url, { onFault })
  t.match(changes, [{ fault: 'not-persistent', isThere: true, sentence: /set appendonly yes/ }])
  t.match(await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })), { outcome: 'bought' })
})

/** A ledger that never becomes usable, and what it told. */
async function useless (t: Test, url: string): Promise<Watched & { readonly ledger: ReturnType<typeof createRedisLedger>, readonly troubles: readonly string[] }> {
  const watch = watched()
  const troubles: string[] = []
  const ledger = createRedisLedger({ url, times, onFault: watch.onFault, onTrouble: (_, error) => { troubles.push(String(error)) } })
  t.teardown(ledger.close)
  ledger.connect().catch(() => {})
  await until(() => watch.changes.some(({ fault }) => fault !== 'not-persistent'))
  return { ...watch, ledger, troubles }
}

t.test('a Redis that is too old is told with the version that is needed, once, and nothing is bought', async t => {
  const server = await startRedis(t, ['--appendonly', 'yes'])
  const { changes, ledger, troubles } = await useless(t, await startOldRedis(t, server.port))
  t.match(changes, [{ fault: 'too-old', isThere: true, sentence: /Redis 6\..*needs Redis 7 or newer/ }])
  t.match(await rejection(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 }))), { code: 'store-unfit' })
  t.equal(await plainClient(t, server.url).dbsize(), 0)
  t.same(troubles, [])
})

t.test('a replica is told as one, and becomes usable when it is promoted', async t => {
  const primary = await startRedis(t, ['--appendonly', 'yes'])
  const server = await startRedis(t, ['--appendonly', 'yes', '--replicaof', '127.0.0.1', String(primary.port)])
  const { changes, isThere, ledger, troubles } = await useless(t, server.url)
  t.match(changes, [{ fault: 'replica', isThere: true, sentence: /^REDIS_URL leads to a replica.*to the primary/ }])
  t.match(await rejection(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 }))), { code: 'store-unavailable' })
  t.same(troubles, [], 'nothing about a stream that is not writeable')
  await plainClient(t, server.url).replicaof('NO', 'ONE')
  await until(() => isThere('replica') === false)
  await until(async () => await ledger.ping().then(() => true, () => false))
  t.match(await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })), { outcome: 'bought' })
})

t.test('in a cluster the server is looked at that has the ledger', async t => {
  const nodes = await startCluster(t)
  const owner = nodes[slotOf('{fg}:glob') <= 5460 ? 0 : slotOf('{fg}:glob') <= 10_922 ? 1 : 2]
  const redis = plainClient(t, `redis://127.0.0.1:${owner?.port}`)
  await redis.config('SET', 'maxmemory', '100mb')
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
  const { changes, onFault } = watched()
  const { ledger } = await liveLedger(t, clusterOf(nodes), { namespace: 'fg', onFault })
  t.match(changes.map(({ fault }) => fault), ['evicts', 'not-persistent'])
  t.match(await rejection(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 }))), { code: 'store-unfit' })
})

t.test('a look from outside finds the same, and writes nothing', async t => {
  const server = await startRedis(t, evicting)
  const found = await inspect(server.url, { namespace: 'fg', accounts: [{ kind: 'fal', name: 'main' }], withinMs: 3000 })
  t.ok(found.isReached && found.faults.has('evicts'))
  const redis = plainClient(t, server.url)
  t.equal(await redis.dbsize(), 0)
  t.same(await redis.function('LIST'), [])
  t.match(await inspect('redis://127.0.0.1:1', { namespace: 'fg', accounts: [{ kind: 'fal', name: 'main' }], withinMs: 300 }), { isReached: false, cause: { code: 'ECONNREFUSED' } })
})
