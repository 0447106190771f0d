// A page of a reader's list. A script says what stands on it; the rows are read by plain commands, many at once, which cost Redis a third of what they cost
// inside a script. Between the two a row may change, and one may be forgotten: a page is no snapshot.

import { listOf } from '../../generation/fields.ts'
import { rowFields, type Listed } from '../../generation/generation.ts'
import type { Ledger, Page } from '../../generation/ledger.ts'
import { aliasLooks, cutPage } from '../../generation/page.ts'
import type { Caller } from './caller.ts'
import type { Connection } from './connection.ts'
import { cardIn, textOrNull, type Card } from './wire-rows.ts'

interface ListOptions {
  readonly caller: Caller
  readonly connection: Connection
  /** Of every key: `{<namespace>}:`. */
  readonly prefix: string
}

/** A command and its arguments. */
type Command = readonly [name: string, key: string, ...args: string[]]

/** How much of a tenant's queue is looked at for the positions of one page. */
const LINE_WINDOW = 256

interface Found extends Pick<Listed, 'id' | 'purchase'> { readonly card: Card, readonly bytes: number }

export function createLists ({ caller, connection, prefix }: ListOptions): Pick<Ledger, 'list'> {
  const rowKey = (id: string): string => `${prefix}g:${id}`
  const cardKey = (id: string): string => `${prefix}c:${id}`

  /** The answers of commands that are sent together. */
  async function ask (commands: readonly Command[]): Promise<readonly unknown[]> {
    if (commands.length === 0) return []
    return await connection.run(async client => {
      const answers = await client.pipeline(commands.map(command => [...command])).exec()
      return (answers ?? []).map(([error, answer]) => {
        if (error !== null) throw error
        return answer
      })
    })
  }

  async function cardsOf ([first, ...others]: readonly string[]): Promise<readonly (Card | null)[]> {
    if (first === undefined) return []
    const [kept] = await ask([['mget', cardKey(first), ...others.map(cardKey)]])
    return listOf(kept).map(cardIn)
  }

  async function rowsOf (shown: readonly Found[]): Promise<readonly Listed[]> {
    const long = shown.filter(({ card }) => card.texts === null)
    const [kept, positions] = await Promise.all([
      ask(long.map(({ purchase }) => ['hmget', rowKey(purchase), 'input', 'output', 'media'])),
      positionsOf(shown.filter(({ card }) => card.fields.phase === 'waiting'))
    ])
    // Of one that was forgotten since there is nothing.
    const texts = new Map(long.map(({ id }, n) => {
      const row: unknown = kept[n]
      const [input = null, output = null, media = null] = Array.isArray(row) ? row.map(textOrNull) : []
      return [id, { input, output, media: rowFields.media.read(media ?? undefined) }]
    }))
    return shown.map(({ id, purchase, card }) => {
      const { input, output, media } = texts.get(id) ?? { input: null, output: null, ...card.texts, media: null }
      return { id, purchase, input, output, bases: card.bases, media, ...card.fields, queuePosition: positions.get(id) ?? card.fields.queuePosition }
    })
  }

  /** Positions in the queue by id. Those of one page mostly stand close together: one look at that part of a tenant's queue tells them all. */
  async function positionsOf (waiting: readonly Found[]): Promise<ReadonlyMap<string, number>> {
    const positions = new Map<string, number>()
    const ofTenants = [...new Set(waiting.map(({ card }) => card.tenant))].map(tenant => {
      const rows = waiting.filter(({ card }) => card.tenant === tenant)
      return { queue: `${prefix}q:${tenant}`, rows, lowest: Math.min(...rows.map(({ card }) => card.rank)) }
    })
    const answers = await ask(ofTenants.flatMap<Command>(({ queue, lowest }) => [
      ['zcount', queue, '-inf', `(${lowest}`],
      ['zrangebyscore', queue, String(lowest), '+inf', 'WITHSCORES', 'LIMIT', '0', String(LINE_WINDOW)]
    ]))
    const far: { readonly id: string, readonly command: Command }[] = []
    for (const [n, { queue, rows }] of ofTenants.entries()) {
      const [before, window] = [Number(answers[2 * n]), answers[2 * n + 1]]
      const ranks = Array.isArray(window) ? window.filter((_, place) => place % 2 === 1).map(Number) : []
      const seenTo = ranks.length < LINE_WINDOW ? Infinity : ranks.at(-1) ?? 0
      for (const { id, card: { rank } } of rows) {
        if (rank <= seenTo) positions.set(id, before + ranks.filter(other => other < rank).length)
        else far.push({ id, command: ['zcount', queue, '-inf', `(${rank}`] })
      }
    }
    for (const [n, position] of (await ask(far.map(({ command }) => command))).entries()) positions.set(far[n]?.id ?? '', Number(position))
    return positions
  }

  return {
    async list ({ tenant, subject }, { limit, cursor, status }): Promise<Page> {
      const contents = await caller.call('list', { tenant, subject, limit, looks: aliasLooks(limit), cursor, status })
      if (contents.isCursorUnknown) return { rows: [], nextCursor: null, isCursorUnknown: true }
      const cards = await cardsOf(contents.entries.map(({ purchase }) => purchase))
      const found = contents.entries.flatMap<Found>(({ id, purchase }, n) => {
        const card = cards[n] ?? null
        return card === null ? [] : [{ id, purchase, card, bytes: card.bytes }]
      })
      const { shown, nextCursor } = cutPage(found, contents.nextCursor)
      return { rows: await rowsOf(shown), nextCursor }
    }
  }
}
