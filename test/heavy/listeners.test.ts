// A thousand listeners of one generation on one process: one subscription, bounded memory, and one that never reads holds nobody up.

import { readFileSync } from 'node:fs'
import net from 'node:net'
import t from 'tap'
import { followAt } from '../support/event-stream.ts'
import { STUDIO_KEY } from '../support/gateway.ts'
import { plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const LISTENERS = 1000

/** Resident memory of a process, in MiB. */
function residentMib (pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

t.test('1,000 listeners of one generation', async t => {
  const redis = await startRedis(t)
  const client = plainClient(t, redis.url)
  const { sandbox, startReplica, untilGeneration } = await deploy(t, { redisUrl: redis.url, env: { LEASE_SECONDS: '15', EVENT_HEARTBEAT_SECONDS: '2' } })
  const replica = await startReplica()
  const release = sandbox.faults.holdJobs()
  const id = String((await replica.generate({ prompt: 'seen by all', seed: 1 }, { headers: { prefer: 'respond-async' } })).json()['id'])
  await untilGeneration(({ phase }) => phase === 'running')

  async function subscriptions (): Promise<{ readonly connections: number, readonly subscribers: readonly string[] }> {
    const list = String(await client.client('LIST'))
    const channels = (await client.pubsub('CHANNELS', '*')).map(String)
    const counts = await client.pubsub('NUMSUB', ...channels)
    return { connections: list.trim().split('\n').length, subscribers: counts.map(String).filter((_, nth) => nth % 2 === 1) }
  }

  const before = { ...await subscriptions(), mib: residentMib(replica.pid) }
  const silent = net.connect(Number(new URL(replica.base).port), '127.0.0.1')
  t.teardown(() => { silent.destroy() })
  silent.pause()
  silent.write(`GET /generations/${id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${STUDIO_KEY}\r\n\r\n`)
  const streams = await Promise.all(Array.from({ length: LISTENERS }, async () => await followAt(replica.base, id)))
  await until(() => streams.every(stream => stream.told('generation').length > 0 && stream.told('log').length > 0))
  const metrics = await (await fetch(`${replica.base}/metrics`)).text()
  t.match(metrics, new RegExp(`^falgate_event_streams ${LISTENERS + 1}$`, 'm'))

  const during = { ...await subscriptions(), mib: residentMib(replica.pid) }
  t.same(during.subscribers, before.subscribers, 'no subscription more')
  t.equal(during.connections, before.connections, 'no connection to Redis more')
  t.ok(during.mib - before.mib < 100, `${Math.round(before.mib)} MiB before, ${Math.round(during.mib)} MiB with all of them`)

  await client.config('RESETSTAT')
  const beats = streams.map(({ comments }) => comments.length)
  await until(() => streams.every(({ comments }, nth) => comments.length >= (beats[nth] ?? 0) + 2))
  const calls = Number(/cmdstat_(?:fcall|evalsha):calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0)
  t.ok(calls < 100, `${calls} calls of the ledger while 1,000 listened for some seconds`)

  const releasedMs = performance.now()
  release()
  await Promise.all(streams.map(async ({ over }) => { await over }))
  t.comment(`all ${LISTENERS} had the end after ${Math.round(performance.now() - releasedMs)} ms, ${calls} calls of the ledger before, ${Math.round(during.mib - before.mib)} MiB more`)
  t.ok(streams.every(stream => stream.told('generation').at(-1)?.['status'] === 'succeeded' && stream.told('generation').at(-1)?.['output'] !== null))
  t.ok(streams.every(stream => stream.told('log').length === streams[0]?.told('log').length))
  t.equal(sandbox.bill.submits, 1)
})
