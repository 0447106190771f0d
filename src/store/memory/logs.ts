// The log lines of generations: kept beside the row, bounded in number and bytes, and known by their places.

import { logText } from '../../generation/log-text.ts'
import { ledgerConstants, type LogLine, type LogPiece } from '../../generation/ports.ts'
import type { Entry, State } from './state.ts'

const { maxLogLines, maxLogBytes } = ledgerConstants

/**
 * Keeps the lines that were not told before and gives how many were told in all. Where some are missing in between, those before them are
 * forgotten, so that every line stays at its place.
 */
export function keepLog (state: State, { row }: Entry, log: LogPiece | undefined): number {
  const fresh = log?.lines.slice(Math.max(0, row.logged - log.from)) ?? []
  if (log === undefined || fresh.length === 0) return row.logged
  const before = log.from > row.logged ? [] : state.logs.get(row.id) ?? []
  state.logs.set(row.id, lastOf([...before, ...fresh]))
  return log.from + log.lines.length
}

/** The ledger's `logs`. */
export function logs (state: State, id: string, from: number): LogPiece {
  const total = state.rows.get(id)?.row.logged ?? 0
  const kept = state.logs.get(id) ?? []
  const first = Math.max(from, total - kept.length)
  return { from: first, lines: first < total ? kept.slice(first - total) : [] }
}

/** As many of the last lines as may be kept. */
function lastOf (lines: readonly LogLine[]): LogLine[] {
  let first = lines.length
  let bytes = 0
  while (first > Math.max(0, lines.length - maxLogLines)) {
    const line = lines[first - 1]
    bytes += line === undefined ? 0 : Buffer.byteLength(logText(line))
    if (bytes > maxLogBytes) break
    first -= 1
  }
  return lines.slice(first)
}
