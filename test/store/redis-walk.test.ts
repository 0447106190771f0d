// The same random walk on the ledger in memory and on Redis, step by step: every answer, every row, the books and both audits are compared.

import fc from 'fast-check'
import t from 'tap'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { redisStore } from '../support/redis-store.ts'
import { owner, startMs, type Store } from './contract/world.ts'
import { differencesBetween, inStep, readers } from './in-step.ts'
import { walk, walks, walkTimes } from './walk.ts'

/** More of them, for a night: FALGATE_WALKS=10000. */
const runs = Number(process.env['FALGATE_WALKS'] ?? 40)

// What bounds it is the number of steps; how long they take is the machine's affair.
t.setTimeout(1_200_000)

t.test('no interleaving of operations tells the ledger on Redis from its model', async t => {
  let steps = 0
  await fc.assert(fc.asyncProperty(walks(120), async drawn => {
    const pair = await pairOfStores()
    try {
      await walk(pair, drawn, startMs)
    } finally {
      await pair.close()
    }
    steps += drawn.length
  }), { numRuns: runs })
  t.ok(steps > 500, `${steps} steps were walked`)
})

/** Two stores that look like one, and object when they differ. */
async function pairOfStores (): Promise<Store> {
  let nowMs = startMs
  let server = 'first'
  const model = createMemoryLedger({ times: walkTimes, now: () => nowMs, server: () => server, account: owner })
  const redis = await redisStore(walkTimes, startMs)
  let isChanged = false
  const changed = (name: string): void => { isChanged ||= !readers.has(name) }
  return {
    ledger: inStep(model, () => redis.ledger, 'on Redis', changed),
    beside: async account => {
      const beside = await redis.beside(account)
      return inStep(model.beside(account), () => beside, 'on Redis', changed)
    },
    setNow: async atMs => {
      nowMs = atMs
      await redis.setNow(atMs)
    },
    setServer: other => {
      server = other
      redis.setServer(other)
    },
    audit: async () => {
      if (!isChanged) return []
      isChanged = false
      const [faults, found] = await Promise.all([redis.audit(), differencesBetween(model, redis.ledger, 'on Redis')])
      return [...model.audit().map(fault => 'in memory: ' + fault), ...faults.map(fault => 'on Redis: ' + fault), ...found]
    },
    close: redis.close
  }
}
