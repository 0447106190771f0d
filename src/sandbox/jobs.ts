// The queue's memory: jobs wait in line, run, end, and are forgotten when there are too many of them.

import { randomUUID } from 'node:crypto'
import type { QueueLog, QueueStatus } from '../fal-wire/status.ts'
import { errorAnswers } from './answers.ts'
import { failedEnd, type JobEnd } from './job-end.ts'

/** What was asked for. The end is known when the job arrives, so nothing of the body has to be kept. */
export interface JobOrder {
  readonly endpointId: string
  readonly end: JobEnd
  readonly lowPriority: boolean
  /** The job fails when it has not started after so long. */
  readonly startTimeoutMs?: number | undefined
  /** A synchronous call: it starts at once or not at all. */
  readonly direct: boolean
  /** Called with the id before anything happens to the job. */
  readonly onAccepted: (id: string) => void
}

export interface Job {
  readonly id: string
  readonly endpointId: string
  readonly state: QueueStatus['status']
  readonly logs: readonly QueueLog[]
  /** Seconds of work, once the job has ended. */
  readonly inferenceSeconds: number
  /** Set when the state is `COMPLETED`. */
  readonly end: JobEnd | null
}

export interface JobsOptions {
  readonly queueMs: number
  readonly runMs: number
  readonly concurrency: number
  readonly maxRequests: number
  /** Called once for every job that ends. */
  readonly onEnd: (job: Job, end: JobEnd) => void
}

export interface Jobs {
  /** The new job, or `null` when there is no place to remember one more. */
  add (order: JobOrder): Job | null
  find (id: string): Job | undefined
  /** Ends a job that has not ended; `false` when it has. */
  cancel (job: Job): boolean
  /** How many jobs start before this one. */
  positionOf (job: Job): number
  /** Calls back after every change of the job, its place in line included, until the returned function is called. */
  watch (job: Job, listener: () => void): () => void
  /** Resolves with the end of the job, at once if it has ended. */
  ended (job: Job): Promise<JobEnd>
  readonly waiting: number
  readonly inProgress: number
  /** While held, jobs start but do not end. */
  hold (held: boolean): void
  /** Ends every job as fal does when a runner goes away, and every timer with them. */
  close (): void
}

interface Entry extends Job {
  state: QueueStatus['status']
  logs: QueueLog[]
  inferenceSeconds: number
  end: JobEnd | null
  readonly order: JobOrder
  readonly timers: Set<NodeJS.Timeout>
  readonly listeners: Set<() => void>
  /** It has waited its time and may start as soon as there is room. */
  ready: boolean
  /** It has run its time and ends as soon as nothing holds it. */
  done: boolean
  startedAtMs: number
}

export function createJobs (options: JobsOptions): Jobs {
  const entries = new Map<string, Entry>()
  /** Ended jobs, the first to end first: the order in which they are forgotten. */
  const ended = new Set<string>()
  const normal = new Set<Entry>()
  const low = new Set<Entry>()
  const running = new Set<Entry>()
  /** Those with listeners: a place in line that nobody looks at need not be told. */
  const watched = new Set<Entry>()
  let held = false
  let starting = false
  let closed = false

  function log (entry: Entry, message: string): void {
    entry.logs.push({ message, timestamp: new Date().toISOString(), level: 'INFO', source: 'USER', labels: {} })
  }

  /** A wait of no time is no wait: tests and benchmarks ask for jobs that are done when the submit is answered. */
  function after (entry: Entry, ms: number, then: () => void): void {
    if (ms <= 0) return then()
    const timer = setTimeout(() => {
      entry.timers.delete(timer)
      then()
    }, ms)
    entry.timers.add(timer)
  }

  function changed (entry: Entry): void {
    for (const listener of entry.listeners) listener()
  }

  function start (entry: Entry): void {
    leaveLine(entry)
    running.add(entry)
    entry.state = 'IN_PROGRESS'
    entry.startedAtMs = performance.now()
    log(entry, 'Drawn by the sandbox, not by the model')
    changed(entry)
    after(entry, options.runMs, () => {
      entry.done = true
      if (!held) finish(entry, entry.order.end)
    })
  }

  function finish (entry: Entry, end: JobEnd): void {
    if (entry.end !== null) return
    leaveLine(entry)
    running.delete(entry)
    for (const timer of entry.timers) clearTimeout(timer)
    entry.timers.clear()
    if (entry.state === 'IN_PROGRESS') entry.inferenceSeconds = (performance.now() - entry.startedAtMs) / 1000
    if (end.error !== undefined) log(entry, end.error.text)
    entry.state = 'COMPLETED'
    entry.end = end
    ended.add(entry.id)
    options.onEnd(entry, end)
    changed(entry)
    startWaiting()
  }

  function leaveLine (entry: Entry): void {
    if (!normal.delete(entry) && !low.delete(entry)) return
    for (const other of watched) {
      if (other.state === 'IN_QUEUE') changed(other)
    }
  }

  /** A job that ends at once makes room at once; the loop sees that, so the call from inside it has nothing to do. */
  function startWaiting (): void {
    if (starting) return
    starting = true
    for (const line of [normal, low]) {
      for (const entry of line) {
        if (running.size >= options.concurrency) break
        if (entry.ready) start(entry)
      }
    }
    starting = false
  }

  function forgetOldest (): boolean {
    const id = ended.values().next().value
    if (id === undefined) return false
    ended.delete(id)
    return entries.delete(id)
  }

  function entryOf (job: Job): Entry {
    const entry = entries.get(job.id)
    if (entry === undefined) throw new Error('This job is not remembered any more')
    return entry
  }

  return {
    add (order) {
      if (closed || (entries.size >= options.maxRequests && !forgetOldest())) return null
      const entry: Entry = {
        id: randomUUID(),
        endpointId: order.endpointId,
        state: 'IN_QUEUE',
        logs: [],
        inferenceSeconds: 0,
        end: null,
        order,
        timers: new Set(),
        listeners: new Set(),
        ready: false,
        done: false,
        startedAtMs: 0
      }
      entries.set(entry.id, entry)
      order.onAccepted(entry.id)
      if (order.direct) {
        start(entry)
        return entry
      }
      (order.lowPriority ? low : normal).add(entry)
      if (order.startTimeoutMs !== undefined) {
        after(entry, order.startTimeoutMs, () => {
          if (entry.state === 'IN_QUEUE') finish(entry, failedEnd(errorAnswers.user_timeout))
        })
      }
      after(entry, options.queueMs, () => {
        entry.ready = true
        startWaiting()
      })
      return entry
    },

    find: id => entries.get(id),

    cancel (job) {
      const entry = entryOf(job)
      if (entry.end !== null) return false
      finish(entry, failedEnd(errorAnswers.client_cancelled))
      return true
    },

    positionOf (job) {
      let ahead = 0
      for (const line of [normal, low]) {
        for (const entry of line) {
          if (entry.id === job.id) return ahead
          ahead++
        }
      }
      return 0
    },

    watch (job, listener) {
      const entry = entryOf(job)
      entry.listeners.add(listener)
      watched.add(entry)
      return () => {
        entry.listeners.delete(listener)
        if (entry.listeners.size === 0) watched.delete(entry)
      }
    },

    ended (job) {
      const entry = entryOf(job)
      return new Promise(resolve => {
        function look (): void {
          if (entry.end === null) return
          entry.listeners.delete(look)
          resolve(entry.end)
        }
        entry.listeners.add(look)
        look()
      })
    },

    get waiting () { return normal.size + low.size },
    get inProgress () { return running.size },

    hold (hold) {
      held = hold
      if (held) return
      for (const entry of running) {
        if (entry.done) finish(entry, entry.order.end)
      }
    },

    close () {
      closed = true
      // The lines go first, so that no end starts another job.
      for (const entry of [...low, ...normal, ...running]) finish(entry, failedEnd(errorAnswers.runner_disconnected))
    }
  }
}
