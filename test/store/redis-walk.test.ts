// The same random walk on the ledger in memory and on Redis, step by step: every answer, every row, the books and both audits are compared.

import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { Problem } from '../../src/errors.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { redisStore } from '../support/redis-store.ts'
import { owner, startMs, type Store } from './contract/world.ts'
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

/** Operations after which nothing can have become unsound. */
const readers = new Set(['getMany', 'preview', 'getStatuses', 'logs', 'balances', 'gauges', 'standings', 'failures', 'replicas', 'list', 'now', 'token'])

/** Two stores that look like one, and object when they differ. */
async function pairOfStores (): Promise<Store> {
  let nowMs = startMs
  let server = 'first'
  const model = createMemoryLedger({ times: walkTimes, now: () => nowMs, server: () => server, account: owner })
  const redis = await redisStore(walkTimes, startMs)
  let isChanged = false
  const changed = (name: string): void => { isChanged ||= !readers.has(name) }
  return {
    ledger: inStep(model, redis.ledger, changed),
    beside: async account => inStep(model.beside(account), await redis.beside(account), changed),
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
      const [faults, found] = await Promise.all([redis.audit(), differences(model, redis.ledger)])
      return [...model.audit().map(fault => 'in memory: ' + fault), ...faults.map(fault => 'on Redis: ' + fault), ...found]
    },
    close: redis.close
  }
}

/** Asks both and gives the model's answer; both have to refuse what one of them does. */
function inStep (model: Ledger, redis: Ledger, onCall: (name: string) => void): Ledger {
  return new Proxy(model, {
    get (target, name) {
      const operation: unknown = Reflect.get(target, name)
      const other: unknown = Reflect.get(redis, name)
      if (typeof operation !== 'function' || typeof other !== 'function') return operation
      return (...given: unknown[]) => {
        onCall(String(name))
        const expected: unknown = Reflect.apply(operation, target, given)
        if (!(expected instanceof Promise)) return expected
        return Promise.allSettled([expected, Reflect.apply(other, redis, given)]).then(([one, two]) => {
          const difference = compare(String(name), saidBy(one), saidBy(two))
          if (difference !== null) throw new Error(difference)
          if (one.status === 'rejected') throw one.reason
          return one.value
        })
      }
    }
  })
}

/** An answer, or what it was refused with. */
function saidBy (settled: PromiseSettledResult<unknown>): unknown {
  if (settled.status === 'fulfilled') return settled.value
  const { reason }: { readonly reason: unknown } = settled
  return { refused: reason instanceof Problem ? reason.code : String(reason) }
}

/** What no operation of the walk happens to ask for. */
async function differences (model: Ledger, redis: Ledger): Promise<string[]> {
  const months = [{ owner: 'studio', per: 'month' }, { owner: 'agency', per: 'month' }, { owner: '*', per: 'day' }] as const
  const questions: Record<string, (ledger: Ledger) => Promise<unknown>> = {
    balances: async ledger => ledger.balances(months),
    journal: async ledger => ledger.journal(0, model.now() + 1, 1000),
    breakers: async ledger => (await ledger.breakers()).toSorted((one, other) => one.scope < other.scope ? -1 : 1),
    token: async ledger => ledger.token('tok1'),
    tokens: async ledger => ledger.tokens('studio', { limit: 100, after: null }),
    unknowns: async ledger => ledger.unknowns(100),
    gauges: async ledger => ledger.gauges(),
    standings: async ledger => ledger.standings(['studio', 'agency', 'nobody']),
    failures: async ledger => ledger.failures(100, null),
    'failures of studio': async ledger => ledger.failures(2, 'studio'),
    replicas: async ledger => ledger.replicas(),
    'the list of studio': async ledger => ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: null }),
    'the list of a visitor': async ledger => ledger.list({ tenant: 'studio', subject: 'visitor' }, { limit: 100, cursor: null, status: 'queued' }),
    lookup: async ledger => ledger.lookup('cache-a'),
    'lookup for reuse': async ledger => ledger.lookup('reuse-a')
  }
  const found = await Promise.all(Object.entries(questions).map(async ([name, ask]) => {
    const [one, other] = await Promise.all([ask(model), ask(redis)])
    return compare(name, one, other)
  }))
  return found.filter(difference => difference !== null)
}

function compare (name: string, model: unknown, redis: unknown): string | null {
  if (isDeepStrictEqual(comparable(model), comparable(redis))) return null
  return `${name} differs: in memory ${JSON.stringify(comparable(model))}, on Redis ${JSON.stringify(comparable(redis))}`
}

/**
 * What legitimately differs:
 * - a tenant without waiting generations may be missing from the gauge, or be there with 0;
 * - a page may name a next one that turns out to be empty, while entries of aliases that have ended are still in the list: memory forgets them
 *   with the alias, Redis when they are read.
 */
function comparable (answer: unknown): unknown {
  if (answer instanceof Map) return [...answer].filter(([, count]) => count !== 0).toSorted()
  if (Array.isArray(answer)) return answer.map(comparable)
  if (typeof answer !== 'object' || answer === null) return answer
  return Object.fromEntries(Object.entries(answer).filter(([name]) => name !== 'nextCursor').map(([name, value]) => [name, comparable(value)]))
}
