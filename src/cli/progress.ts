// How far long work is, on standard error: one line that is written again and again on a terminal, elsewhere a line now and then.

import type { Writable } from 'node:stream'
import { isTerminal } from './terminal.ts'

/** How often it is told, in milliseconds. */
const TERMINAL_EVERY_MS = 200
const LOG_EVERY_MS = 5000

export interface Progress {
  /** `doing`: what becomes of the things, such as "exported". `all` `null`: nobody knows how many there are. */
  readonly tell: (doing: string, done: number, all: number | null) => void
  /** What is written next begins a line. */
  readonly end: () => void
}

/** `nowMs`: of a clock that never goes back. */
export function createProgress (stderr: Writable, nowMs = (): number => performance.now()): Progress {
  const isLine = isTerminal(stderr)
  const everyMs = isLine ? TERMINAL_EVERY_MS : LOG_EVERY_MS
  let nextMs = nowMs() + everyMs
  let isBegun = false
  return {
    tell: (doing, done, all) => {
      if (nowMs() < nextMs) return
      nextMs = nowMs() + everyMs
      const text = `falgate: ${sentence(doing, done, all)}`
      stderr.write(isLine ? `\r\x1b[K${text}` : `${text}\n`)
      isBegun = isLine
    },
    end: () => {
      if (isBegun) stderr.write('\r\x1b[K')
      isBegun = false
    }
  }
}

function sentence (doing: string, done: number, all: number | null): string {
  if (all === null) return `${done} entries are ${doing}`
  // How many there are was counted before some of them came.
  return `${done} of ${Math.max(done, all)} entries are ${doing} (${Math.min(100, Math.floor(100 * done / Math.max(1, all)))} %)`
}
