// A Redis Cluster of three primaries on this machine, without replicas.

import type { Test } from 'tap'
import { freePort } from './processes.ts'
import { plainClient } from './redis-store.ts'
import { startRedis } from './redis.ts'
import { until } from './until.ts'

export interface ClusterNode { readonly host: string, readonly port: number }

const SLOTS = [[0, 5460], [5461, 10_922], [10_923, 16_383]] as const

/** Starts the nodes, gives each its third of the slots and waits until they agree. */
export async function startCluster (t: Test): Promise<readonly ClusterNode[]> {
  const nodes = await Promise.all(SLOTS.map(async ([first, last]) => {
    // By default the port of the cluster's own bus is 10,000 higher, which may be none.
    const busPort = await freePort()
    const { port, url } = await startRedis(t, ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)])
    const redis = plainClient(t, url)
    await redis.call('CLUSTER', 'ADDSLOTSRANGE', first, last)
    return { redis, port, busPort }
  }))
  const [{ redis: first } = {}, ...others] = nodes
  if (first === undefined) throw new Error('There are no nodes.')
  for (const { port, busPort } of others) await first.call('CLUSTER', 'MEET', '127.0.0.1', port, busPort)
  for (const { redis } of nodes) {
    await until(async () => /cluster_state:ok/.test(String(await redis.call('CLUSTER', 'INFO'))))
  }
  return nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
}
