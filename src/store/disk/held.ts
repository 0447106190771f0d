// What books and tokens hold, counted from the rows that come in with them (rule 27): a ledger that was read while it was used tells of each at another moment.

import { integerOf, listOf } from '../../generation/fields.ts'
import { accountsIn } from '../../generation/generation.ts'
import type { Image } from '../moving/entry.ts'

export interface Held {
  /** Counts a row; keeps books and tokens until everything has come, and says that it does. */
  readonly takes: (table: string, key: string, image: Image) => boolean
  /** The books and tokens with what they hold. */
  readonly images: () => Generator<readonly [table: string, key: string, image: Image]>
}

const ENDS: readonly (string | undefined)[] = ['succeeded', 'failed', 'cancelled']

export function createHeld (): Held {
  const kept = new Map<string, readonly [table: string, key: string, image: Image]>()
  const sums = new Map<string, number>()
  /** Those that hold something: a row may come twice. */
  const open = new Set<string>()

  function add (what: string, amount: number): void {
    sums.set(what, (sums.get(what) ?? 0) + amount)
  }

  function count (id: string, image: Image): void {
    if (ENDS.includes(image['phase']) || open.has(id)) return
    open.add(id)
    const price = integerOf(image['price'])
    for (const { owner, period } of accountsIn(listOf(JSON.parse(image['accounts'] ?? '[]')))) add(`money books ${owner}:${period}`, price)
    const token = image['token']
    if (token === undefined) return
    add(`money tokens ${token}`, price)
    add(`pictures tokens ${token}`, integerOf(image['files'] ?? '1'))
  }

  return {
    takes: (table, key, image) => {
      if (table === 'rows') count(key, image)
      if (table !== 'books' && table !== 'tokens') return false
      kept.set(`${table} ${key}`, [table, key, image])
      return true
    },
    images: function * () {
      for (const [name, [table, key, image]] of kept) {
        const money = String(sums.get(`money ${name}`) ?? 0)
        if (table === 'books') yield [table, key, { ...image, held: money }]
        else yield [table, key, { ...image, heldMoney: money, heldPictures: String(sums.get(`pictures ${name}`) ?? 0) }]
      }
    }
  }
}
