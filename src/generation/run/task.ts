// Looking after one generation in this process: one step after the other, until it needs nobody here any more.
//
//   state     | interrupted        | a submit begins | it is answered | disowned                | released  | the step ends
//   ----------|--------------------|-----------------|----------------|-------------------------|-----------|------------------------
//   stepping  | the row is read    | sending         | –              | the row is left         | released  | another one, or over
//   sending   | the row is read    | –               | stepping       | disowned                | released  | –
//   disowned  | the row is read    | –               | –              | –                       | released  | the row is left: stepping
//   released  | –                  | –               | –              | –                       | –         | over
//
// "The row is left": once all is written that was heard here it is released, unless this process turns out to have a second purchase of it. That one is
// followed to its end. A submit is disturbed by nothing, since its answer is the only trace of a purchase: what comes meanwhile counts after its step.
// An interruption ends the waiting of a step, and the row is read before the next one.

import type { Taken } from '../evidence.ts'
import type { Generation, Terms } from '../generation.ts'
import { hasEnded } from '../phases.ts'
import { createRecorder, type RecorderDeps } from './recorder.ts'
import { createRunTime } from './run-time.ts'
import { createStepContext, type Permit, type StepDeps, type StepResult } from './step-context.ts'
import { step } from './step.ts'

export interface TaskDeps extends RecorderDeps, StepDeps {}

/** A generation that this process looks after. */
export interface Task {
  /** As the ledger had it last; of a double under the request id that is followed here. */
  readonly row: Generation
  readonly terms: Terms
  /** fal's id under which it is followed here, also when that is not written yet. */
  readonly requestId: string | null
  /** What is followed here is a second purchase beside the row's. */
  readonly isDouble: boolean
  readonly isReleased: boolean
  /** Begins, with the first step at once. */
  readonly run: () => void
  /** Resolves when nothing is done for it here any more. Never rejects. */
  readonly done: Promise<void>
  /** Ends what is waited for, so that the row is read again. */
  readonly interrupt: () => void
  /** Ends with the step under way. */
  readonly release: () => void
  /** The same, because another process has the row. Should it turn out that both bought, this purchase is followed all the same. */
  readonly disown: () => void
  /** Resolves when no submit is under way here. */
  readonly answered: () => Promise<void>
}

type State = 'stepping' | 'sending' | 'disowned' | 'released'

/** `permit` is the right to submit, from a claim of this process. `stopped` ends even the writing of evidence. */
export function createTask (taken: Taken, permit: Permit | null, deps: TaskDeps, stopped: AbortSignal): Task {
  const { ledger } = deps
  const { row: first, terms } = taken
  const released = new AbortController()
  let interruption = new AbortController()
  let state: State = 'stepping'
  let submit: Promise<unknown> = Promise.resolve()
  let unused = permit
  let finish = (): void => {}
  const done = new Promise<void>(resolve => { finish = resolve })

  const recorder = createRecorder(taken, permit !== null, deps, interrupt, stopped)
  const runTime = createRunTime(first.runUntilMs, first.doubt === null ? 'counted' : 'suspended', ledger.now, interrupt)
  const context = createStepContext(deps, {
    recorder,
    runTime,
    takePermit: () => {
      const taken = unused
      unused = null
      return taken
    },
    undisturbed,
    interruption: () => interruption.signal,
    released: released.signal
  })

  function interrupt (): void {
    interruption.abort()
  }

  function release (): void {
    state = 'released'
    released.abort()
    interruption.abort()
  }

  function disown (): void {
    if (state === 'sending') state = 'disowned'
    else if (state === 'stepping') leave()
  }

  async function leave (): Promise<void> {
    await recorder.written()
    if (!recorder.isDouble) release()
  }

  async function undisturbed<T> (work: () => Promise<T>): Promise<T> {
    state = 'sending'
    const answer = work().finally(() => { if (state === 'sending') state = 'stepping' })
    submit = answer.catch(() => {}) // told to the step
    return await answer
  }

  async function run (): Promise<void> {
    try {
      await takeSteps()
    } catch (error) {
      // What was not finished here is taken over after the lease; after five times it ends as unknown.
      if (state !== 'released') deps.onTrouble('run-generation', error)
    } finally {
      runTime.close()
      context.close()
      await recorder.close()
      finish()
    }
  }

  async function takeSteps (): Promise<void> {
    for (let row = first; ;) {
      const result = await next(row)
      if (result.kind === 'over') return
      row = result.row
      if (hasEnded(row.phase)) deps.watch.tell(row)
      if (state === 'disowned') {
        state = 'stepping'
        await leave()
      }
      if (isReleased() || !isOurs(row)) return
    }
  }

  async function next (row: Generation): Promise<StepResult> {
    if (!interruption.signal.aborted) return await step(row, context)
    interruption = new AbortController()
    return { kind: 'next', row: await recorder.read(row) }
  }

  function isReleased (): boolean {
    return state === 'released'
  }

  /** Another attempt is looked after by the process that claimed it, a purchase by those that hold its id. */
  function isOurs ({ attempt, requestId }: Generation): boolean {
    return attempt === first.attempt || (requestId !== null && requestId === recorder.requestId)
  }

  return {
    get row () { return recorder.row },
    terms,
    get requestId () { return recorder.requestId },
    get isDouble () { return recorder.isDouble },
    get isReleased () { return isReleased() },
    run,
    done,
    interrupt,
    release,
    disown,
    answered: async () => { await submit }
  }
}
