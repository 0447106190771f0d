// A ledger that is to be moved.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, freshId, never, successOf, times } from './admission.ts'
import { freshNamespace } from './redis-store.ts'
import { redisUrl } from './redis.ts'

/** A folder for this test's files. */
export async function folderOf (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'falgate-moving-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

/** A ledger on Redis in which there is something of everything, and its environment. */
export async function filled (t: Test, count: number): Promise<{ readonly env: Readonly<Record<string, string>>, readonly ids: readonly string[] }> {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  const ledger = await openLedger(t, url, namespace)
  const ids: string[] = []
  for (let nth = 0; nth < count; nth += 1) {
    const { id } = admissionOf()
    ids.push(id)
    await ledger.admit(admissionOf({ id, rate: { max: 10_000, windowSeconds: 60 }, maxQueued: 10_000 }))
    if (nth % 4 === 0) continue
    await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1000 })
  }
  const rows = await ledger.getMany(ids)
  for (const { id, phase } of rows) {
    if (phase !== 'submitting') continue
    await ledger.recordAccepted(id, 1, `request-${id}`)
    await ledger.finish(id, 1, `request-${id}`, successOf())
  }
  await ledger.release('r1', [])
  await ledger.close()
  return { env: { REDIS_URL: url, REDIS_NAMESPACE: namespace, FAL_ACCOUNT: 'main' }, ids }
}

export async function openLedger (t: Test, url: string, namespace: string): Promise<RedisLedger> {
  const ledger = createRedisLedger({ url, namespace, times, account: { kind: 'fal', name: 'main' }, deadlineMs: 10_000 })
  t.teardown(ledger.close)
  await ledger.connect()
  return ledger
}
