// The figures of a ledger that belong to no entry: counters, whose it is, and the latest moment that it has seen.

import { decided, integer, json, listOf, moment, orNull, text, textOf, type Values } from '../../generation/fields.ts'
import type { State } from '../memory/state.ts'
import { imageOf, recordIn, type Image } from './tables.ts'

export const figureRecord = {
  upstream: decided(orNull(text)),
  otherAccounts: decided(json(parsed => listOf(parsed).map(textOf))),
  counter: decided(integer),
  virtual: decided(integer),
  notices: decided(integer),
  askedMs: decided(moment),
  askedLastMs: decided(moment),
  askLaterMs: decided(moment),
  /** Of the last line of the journal of money, which is history. */
  lineAtMs: decided(integer),
  lineNumber: decided(integer),
  /** The ledger's clock never goes back behind it. */
  nowMs: decided(integer)
}

type Figures = Values<typeof figureRecord>

export function figuresOf (state: State): Image {
  const { upstream, otherAccounts, counter, virtual, notices, askedAtMs: [askedMs, askedLastMs], askLaterMs, journalLast } = state
  return imageOf(figureRecord, { upstream, otherAccounts: [...otherAccounts], counter, virtual, notices, askedMs, askedLastMs, askLaterMs, lineAtMs: journalLast.atMs, lineNumber: journalLast.number, nowMs: state.now() })
}

/** Puts them back, and gives the latest moment that the ledger has seen. */
export function putFigures (state: State, image: Image): number {
  const figures: Figures = recordIn(figureRecord, image)
  state.upstream = figures.upstream
  for (const account of figures.otherAccounts) state.otherAccounts.add(account)
  state.counter = figures.counter
  state.virtual = figures.virtual
  state.notices = figures.notices
  state.askedAtMs = [figures.askedMs, figures.askedLastMs]
  state.askLaterMs = figures.askLaterMs
  state.journalLast = { atMs: figures.lineAtMs, number: figures.lineNumber }
  return figures.nowMs
}
