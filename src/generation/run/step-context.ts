// What the steps of one generation in this process work with, and what comes of a step.

import type { OnTrouble } from '../../trouble.ts'
import type { Doubt } from '../doubt.ts'
import type { Followed, Generation } from '../generation.ts'
import type { CacheVersionOf } from '../key.ts'
import type { Ledger } from '../ledger.ts'
import type { Interrupted, LogPiece, Result, Sighting, StatusReader, Upstream, UpstreamOf } from '../upstream.ts'
import type { Breakers } from './breakers.ts'
import { createCancelRequest } from './cancel-request.ts'
import { withFiles, type FileKeeper, type Success } from './keep-files.ts'
import type { Progress } from './progress-piece.ts'
import type { Recorder } from './recorder.ts'
import type { RunTime } from './run-time.ts'
import { sleep } from './sleep.ts'

/**
 * - `next`: the row to go on from.
 * - `interrupted`: waiting was cut short. The row is what is known so far; it is read again, or let go of.
 * - `over`: nothing is to be done for it here any more: it ended, it waits in the queue, or somebody else has it.
 */
export type StepResult =
  | { readonly kind: 'next' | 'interrupted', readonly row: Generation }
  | { readonly kind: 'over' }

export const over: StepResult = { kind: 'over' }

/** What a step comes to that ends with a piece of evidence. */
export function recorded (row: Generation | null): StepResult {
  return row === null ? over : { kind: 'next', row }
}

/** The right to begin a submit, from a claim that this process made. */
export interface Permit { readonly isValid: () => boolean }

export interface StepDeps {
  readonly ledger: Ledger
  readonly upstreamOf: UpstreamOf
  /** Are there accounts that a generation could go to whose own is refused? None by default. */
  readonly hasOtherAccounts?: (() => boolean) | undefined
  readonly breakers: Breakers
  readonly cacheVersionOf: CacheVersionOf
  /** What stores the files of outputs; `null`, as by default: they stay where they are. */
  readonly files?: FileKeeper | null | undefined
  /** The pauses before each look at a result that could not be used. */
  readonly lookAgainMs: readonly number[]
  /** Told when a result that was fetched here could not be used and is looked at again, and why. */
  readonly onLookAgain: (row: Generation, seen: Doubt) => void
  /** Told that a generation of ours waits in fal's queue, which is not what the slots are for. */
  readonly onBehind: (row: Generation, position: number) => void
  /** Told of troubles; everything is tried again. */
  readonly onTrouble: OnTrouble
}

/** The part of a task that its steps see. */
export interface StepControl {
  readonly recorder: Recorder
  readonly runTime: RunTime
  /** Gives the right to begin this attempt, the first time. Null after that, and for a generation that was taken over: its attempt is not begun again here. */
  readonly takePermit: () => Permit | null
  /** Does something that this process waits for before it ends: a submit, and the questions until it is clear what came of it. */
  readonly undisturbed: <T>(work: () => Promise<T>) => Promise<T>
  /** Aborted when the row is to be read, or the generation is let go of. Another one after each reading. */
  readonly interruption: () => AbortSignal
  /** Aborted when this process lets go of the generation. */
  readonly released: AbortSignal
}

/** One per generation and process: it outlives a single step. */
export interface StepContext extends Omit<StepDeps, 'onLookAgain' | 'onTrouble'>, Pick<StepControl, 'takePermit' | 'undisturbed'>, Pick<Recorder, 'record' | 'recordAccepted' | 'isOurs'> {
  /** The next thing that fal shows of it. Nothing that was seen is lost from one step to the next. */
  readonly nextSighting: (row: Followed) => Promise<Sighting | Interrupted>
  /** Its result. Only letting go interrupts it: what fal hands out is not left lying there. */
  readonly fetchResult: (row: Followed) => Promise<Result | Interrupted>
  /** A success with its files stored, as far as they could be in a moment. Letting go ends that moment. */
  readonly withFiles: (result: Success) => Promise<Success>
  /** Where it stands at fal, asked once. Only letting go interrupts that, too. */
  readonly fetchState: (row: Followed) => Promise<Awaited<ReturnType<Upstream['state']>> | 'interrupted'>
  /** Asks fal to stop, the first time it is called; the answer is not waited for. */
  readonly askToCancel: (row: Followed) => void
  /** Records what fal shows of it at work; gives the row to go on with. */
  readonly progress: (row: Followed, seen: Progress) => StepResult
  /** Records that a result could not be used, and tells that it is looked at again; gives the row to go on with. */
  readonly doubt: (row: Followed, seen: Doubt, log?: LogPiece) => Followed
  /** A pause that only letting go interrupts. */
  readonly pause: (ms: number) => Promise<'over' | 'interrupted'>
  /** A pause that an interruption ends, too. */
  readonly interruptiblePause: (ms: number) => Promise<'over' | 'interrupted'>
  /** Ends what goes on beside the steps. */
  readonly close: () => void
}

export function createStepContext (deps: StepDeps, control: StepControl): StepContext {
  const { upstreamOf } = deps
  const { recorder, runTime, interruption, released } = control
  let followed: { readonly requestId: string, readonly reader: StatusReader } | undefined

  /** One reader as long as the row has one id: a copy that was put back may have another. */
  function readerOf (row: Followed): StatusReader {
    const { model, requestId, upstream } = row
    if (followed?.requestId !== requestId) {
      followed?.reader.close()
      followed = { requestId, reader: upstreamOf(upstream).openStatusReader(model, requestId, row) }
    }
    return followed.reader
  }

  return {
    ...deps,
    takePermit: control.takePermit,
    undisturbed: control.undisturbed,
    record: recorder.record,
    recordAccepted: recorder.recordAccepted,
    isOurs: recorder.isOurs,
    nextSighting: async row => await readerOf(row).next(interruption()),
    fetchResult: async row => {
      const result = await upstreamOf(row.upstream).result(row.model, row.requestId, released, row)
      return released.aborted ? { kind: 'interrupted' } : result
    },
    withFiles: async result => deps.files == null ? result : await withFiles(result, deps.files, released),
    fetchState: async row => {
      const state = await upstreamOf(row.upstream).state(row.model, row.requestId, released, row)
      return released.aborted ? 'interrupted' : state
    },
    askToCancel: createCancelRequest(upstreamOf, deps.onTrouble, released),
    progress: (row, seen) => {
      runTime.count()
      return { kind: 'next', row: recorder.recordProgress(row, seen) }
    },
    doubt: (row, seen, log) => {
      const next = recorder.recordDoubt(row, seen, log)
      runTime.suspend()
      if (next !== row) deps.onLookAgain(next, seen)
      return next
    },
    pause: async ms => await sleep(ms, released),
    interruptiblePause: async ms => await sleep(ms, interruption()),
    close: () => { followed?.reader.close() }
  }
}
