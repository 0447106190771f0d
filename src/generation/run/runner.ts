// Runs what moves generations on in this process, and ends it in order:
//
//   idle → running        start: the lease keeper and the heartbeat first, then the sweeper; the claim loop after the first renewal
//   running → draining    stopClaiming: nothing more is claimed, what is looked after goes on
//   any → leaving         stop: no submit is begun, tasks end with the step under way; answers to submits are waited for, and leases kept meanwhile
//   leaving → stopped     all came to rest, or its time is over: leases are released, so that other processes go on at once

import { setTimeout as pauseFor } from 'node:timers/promises'
import type { Published } from '../changes.ts'
import type { DeliverHook } from '../hooks.ts'
import type { LedgerTimes } from '../ledger.ts'
import { hasEnded } from '../phases.ts'
import { createClaimLoop, type ClaimLoop, type ClaimLoopDeps } from './claim-loop.ts'
import { createHeartbeat, type HeartbeatDeps } from './heartbeat.ts'
import { createHookRounds } from './hook-rounds.ts'
import { createMissingFiles } from './keep-files.ts'
import { createLeaseKeeper } from './lease-keeper.ts'
import { createOrphanRounds, type OrphanRoundsDeps } from './remove-files.ts'
import { createSweeper, type SweeperDeps } from './sweeper.ts'
import { createTasks, type TasksDeps } from './tasks.ts'

export interface Runner {
  start: () => void
  /** The ledger's `admit`. What is bought while nobody waits is begun here at once. */
  readonly admit: ClaimLoop['admit']
  /** Generations that this process looks after now. */
  readonly tasks: number
  /** Claims no more; what is looked after goes on. */
  stopClaiming: () => void
  /**
   * Claims and sends no more. Submits under way are waited for, as long as the upstream takes to answer them; everything else has `graceMs` to come to
   * rest. Then releases everything, so that other processes go on at once. Twice is harmless.
   */
  stop: (graceMs: number) => Promise<void>
}

export interface RunnerDeps extends
  Omit<TasksDeps, 'leaving' | 'stopped' | 'onForgotten' | 'onDone'>,
  Pick<ClaimLoopDeps, 'slots' | 'newId' | 'onClaimsPaused'>,
  Pick<SweeperDeps, 'onOutboxEvent'>,
  Pick<HeartbeatDeps, 'onSilent'>,
  Pick<OrphanRoundsDeps, 'onRemoved'> {
  readonly times: LedgerTimes
  /** Makes one delivery of a webhook; `null`: none are sent here. */
  readonly deliverHook: DeliverHook | null
}

/** How often the queue is looked at without being nudged, and due rows are swept. */
const ROUND_MS = 1000

/** What was heard at the very end has this time to reach the ledger. */
const WRITING_MS = 2000

export function createRunner (deps: RunnerDeps): Runner {
  const { ledger, replica } = deps
  const leaving = new AbortController()
  const stopped = new AbortController()
  const tasks = createTasks({
    ...deps,
    leaving: leaving.signal,
    stopped: stopped.signal,
    onForgotten: () => { leases.renew() },
    onDone: () => { claims.taskDone() }
  })
  const leases = createLeaseKeeper({ ...deps, tasks })
  const heartbeat = createHeartbeat({ ...deps, tasks, renew: leases.renew, leaving: leaving.signal })
  const claims = createClaimLoop({ ...deps, tasks, renew: leases.renew, leaving: leaving.signal })
  const missing = deps.files == null ? null : createMissingFiles({ ledger, keep: deps.files.keep, leaving: leaving.signal, onTrouble: deps.onTrouble })
  const orphans = deps.files == null ? null : createOrphanRounds({ ...deps.files.removal, ledger, leaving: leaving.signal, onRemoved: deps.onRemoved, onTrouble: deps.onTrouble })
  const hooks = deps.deliverHook === null ? null : createHookRounds({ ledger, deliver: deps.deliverHook, stopped: stopped.signal, onTrouble: deps.onTrouble })
  const sweeper = createSweeper({ ...deps, tasks, renew: leases.renew, leaving: leaving.signal })
  let unlisten = (): void => {}
  let rounds: NodeJS.Timeout | undefined
  let stopping: Promise<void> | undefined

  function start (): void {
    unlisten = ledger.listen(change => {
      if (change === 'look-again') lookAgain()
      else heed(change)
    })
    rounds = setInterval(() => {
      sweeper.round().then(claims.nudge)
      missing?.round()
      orphans?.round()
      hooks?.round()
    }, ROUND_MS)
    heartbeat.start()
    // After a failover the ledger has to know that this process is there before it grants anything.
    leases.start().then(claims.nudge)
  }

  /** A new connection, perhaps to a Redis that knows less than this process does. */
  function lookAgain (): void {
    tasks.interruptAll()
    leases.renew()
  }

  function heed ({ id, version, phase, cancelWished, isQueueEmpty, isErased }: Published): void {
    if (cancelWished && !hasEnded(phase)) tasks.interruptForCancel(id, version)
    if (isErased === true) tasks.forget(id)
    if (!isQueueEmpty) claims.nudge()
  }

  async function leave (graceMs: number): Promise<void> {
    leaving.abort()
    claims.stop()
    hooks?.stop()
    unlisten()
    clearInterval(rounds)
    const ids = [...tasks.running.keys()]
    tasks.releaseAll()
    await untilAtRest(graceMs)
    stopped.abort()
    // Not sooner: an answer to a submit may take longer than a lease, and without one another process concludes that nobody knows it.
    leases.stop()
    heartbeat.stop()
    await sweeper.tellOutbox()
    await release(ids)
  }

  /** Resolves when no claim is under way, nothing is looked after and no webhook is being sent; or when the time is over, submits are answered, and that had a moment to be written. */
  async function untilAtRest (graceMs: number): Promise<void> {
    const isAtRest = new AbortController()
    const pause = async (ms: number): Promise<void> => { await pauseFor(ms, undefined, { signal: isAtRest.signal }).catch(() => {}) } // not waited for any more
    await Promise.race([
      Promise.all([claims.settled().then(tasks.allDone), hooks?.settled()]),
      Promise.all([pause(graceMs), tasks.answered().then(async () => { await pause(WRITING_MS) })])
    ])
    isAtRest.abort()
  }

  async function release (ids: readonly string[]): Promise<void> {
    try {
      await ledger.release(replica, ids)
    } catch (error) {
      deps.onTrouble('release-leases', error)
    }
  }

  return {
    start,
    admit: claims.admit,
    stopClaiming: claims.stop,
    stop: async graceMs => { await (stopping ??= leave(graceMs)) },
    get tasks () { return tasks.running.size }
  }
}
