// fal's log lines as they are kept. A line is a JSON text, whose bytes count. A piece of a log knows the place of its first line, so that pieces fit together.

import { ledgerConstants } from './ledger-constants.ts'
import type { LogLine, LogPiece } from './upstream.ts'

const { maxLogLines, maxLogBytes } = ledgerConstants

export function logText ({ timestamp, level, message }: LogLine): string {
  return JSON.stringify([timestamp, level, message])
}

/** Reads a text of {@link logText}; throws for any other. */
export function logLineOf (text: string): LogLine {
  const parts: unknown = JSON.parse(text)
  const [timestamp, level, message]: readonly unknown[] = Array.isArray(parts) ? parts : []
  if (typeof message !== 'string') throw new Error('a log line has no message')
  return { message, timestamp: typeof timestamp === 'string' ? timestamp : null, level: typeof level === 'string' ? level : null }
}

/** The place after the last line. */
export function endOf ({ from, lines }: LogPiece): number {
  return from + lines.length
}

/** The lines of a piece from this place on. */
export function linesFrom (log: LogPiece, place: number): LogPiece {
  const from = Math.max(log.from, place)
  return { from, lines: log.lines.slice(from - log.from) }
}

/** `log` continued by `next`, cut to the last lines that may be kept. Where lines between the two are missing, only `next` is left. */
export function joinLogs (log: LogPiece, next: LogPiece): LogPiece {
  const fresh = linesFrom(next, endOf(log))
  if (fresh.lines.length === 0 && fresh.from <= endOf(log)) return log
  const lines = lastOf(fresh.from > endOf(log) ? fresh.lines : [...log.lines, ...fresh.lines])
  return { from: endOf(fresh) - lines.length, lines }
}

/** As many of the last lines as may be kept. */
function lastOf (lines: readonly LogLine[]): readonly LogLine[] {
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
