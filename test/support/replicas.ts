// Several real gateway processes on one Redis, in front of one sandbox: the shape of a deployment, for tests that kill, stop and race.

import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import type { Settled } from '../../src/generation/evidence.ts'
import type { Generation } from '../../src/generation/generation.ts'
import type { ModelBook } from '../../src/models/models.ts'
import type { SandboxOptions } from '../../src/sandbox/plugin.ts'
import { clusterOf } from '../../src/store/redis/clients.ts'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { CENTRAL_KEY, STUDIO_KEY, parseObject, tenant, type Reply } from './gateway.ts'
import { cliFile } from './paths.ts'
import { start, type Running } from './processes.ts'
import type { ClusterNode } from './redis-cluster.ts'
import { redisUrl } from './redis.ts'
import { startSandbox, type RunningSandbox } from './sandbox.ts'
import { until } from './until.ts'

/** One gateway process. */
export interface Replica extends Running {
  readonly base: string
  /** Its name in leases. */
  readonly name: string
  readonly pid: number
  readonly generate: (body: object, options?: { readonly path?: string, readonly headers?: Readonly<Record<string, string>>, readonly key?: string, readonly signal?: AbortSignal }) => Promise<Reply>
  readonly get: (path: string, key?: string) => Promise<Reply>
  readonly post: (path: string, key?: string) => Promise<Reply>
  readonly delete: (path: string, key?: string) => Promise<Reply>
  /** What it has logged so far. */
  readonly log: () => string
}

export interface Deployment {
  readonly sandbox: RunningSandbox
  /** A window into the shared ledger, with its audit. */
  readonly ledger: RedisLedger
  /** An operator's word, said as if it were this late already. */
  readonly settleAt: (id: string, billed: boolean, atMs: number) => Promise<Settled>
  readonly tenantsFile: string
  /** The environment of operators' commands on its ledger. */
  readonly operatorEnv: Readonly<Record<string, string>>
  readonly startReplica: (env?: Readonly<Record<string, string>>) => Promise<Replica>
  /** The one row, once it is as wanted. */
  readonly untilGeneration: (isSo: (row: Generation) => boolean) => Promise<Generation>
  /** Nothing is claimed, as after a failover, until the returned function was called: what is bought stands in the queue first. Not of a cluster. */
  readonly pauseClaims: () => Promise<() => Promise<void>>
}

export interface DeploymentOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Options of Node. */
  readonly node?: readonly string[]
  readonly tenants?: Readonly<Record<string, unknown>>
  readonly sandbox?: SandboxOptions & { readonly models?: ModelBook }
  /** A server of the test's own; by default one that is shared, with a namespace apart. */
  readonly redisUrl?: string
  /** A cluster of the test's own, in place of that. */
  readonly cluster?: readonly ClusterNode[]
  /** How long a replica may run. */
  readonly replicaTimeoutMs?: number
}

/** Leases as they are by default, for crowds: with short ones a machine that is busy for a second looks like a dead one. */
export const USUAL_LEASE = { LEASE_SECONDS: '15' }

/** Leases that no test outlasts: what is taken over all the same was that of a replica that went silent. */
export const LONG_LEASE = { LEASE_SECONDS: '3600' }

/** Leases of a second, so that a test sees them run out. */
const SHORT_LEASE = { LEASE_SECONDS: '1' }

export async function deploy (t: Test, options: DeploymentOptions = {}): Promise<Deployment> {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY], ...options.sandbox })
  const [node] = options.cluster ?? []
  const url = node === undefined ? options.redisUrl ?? await redisUrl() : `redis://${node.host}:${node.port}`
  const clusterEnv = node === undefined ? {} : { REDIS_CLUSTER: 'on' }
  const namespace = randomUUID()
  const tenantsFile = join(t.testdir({}), `${namespace}.json`)
  writeFileSync(tenantsFile, JSON.stringify(options.tenants ?? { tenants: [tenant('studio', { maxInFlight: 100, maxQueued: 10_000, rateLimit: { max: 100_000, windowSeconds: 60 }, callLimit: { max: 1_000_000, windowSeconds: 60 } })] }))
  const times = { resultTtlMs: Number(options.env?.['RESULT_TTL_SECONDS'] ?? 518_400) * 1000, queueMs: 900_000, runMs: 3_600_000, leaseMs: 1000, largeResultBytes: 268_435_456 }
  // What a test reads may take its time on a machine whose processors are all busy.
  const ledger = createRedisLedger({ url: options.cluster === undefined ? url : clusterOf(options.cluster, {}, 10_000), namespace, deadlineMs: 10_000, times })
  await ledger.connect()
  t.teardown(async () => { await ledger.close() })

  async function startReplica (env: Readonly<Record<string, string>> = {}): Promise<Replica> {
    const running = start(t, [...options.node ?? [], cliFile, 'serve'], {
      PORT: '0',
      FAL_KEY: CENTRAL_KEY,
      FAL_QUEUE_URL: `${sandbox.base}/queue`,
      TENANTS_FILE: tenantsFile,
      REDIS_URL: url,
      REDIS_NAMESPACE: namespace,
      ...clusterEnv,
      FAL_CONCURRENCY: '100',
      NODE_ENV: 'production',
      // No load balancer is told of a stop, unless a test has one.
      DRAIN_DELAY_SECONDS: '0',
      ...SHORT_LEASE,
      ...options.env,
      ...env
    }, { timeoutMs: options.replicaTimeoutMs ?? 240_000 })
    let logged = ''
    running.child.stdout?.on('data', text => { logged += String(text) })
    const ready = parseObject(await readyLine(running, () => logged))
    const base = String(ready['url'])

    async function call (method: string, path: string, headers: Readonly<Record<string, string>>, body: string | null, signal?: AbortSignal): Promise<Reply> {
      const response = await fetch(base + path, { method, headers, body, ...(signal === undefined ? {} : { signal }) })
      const text = await response.text()
      return { status: response.status, headers: response.headers, text, json: () => parseObject(text) }
    }

    return {
      ...running,
      base,
      name: String(ready['replica']),
      pid: Number(running.child.pid),
      log: () => logged,
      generate: async (body, { path = '/generate', headers = {}, key = STUDIO_KEY, signal } = {}) =>
        await call('POST', path, { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers }, JSON.stringify(body), signal),
      get: async (path, key = STUDIO_KEY) => await call('GET', path, { authorization: `Bearer ${key}` }, null),
      post: async (path, key = STUDIO_KEY) => await call('POST', path, { authorization: `Bearer ${key}` }, null),
      delete: async (path, key = STUDIO_KEY) => await call('DELETE', path, { authorization: `Bearer ${key}` }, null)
    }
  }

  async function settleAt (id: string, billed: boolean, atMs: number): Promise<Settled> {
    const operator = createRedisLedger({ url, namespace, times, clock: { now: () => atMs } })
    try {
      await operator.connect()
      return await operator.settle(id, billed)
    } finally {
      await operator.close()
    }
  }

  async function untilGeneration (isSo: (row: Generation) => boolean): Promise<Generation> {
    let found: Generation | undefined
    await until(async () => {
      const { rows: [newest] } = await ledger.list({ tenant: 'studio', subject: '' }, { limit: 1, cursor: null, status: null })
      const [row] = await ledger.getMany(newest === undefined ? [] : [newest.id])
      if (row !== undefined && isSo(row)) found = row
      return found !== undefined
    })
    if (found === undefined) throw new Error('there is no such row')
    return found
  }

  async function pauseClaims (): Promise<() => Promise<void>> {
    const redis = new Redis(url)
    const glob = `{${namespace}}:glob`
    await redis.hset(glob, { heldSinceMs: '0', heldUntilMs: String(ledger.now() + 3_600_000) })
    return async () => {
      await redis.hdel(glob, 'heldSinceMs', 'heldUntilMs')
      redis.disconnect()
    }
  }

  return { sandbox, ledger, tenantsFile, settleAt, pauseClaims, operatorEnv: { REDIS_URL: url, REDIS_NAMESPACE: namespace, ...clusterEnv }, startReplica, untilGeneration }
}

/** The line that says that it serves, and where. */
async function readyLine ({ child, ended }: Running, logged: () => string): Promise<string> {
  const line = (): string | undefined => logged().split('\n').slice(0, -1).find(text => text.includes('"msg":"ready"'))
  await until(() => line() !== undefined || child.exitCode !== null || child.signalCode !== null)
  const found = line()
  if (found !== undefined) return found
  const { code, stderr } = await ended
  throw new Error(`ended with ${code}: ${stderr}`)
}

/** The replica that looks after the row, and the others. */
export function ownerAmong (replicas: readonly Replica[], row: Generation): { readonly owner: Replica, readonly others: readonly Replica[] } {
  const owner = replicas.find(({ name }) => name === row.owner)
  if (owner === undefined) throw new Error(`None of the replicas is ${String(row.owner)}.`)
  return { owner, others: replicas.filter(replica => replica !== owner) }
}
