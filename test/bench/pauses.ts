// Pauses of a process: turns of the event loop that came late, each with what the process did meanwhile.

import { PerformanceObserver } from 'node:perf_hooks'

/** What a pause was for: garbage, the program's own work, or nothing at all: the machine ran something else. */
export const causes = ['garbage', 'work', 'not running'] as const
export type Cause = typeof causes[number]

export interface Pause { readonly cause: Cause, readonly ms: number }

/** What is watched for: later turns than this. */
const LEAST_MS = 3

/** How often the event loop is asked to come by. */
const EVERY_MS = 1

/** A pause is nobody's when the process had less than this part of a core, else garbage's when collecting took this part of it. */
const PART = 0.5

/** Watches this process from now on; gives what there was since it was asked the last time. */
export function watchPauses (): () => readonly Pause[] {
  let pauses: Pause[] = []
  let last = { atMs: performance.now(), cpuMs: cpuMs() }
  const late: { readonly fromMs: number, readonly ms: number, readonly cpuMs: number }[] = []
  const collected: { readonly fromMs: number, readonly ms: number }[] = []

  const observer = new PerformanceObserver(list => {
    for (const { startTime, duration } of list.getEntries()) collected.push({ fromMs: startTime, ms: duration })
  })
  observer.observe({ entryTypes: ['gc'] })

  const timer = setInterval(() => {
    const now = { atMs: performance.now(), cpuMs: cpuMs() }
    const ms = now.atMs - last.atMs - EVERY_MS
    if (ms >= LEAST_MS) late.push({ fromMs: last.atMs, ms, cpuMs: now.cpuMs - last.cpuMs })
    last = now
  }, EVERY_MS)
  timer.unref()

  /** Entries of the observer come a turn later than what they tell of, so causes are looked for when somebody asks. */
  function settle (): void {
    for (const { fromMs, ms, cpuMs } of late.splice(0)) {
      const garbageMs = collected.filter(one => one.fromMs >= fromMs - EVERY_MS && one.fromMs < fromMs + ms + EVERY_MS).reduce((sum, one) => sum + one.ms, 0)
      pauses.push({ ms, cause: cpuMs < ms * PART ? 'not running' : garbageMs >= ms * PART ? 'garbage' : 'work' })
    }
    collected.length = 0
  }

  return () => {
    settle()
    const since = pauses
    pauses = []
    return since
  }
}

function cpuMs (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
