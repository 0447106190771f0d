// A ledger on Redis in a namespace of its own, as the suites that run against every store want it.

import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import type { LedgerTimes } from '../../src/generation/ports.ts'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import type { Store } from '../store/contract/world.ts'
import { redisUrl } from './redis.ts'

export function freshNamespace (): string {
  return 'test-' + randomBytes(8).toString('hex')
}

/** A connected ledger whose clock stands where `setNow` put it; closing it leaves nothing behind. */
export async function redisStore (times: LedgerTimes, startMs: number): Promise<Store & { readonly ledger: RedisLedger }> {
  const url = await redisUrl()
  const namespace = freshNamespace()
  let nowMs = startMs
  const ledger = createRedisLedger({ url, times, namespace, clock: { now: () => nowMs } })
  await ledger.connect()
  return {
    ledger,
    audit: ledger.audit,
    setNow: atMs => { nowMs = atMs },
    close: async () => {
      await ledger.close()
      await forget(url, namespace)
    }
  }
}

async function forget (url: string, namespace: string): Promise<void> {
  const redis = new Redis(url)
  try {
    const keys = await redis.keys(`{${namespace}}:*`)
    if (keys.length > 0) await redis.del(...keys)
  } finally {
    redis.disconnect()
  }
}
