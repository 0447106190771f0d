// Looking after one generation in this process: steps, until it needs nobody here any more.

import { setTimeout as startTimer } from 'node:timers'
import { setTimeout } from 'node:timers/promises'
import { backoffMs } from '../backoff.ts'
import type { Doubt } from './doubt.ts'
import type { Guard } from './guard.ts'
import type { SchemaVersionOf } from './key.ts'
import { hasEnded } from './phases.ts'
import type { StatusReader, Taken, Upstream } from './ports.ts'
import { createRecorder, type RecorderDeps } from './recorder.ts'
import type { Followed, Row, Terms } from './row.ts'
import { step, type Hands, type Permit } from './step.ts'

export interface TendingTools extends RecorderDeps {
  readonly upstream: Upstream
  readonly guard: Guard
  readonly schemaVersionOf: SchemaVersionOf
  /** The pauses before each look at a result that could not be used. */
  readonly lookAgainMs: readonly number[]
  /** Told when a result that was fetched here could not be used and is looked at again, and why. */
  readonly onLookAgain: (row: Row, seen: Doubt) => void
  /** Told that a generation of ours waits in fal's queue, which is not what the places are for. */
  readonly onBehind: (row: Row, position: number) => void
}

/** A generation that this process looks after. */
export interface Hold {
  /** As the ledger had it last; of a double under the request id that is followed here. */
  readonly row: Row
  readonly terms: Terms
  /** fal's id under which it is followed here, also when that is not written yet. */
  readonly requestId: string | null
  /** What is followed here is a second purchase beside the row's. */
  readonly isDouble: boolean
  /** Resolves when nothing is done for it here any more. Never rejects. */
  readonly done: Promise<void>
  /** Interrupts waiting, so that the row is read again. */
  readonly wake: () => void
  /** Ends with the step under way. A submit is not disturbed. */
  readonly letGo: () => void
  /** The same, because somebody else has the row. Should it turn out that both bought, this purchase is followed all the same. */
  readonly disown: () => void
  /** Resolves when no submit is under way here. Its answer is the only trace of a purchase. */
  readonly answered: () => Promise<void>
  readonly isLetGo: boolean
}

/** Tries to reach fal with a wish to cancel. */
const CANCEL_TRIES = 5
const CANCEL_BACKOFF = { firstMs: 1000, mostMs: 4000 }

/** How soon it is looked again whether the time to run is over. */
const OVERTIME_AGAIN_MS = 1000

/** Begins to look after a generation. `permit` is the right to submit, from a claim of this process. `stopped` ends even the writing of recorder. */
export function tend (taken: Taken, permit: Permit | null, tools: TendingTools, stopped: AbortSignal): Hold {
  const { ledger, upstream } = tools
  const { row } = taken
  const letGo = new AbortController()
  const recorder = createRecorder(taken, permit !== null, tools, () => { wake.abort() }, stopped)
  let current = row
  let unused = permit
  let wake = new AbortController()
  let followed: { readonly requestId: string, readonly reader: StatusReader } | undefined
  let isCancelAsked = false
  let isInDoubt = row.doubt !== null
  let sending: Promise<unknown> = Promise.resolve()
  let isSending = false
  let isDisowned = false

  const hands: Hands = {
    ledger,
    upstream,
    guard: tools.guard,
    schemaVersionOf: tools.schemaVersionOf,
    takePermit: () => {
      const taken = unused
      unused = null
      return taken
    },
    status,
    letGo: letGo.signal,
    wake: () => wake.signal,
    askToCancel,
    onBehind: tools.onBehind,
    lookAgainMs: tools.lookAgainMs,
    doubt: (reported, seen, log) => {
      const next = recorder.recordDoubt(reported, seen, log)
      isInDoubt = true
      if (next !== reported) tools.onLookAgain(next, seen)
      return next
    },
    pause: ms => setTimeout(ms, undefined, { signal: letGo.signal }),
    rest: async ms => {
      await setTimeout(ms, undefined, { signal: wake.signal }).catch(() => {}) // woken: the rest is over
      letGo.signal.throwIfAborted()
    },
    undisturbed: async work => {
      isSending = true
      const done = work().finally(() => { isSending = false })
      sending = done.catch(() => {}) // told to whoever asked for it
      return await done
    },
    record: recorder.record,
    recordAccepted: recorder.recordAccepted,
    isOurs: recorder.isOurs,
    recordProgress: (reported, seen) => {
      isInDoubt = false
      return recorder.recordProgress(reported, seen)
    }
  }
  let overtime: NodeJS.Timeout | undefined
  if (row.runUntilMs !== null) watchTime(row.runUntilMs)

  return {
    get row () { return recorder.row },
    done: stepToEnd(),
    wake: () => { wake.abort() },
    terms: taken.terms,
    get requestId () { return recorder.requestId },
    get isDouble () { return recorder.isDouble },
    letGo: end,
    disown: () => {
      if (isSending) isDisowned = true
      else leaveToOwner()
    },
    answered: async () => { await sending },
    get isLetGo () { return letGo.signal.aborted }
  }

  async function stepToEnd (): Promise<void> {
    try {
      do {
        const next = wake.signal.aborted && !letGo.signal.aborted ? await readAgain() : await step(current, hands)
        if (next === null) break
        current = next
        if (hasEnded(next.phase)) tools.watch.tell(next)
        if (isDisowned) await leaveToOwner()
        // Another attempt is looked after by whoever claimed it, a purchase by whoever holds its id.
      } while (!letGo.signal.aborted && (current.attempt === row.attempt || (current.requestId !== null && current.requestId === recorder.requestId)))
    } catch (error) {
      // What was not finished here is taken over after the lease; after five times it ends as unknown.
      if (!letGo.signal.aborted) tools.onTrouble('looking after a generation', error)
    } finally {
      clearTimeout(overtime)
      followed?.reader.close()
      await recorder.close()
    }
  }

  function end (): void {
    letGo.abort()
    wake.abort()
  }

  /** Another process has the row: once all is written that was heard here, only a second purchase is still to be followed. */
  async function leaveToOwner (): Promise<void> {
    isDisowned = false
    await recorder.written()
    if (!recorder.isDouble) end()
  }

  /** The ledger's clock decides, and between two looks it goes otherwise than timers do: it is a little behind Redis', which may be put back. */
  function watchTime (runUntilMs: number): void {
    const leftMs = runUntilMs - ledger.now()
    // The time to run is none of a look's.
    if (leftMs <= 0 && !isInDoubt) wake.abort()
    overtime = startTimer(() => { watchTime(runUntilMs) }, Math.max(leftMs, OVERTIME_AGAIN_MS))
  }

  /** After a wish to cancel came in, its time is over, or the ledger was away. */
  async function readAgain (): Promise<Row> {
    wake = new AbortController()
    return await recorder.read(current)
  }

  /** One reader as long as the row has one id: a copy that was put back may have another. */
  function status ({ model, requestId }: Followed): StatusReader {
    if (followed?.requestId !== requestId) {
      followed?.reader.close()
      followed = { requestId, reader: upstream.follow(model, requestId) }
    }
    return followed.reader
  }

  /** Asks fal to stop, once; nobody waits for that, because the generation ends as fal ends it. */
  function askToCancel (cancelled: Followed): void {
    if (isCancelAsked) return
    isCancelAsked = true
    tellFal(cancelled).catch((error: unknown) => {
      if (!letGo.signal.aborted) tools.onTrouble('asking to cancel', error)
    })
  }

  async function tellFal ({ model, requestId }: Followed): Promise<void> {
    for (let tries = 1; await upstream.cancel(model, requestId) === 'unavailable' && tries < CANCEL_TRIES; tries++) {
      await setTimeout(backoffMs(tries, CANCEL_BACKOFF), undefined, { signal: letGo.signal })
    }
  }
}
