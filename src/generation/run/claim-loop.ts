// Claims what waits in the queue while there are free slots, and hands it over with the right to submit it.
//
//   state | nudged | a task is done | the answer to a claim                           | stopped
//   ------|--------|----------------|-------------------------------------------------|--------
//   open  | claims | claims         | the queue is empty: empty                        | over
//   empty | claims | –              | anything else: open                             | over
//   over  | –      | –              | what was granted is handed over all the same    | –
//
// In `empty` a task that is done claims nothing, because a generation that comes into an empty queue is published, which is a nudge.
//
// A pause is no state: the ledger alone knows whether it is over. It asks for one while its replicas put back what it may have lost, and this one brings
// what it knows at once. Claims go on being asked for; the end of the pause is a nudge.

import { apart } from '../../tracing.ts'
import type { OnTrouble } from '../../trouble.ts'
import type { Admission, Admitted } from '../admission.ts'
import type { Claimed, Taken } from '../evidence.ts'
import type { Generation } from '../generation.ts'
import type { Ledger, LedgerTimes } from '../ledger.ts'
import type { Tasks } from './tasks.ts'

export interface ClaimLoop {
  /** There may be something to claim. */
  readonly nudge: () => void
  /** A task is done, so there may be a free slot. */
  readonly taskDone: () => void
  /**
   * Asks the ledger for an admission, and has it bring a claim along: what is bought while nobody waits is handed over at once. Not before this process was nudged for the
   * first time, nor once it claims nothing any more.
   */
  readonly admit: (admission: Admission) => Promise<Admitted>
  /** Claims nothing any more. */
  readonly stop: () => void
  /** Resolves when no claim is under way, alone or along with an admission, and the answers that were lost were asked for once more. Only after `stop`. */
  readonly settled: () => Promise<void>
}

export interface ClaimLoopDeps {
  readonly ledger: Pick<Ledger, 'admit' | 'claim' | 'now'>
  readonly replica: string
  readonly times: Pick<LedgerTimes, 'leaseMs'>
  /** Generations at fal at once, all replicas together. */
  readonly slots: number
  readonly newId: () => string
  readonly tasks: Pick<Tasks, 'take'>
  /** Tells the ledger what this process looks after. */
  readonly renew: () => Promise<void>
  /** Fires when this process begins to leave: no submit is begun any more. */
  readonly leaving: AbortSignal
  readonly onMove: (from: 'waiting', to: Generation, phaseMs: number) => void
  /** Told once when nothing is claimed for a while, because the ledger may have lost something. */
  readonly onClaimsPaused: (forMs: number) => void
  readonly onTrouble: OnTrouble
}

interface Claim { readonly claimId: string, readonly sentAtMs: number }

/** Claims under way at once. One after the other, a store that writes each to its disk would let few through. */
const MAX_CLAIMS = 16

/** A claim that starts later than this grants nothing. */
const CLAIM_DEADLINE_MS = 900

export function createClaimLoop (deps: ClaimLoopDeps): ClaimLoop {
  const { ledger, replica, slots, times } = deps
  let state: 'open' | 'empty' | 'over' = 'open'
  let isBegun = false
  const workers = new Set<Promise<void>>()
  /** Admissions under way that bring a claim along. */
  const admissions = new Set<Promise<unknown>>()
  /** A nudge that no worker has heeded. */
  let isNudged = false
  /** Claims whose answers were lost. They may have been granted, so they are asked for again under their own ids. */
  const lost: Claim[] = []
  /** The pause that was told last, and what ends it. */
  let pause: { readonly untilMs: number, readonly timer: NodeJS.Timeout | undefined } | undefined

  function isOver (): boolean {
    return state === 'over'
  }

  /** With enough claims under way, it is looked once more after one of them. */
  function nudge (): void {
    if (isOver()) return
    isBegun = true
    isNudged = true
    if (workers.size === MAX_CLAIMS) return
    // Whatever nudged it, what it claims may be anybody's.
    const worker = apart(work).finally(() => { workers.delete(worker) })
    workers.add(worker)
  }

  async function work (): Promise<void> {
    try {
      while (isNudged && !isOver()) {
        isNudged = false
        while (!isOver() && await claimOne());
      }
    } catch (error) {
      deps.onTrouble('claim', error)
    }
  }

  /** Claims, and tells whether to claim again at once. */
  async function claimOne (): Promise<boolean> {
    const claim = lost.pop() ?? newClaim()
    const claimed = await send(claim)
    if (!isOver()) state = isQueueEmptyAfter(claimed) ? 'empty' : 'open'
    if (claimed.outcome === 'wait') pauseUntil(claimed.untilMs)
    if (claimed.outcome !== 'go') return false
    handOver(claimed, claim)
    return !claimed.isQueueEmpty
  }

  function newClaim (): Claim {
    return { claimId: deps.newId(), sentAtMs: performance.now() }
  }

  function handOver (taken: Taken, { sentAtMs }: Claim): void {
    deps.onMove('waiting', taken.row, ledger.now() - (taken.row.waitsSinceMs ?? taken.row.createdAtMs))
    // A send may begin only within half a lease of sending its claim: later, another process may have concluded that its outcome is unknown.
    deps.tasks.take(taken, { isValid: () => !deps.leaving.aborted && performance.now() - sentAtMs < times.leaseMs / 2 })
  }

  async function admit (admission: Admission): Promise<Admitted> {
    if (!isBegun || isOver()) return await ledger.admit(admission)
    // Where the answer is lost, the ledger takes back both. It is not asked for again here: the caller was told that nothing was bought.
    const claim = newClaim()
    const asked = ledger.admit(admission, { claimId: claim.claimId, replica, slots })
    const settled = asked.catch(() => {}).finally(() => { admissions.delete(settled) })
    admissions.add(settled)
    const admitted = await asked
    if (admitted.outcome === 'bought' && admitted.terms !== null) handOver({ row: admitted.row, terms: admitted.terms }, claim)
    return admitted
  }

  async function send (claim: Claim): Promise<Claimed> {
    try {
      return await ledger.claim({ claimId: claim.claimId, deadlineMs: ledger.now() + CLAIM_DEADLINE_MS, replica, slots })
    } catch (error) {
      lost.push(claim)
      throw error
    }
  }

  function pauseUntil (untilMs: number): void {
    if (untilMs === pause?.untilMs) return
    const forMs = untilMs - ledger.now()
    deps.onClaimsPaused(forMs)
    deps.renew().then(nudge)
    clearTimeout(pause?.timer)
    pause = { untilMs, timer: isOver() ? undefined : setTimeout(nudge, forMs) }
  }

  function stop (): void {
    state = 'over'
    clearTimeout(pause?.timer)
  }

  async function settled (): Promise<void> {
    await Promise.all([...workers, ...admissions])
    await Promise.all(Array.from(lost, async () => {
      await claimOne().catch((error: unknown) => { deps.onTrouble('claim', error) })
    }))
  }

  return { nudge, taskDone: () => { if (state === 'open') nudge() }, admit, stop, settled }
}

function isQueueEmptyAfter (claimed: Claimed): boolean {
  return claimed.outcome === 'empty' || (claimed.outcome === 'go' && claimed.isQueueEmpty)
}
