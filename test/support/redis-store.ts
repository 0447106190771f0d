// A ledger on Redis in a namespace of its own, as the suites that run against every store want it.

import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { Problem } from '../../src/errors.ts'
import type { LedgerTimes } from '../../src/generation/ledger.ts'
import { createRedisLedger, type RedisLedger, type RedisLedgerOptions } from '../../src/store/redis/ledger.ts'
import { accountText, type OwnAccount, type UpstreamAccount } from '../../src/upstream-account.ts'
import { owner, type Store } from '../store/contract/world.ts'
import { times as usualTimes } from './admission.ts'
import { limitedRedisUrl } from './redis.ts'

export function freshNamespace (): string {
  return 'test-' + randomBytes(8).toString('hex')
}

/** What a version left that did not write down how its rows are kept: the ledger goes on as that version reads it. */
export async function beginAsBefore (redis: Redis, namespace: string): Promise<void> {
  await redis.hset(`{${namespace}}:glob`, 'upstream', accountText(owner))
}

/** The same as `redisStore` of a ledger that began with such a version. */
export async function redisStoreBegunBefore (times: LedgerTimes, startMs: number): Promise<Store & { readonly ledger: RedisLedger }> {
  const namespace = freshNamespace()
  const redis = new Redis(await limitedRedisUrl())
  await beginAsBefore(redis, namespace)
  redis.disconnect()
  return await redisStore(times, startMs, namespace)
}

/** A connected ledger whose clock stands where `setNow` put it; closing it leaves nothing behind. */
export async function redisStore (times: LedgerTimes, startMs: number, namespace = freshNamespace()): Promise<Store & { readonly ledger: RedisLedger }> {
  const url = await limitedRedisUrl()
  let nowMs = startMs
  let server = 'first'
  const opened: RedisLedger[] = []
  const beside = async (own: UpstreamAccount | readonly OwnAccount[] | null): Promise<RedisLedger> => {
    const owners = own === null || 'kind' in own ? { account: own } : { accounts: () => own }
    const ledger = createRedisLedger({ url, times, namespace, ...owners, clock: { now: () => nowMs, server: () => server } })
    opened.push(ledger)
    await ledger.connect()
    return ledger
  }
  const ledger = await beside(owner)
  return {
    ledger,
    beside,
    audit: ledger.audit,
    setNow: atMs => { nowMs = atMs },
    setServer: other => { server = other },
    close: async () => {
      await Promise.all(opened.map(async one => { await one.close() }))
      await forget(url, namespace)
    }
  }
}

async function forget (url: string, namespace: string): Promise<void> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1 })
  try {
    const keys = await redis.keys(`{${namespace}}:*`)
    if (keys.length > 0) await redis.del(...keys)
  } finally {
    redis.disconnect()
  }
}

/** A ledger with Redis' own clock, closed with the test, and what it told. */
export async function liveLedger (t: Test, url: RedisLedgerOptions['url'], given: Partial<RedisLedgerOptions> = {}): Promise<LiveLedger> {
  const troubles: string[] = []
  const rollbacks: string[] = []
  const states: boolean[] = []
  const ledger = createRedisLedger({
    url,
    times: usualTimes,
    namespace: freshNamespace(),
    onTrouble: operation => { troubles.push(operation) },
    onRollback: ({ message }) => { rollbacks.push(message) },
    onState: up => { states.push(up) },
    ...given
  })
  t.teardown(ledger.close)
  await ledger.connect()
  return { ledger, troubles, rollbacks, states }
}

export interface LiveLedger {
  readonly ledger: RedisLedger
  /** What was being done when trouble was told. */
  readonly troubles: readonly string[]
  readonly rollbacks: readonly string[]
  readonly states: readonly boolean[]
}

/** A connection to look and change behind the ledger's back, closed with the test. */
export function plainClient (t: Test, url: string): Redis {
  const redis = new Redis(url)
  t.teardown(() => { redis.disconnect() })
  return redis
}

/** With which code a promise was rejected. */
export async function rejection (promise: Promise<unknown>): Promise<{ readonly code: string, readonly retryAfterSeconds: unknown }> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Problem) return { code: error.code, retryAfterSeconds: error.facts.retryAfterSeconds }
    throw error
  }
  throw new Error('It was not rejected.')
}
