// The generations that this process looks after, and those that ended here a moment ago.
//
// A generation:
//
//   absent  → running   it is taken
//   ended   → running   it is taken, and its end is no proof that it was bought here
//   running → running   taken once more: ignored, or taken when the task that runs has come to its end
//   running → ended     its task is done, and it has ended
//   running → absent    its task is done, and it goes on elsewhere or waits in the queue
//   ended   → absent    after a minute
//
// A claim of what this process has bought already, running or ended, begins nothing: the ledger forgot.

import { setImmediate } from 'node:timers/promises'
import { apart } from '../../tracing.ts'
import type { Fact, Taken } from '../evidence.ts'
import type { Generation } from '../generation.ts'
import { termsAtEnd } from '../key.ts'
import { hasEnded } from '../phases.ts'
import { createRecentEnds } from './recent-ends.ts'
import type { Permit } from './step-context.ts'
import { createTask, type Task, type TaskDeps } from './task.ts'

export interface Tasks {
  /** By id. */
  readonly running: ReadonlyMap<string, Task>
  /** Begins to look after a generation; `permit` is the right to submit, from a claim of this process. */
  readonly take: (taken: Taken, permit: Permit | null) => void
  /** What this process knows of all that it looks after, and of what ended here a moment ago: the first thing that a ledger loses which goes back in time. */
  readonly facts: () => readonly Fact[]
  /** Has all of them read their rows again. */
  readonly interruptAll: () => void
  /** The same of one whose caller wishes to cancel, if it has not heard of that: the row of this version says so. */
  /** What has ended here a moment ago, and is to be forgotten for good: it is not put back. */
  readonly forget: (id: string) => void
  readonly interruptForCancel: (id: string, version: number) => void
  readonly releaseAll: () => void
  /** Resolves when none of the submits that are under way now is any more. */
  readonly answered: () => Promise<void>
  /** Resolves when nothing is looked after. */
  readonly allDone: () => Promise<void>
}

export interface TasksDeps extends Omit<TaskDeps, 'isOthersHere'> {
  /** Fires when this process begins to leave: what is taken after that is released at once. */
  readonly leaving: AbortSignal
  /** Ends even the writing of evidence. */
  readonly stopped: AbortSignal
  /** Told that the ledger granted a submit of what this process has bought already. */
  readonly onForgotten: () => void
  /** Told that a task is done: its slot may be free. */
  readonly onDone: () => void
}

/** How long, and how many, ends that were written here are compared with what the ledger has. */
const ENDED_MS = 60_000
const MAX_ENDED = 1000

export function createTasks (deps: TasksDeps): Tasks {
  const running = new Map<string, Task>()
  const ended = createRecentEnds<Taken>({ now: () => performance.now(), keptMs: ENDED_MS, most: MAX_ENDED })

  function take (taken: Taken, permit: Permit | null): void {
    const { row: { id } } = taken
    const before = running.get(id)
    if (permit !== null && isBoughtHere(id)) deps.onForgotten()
    else if (before === undefined) begin(taken, permit)
    // Back in the queue and claimed again, or taken over again, while the last step for it here comes to its end.
    else if (permit !== null || before.isReleased || before.isDouble) before.done.then(() => { take(taken, permit) })
  }

  function isBoughtHere (id: string): boolean {
    const requestId = running.get(id)?.requestId ?? ended.get(id)?.row.requestId ?? null
    return requestId !== null
  }

  function begin (taken: Taken, permit: Permit | null): void {
    const { row: { id } } = taken
    const task = createTask(taken, permit, { ...deps, isOthersHere }, deps.stopped)
    // It outlives the request, or the round, that brings it.
    apart(task.run)
    if (deps.leaving.aborted) task.release()
    running.set(id, task)
    task.done.then(() => {
      running.delete(id)
      if (hasEnded(task.row.phase)) remember(task)
      deps.onDone()
    })
  }

  function remember ({ row, terms }: Taken): void {
    ended.add({ row: withoutLarge(row), terms: termsAtEnd(row, terms, deps.cacheVersionOf) })
  }

  /** Of what ended here a moment ago the answer counts, too. */
  function isOthersHere (requestId: string, id: string): boolean {
    for (const task of running.values()) {
      if (task.requestId === requestId && task.row.id !== id) return true
    }
    return ended.isOthers(requestId, id)
  }

  return {
    running,
    take,
    facts: () => [
      ...Array.from(running.values(), ({ row, terms }) => ({ row, terms, holds: true })),
      ...ended.all().map(({ row, terms }) => ({ row, terms, holds: false }))
    ],
    interruptAll: () => { for (const { interrupt } of running.values()) interrupt() },
    interruptForCancel: (id, version) => {
      const task = running.get(id)
      if (task !== undefined && !task.row.cancelWished && task.row.version < version) task.interrupt()
    },
    forget: ended.remove,
    releaseAll: () => { for (const { release } of running.values()) release() },
    answered: async () => { await Promise.all(Array.from(running.values(), async ({ answered }) => { await answered() })) },
    allDone: async () => {
      while (running.size > 0) {
        await Promise.all(Array.from(running.values(), ({ done }) => done))
        await setImmediate()
      }
    }
  }
}

/** What lies aside is too much to be remembered. */
function withoutLarge (row: Generation): Generation {
  return row.large === null ? row : { ...row, output: null }
}
