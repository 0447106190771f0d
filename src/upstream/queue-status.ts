// Reads fal's status objects, and tells which of their log lines are new.

import { startOf, type Censor } from '../censor.ts'
import { queueStates, type QueueStatus } from '../fal-wire/status.ts'
import type { LogLine, LogPiece } from '../generation/upstream.ts'

const MAX_LOG_LINES = 500
const MAX_LOG_CHARACTERS = 2_000
const MAX_WORD_CHARACTERS = 100

/** What a status object says, as far as it can be used. */
export interface SeenStatus {
  readonly state: QueueStatus['status']
  /** Requests ahead of it, or null when fal does not say. */
  readonly position: number | null
  readonly logs: readonly LogLine[]
}

/**
 * Reads a status object; null when it is none. Only `status` has to be right, as with the official clients:
 * a log line of an odd shape must not hide that a picture is done. Tenants read these lines, as `censor` leaves them.
 */
export function readStatus (text: string, censor: Censor): SeenStatus | null {
  const status = parseObject(text)
  return status === null ? null : statusIn(status, censor)
}

/** The same of an object that was read. */
export function statusIn (status: Readonly<Record<string, unknown>>, censor: Censor): SeenStatus | null {
  const state = queueStates.find(known => known === status['status'])
  if (state === undefined) return null
  const position = status['queue_position']
  const logs = status['logs']
  return {
    state,
    position: typeof position === 'number' && Number.isSafeInteger(position) && position >= 0 ? position : null,
    logs: Array.isArray(logs) ? logs.flatMap(line => readLogLine(line, censor)) : []
  }
}

/** fal's answers beside the three states, such as `NOT_FOUND` and `ALREADY_COMPLETED`; null when there is no such word. */
export function statusWord (text: string | null): string | null {
  const word = parseObject(text ?? '')?.['status']
  return typeof word === 'string' ? word : null
}

/** A JSON object, or null for every other text. */
export function parseObject (text: string): Readonly<Record<string, unknown>> | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return null
  }
  return isObject(parsed) ? parsed : null
}

function isObject (value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readLogLine (line: unknown, censor: Censor): LogLine[] {
  if (!isObject(line) || typeof line['message'] !== 'string') return []
  const { timestamp, level } = line
  return [{
    message: startOf(line['message'], MAX_LOG_CHARACTERS, censor),
    timestamp: typeof timestamp === 'string' ? startOf(timestamp, MAX_WORD_CHARACTERS, censor) : null,
    level: typeof level === 'string' ? startOf(level, MAX_WORD_CHARACTERS, censor) : null
  }]
}

/**
 * Remembers the log lines of one generation and gives those that are new, with their places. A poll lists all lines so far, and so may the first event of a
 * stream; later events list only new ones. After 500 lines nothing is new any more, so that a talkative model costs bounded memory.
 */
export function createLogMemory (): (lines: readonly LogLine[], listing: 'all' | 'new') => LogPiece {
  const known = new Map<string, number>()
  let total = 0
  return (lines, listing) => {
    if (lines.length === 0) return { from: total, lines }
    const met = new Map<string, number>()
    const fresh = lines.filter(line => {
      const name = JSON.stringify([line.timestamp, line.message])
      const times = (met.get(name) ?? 0) + 1
      met.set(name, times)
      return listing === 'new' || times > (known.get(name) ?? 0)
    }).slice(0, MAX_LOG_LINES - total)
    for (const line of fresh) {
      const name = JSON.stringify([line.timestamp, line.message])
      known.set(name, (known.get(name) ?? 0) + 1)
    }
    const from = total
    total += fresh.length
    return { from, lines: fresh }
  }
}
