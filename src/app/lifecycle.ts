// A process from its start to its end: its parts in order, and the one state that everything else reads.

import { setTimeout as startTimer } from 'node:timers'
import type { Logger } from 'pino'
import type { Readiness } from '../http/ops.ts'

/** `starting` until everything works, `draining` from the first word to stop. */
export type ProcessState = Readiness['state']

/** What a step does. It is never cut off: when it takes longer than it should, the log says which step it is and what it waits for. */
export interface Act {
  /** In words, for that log line. */
  readonly waitsFor: string
  readonly limitMs: number
  readonly run: () => void | Promise<void>
}

/** A part of the process: how it is started and how it is stopped. */
export interface Step {
  readonly name: string
  readonly start?: Act
  /** Also called when its start failed halfway, so it has to bear that. */
  readonly stop?: Act
}

export interface Lifecycle {
  readonly state: ProcessState
  /** Starts these from the first to the last. When one fails, those that were begun are stopped, the last one first, and its error is thrown. Called once. */
  readonly start: (steps: readonly Step[]) => Promise<void>
  /** Everything works now. False when the process is on its way out already. */
  readonly becomeReady: () => boolean
  /** Stops what was begun, the last one first. A step that fails does not keep the others from being stopped; its error is thrown at the end. Twice is harmless. */
  readonly stop: () => Promise<void>
}

/** An act that is over when it returns. */
export function atOnce (run: () => void): Act {
  return { waitsFor: 'nothing', limitMs: 0, run }
}

export function createLifecycle (log: Pick<Logger, 'warn' | 'error'>): Lifecycle {
  let state: ProcessState = 'starting'
  const begun: Step[] = []
  let starting: Promise<void> = Promise.resolve()
  let stopping: Promise<void> | null = null

  async function startAll (steps: readonly Step[]): Promise<void> {
    try {
      for (const step of steps) {
        if (state === 'draining') return
        begun.push(step)
        if (step.start !== undefined) await perform(step.start, { step: step.name }, 'a step of the start takes longer than it should')
      }
    } catch (error) {
      state = 'draining'
      await stopAll().catch(() => {}) // logged there; why the start failed says more
      throw error
    }
  }

  async function stopAll (): Promise<void> {
    const errors: unknown[] = []
    for (let step = begun.pop(); step !== undefined; step = begun.pop()) {
      try {
        if (step.stop !== undefined) await perform(step.stop, { step: step.name }, 'a step of the stop takes longer than it should')
      } catch (error) {
        log.error({ err: error, step: step.name }, 'a step of the stop failed')
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  }

  async function perform ({ waitsFor, limitMs, run }: Act, facts: { readonly step: string }, message: string): Promise<void> {
    const overrun = startTimer(() => { log.warn({ ...facts, waits_for: waitsFor, limit_ms: limitMs }, message) }, limitMs)
    try {
      await run()
    } finally {
      clearTimeout(overrun)
    }
  }

  return {
    get state () { return state },
    start: steps => {
      starting = startAll(steps)
      return starting
    },
    becomeReady: () => {
      if (state === 'starting') state = 'ready'
      return state === 'ready'
    },
    stop: () => {
      state = 'draining'
      // A step that is being started is stopped when it is there.
      stopping ??= starting.then(stopAll, () => {}) // a start that failed has stopped everything, and said why
      return stopping
    }
  }
}
