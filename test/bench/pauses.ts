// Pauses of a process: turns of the event loop that came late, each with what the process did meanwhile.

import { openSync, readSync } from 'node:fs'
import { PerformanceObserver } from 'node:perf_hooks'

/**
 * What a pause was for: garbage that the program waited for, its own work, other threads of the process that had the core (V8 compiles and marks garbage in them), or nothing at
 * all: the machine ran something else.
 */
export const causes = ['garbage', 'work', 'helper threads', 'not running'] as const
export type Cause = typeof causes[number]

export interface Pause { readonly cause: Cause, readonly ms: number }

/** What is watched for: later turns than this. */
const LEAST_MS = 3

/** How often the event loop is asked to come by. */
const EVERY_MS = 1

/** A pause is nobody's when the process had less than this part of a core, else garbage's when collecting took this part of it, else other threads' when the main one had less. */
const PART = 0.5

/** Watches this process from now on, from its main thread; gives what there was since it was asked the last time. Where nothing tells threads apart, what others do is work. */
export function watchPauses (): () => readonly Pause[] {
  let pauses: Pause[] = []
  const mainCpuMs = mainCpu()
  const read = () => ({ atMs: performance.now(), cpuMs: cpuMs(), mainMs: mainCpuMs?.() ?? NaN })
  let last = read()
  const late: { readonly fromMs: number, readonly ms: number, readonly cpuMs: number, readonly mainMs: number }[] = []
  const collected: { readonly fromMs: number, readonly ms: number }[] = []

  const observer = new PerformanceObserver(list => {
    for (const { startTime, duration } of list.getEntries()) collected.push({ fromMs: startTime, ms: duration })
  })
  observer.observe({ entryTypes: ['gc'] })

  const timer = setInterval(() => {
    const now = read()
    const ms = now.atMs - last.atMs - EVERY_MS
    if (ms >= LEAST_MS) late.push({ fromMs: last.atMs, ms, cpuMs: now.cpuMs - last.cpuMs, mainMs: now.mainMs - last.mainMs })
    last = now
  }, EVERY_MS)
  timer.unref()

  /** Entries of the observer come a turn later than what they tell of, so causes are looked for when somebody asks. */
  function settle (): void {
    for (const { fromMs, ms, cpuMs, mainMs } of late.splice(0)) {
      const garbageMs = collected.filter(one => one.fromMs >= fromMs - EVERY_MS && one.fromMs < fromMs + ms + EVERY_MS).reduce((sum, one) => sum + one.ms, 0)
      pauses.push({ ms, cause: cpuMs < ms * PART ? 'not running' : garbageMs >= ms * PART ? 'garbage' : mainMs < ms * PART ? 'helper threads' : 'work' })
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

/** What the main thread has used of a core so far, in milliseconds, by Node from 23.9 on and else by Linux; or null where neither tells. */
export function mainCpu (): (() => number) | null {
  const threadCpuUsage: unknown = Reflect.get(process, 'threadCpuUsage')
  if (typeof threadCpuUsage === 'function') {
    return () => {
      const usage = Object(Reflect.apply(threadCpuUsage, process, []))
      return (Number(usage.user) + Number(usage.system)) / 1000
    }
  }
  try {
    const file = openSync('/proc/thread-self/schedstat', 'r')
    const bytes = Buffer.alloc(100)
    return () => parseInt(bytes.toString('latin1', 0, readSync(file, bytes, 0, bytes.length, 0))) / 1e6 // nanoseconds, before a space
  } catch {
    return null
  }
}
