// Tells when a generation has been at fal for as long as it may.
//
//   state     | its time is over         | its result is doubtful | it is at work
//   ----------|--------------------------|------------------------|--------------
//   counted   | told, and again each second | suspended           | counted
//   suspended | –                        | suspended              | counted
//
// The time to run is none of a look's (rule 25), so it is suspended while a result is looked for.
//
// The ledger's clock decides, and between two looks it may go slower or faster than timers do: it is a little behind Redis', which may be put back.

import { clearTimeout, setTimeout } from 'node:timers'

export interface RunTime {
  readonly suspend: () => void
  readonly count: () => void
  readonly close: () => void
}

/** How soon it is looked again whether the time is over. */
const AGAIN_MS = 1000

/** `untilMs`: null for no end. `onOver` is told until it is closed. */
export function createRunTime (untilMs: number | null, first: 'counted' | 'suspended', nowMs: () => number, onOver: () => void): RunTime {
  let state = first
  let timer: NodeJS.Timeout | undefined

  function look (untilMs: number): void {
    const leftMs = untilMs - nowMs()
    if (leftMs <= 0 && state === 'counted') onOver()
    timer = setTimeout(() => { look(untilMs) }, Math.max(leftMs, AGAIN_MS))
  }

  if (untilMs !== null) look(untilMs)
  return {
    suspend: () => { state = 'suspended' },
    count: () => { state = 'counted' },
    close: () => { clearTimeout(timer) }
  }
}
