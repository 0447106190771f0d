// What records hold that would be cut off from a damaged journal: counted, and nothing of what they say is shown.

import type { MicroUsd } from '../../money.ts'
import { movingMarkIn, type MovingMark } from '../../upstream-account.ts'
import { entryHead, readRecord } from './records.ts'
import { lineIn } from './tables.ts'

/** What would be lost, as far as it can be read. */
export interface Loss {
  /** The latest moment of the ledger before the damage, by its clock in milliseconds; `null`: nothing is before it. */
  readonly untilMs: number | null
  /** The latest moment that can be read behind the damage; `null`: none can. */
  readonly lastMs: number | null
  /** Generations of which nothing would be left. */
  readonly generationsGone: number
  /** Generations that would be as they were at `untilMs`. */
  readonly generationsSetBack: number
  /** Lines of the journal of money. */
  readonly lines: number
  /** The sum of their amounts. */
  readonly amount: MicroUsd
  /** Names, books, tokens and other entries. */
  readonly others: number
  /** That the ledger is nobody's at the moment, which would be forgotten; `null`: nothing of that kind would be. */
  readonly mark: MovingMark | null
}

export interface LossCount {
  /** This record is before the damage. */
  readonly keep: (record: string) => void
  /** This one would be cut off. */
  readonly lose: (record: string) => void
  readonly loss: () => Loss
}

export function countLoss (): LossCount {
  const kept = new Set<string>()
  const lost = new Set<string>()
  let untilMs: number | null = null
  let lastMs: number | null = null
  let lastUpstream = ''
  let [lines, amount] = [0, 0]

  return {
    keep: record => {
      if (isFigures(record)) untilMs = figuresIn(record).nowMs
      const head = entryHead(record)
      if (head === null || !isRow(head)) return
      if (record.endsWith(GONE)) kept.delete(head)
      else kept.add(head)
    },
    lose: record => {
      const head = entryHead(record)
      if (head !== null) lost.add(head)
      else if (isFigures(record)) ({ nowMs: lastMs, upstream: lastUpstream } = figuresIn(record))
      else if (record.startsWith(LINE)) {
        const said = readRecord(record, [])
        if (said.kind !== 'entry' || said.image === null) return
        lines += 1
        amount += lineIn(said.image).amount
      }
    },
    loss: () => {
      const rows = [...lost].filter(isRow)
      const generationsSetBack = rows.filter(row => kept.has(row)).length
      return { untilMs, lastMs, generationsGone: rows.length - generationsSetBack, generationsSetBack, lines, amount, others: lost.size - rows.length, mark: movingMarkIn(lastUpstream) }
    }
  }
}

const ROW = '["rows",'
const LINE = '["journal",'
const FIGURES = '["",'
const GONE = ',null]'

function isRow (head: string): boolean {
  return head.startsWith(ROW)
}

function isFigures (record: string): boolean {
  return record.startsWith(FIGURES)
}

function figuresIn (record: string): { readonly nowMs: number | null, readonly upstream: string } {
  const said = readRecord(record, [])
  return said.kind === 'figures' ? { nowMs: Number(said.image['nowMs']), upstream: said.image['upstream'] ?? '' } : { nowMs: null, upstream: '' }
}
