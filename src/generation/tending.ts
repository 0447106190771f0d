// Looking after one generation in this process: steps, until it needs nobody here any more.

import { setTimeout as startTimer } from 'node:timers'
import { setTimeout } from 'node:timers/promises'
import type { Guard } from './guard.ts'
import { hasEnded, type Phase } from './phases.ts'
import type { Ledger, Row, StatusReader, Upstream, Weighed } from './ports.ts'
import { step, type Hands } from './step.ts'
import type { Watch } from './watch.ts'

export interface TendingTools {
  readonly ledger: Ledger
  readonly upstream: Upstream
  readonly watch: Watch
  readonly guard: Guard
  /** This process, as it stands in rows and leases. */
  readonly replica: string
  /** Told of every change of phase that evidence of this process made, and how long the last phase took, where that was seen here. */
  readonly onMove: (from: Phase, to: Row, phaseMs: number | null) => void
  /** Told that a generation of ours waits in fal's queue, which is not what the places are for. */
  readonly onBehind: (row: Row, position: number) => void
  /** Told that the ledger had lost, or forgotten news of, generations that this process holds; they were put back. */
  readonly onRestored: (generations: number) => void
  /** Told of troubles with the ledger; everything is tried again. */
  readonly onTrouble: (doing: string, error: unknown) => void
}

/** A generation that this process looks after. */
export interface Hold {
  /** As it was known last. */
  readonly row: Row
  /** Resolves when nothing is done for it here any more. Never rejects. */
  readonly done: Promise<void>
  /** Interrupts waiting, so that the row is read again. */
  readonly wake: () => void
  /** Ends with the step under way. A submit is not disturbed; one that was only claimed is given back. */
  readonly letGo: () => void
  readonly isLetGo: boolean
}

/** Longest pause between two tries to write evidence while the ledger is away. */
const MAX_WRITE_PAUSE_MS = 2000

/** Tries to reach fal with a wish to cancel. */
const CANCEL_TRIES = 5
const CANCEL_PAUSE_MS = 1000

/** Begins to look after `row`. `permit` is the right to submit, from a claim of this process. `stopped` ends even the writing of evidence. */
export function tend (row: Row, permit: Hands['permit'], tools: TendingTools, stopped: AbortSignal): Hold {
  const { ledger, upstream } = tools
  const letGo = new AbortController()
  let current = row
  let wake = new AbortController()
  let reader: StatusReader | undefined
  let movedAtMs: number | null = permit === null ? null : performance.now()
  let isCancelAsked = false

  const hands: Hands = {
    ledger,
    upstream,
    guard: tools.guard,
    permit,
    status: followed => (reader ??= upstream.follow(followed.model, followed.requestId)),
    letGo: letGo.signal,
    wake: () => wake.signal,
    askToCancel,
    onBehind: tools.onBehind,
    pause: ms => setTimeout(ms, undefined, { signal: letGo.signal }),
    report
  }
  const overtime = row.runUntilMs === null ? undefined : startTimer(() => { wake.abort() }, Math.max(0, row.runUntilMs - ledger.now()))

  return {
    get row () { return current },
    done: stepToEnd(),
    wake: () => { wake.abort() },
    letGo: () => { letGo.abort(); wake.abort() },
    get isLetGo () { return letGo.signal.aborted }
  }

  async function stepToEnd (): Promise<void> {
    try {
      do {
        const next = wake.signal.aborted && !letGo.signal.aborted ? await readAgain() : await step(current, hands)
        if (next === null) return
        note(next)
      } while (!letGo.signal.aborted)
    } catch (error) {
      // What was not finished here is taken over after the lease; after five times it ends as unknown.
      if (!letGo.signal.aborted) tools.onTrouble('looking after a generation', error)
    } finally {
      clearTimeout(overtime)
      reader?.close()
    }
  }

  function note (next: Row): void {
    if (next.phase !== current.phase) movedAtMs = performance.now()
    current = next
    if (hasEnded(next.phase)) tools.watch.tell(next)
  }

  /** After a wish to cancel came in, or its time is over. */
  async function readAgain (): Promise<Row> {
    wake = new AbortController()
    const [fresh] = await write(() => ledger.look([current.id]))
    return fresh ?? current
  }

  /** Asks fal to stop, once; nobody waits for that, because the generation ends as fal ends it. */
  function askToCancel (cancelled: Row & { requestId: string }): void {
    if (isCancelAsked) return
    isCancelAsked = true
    tellFal(cancelled).catch((error: unknown) => {
      if (!letGo.signal.aborted) tools.onTrouble('asking to cancel', error)
    })
  }

  async function tellFal ({ model, requestId }: Row & { requestId: string }): Promise<void> {
    for (let tries = 1; await upstream.cancel(model, requestId) === 'unavailable' && tries < CANCEL_TRIES; tries++) {
      await setTimeout(CANCEL_PAUSE_MS * tries, undefined, { signal: letGo.signal })
    }
  }

  async function report (reported: Row, evidence: () => Promise<Weighed | null>, end?: () => Row): Promise<Row | null> {
    let tries = 0
    const weighed = await writeEvidence(reported, () => {
      tries += 1
      return evidence()
    }, end)
    if (weighed === null) return null
    const { from: found, ...row } = weighed
    // What changed it was an earlier try, whose answer was lost, when nothing else did: others who have evidence took the row over first.
    const from = tries > 1 && row.version === reported.version + 1 ? reported.phase : found
    // Others may have told the same before, and then it was they who changed it.
    if (from !== row.phase) tools.onMove(from, row, movedAtMs === null || from !== reported.phase ? null : performance.now() - movedAtMs)
    return row
  }

  async function writeEvidence (reported: Row, evidence: () => Promise<Weighed | null>, end?: () => Row): Promise<Weighed | null> {
    const onAway = end === undefined ? undefined : () => { tools.watch.tell(end()) }
    const next = await write(evidence, onAway)
    if (next !== null) return next
    // A ledger without this row went back in time: the row is put back first, from what is known here.
    await write(() => ledger.restore(tools.replica, [{ row: reported, holds: true }]))
    tools.onRestored(1)
    return await write(evidence)
  }

  async function write<T> (evidence: () => Promise<T>, onAway?: () => void): Promise<T> {
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, MAX_WRITE_PAUSE_MS)) {
      try {
        return await evidence()
      } catch (error) {
        tools.onTrouble('writing evidence', error)
        onAway?.()
        await setTimeout(pauseMs, undefined, { signal: stopped })
      }
    }
  }
}
