// How long a process takes to leave, and how it does: callers have their time, and every submit that went out is answered.

import { setTimeout as startTimer } from 'node:timers'
import { setTimeout } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { SUBMIT_TIMEOUT_MS } from '../upstream/queue.ts'
import type { Core } from './core.ts'
import type { Act } from './lifecycle.ts'

/** How long what is left of a stop may take, when callers had their time and fal has answered. */
export const endings = {
  /** The look for a request id that an error named, and the writing of what was heard. */
  evidenceMs: 12_000,
  listenersMs: 2000,
  upstreamMs: 1000,
  sandboxMs: 1000,
  ledgerMs: 2000
} as const

/** The longest that a stop may take, for callers that kill a process which does not end by itself. A submit has its own time, however short that of callers is. */
export function longestCloseMs ({ waitMs, drainDelayMs }: Pick<Config, 'waitMs' | 'drainDelayMs'>): number {
  return Object.values(endings).reduce((sum, ms) => sum + ms, drainDelayMs + Math.max(waitMs, SUBMIT_TIMEOUT_MS))
}

/** The shortest time between the first word and the end in production. */
const MIN_DRAIN_MS = 1000
/** How long what is under way may take at least, at the end. */
const MIN_STOP_GRACE_MS = 2000
const IDLE_POLL_MS = 20

/** The steps of a stop that others notice: first `balancers`, then `callers`, then `runner`. */
interface Drain {
  /** Load balancers hear from `/readyz` that this process is going, and it still does what it is asked. */
  readonly balancers: Act
  /** Lets `balancers` take no time. */
  readonly hurry: () => void
  readonly callers: Act
  readonly runner: Act
  /** Is new work still taken, although the process is going? */
  readonly takesWork: () => boolean
}

export function createDrain ({ waitMs, drainDelayMs, production }: Pick<Config, 'waitMs' | 'drainDelayMs' | 'production'>, { watch, follow, runner }: Pick<Core, 'watch' | 'follow' | 'runner'>, log: Pick<Logger, 'warn'>): Drain {
  let endMs = performance.now()
  let takesWork = false
  let noticeMs = drainDelayMs

  async function waitForBalancers (): Promise<void> {
    if (noticeMs === 0) return
    takesWork = true
    await setTimeout(noticeMs)
    takesWork = false
  }

  async function waitForCallers (): Promise<void> {
    endMs = performance.now() + waitMs
    // Streams whose readers come back go on elsewhere; the others are waited for.
    follow.drain()
    // A submit that is cut off is money that nobody can account for, so none is begun that could not be answered while callers are waited for anyway.
    const lastClaims = startTimer(() => { runner.stopClaiming() }, Math.max(0, waitMs - SUBMIT_TIMEOUT_MS))
    // Load balancers and clients with open connections get the time to hear of it, where they had none before.
    const isHeard = setTimeout(production ? Math.max(0, MIN_DRAIN_MS - noticeMs) : 0)
    await untilIdle(() => watch.waiting > 0 || follow.staying > 0, waitMs)
    clearTimeout(lastClaims)
    await isHeard
  }

  async function stopRunner (): Promise<void> {
    await runner.stop(Math.max(MIN_STOP_GRACE_MS, endMs - performance.now()))
    if (runner.tasks > 0) log.warn({ generations: runner.tasks }, 'generations under way end with this process')
  }

  return {
    takesWork: () => takesWork,
    hurry: () => { noticeMs = 0 },
    balancers: { waitsFor: 'load balancers to send no more work', limitMs: drainDelayMs + IDLE_POLL_MS, run: waitForBalancers },
    callers: { waitsFor: 'callers that wait for an answer here, and streams whose readers do not come back', limitMs: Math.max(waitMs, MIN_DRAIN_MS) + IDLE_POLL_MS, run: waitForCallers },
    runner: { waitsFor: 'answers to submits, and what they say to be written down', limitMs: SUBMIT_TIMEOUT_MS + endings.evidenceMs, run: stopRunner }
  }
}

/** Resolves when nobody waits any more, or the time is up. */
async function untilIdle (isBusy: () => boolean, timeoutMs: number): Promise<void> {
  const untilMs = performance.now() + timeoutMs
  while (isBusy() && performance.now() < untilMs) await setTimeout(IDLE_POLL_MS)
}
