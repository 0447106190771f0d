// Two ledgers that are asked the same: the model in memory, and another one that has to answer as it does.

import { isDeepStrictEqual } from 'node:util'
import { Problem } from '../../src/errors.ts'
import type { Ledger } from '../../src/generation/ledger.ts'

/** Operations after which nothing can have become unsound. */
export const readers: ReadonlySet<string> = new Set(['getMany', 'preview', 'getStatuses', 'logs', 'balances', 'gauges', 'standings', 'failures', 'replicas', 'list', 'hooks', 'now', 'token', 'keptFiles'])

/** Asks both and gives the model's answer; both have to refuse what one of them does. `where` is the other one, such as `on Redis`. */
export function inStep (model: Ledger, otherNow: () => Ledger, where: string, onCall: (name: string) => void): Ledger {
  return new Proxy(model, {
    get (target, name) {
      const operation: unknown = Reflect.get(target, name)
      if (typeof operation !== 'function') return operation
      return (...given: unknown[]) => {
        const ledger = otherNow()
        const other: unknown = Reflect.get(ledger, name)
        if (typeof other !== 'function') return Reflect.apply(operation, target, given)
        onCall(String(name))
        const expected: unknown = Reflect.apply(operation, target, given)
        if (!(expected instanceof Promise)) return expected
        return Promise.allSettled([expected, Reflect.apply(other, ledger, given)]).then(([one, two]) => {
          const difference = compare(String(name), saidBy(one), saidBy(two), where)
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
export async function differencesBetween (model: Ledger, other: Ledger, where: string): Promise<string[]> {
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
    hooks: async ledger => (await ledger.hooks({ tenant: null, stuck: false, limit: 1000 })).toSorted((one, other) => one.id < other.id ? -1 : 1),
    'hooks of studio': async ledger => ledger.hooks({ tenant: 'studio', stuck: true, limit: 3 }),
    'failures of studio': async ledger => ledger.failures(2, 'studio'),
    replicas: async ledger => ledger.replicas(),
    'the list of studio': async ledger => ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: null }),
    'the list of a visitor': async ledger => ledger.list({ tenant: 'studio', subject: 'visitor' }, { limit: 100, cursor: null, status: 'queued' }),
    'stored files': async ledger => ledger.keptFiles(null),
    lookup: async ledger => ledger.lookup('cache-a'),
    'lookup for reuse': async ledger => ledger.lookup('reuse-a')
  }
  const found = await Promise.all(Object.entries(questions).map(async ([name, ask]) => {
    const [one, two] = await Promise.all([ask(model), ask(other)])
    return compare(name, one, two, where)
  }))
  return found.filter(difference => difference !== null)
}

function compare (name: string, model: unknown, other: unknown, where: string): string | null {
  if (isDeepStrictEqual(comparable(model), comparable(other))) return null
  return `${name} differs: in memory ${JSON.stringify(comparable(model))}, ${where} ${JSON.stringify(comparable(other))}`
}

/**
 * What legitimately differs:
 * - a tenant without waiting generations may be missing from the gauge, or be there with 0;
 * - a page may name a next one that turns out to be empty, while entries of aliases that have ended are still in the list: memory forgets them
 *   with the alias, Redis when they are read;
 * - stored files are told in no order.
 */
function comparable (answer: unknown): unknown {
  if (answer instanceof Map) return [...answer].filter(([, count]) => count !== 0).toSorted()
  if (Array.isArray(answer)) return answer.map(comparable)
  if (typeof answer !== 'object' || answer === null) return answer
  return Object.fromEntries(Object.entries(answer).filter(([name]) => name !== 'nextCursor').map(([name, value]) => [name, name === 'files' && Array.isArray(value) ? value.map(file => JSON.stringify(file)).toSorted() : comparable(value)]))
}
