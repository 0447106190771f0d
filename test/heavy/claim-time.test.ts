// A claim costs the same with 50 generations in the queue and with 5,000, no matter which tenants own them. Measured by Redis itself, in turns, by the median.

import type { Redis } from 'ioredis'
import t from 'tap'
import type { Ledger } from '../../src/generation/ledger.ts'
import { admissionOf, freshId, never } from '../support/admission.ts'
import { liveLedger, plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'

const CLAIMS = 40

async function fill (ledger: Ledger, count: number, tenants: number): Promise<void> {
  for (let nth = 0; nth < count; nth += 50) {
    await Promise.all(Array.from({ length: 50 }, async (_, one) => {
      const answer = await ledger.admit(admissionOf({ tenant: `tenant${(nth + one) % tenants}`, maxInFlight: 1000, maxQueued: 10_000, budgets: [], rate: { max: 100_000, windowSeconds: 60 } }))
      if (answer.outcome !== 'bought') throw new Error(answer.outcome)
    }))
  }
}

/** What one claim took inside Redis, in microseconds. */
async function claimUs (ledger: Ledger, redis: Redis): Promise<number> {
  await redis.config('RESETSTAT')
  const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 10_000 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const stats = await redis.info('commandstats')
  return Number(/cmdstat_(?:fcall|evalsha):calls=\d+,usec=(\d+)/.exec(stats)?.[1])
}

function median (values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN
}

for (const tenants of [1, 250]) {
  t.test(`the queue of ${tenants} tenants`, async t => {
    const { url } = await startRedis(t)
    const redis = plainClient(t, url)
    // An audit of thousands of rows takes longer than a call may.
    const few = await liveLedger(t, url, { deadlineMs: 20_000 })
    const many = await liveLedger(t, url, { deadlineMs: 20_000 })
    await fill(few.ledger, 50, tenants)
    await fill(many.ledger, 5000, tenants)
    const times = { few: [0].slice(1), many: [0].slice(1) }
    for (let turn = 0; turn < CLAIMS; turn += 1) {
      times.few.push(await claimUs(few.ledger, redis))
      times.many.push(await claimUs(many.ledger, redis))
    }
    const [one, other] = [median(times.few), median(times.many)]
    t.comment(`with 50 waiting ${one} us, with 5,000 ${other} us`)
    t.ok(other < 2 * one, `${other} us with 5,000 waiting, ${one} us with 50`)
    t.same(await many.ledger.audit(), [])
  })
}
