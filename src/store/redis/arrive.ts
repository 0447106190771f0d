// A ledger that comes into an empty namespace. It is nobody's until its last step, and one that was broken off is cleared by the next.

import { randomUUID } from 'node:crypto'
import { entriesOf, initialTextOf, readAll } from '../../generation/fields.ts'
import { hiddenFields, rowFields } from '../../generation/generation.ts'
import { Unmovable, type Arrival, type Entry, type Image } from '../moving/entry.ts'
import { piecesOf } from './asides.ts'
import type { Caller } from './caller.ts'
import type { Connection } from './connection.ts'
import { keysOf } from './keys.ts'
import { isFollowed, noticeLine } from './leave.ts'

/** What one call brings at most: some milliseconds of Redis. */
const ENTRIES = 25
const CHARACTERS = 262_144

interface ArriveOptions {
  readonly caller: Caller
  readonly connection: Connection
  readonly prefix: string
  /** Where it is, in words. */
  readonly place: string
  /** What Redis' clock says. */
  readonly now: () => number
}

/** Makes the namespace one into which a ledger comes. Rejects with an {@link Unmovable} when there is one. */
export async function beginArrival ({ caller, connection, prefix, place, now }: ArriveOptions): Promise<Arrival> {
  const run = randomUUID()
  const filled = new Unmovable(`${place}: there is a ledger already, and an import goes into an empty one only; take another REDIS_NAMESPACE`)
  const first = await caller.call('move', { step: 'look' })
  if (first.missing.length > 0) throw new Unmovable(`The Redis user may not run ${first.missing.join(', ')}, which an import needs: allow it (ACL SETUSER).`)
  if (first.outcome !== 'empty' && first.outcome !== 'arriving') throw filled
  // Something without a name is a ledger, too, or part of one.
  if (first.outcome === 'empty') for await (const names of keysOf({ connection, prefix }, '')) if (names.length > 0) throw filled
  const { outcome } = await caller.call('move', { step: 'arrive', run })
  if (outcome !== 'empty' && outcome !== 'arriving') throw filled
  if (outcome === 'arriving') await clear()

  /** Of an import that was broken off. */
  async function clear (): Promise<void> {
    for await (const names of keysOf({ connection, prefix }, '')) {
      const gone = names.filter(name => name !== 'glob').map(name => prefix + name)
      if (gone.length > 0) await connection.run(async client => await client.unlink(...gone))
    }
  }

  async function step (given: object, payload?: string): Promise<void> {
    const { outcome } = await caller.call('move', { run, ...given }, payload)
    if (outcome === 'over') throw new Unmovable(`${place}: another import has begun meanwhile, so this one has ended`)
  }

  return {
    nowMs: now(),
    take: async ({ identity, entries, figures }, onCount) => {
      const whose = { upstream: identity.upstream, others: identity.otherAccounts }
      let batch: Entry[] = []
      let characters = 0
      let count = 0

      async function send (): Promise<void> {
        if (batch.length > 0) await step({ step: 'put', ...whose, entries: batch })
        batch = []
        characters = 0
        onCount(count)
      }

      for await (const entry of entries) {
        count += 1
        const { table, key, image, texts } = entry
        if (table === 'asides') {
          let piece = 0
          for (const part of piecesOf(texts.output ?? '')) await step({ step: 'putPiece', name: key, piece: String(piece++), untilMs: image['untilMs'] }, part)
          continue
        }
        batch.push(table === 'rows' ? { ...entry, image: rowOf(image, now()) } : table === 'outbox' ? { ...entry, image: { line: noticeLine(image['notice'] ?? '') } } : entry)
        characters += (texts.input ?? '').length + (texts.output ?? '').length
        if (batch.length >= ENTRIES || characters >= CHARACTERS) await send()
      }
      await send()
      await step({ step: 'arrived', ...whose, figures: figures() })
    }
  }
}

const initials: ReadonlyMap<string, string> = new Map([...entriesOf(rowFields), ...entriesOf(hiddenFields)].flatMap(([name, field]) => {
  const initial = initialTextOf(field)
  return initial === undefined ? [] : [[name, initial] as const]
}))

/** The texts of a row as scripts take them. Whoever finds one at fal looks after it at once. Throws for what cannot be read. */
function rowOf (image: Image, nowMs: number): Image {
  const { hasInput, hasOutput, ...kept } = image
  const row = { ...Object.fromEntries(initials), ...kept, ...(isFollowed(image) ? { leaseUntilMs: String(nowMs) } : {}) }
  const texts = new Map(Object.entries(row))
  readAll({ ...rowFields, ...hiddenFields }, name => texts.get(name))
  return row
}
