// What becomes of a ledger on its way into another store. Its clock is another one there, so times are told by that one: what had an hour left has an hour left. The
// processes that looked after it are gone. A submit that was under way has an unknown outcome.

import type { Failure } from '../../generation/generation.ts'
import { entriesOf, initialTextOf, integerOf, momentsIn, readAll, textOf } from '../../generation/fields.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { ArrivingLedger, Entry, Identity, Image, MovedTable } from './entry.ts'

/** How the texts of each table are declared, and so which of them are moments. */
export type Declarations = Readonly<Record<MovedTable | 'figures', { readonly fields: object }>>

/** Throws for an entry that could not be read in the place that it comes to. */
export function readerOf (declarations: Declarations): (table: MovedTable | 'figures', image: Image) => void {
  const initials = new Map(Object.entries(declarations).map(([table, { fields }]) => [table, new Map(entriesOf(fields).map(([name, field]) => [name, initialTextOf(field)]))]))
  return (table, image) => { readAll(declarations[table].fields, name => image[name] ?? initials.get(table)?.get(name)) }
}

const INTERRUPTED: Failure = { code: 'outcome-unknown', detail: 'The ledger was moved while it was being submitted.' }

/** `figures`: those that it left with. `nowMs`: what the clock of the store says that it comes into. */
export function arriving ({ identity: { clockMs, ...identity }, entries, figures }: { readonly identity: Identity, readonly entries: AsyncIterable<Entry>, readonly figures: Image }, { nowMs, declarations }: { readonly nowMs: number, readonly declarations: Declarations }): ArrivingLedger {
  const shiftMs = nowMs - clockMs
  const moments = new Map(Object.entries(declarations).map(([table, { fields }]) => [table, momentsIn(fields)] as const))
  const interrupted: { readonly id: string, readonly row: Image }[] = []
  const last = { atMs: integerOf(figures['lineAtMs'] ?? '0'), number: integerOf(figures['lineNumber'] ?? '0') }
  let notices = integerOf(figures['notices'] ?? '0')

  function moved (table: MovedTable | 'figures', image: Image): Image {
    const later = (moments.get(table) ?? []).flatMap(name => {
      const atMs = integerOf(image[name] ?? '0')
      // 0 says that there is no such moment.
      return atMs === 0 ? [] : [[name, String(Math.max(1, atMs + shiftMs))] as const]
    })
    return { ...image, ...Object.fromEntries(later) }
  }

  function rowOf ({ key: id, image }: Entry): Image {
    const { owner: _, ...row } = moved('rows', image)
    if (row['phase'] !== 'submitting') return row
    interrupted.push({ id, row })
    const { queuePosition, doubt, doubtSinceMs, askAtMs, questions, ...kept } = row
    return {
      ...kept,
      phase: 'unknown',
      version: String(integerOf(row['version'] ?? '1') + 1),
      failure: JSON.stringify(INTERRUPTED),
      answersUntilMs: String(nowMs + ledgerConstants.answerMs),
      unknownSinceMs: String(nowMs),
      ...(row['requestId'] === undefined ? {} : { askAtMs: String(nowMs + ledgerConstants.firstQuestionMs) })
    }
  }

  /** That it became unknown, as a ledger writes it down that sees it happen. */
  function * entriesOf ({ id, row }: { readonly id: string, readonly row: Image }): Generator<Entry> {
    notices += 1
    yield { table: 'outbox', key: String(notices), image: { notice: JSON.stringify({ kind: 'ended', id, from: 'submitting', booked: 0 }) }, texts: {} }
    const amount = textOf(row['price'])
    if (amount === '0') return
    last.number = nowMs > last.atMs ? 0 : last.number + 1
    last.atMs = Math.max(nowMs, last.atMs)
    const cursor = `${last.atMs}-${last.number}`
    const { tenant = '', model = '', accounts = '[]', requestId } = row
    yield { table: 'journal', key: cursor, image: { cursor, atMs: String(last.atMs), kind: 'unknown', id, tenant, model, accounts, amount, assumed: '1', ...(requestId === undefined ? {} : { requestId }) }, texts: {} }
  }

  async function * all (): AsyncGenerator<Entry> {
    for await (const entry of entries) yield { ...entry, image: entry.table === 'rows' ? rowOf(entry) : moved(entry.table, entry.image) }
    for (const one of interrupted) yield * entriesOf(one)
  }

  return {
    identity,
    entries: all(),
    figures: () => ({ ...moved('figures', figures), notices: String(notices), lineAtMs: String(last.atMs), lineNumber: String(last.number), nowMs: String(nowMs) })
  }
}
