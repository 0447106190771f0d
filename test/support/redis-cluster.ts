// A Redis Cluster of three primaries on this machine, without replicas.

import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
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

export interface SlotMove {
  readonly slot: number
  /** How long the move takes, or what is waited for after each key. */
  readonly pace: { readonly forMs: number } | { readonly afterEach: () => Promise<void> }
  /** Told before the first key moves, and after the last one, before the nodes hear of it. */
  readonly onBegun?: () => void
  readonly onMoved?: () => void
}

/** Moves a slot to another node, as tools do: key by key, while it is used. Gives how many keys it moved. */
export async function moveSlot (t: Test, nodes: readonly ClusterNode[], { slot, pace, onBegun = () => {}, onMoved = () => {} }: SlotMove): Promise<number> {
  const all = await Promise.all(nodes.map(async ({ host, port }) => {
    const redis = plainClient(t, `redis://${host}:${port}`)
    return { host, port, redis, id: String(await redis.call('CLUSTER', 'MYID')) }
  }))
  const source = await ownerOf(all, slot)
  const target = all.find(node => node !== source)
  if (source === undefined || target === undefined) throw new Error('The slot has nowhere to move.')
  await target.redis.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source.id)
  await source.redis.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target.id)
  onBegun()
  const keysThere = Number(await source.redis.call('CLUSTER', 'COUNTKEYSINSLOT', slot))
  const afterEach = 'afterEach' in pace ? pace.afterEach : async () => { await pause(pace.forMs / keysThere) }
  let moved = 0
  for (;;) {
    const keys = await source.redis.call('CLUSTER', 'GETKEYSINSLOT', slot, 1)
    if (!Array.isArray(keys) || keys.length === 0) break
    // Without REPLACE: a key that was written on both sides ends the move.
    await source.redis.call('MIGRATE', target.host, target.port, '', 0, 5000, 'KEYS', ...keys.map(String))
    moved += keys.length
    await afterEach()
  }
  onMoved()
  for (const { redis } of [target, source, ...all]) await redis.call('CLUSTER', 'SETSLOT', slot, 'NODE', target.id)
  return moved
}

/** Every node knows its own slots by its own id. */
async function ownerOf<Node extends { readonly redis: Redis, readonly id: string }> (nodes: readonly Node[], slot: number): Promise<Node | undefined> {
  for (const node of nodes) {
    const own = String(await node.redis.call('CLUSTER', 'NODES')).split('\n').find(line => line.includes('myself')) ?? ''
    const ranges = own.split(' ').slice(8).map(range => range.split('-').map(Number))
    if (ranges.some(([first = NaN, last = first]) => first <= slot && slot <= last)) return node
  }
  return undefined
}
