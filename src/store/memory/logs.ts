// The log lines of generations: kept beside the row, bounded in number and bytes, and known by their places.

import { endOf, joinLogs, linesFrom } from '../../generation/log-text.ts'
import type { LogPiece } from '../../generation/upstream.ts'
import type { Entry } from './entry.ts'
import { resolve } from './rows.ts'
import type { State } from './state.ts'

/**
 * Keeps the lines that were not told before and gives how many were told in all. Where some are missing in between, those before them are
 * forgotten, so that every line stays at its place.
 */
export function keepLog (state: State, { row }: Entry, log: LogPiece | undefined): number {
  if (log === undefined || log.lines.length === 0 || endOf(log) <= row.logged) return row.logged
  const kept = joinLogs(state.logs.get(row.id) ?? { from: row.logged, lines: [] }, log)
  state.logs.set(row.id, kept)
  return endOf(kept)
}

/** The ledger's `logs`. */
export function logs (state: State, id: string, from: number): LogPiece {
  const row = resolve(state, id)?.row
  const told = row?.logged ?? 0
  return linesFrom(state.logs.get(row?.id ?? id) ?? { from: told, lines: [] }, from)
}
