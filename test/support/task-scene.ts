// One generation in one process, on the ledger in memory and a fal that the test plays. The ledger's clock stands still until the test puts it forward.

import type { Test } from 'tap'
import { Problem } from '../../src/errors.ts'
import type { Admission } from '../../src/generation/admission.ts'
import type { Doubt } from '../../src/generation/doubt.ts'
import type { Claimed, Taken } from '../../src/generation/evidence.ts'
import type { Generation } from '../../src/generation/generation.ts'
import type { Ledger, LedgerTimes } from '../../src/generation/ledger.ts'
import { createBreakers } from '../../src/generation/run/breakers.ts'
import { createTask, type Task } from '../../src/generation/run/task.ts'
import type { LogPiece, Result, Sighting } from '../../src/generation/upstream.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { createMemoryLedger, type MemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, times } from './admission.ts'
import { playUpstream, type Asked, type PlayedUpstream } from './played-upstream.ts'
import { until } from './until.ts'

export interface TaskScene extends PlayedUpstream {
  readonly ledger: MemoryLedger
  readonly task: Task
  readonly isDone: () => boolean
  readonly row: () => Promise<Generation>
  /** Claims what may be claimed, for another process. */
  readonly claim: () => Promise<Claimed>
  /** Puts the ledger's clock forward. */
  readonly advance: (ms: number) => void
  /** From now on the ledger does not answer this task, or does again. */
  readonly away: (isAway: boolean) => void
  readonly troubles: string[]
  /** What waiters here were told of the end. */
  readonly ends: Generation[]
  /** Changes of phase that were told, and whether it was seen how long the phase before took. */
  readonly moves: string[]
  /** Why its result is looked at again, each time that was told. */
  readonly looks: Doubt[]
  /** Places in fal's queue that were told. */
  readonly behind: number[]
}

export interface TaskSceneOptions {
  readonly admission?: Partial<Admission>
  /** The attempt that is begun; those before it came back unsent. */
  readonly attempt?: number
  /** What its process, which then lets go of it, has told of it before; the task is the next process', and has no right to submit. */
  readonly takenOverAfter?: (ledger: MemoryLedger, row: Generation, advance: (ms: number) => void) => Promise<unknown>
  /** What the task is given differently from what the ledger has. */
  readonly given?: Partial<Generation>
  readonly isPermitValid?: boolean
  readonly lookAgainMs?: readonly number[]
  readonly times?: Partial<LedgerTimes>
  /** Operations of the ledger that this task finds changed. */
  readonly changed?: (ledger: MemoryLedger) => Partial<Ledger>
}

/** One failure trips a breaker. */
const LIMITS = { failuresToOpen: 1, openMs: 1000, blockedMs: 1000, retiredMs: 1000 }

const unsent = { retryAfterMs: 0 }

/** Buys one, claims it, and begins to look after it. */
export async function taskScene (t: Test, options: TaskSceneOptions = {}): Promise<TaskScene> {
  const { attempt = 1, isPermitValid = true } = options
  const played = playUpstream()
  let nowMs = Date.now()
  const ledger = createMemoryLedger({ times: { ...times, ...options.times }, now: () => nowMs })
  const watch = createWatch(ledger, error => { t.fail('looking', { found: error }) })
  const stopped = new AbortController()
  const troubles: string[] = []
  const ends: Generation[] = []
  const moves: string[] = []
  const looks: Doubt[] = []
  const behind: number[] = []
  let isAway = false

  const advance = (ms: number): void => { nowMs += ms }

  const claim = async (replica: string): Promise<Claimed> => await ledger.claim({ claimId: freshId(), deadlineMs: never, replica, slots: 10 })

  async function grant (): Promise<Taken> {
    await ledger.admit(admissionOf(options.admission))
    for (let n = 1; ; n++) {
      const claimed = await claim('r1')
      if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
      if (n === attempt) return claimed
      await ledger.recordNotSent(claimed.row.id, n, unsent)
    }
  }

  async function takeOver ({ row }: Taken, tell: NonNullable<TaskSceneOptions['takenOverAfter']>): Promise<Taken> {
    await tell(ledger, row, advance)
    await ledger.release('r1', [row.id])
    const [taken] = await ledger.sweep('r2', 1)
    if (taken === undefined) throw new Error('Nothing is to be taken over.')
    return taken
  }

  const granted = await grant()
  const { takenOverAfter } = options
  const taken = takenOverAfter === undefined ? granted : await takeOver(granted, takenOverAfter)
  const { id } = taken.row
  const own: Ledger = { ...ledger, ...options.changed?.(ledger) }
  const task = createTask({ ...taken, row: { ...taken.row, ...options.given } }, takenOverAfter === undefined ? { isValid: () => isPermitValid } : null, {
    ledger: new Proxy<Ledger>(own, {
      get (target, name) {
        const operation: unknown = Reflect.get(target, name)
        return isAway && typeof operation === 'function' && name !== 'now' ? async () => { throw new Problem('store-unavailable') } : operation
      }
    }),
    watch,
    upstreamOf: () => played.upstream,
    breakers: createBreakers(ledger, LIMITS, (operation, error) => { t.fail(operation, { found: error }) }),
    cacheVersionOf: () => 1,
    replica: takenOverAfter === undefined ? 'r1' : 'r2',
    lookAgainMs: options.lookAgainMs ?? [10],
    isOthersHere: () => false,
    onLookAgain: (_row, seen) => { looks.push(seen) },
    onMove: (from, to, phaseMs) => { moves.push(`${from} ${to.phase}, ${phaseMs === null ? 'begun elsewhere' : 'begun here'}`) },
    onRestored: () => {},
    onBehind: (_row, position) => { behind.push(position) },
    onTrouble: operation => { troubles.push(operation) }
  }, stopped.signal)
  const unattend = watch.attend(id, { ended: row => { ends.push(row) } })
  let isDone = false
  task.done.then(() => { isDone = true })
  task.run()
  t.teardown(async () => {
    task.release()
    stopped.abort()
    for (const { answer } of played.submits) answer({ kind: 'refused', failure: { code: 'model-retired', detail: '' } })
    await task.done
    unattend()
    watch.close()
    await ledger.close()
  })
  return {
    ...played,
    ledger,
    task,
    isDone: () => isDone,
    row: async () => {
      const [row] = await ledger.getMany([id])
      if (row === undefined) throw new Error('There is no such row.')
      return row
    },
    claim: async () => await claim('r3'),
    advance,
    away: now => { isAway = now },
    troubles,
    ends,
    moves,
    looks,
    behind
  }
}

export const noLines: LogPiece = { from: 0, lines: [] }
export const running: Sighting = { kind: 'running', log: noLines }
export const completed: Sighting = { kind: 'completed', log: noLines }
export const picture: Result = { kind: 'succeeded', body: '{"images":[]}', seed: null, units: null }

/** Answers the latest question, once it is asked. */
export async function answer<T> (asked: readonly Asked<T>[], given: T): Promise<void> {
  await until(() => asked.at(-1)?.isOpen() === true)
  asked.at(-1)?.answer(given)
}

/** fal takes it; resolves when that is written and its status is read. */
export async function untilFollowed (scene: TaskScene, requestId = 'request'): Promise<void> {
  await answer(scene.submits, { kind: 'accepted', requestId, position: null })
  await until(async () => scene.sightings.length > 0 && (await scene.row()).phase === 'accepted')
}

/** The same, and fal says that it is done. */
export async function untilCompleted (scene: TaskScene): Promise<void> {
  await untilFollowed(scene)
  await answer(scene.sightings, completed)
  await until(() => scene.results.length > 0)
}
