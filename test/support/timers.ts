// What comes in time, told by the order of timers. Timers of one process ring in the order in which they are due, however slow the machine is.

import { setTimeout as pause } from 'node:timers/promises'

/**
 * Does this settle before a timer that was started with it? For what ends by a timer of the code under test, or without waiting for anything:
 * a clock beside it would also measure what else the machine does.
 */
export async function settlesWithin (ms: number, work: Promise<unknown>): Promise<boolean> {
  const over = new AbortController()
  const timer = pause(ms, false, { signal: over.signal }).catch(() => false)
  const isFirst = await Promise.race([work.then(() => true, () => true), timer])
  over.abort()
  return isFirst
}
