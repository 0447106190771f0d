// The loops that move generations on: claim what waits, renew what is held, take over what nobody looks after.

import { setImmediate, setTimeout as pauseFor } from 'node:timers/promises'
import { findEnd } from './find-end.ts'
import { termsAtEnd } from './key.ts'
import { hasEnded } from './phases.ts'
import type { Claimed, LedgerTimes, News, Taken } from './ports.ts'
import { hasRequestId, type Followed, type Row } from './row.ts'
import type { Permit } from './step-context.ts'
import { createTask, type Task, type TaskDeps } from './task.ts'

export interface Runner {
  start: () => void
  /** Generations that this process looks after now. */
  readonly held: number
  /** Claims no more; what is held goes on. */
  stopClaiming: () => void
  /**
   * Claims and sends no more. Submits under way are waited for, as long as the upstream takes to answer them; everything else has `graceMs` to come to
   * rest. Then lets go of everything, so that others go on at once. Twice is harmless.
   */
  stop: (graceMs: number) => Promise<void>
}

export interface RunnerTools extends Omit<TaskDeps, 'isOthersHere'> {
  /** Told once, in whichever process takes it, of what happened to a generation without anybody's evidence, and of guards. */
  readonly onNews: (news: News) => void
  /** Told once when nothing is claimed for a while, because the ledger may have lost something. */
  readonly onClaimsHeld: (forMs: number) => void
  readonly times: LedgerTimes
  /** Generations at fal at once, all replicas together. */
  readonly slots: number
  readonly newId: () => string
}

/** How often the line is looked at without being nudged, and due rows are swept. */
const TICK_MS = 1000

/** After the ledger was away, owners need this long at most to say what they have learned meanwhile (see `writer.ts`). */
const COMING_BACK_MS = 3000

interface Claim { readonly claimId: string, readonly sentAtMs: number }

/** Claims under way at once. */
const MAX_CLAIMS = 16

/** A claim that starts later than this grants nothing. */
const CLAIM_DEADLINE_MS = 900

/** How long, and how many, ends that were written here are compared with what the ledger has. */
const REMEMBERED_MS = 60_000
const MAX_REMEMBERED = 1000

/** Due rows looked after in one sweep. */
const SWEEP_MAX = 100

/** What was heard at the very end has this time to reach the ledger. */
const WRITING_MS = 2000

/** Pieces of news taken at once. */
const NEWS_MAX = 1000

/** How often leases are renewed: each lease outlasts two renewals that fail. */
export function renewalMsOf ({ leaseMs }: Pick<LedgerTimes, 'leaseMs'>): number {
  return Math.max(50, leaseMs / 3)
}

export function createRunner (tools: RunnerTools): Runner {
  const { ledger, replica, times } = tools
  const held = new Map<string, Task>()
  const ended = new Map<string, Taken & { readonly untilMs: number }>()
  const timers: NodeJS.Timeout[] = []
  const stopped = new AbortController()
  /** Fires when this process begins to leave: questions about unknowns can wait. */
  const leaving = new AbortController()
  const asking = new Set<string>()
  let unlisten = (): void => {}
  let isClaimingOver = false
  /** The ledger was away when it was last asked. Until it is back for a while nothing is taken over: its owner could not give a sign of life either. */
  let isAway = false
  let sweepsFromMs = 0
  let stopping: Promise<void> | null = null

  /** Claims whose answers were lost, to be asked for again under their own ids, because they may have been granted. */
  const lostClaims: Claim[] = []
  /** Claims are sent side by side: one after the other, a store that writes each to its disk would let few through. */
  const claiming = new Set<Promise<void>>()
  let isClaimNudged = false
  /** When it was last heard of, there was nobody in the line to claim. */
  let isLineEmpty = false
  /** Until when nothing is claimed, as it was told last. */
  let heldUntilMs = 0
  let heldTimer: NodeJS.Timeout | undefined

  /** Claims until there is nothing more to claim; nudged when enough is being claimed already, it looks once more afterwards. */
  function claimAll (): void {
    isClaimNudged = true
    if (claiming.size === MAX_CLAIMS) return
    const one = claimWhileNudged().finally(() => { claiming.delete(one) })
    claiming.add(one)
  }

  async function claimWhileNudged (): Promise<void> {
    try {
      while (mayClaim()) {
        isClaimNudged = false
        while (!isOver() && await claimOne());
      }
    } catch (error) {
      tools.onTrouble('claiming from the line', error)
    }
  }

  function mayClaim (): boolean {
    return isClaimNudged && !isOver()
  }

  function isOver (): boolean {
    return isClaimingOver
  }

  /** Claims, and tells whether it is worth to claim again at once. */
  async function claimOne (): Promise<boolean> {
    const claim = lostClaims.pop() ?? { claimId: tools.newId(), sentAtMs: performance.now() }
    const claimed = await send(claim)
    isLineEmpty = claimed.outcome === 'empty' || (claimed.outcome === 'go' && claimed.isLineEmpty)
    if (claimed.outcome === 'wait') waitUntil(claimed.untilMs)
    if (claimed.outcome !== 'go') return false
    const { row } = claimed
    tools.onMove('waiting', row, ledger.now() - row.createdAtMs)
    // A send may begin only within half a lease of sending its claim: later somebody else may have concluded already. And none while this process leaves.
    hold(claimed, { isValid: () => stopping === null && performance.now() - claim.sentAtMs < times.leaseMs / 2 })
    return !isLineEmpty
  }

  async function send (claim: Claim): Promise<Claimed> {
    try {
      return await ledger.claim({ claimId: claim.claimId, deadlineMs: ledger.now() + CLAIM_DEADLINE_MS, replica, slots: tools.slots })
    } catch (error) {
      lostClaims.push(claim)
      throw error
    }
  }

  /** The ledger waits for what its replicas know. This one brings it at once, and claims again then, and when the time is over. */
  function waitUntil (untilMs: number): void {
    if (untilMs === heldUntilMs) return
    heldUntilMs = untilMs
    const forMs = untilMs - ledger.now()
    tools.onClaimsHeld(forMs)
    renew().then(claimAll)
    clearTimeout(heldTimer)
    if (!isOver()) heldTimer = setTimeout(claimAll, forMs)
  }

  function hold (taken: Taken, permit: Permit | null): void {
    const { row } = taken
    const before = held.get(row.id)
    if (permit !== null && (before?.requestId ?? ended.get(row.id)?.row.requestId ?? null) !== null) {
      // It was bought by this very process, and the ledger forgot.
      renew()
      return
    }
    if (before !== undefined) {
      // Back in line and claimed again, or taken over again, while the last step for it here comes to its end.
      if (permit !== null || before.isReleased || before.isDouble) before.done.then(() => { hold(taken, permit) })
      return
    }
    const one = createTask(taken, permit, { ...tools, isOthersHere }, stopped.signal)
    one.run()
    if (stopping !== null) one.release()
    held.set(row.id, one)
    one.done.then(() => {
      held.delete(row.id)
      remember(one)
      // Its place is free. Who comes into an empty line is published.
      if (!isLineEmpty) claimAll()
    })
  }

  /** Of what ended here a moment ago the answer counts, too. */
  function isOthersHere (requestId: string, id: string): boolean {
    return [...held.values()].some(one => one.row.id !== id && one.requestId === requestId) ||
      [...ended.values()].some(({ row }) => row.id !== id && row.requestId === requestId)
  }

  async function tick (): Promise<void> {
    await Promise.all([tellNews(), tools.guard.look()])
    await sweep()
    claimAll()
  }

  async function sweep (): Promise<void> {
    if (isAway || performance.now() < sweepsFromMs) return
    try {
      for (const taken of await ledger.sweep(replica, SWEEP_MAX)) {
        if (!hasEnded(taken.row.phase)) hold(taken, null)
        else if (hasRequestId(taken.row) && !asking.has(taken.row.id)) askAbout(taken.row)
      }
    } catch (error) {
      tools.onTrouble('sweeping', error)
    }
  }

  /** Asks fal what became of an unknown generation. What is not learned now is asked again, by whichever process. */
  async function askAbout (row: Followed): Promise<void> {
    asking.add(row.id)
    try {
      const ending = await findEnd(row, tools, leaving.signal)
      if (ending === null || leaving.signal.aborted) return
      const weighed = await ledger.finish(row.id, row.attempt, row.requestId, ending)
      if (weighed === null) return
      const { from, ...now } = weighed
      // That a settled one was found is news.
      if (from === 'unknown' && from !== now.phase) tools.onMove(from, now, null)
    } catch (error) {
      if (!leaving.signal.aborted) tools.onTrouble('asking what became of a generation', error)
    } finally {
      asking.delete(row.id)
    }
  }

  async function tellNews (): Promise<void> {
    try {
      const found = await ledger.takeNews(NEWS_MAX)
      if (isAway) {
        isAway = false
        sweepsFromMs = performance.now() + Math.max(renewalMsOf(times), COMING_BACK_MS)
        renew()
      }
      for (const news of found) tools.onNews(news)
    } catch (error) {
      isAway = true
      tools.onTrouble('taking news', error)
    }
  }

  /** What was ended here a moment ago is the first thing that a ledger loses which goes back in time. */
  function remember ({ row, terms }: Taken): void {
    if (!hasEnded(row.phase)) return
    ended.set(row.id, { row: withoutLarge(row), terms: termsAtEnd(row, terms, tools.schemaVersionOf), untilMs: performance.now() + REMEMBERED_MS })
    for (const [id, { untilMs }] of ended) {
      if (untilMs > performance.now() && ended.size <= MAX_REMEMBERED) break // the oldest stand in front
      ended.delete(id)
    }
  }

  /** What was put back counts when it is there, so it is told once more. */
  async function renew (): Promise<void> {
    if (await renewOnce() === 'restored') await renewOnce()
  }

  async function renewOnce (): Promise<'renewed' | 'restored' | 'failed'> {
    const holds = new Map(held)
    const recent = [...ended.values()].filter(({ untilMs }) => untilMs > performance.now())
    const facts = [...[...holds.values()].map(({ row, terms }) => ({ row, terms, holds: true })), ...recent.map(({ row, terms }) => ({ row, terms, holds: false }))]
    try {
      const { gone, rolledBack } = await ledger.renew(replica, facts)
      for (const id of gone) holds.get(id)?.disown()
      if (rolledBack.length === 0) return 'renewed'
      const lost = new Set(rolledBack)
      const { contested } = await ledger.restore(replica, facts.filter(({ row }) => lost.has(row.id)))
      tools.onRestored(lost.size, contested)
      return 'restored'
    } catch (error) {
      tools.onTrouble('renewing leases', error)
      return 'failed'
    }
  }

  function start (): void {
    unlisten = ledger.listen(change => {
      if (change === 'look-again') {
        // A new connection, perhaps to a Redis that knows less than this process does.
        for (const { interrupt } of held.values()) interrupt()
        renew()
        return
      }
      if (change.cancelWished && !hasEnded(change.phase)) wakeForCancel(change.id, change.version)
      if (!change.isLineEmpty) claimAll()
    })
    timers.push(
      setInterval(() => { tick() }, TICK_MS),
      setInterval(() => { renew() }, renewalMsOf(times))
    )
    // After a failover the ledger has to know that this process is there.
    renew().then(claimAll)
  }

  function wakeForCancel (id: string, version: number): void {
    const one = held.get(id)
    if (one !== undefined && !one.row.cancelWished && one.row.version < version) one.interrupt()
  }

  function stopClaiming (): void {
    isClaimingOver = true
  }

  async function stop (graceMs: number): Promise<void> {
    stopping ??= letGoOfEverything(graceMs)
    await stopping
  }

  async function letGoOfEverything (graceMs: number): Promise<void> {
    stopClaiming()
    leaving.abort()
    unlisten()
    for (const timer of timers) clearInterval(timer)
    clearTimeout(heldTimer)
    const ids = [...held.keys()]
    for (const { release } of held.values()) release()
    const quiet = new AbortController()
    await Promise.race([untilQuiet(), untilGraceOver(graceMs, quiet.signal)])
    quiet.abort()
    stopped.abort()
    await tellNews()
    try {
      await ledger.release(replica, ids)
    } catch (error) {
      tools.onTrouble('releasing leases', error)
    }
  }

  /** Resolves when this time is over, every submit was answered, and its answer had a moment to be written down. */
  async function untilGraceOver (graceMs: number, signal: AbortSignal): Promise<void> {
    const pause = async (ms: number): Promise<void> => { await pauseFor(ms, undefined, { signal }).catch(() => {}) } // not waited for any more
    const answers = Promise.all([...held.values()].map(async ({ answered }) => { await answered() }))
    await Promise.all([pause(graceMs), answers.then(async () => { await pause(WRITING_MS) })])
  }

  /** Resolves when no claim is under way and nothing is held. */
  async function untilQuiet (): Promise<void> {
    await Promise.all(claiming)
    await Promise.all([...lostClaims].map(async () => {
      await claimOne().catch((error: unknown) => { tools.onTrouble('claiming from the line', error) })
    }))
    while (held.size > 0) {
      await Promise.all([...held.values()].map(({ done }) => done))
      await setImmediate()
    }
  }

  return { start, stopClaiming, stop, get held () { return held.size } }
}

/** What lies aside is too much to be remembered. */
function withoutLarge (row: Row): Row {
  return row.large === null ? row : { ...row, output: null }
}
