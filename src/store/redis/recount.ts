// Counting again from the rows (rule 27): every counter, every index, and the books against the journal. In pieces of some milliseconds, between which gateways
// go on: they keep up what was counted so far (`tally.lua`), so nothing has to stop. Redis is asked by SCAN which keys there are.

import { randomUUID } from 'node:crypto'
import type { JournalEntry } from '../../generation/accounts.ts'
import type { Ledger } from '../../generation/ledger.ts'
import type { Difference, Recounting } from '../../generation/recount.ts'
import type { Caller } from './caller.ts'
import type { Connection } from './connection.ts'
import { keysOf } from './keys.ts'
import type { RecountStep } from './wire-figures.ts'

/** How many of each are looked at in one call. */
const ROWS = 25
const NAMES = 25
const LINES = 1000

interface RecountOptions {
  readonly caller: Caller
  readonly connection: Connection
  readonly journal: Ledger['journal']
  readonly now: () => number
  /** Of every key: `{<namespace>}:`. */
  readonly prefix: string
}

/** The indexes that the ledger has once, and those of which there are many, by the kind of their keys. */
const indexes = ['later', 'due', 'followed', 'failed', 'files', 'untold', 'givenup', 'unknown', 'oldest', 'claims', 'hooks'] as const
const manyIndexes: readonly string[] = ['q', 'l', 'ls', 'o', 'h', 'due', 'followed']
const FILE = 'file '
const named: readonly string[] = ['r', 'n', 'log', 'c']

export function createRecount ({ caller, connection, journal, now, prefix }: RecountOptions): Recounting['recount'] {
  return async ({ isMending, between = async () => {} }) => {
    const run = randomUUID()
    const differences: Difference[] = []
    const books = new Map<string, RecountStep['books'][number]>()
    let rows = 0

    async function step (given: object): Promise<RecountStep> {
      const answer = await caller.call('recount', { run, mend: isMending ? true : null, ...given })
      if (answer.isOver) throw new Error('Another count has begun meanwhile, or this one stood still for ten minutes, so it is worth nothing: try again.')
      for (const each of answer.differences) differences.push({ ...each, isMended: isMending })
      await between()
      return answer
    }

    async function scanIndex (given: object): Promise<void> {
      for (let cursor = '0'; ;) {
        const answer = await step({ step: 'members', ...given, cursor })
        cursor = answer.cursor
        if (cursor === '0') return
      }
    }

    async function inPieces (names: Iterable<string>, size: number, take: (piece: readonly string[]) => Promise<unknown>): Promise<void> {
      const all = [...names]
      for (let from = 0; from < all.length; from += size) await take(all.slice(from, from + size))
    }

    async function compare (kind: 't' | 'm' | 'tok' | 'file', names: Iterable<string>): Promise<void> {
      await inPieces(names, NAMES, async piece => {
        for (const book of (await step({ step: 'counters', kind, names: piece })).books) books.set(book.name, book)
      })
    }

    const { missing } = await step({ step: 'begin' })
    if (missing.length > 0) throw new Error(`The Redis user may not run ${missing.join(', ')}, which a count needs: allow it (ACL SETUSER).`)
    for await (const ids of keysOf({ connection, prefix }, 'g:')) {
      await inPieces(ids, ROWS, async names => await step({ step: 'rows', names }))
      rows += ids.length
    }
    for (const kind of indexes) await scanIndex({ kind })
    await scanIndex({ step: 'files' })

    const tenants = new Set<string>()
    const accounts = new Set<string>()
    const tokens: string[] = []
    const leads: { readonly kind: string, readonly name: string }[] = []
    for await (const keys of keysOf({ connection, prefix }, '')) {
      for (const key of keys) {
        const [kind = '', ...rest] = key.split(':')
        const name = rest.join(':')
        if (manyIndexes.includes(kind) && rest.length > 0) await scanIndex({ kind, name })
        if (named.includes(kind)) leads.push({ kind, name })
        if (kind === 't' || kind === 'q') tenants.add(name)
        if (kind === 'm') accounts.add(name)
        if (kind === 'tok') tokens.push(name)
      }
      for (const kind of named) {
        await inPieces(leads.filter(lead => lead.kind === kind).map(({ name }) => name), NAMES, async names => await step({ step: 'names', kind, names }))
      }
      leads.length = 0
      await compare('tok', tokens.splice(0))
    }
    for (const kind of ['tally', 'waiting', 'turn'] as const) {
      for (let cursor = '0'; ;) {
        const answer = await step({ step: 'counted', kind, cursor })
        // What rows refer to and nobody has heard of. The others were compared.
        if (kind === 'tally') await compare('file', answer.names.flatMap(field => field.startsWith(FILE) ? [field.slice(FILE.length)] : []))
        for (const field of answer.names) {
          const [what = '', name] = kind === 'tally' ? field.split(/ (.*)/s) : ['running', field]
          if (name === undefined) continue
          if (what === 'running' || what === 'waiting') tenants.add(name)
          if (what === 'held') accounts.add(name)
        }
        cursor = answer.cursor
        if (cursor === '0') break
      }
    }
    await step({ step: 'counters', kind: 'ledger', names: [] })
    await compare('t', tenants)
    await compare('m', accounts)
    const { isTrimmed } = await step({ step: 'over' })
    if (!isTrimmed) differences.push(...await againstJournal(books))
    return { rows, differences, isJournalTrimmed: isTrimmed }
  }

  /** Each book up to the line of the journal that was the last when it was read. */
  async function againstJournal (books: ReadonlyMap<string, RecountStep['books'][number]>): Promise<readonly Difference[]> {
    const explained = new Map<string, number>()
    for (let after: string | undefined; ;) {
      const lines: readonly JournalEntry[] = await journal(0, now() + 86_400_000, LINES, after)
      for (const { cursor, accounts, amount } of lines) {
        for (const { owner, period } of accounts) {
          const name = `${owner}:${period}`
          const lastLine = books.get(name)?.lastLine ?? null
          if (lastLine !== null && !isBehind(cursor, lastLine)) explained.set(name, (explained.get(name) ?? 0) + amount)
        }
      }
      after = lines.at(-1)?.cursor
      if (lines.length < LINES) break
    }
    return [...books.values()].flatMap<Difference>(({ name, spent }) => {
      const expected = explained.get(name) ?? 0
      return expected === spent ? [] : [{ what: 'spent', name, found: String(spent), expected: String(expected), isMended: false }]
    })
  }
}

/** Are ids of stream entries in this order? */
function isBehind (one: string, other: string): boolean {
  const [oneMs = 0, oneNth = 0] = one.split('-').map(Number)
  const [otherMs = 0, otherNth = 0] = other.split('-').map(Number)
  return oneMs > otherMs || (oneMs === otherMs && oneNth > otherNth)
}
