// Which Redis this is, told by Redis itself: nothing is claimed for a while where it may have lost something, and where it has not everything goes on.

import t, { type Test } from 'tap'
import type { Claimed } from '../../src/generation/evidence.ts'
import { clusterOf } from '../../src/store/redis/clients.ts'
import { admissionOf, freshId, times } from '../support/admission.ts'
import { startCluster } from '../support/redis-cluster.ts'
import { plainClient, liveLedger, type LiveLedger } from '../support/redis-store.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

async function buy ({ ledger }: LiveLedger): Promise<string> {
  const { id } = admissionOf()
  await ledger.admit(admissionOf({ id, deadlineMs: ledger.now() + 5000 }))
  return id
}

async function claim ({ ledger }: LiveLedger, replica = 'r1', slots = 10): Promise<Claimed> {
  return await ledger.claim({ claimId: freshId(), deadlineMs: ledger.now() + 5000, replica, slots })
}

t.test('a Redis that was started again with all it had lets nothing be claimed before its replicas are back', async t => {
  const redis = await restartableRedis(t)
  const live = await liveLedger(t, redis.url)
  const { ledger, states, rollbacks } = live
  await ledger.renew('r1', [])
  await ledger.renew('r2', [])
  const id = await buy(live)
  await redis.kill()
  await until(() => states.at(-1) === false)
  await redis.start('with-file')
  await until(() => states.at(-1) === true)
  const held = await claim(live)
  t.match(held, { outcome: 'wait' })
  await ledger.renew('r1', [])
  t.same(await claim(live), held, 'another one is missing, and the wait is no longer than it was')
  await ledger.renew('r2', [])
  t.match(await claim(live), { outcome: 'go', row: { id } })
  t.same(rollbacks, [])
  t.same(await ledger.audit(), [])
})

t.test('a connection that breaks, ten times, stops nothing', async t => {
  const server = await startRedis(t)
  const proxy = await startTcpProxy(t, server.port)
  const live = await liveLedger(t, `redis://127.0.0.1:${proxy.port}`)
  const { ledger, states } = live
  await ledger.renew('r1', [])
  await ledger.renew('r2', [])
  for (let count = 0; count < 10; count += 1) {
    const id = await buy(live)
    proxy.setOpen(false)
    await until(() => states.at(-1) === false)
    proxy.setOpen(true)
    await until(() => states.at(-1) === true)
    t.match(await claim(live), { outcome: 'go', row: { id } })
  }
})

t.test('a replica that was made the primary holds claims back; a replica that met the old one notices, and so does one that meets the new one first', async t => {
  const primary = await startRedis(t)
  const other = await startRedis(t, ['--replicaof', '127.0.0.1', String(primary.port)])
  const before = await liveLedger(t, primary.url, { namespace: 'fg' })
  await until(async () => (await plainClient(t, other.url).info('replication')).includes('master_link_status:up'))
  await before.ledger.renew('r1', [])
  const id = await buy(before)
  await until(async () => await plainClient(t, other.url).exists(`{fg}:g:${id}`) === 1)
  await plainClient(t, other.url).call('REPLICAOF', 'NO', 'ONE')
  const after = await liveLedger(t, other.url, { namespace: 'fg' })
  t.match(await claim(after, 'r2'), { outcome: 'wait' })
  await after.ledger.renew('r1', [])
  t.match(await claim(after, 'r2'), { outcome: 'go', row: { id } })
})

t.test('the same server with another history is another server: it may have the data of another one', async t => {
  const server = await startRedis(t)
  const live = await liveLedger(t, server.url)
  await live.ledger.renew('r1', [])
  const id = await buy(live)
  t.match(await claim(live), { outcome: 'go', row: { id } })
  const next = await buy(live)
  // Its first copy begins a new history.
  await startRedis(t, ['--replicaof', '127.0.0.1', String(server.port)])
  await until(async () => (await claim(live, 'r1', 0)).outcome === 'wait')
  await live.ledger.renew('r1', [])
  t.match(await claim(live), { outcome: 'go', row: { id: next } })
})

/** Two processes that knew the ledger, and one generation in the queue after it fell behind what they knew. */
async function fallen (t: Test, server: RedisServer, lose: (namespace: string) => Promise<void>): Promise<{ readonly lives: readonly [LiveLedger, LiveLedger], readonly id: string }> {
  const namespace = `test-${freshId()}`
  const given = { namespace, times: { ...times, leaseMs: 1500 } }
  const one = await liveLedger(t, server.url, given)
  const two = await liveLedger(t, server.url, given)
  await one.ledger.renew('r1', [])
  for (let count = 0; count < 5; count += 1) await buy(one)
  await two.ledger.renew('r2', [])
  await one.ledger.ping()
  await two.ledger.ping()
  await lose(namespace)
  return { lives: [one, two], id: await buy(one) }
}

t.test('a Redis that forgot everything knows of nobody to wait for, so a lease it is', async t => {
  const server = await startRedis(t)
  const { lives: [one, two], id } = await fallen(t, server, async () => { await plainClient(t, server.url).flushall() })
  const held = await claim(one)
  t.match(held, { outcome: 'wait' })
  await one.ledger.renew('r1', [])
  await two.ledger.renew('r2', [])
  t.same(await claim(one), held)
  t.same(await claim(two, 'r2'), held, 'a replica that notices the same loss later does not lengthen it')
  t.same(await one.ledger.audit(), [])
  await until(async () => {
    const claimed = await claim(one)
    return claimed.outcome === 'go' && claimed.row.id === id
  })
  t.same(await one.ledger.audit(), [])
})

t.test('a renewal of a Redis that forgot everything, before anything is in it again, spares nobody the lease', async t => {
  const server = await startRedis(t)
  const given = { namespace: `test-${freshId()}`, times: { ...times, leaseMs: 1500 } }
  const [one, two] = [await liveLedger(t, server.url, given), await liveLedger(t, server.url, given)]
  for (let count = 0; count < 5; count += 1) await buy(one)
  await one.ledger.renew('r1', [])
  await two.ledger.renew('r2', [])
  await plainClient(t, server.url).flushall()
  await one.ledger.renew('r1', [])
  const id = await buy(one)
  t.match(await claim(one), { outcome: 'wait' })
  await one.ledger.renew('r1', [])
  t.match(await claim(one), { outcome: 'wait' }, 'what the other one knows is not there yet')
  t.match(await claim(two, 'r2'), { outcome: 'wait' })
  t.same(await one.ledger.audit(), [])
  await until(async () => {
    const claimed = await claim(one)
    return claimed.outcome === 'go' && claimed.row.id === id
  })
})

t.test('a Redis that fell behind waits for the replicas that it knows of', async t => {
  const server = await startRedis(t)
  const { lives: [one, two], id } = await fallen(t, server, async namespace => { await plainClient(t, server.url).hincrby(`{${namespace}}:glob`, 'sequence', -4) })
  t.match(await claim(two, 'r2'), { outcome: 'wait' })
  await two.ledger.renew('r2', [])
  t.match(await claim(two, 'r2'), { outcome: 'wait' })
  await one.ledger.renew('r1', [])
  const claimed = await claim(one)
  t.match(claimed, { outcome: 'go' })
  t.not(claimed.outcome === 'go' && claimed.row.id, id, 'the oldest first')
  t.match(await claim(two, 'r2'), { outcome: 'go' }, 'one fall is one wait')
})

t.test('in a cluster it is the server of the ledger\'s own keys', async t => {
  const live = await liveLedger(t, clusterOf(await startCluster(t)))
  await live.ledger.renew('r1', [])
  const id = await buy(live)
  t.match(await claim(live), { outcome: 'go', row: { id } })
})

t.test('where Redis does not tell a script what it is, nothing waits, and a fall is noticed all the same', async t => {
  const server = await startRedis(t)
  const redis = plainClient(t, server.url)
  const live = await liveLedger(t, server.url)
  await live.ledger.renew('r1', [])
  const id = await buy(live)
  await redis.call('ACL', 'SETUSER', 'default', '-info')
  t.match(await claim(live), { outcome: 'go', row: { id } })
  await buy(live)
  await redis.flushall()
  await buy(live)
  t.match(await claim(live), { outcome: 'wait' })
})
