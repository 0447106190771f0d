// Calls about one thing that become calls about many.

import t from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { gathered } from '../../src/store/redis/batches.ts'
import { admissionOf, never, tokenOf } from '../support/admission.ts'
import { redisUrl } from '../support/redis.ts'
import { liveLedger } from '../support/redis-store.ts'

t.test('what comes alone goes at once, what comes meanwhile goes together, and each gets its own answer', async t => {
  const batches: number[][] = []
  const double = gathered(3, async (batch: readonly number[]) => {
    batches.push([...batch])
    await Promise.resolve()
    return batch.map(one => 2 * one)
  })
  t.same(await Promise.all([1, 2, 3, 4, 5].map(double)), [2, 4, 6, 8, 10])
  t.same(batches, [[1], [2, 3, 4], [5]])
  t.equal(await double(6), 12)
})

t.test('when a call fails, all who wait fail with it and nobody after them', async t => {
  let isAway = true
  const call = gathered(1, async (batch: readonly number[]) => {
    await Promise.resolve()
    if (isAway) throw new Error('away')
    return batch
  })
  const all = await Promise.allSettled([1, 2, 3].map(call))
  t.same(all.map(({ status }) => status), ['rejected', 'rejected', 'rejected'])
  isAway = false
  t.equal(await call(4), 4)
})

t.test('tokens that are given out at once are all kept, each bounded by its own tenant', async t => {
  const { ledger } = await liveLedger(t, await redisUrl())
  const minted = await Promise.all(Array.from({ length: 1100 }, async (_, n) => await ledger.mint(tokenOf({ id: `t${n}`, tenant: n % 11 === 0 ? 'agency' : 'studio', expiresAtMs: never }))))
  t.equal(minted.filter(({ outcome }) => outcome === 'minted').length, 1100)
  t.same(await ledger.mint(tokenOf({ id: 'late' })), { outcome: 'full' })
  t.same(await ledger.mint(tokenOf({ id: 'theirs', tenant: 'agency' })), { outcome: 'minted' })
  t.match(await ledger.token('t7'), { id: 't7', tenant: 'studio' })
})

t.test('deliveries that are noted at once are all kept, each for its own connection', async t => {
  const { ledger } = await liveLedger(t, await redisUrl())
  const rows = await Promise.all(Array.from({ length: 60 }, async (_, n) => await buyAt(ledger, `c${n}`)))
  await Promise.all(rows.map(async ({ id }, n) => { await ledger.seen(id, { replica: 'r1', connection: n % 3 === 0 ? 'other' : `c${n}` }) }))
  t.same((await ledger.getMany(rows.map(({ id }) => id))).map(({ delivered }) => delivered), rows.map((_, n) => n % 3 !== 0))
})

async function buyAt (ledger: Ledger, connection: string): Promise<Generation> {
  const admitted = await ledger.admit(admissionOf({ maxQueued: 100, connection: { replica: 'r1', connection } }))
  if (admitted.outcome !== 'bought') throw new Error(`It was ${admitted.outcome}.`)
  return admitted.row
}
