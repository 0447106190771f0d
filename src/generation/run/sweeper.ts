// Looks after what no process looks after: takes over leases that ran out, has the ledger close and forget what is due, tells what happened meanwhile, and
// asks fal about unknowns.
//
//   state    | the ledger answers                       | the ledger is away | the time to come back is over
//   ---------|------------------------------------------|--------------------|------------------------------
//   sweeping | –                                        | away               | –
//   away     | returning                                | –                  | –
//   returning| –                                        | away               | sweeping
//
// Only `sweeping` sweeps. While the ledger was away no owner could give a sign of life, so what looks left by its owner need not be.

import type { OnTrouble } from '../../trouble.ts'
import { hasRequestId, type Followed, type Generation } from '../generation.ts'
import type { Ledger, LedgerTimes } from '../ledger.ts'
import type { OutboxEvent } from '../outbox.ts'
import { hasEnded } from '../phases.ts'
import type { Breakers } from './breakers.ts'
import { findEnd, type FindEndDeps } from './find-end.ts'
import { renewalMsOf } from './lease-keeper.ts'
import type { Tasks } from './tasks.ts'

export interface Sweeper {
  /** One round: what happened is told, and what is due is looked after. Never rejects. */
  readonly round: () => Promise<void>
  /** Tells what happened, once. */
  readonly tellOutbox: () => Promise<void>
}

export interface SweeperDeps extends FindEndDeps {
  readonly ledger: Pick<Ledger, 'sweep' | 'takeOutbox' | 'finish'>
  readonly replica: string
  readonly times: Pick<LedgerTimes, 'leaseMs'>
  readonly breakers: Pick<Breakers, 'look'>
  readonly tasks: Pick<Tasks, 'take'>
  /** Tells the ledger what this process looks after. */
  readonly renew: () => Promise<void>
  /** Fires when this process begins to leave: questions about unknowns can wait. */
  readonly leaving: AbortSignal
  /** Told once, in whichever process takes it, of what happened to a generation without anybody's evidence, and of breakers. */
  readonly onOutboxEvent: (event: OutboxEvent) => void
  readonly onMove: (from: 'unknown', to: Generation, phaseMs: null, writingMs: number) => void
  readonly onTrouble: OnTrouble
  readonly comingBackMs?: number
}

type State = { readonly kind: 'sweeping' | 'away' } | { readonly kind: 'returning', readonly untilMs: number }

/** After the ledger was away, owners need this long at most to say what they have learned meanwhile (see `writer.ts`). */
const COMING_BACK_MS = 3000

/** Due rows looked after in one sweep. */
const SWEEP_MAX = 100

/** Events of the outbox taken at once. */
const OUTBOX_BATCH = 1000

export function createSweeper (deps: SweeperDeps): Sweeper {
  const { ledger, tasks, leaving, comingBackMs = COMING_BACK_MS } = deps
  let state: State = { kind: 'sweeping' }
  /** Unknowns that fal is being asked about. */
  const asking = new Set<string>()

  async function round (): Promise<void> {
    await Promise.all([tellOutbox(), deps.breakers.look()])
    if (state.kind === 'returning' && performance.now() >= state.untilMs) state = { kind: 'sweeping' }
    if (state.kind === 'sweeping') await sweep()
  }

  async function tellOutbox (): Promise<void> {
    try {
      const found = await ledger.takeOutbox(OUTBOX_BATCH)
      if (state.kind === 'away') comeBack()
      for (const event of found) deps.onOutboxEvent(event)
    } catch (error) {
      state = { kind: 'away' }
      deps.onTrouble('take-events', error)
    }
  }

  function comeBack (): void {
    state = { kind: 'returning', untilMs: performance.now() + Math.max(renewalMsOf(deps.times), comingBackMs) }
    deps.renew()
  }

  async function sweep (): Promise<void> {
    try {
      for (const taken of await ledger.sweep(deps.replica, SWEEP_MAX)) {
        if (!hasEnded(taken.row.phase)) tasks.take(taken, null)
        else if (hasRequestId(taken.row) && !asking.has(taken.row.id)) askAbout(taken.row)
      }
    } catch (error) {
      deps.onTrouble('sweep', error)
    }
  }

  /** Asks fal what became of an unknown generation. What is not learned now is asked again, by whichever process. */
  async function askAbout (row: Followed): Promise<void> {
    asking.add(row.id)
    try {
      await learn(row)
    } catch (error) {
      if (!leaving.aborted) deps.onTrouble('ask-outcome', error)
    } finally {
      asking.delete(row.id)
    }
  }

  async function learn (row: Followed): Promise<void> {
    const ending = await findEnd(row, deps, leaving)
    if (ending === null || leaving.aborted) return
    const learnedAtMs = performance.now()
    const weighed = await ledger.finish(row.id, row.attempt, row.requestId, ending, undefined, row.upstream)
    if (weighed === null) return
    const { from, ...now } = weighed
    // That a settled one was found comes out of the outbox.
    if (from === 'unknown' && from !== now.phase) deps.onMove(from, now, null, performance.now() - learnedAtMs)
  }

  return { round, tellOutbox }
}
