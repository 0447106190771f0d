// The loops that move generations on: claim what waits, renew what is held, take over what nobody looks after.

import { setTimeout as startTimer } from 'node:timers'
import { setImmediate, setTimeout } from 'node:timers/promises'
import type { Guard } from './guard.ts'
import { hasEnded } from './phases.ts'
import type { Ledger, LedgerTimes, Row, StatusReader, Upstream } from './ports.ts'
import { step, type Hands } from './step.ts'
import type { Watch } from './watch.ts'

export interface Runner {
  start: () => void
  /** Generations that this process looks after now. */
  readonly held: number
  /** Claims no more, waits at most `graceMs` for submits under way, then lets go of everything so that others go on at once. Twice is harmless. */
  stop: (graceMs: number) => Promise<void>
}

export interface RunnerTools {
  readonly ledger: Ledger
  readonly upstream: Upstream
  readonly watch: Watch
  readonly guard: Guard
  readonly times: LedgerTimes
  /** This process, as it stands in rows and leases. */
  readonly replica: string
  /** Generations at fal at once, all replicas together. */
  readonly slots: number
  readonly newId: () => string
  /** Told of every change that this process made. */
  readonly onMove: (from: Row, to: Row) => void
  /** Told of troubles with the ledger; everything is tried again. */
  readonly onTrouble: (doing: string, error: unknown) => void
}

/** How often the line is looked at without being nudged, and due rows are swept. */
const TICK_MS = 1000

/** A claim that starts later than this grants nothing. */
const CLAIM_DEADLINE_MS = 900

/** Due rows looked after in one sweep. */
const SWEEP_MAX = 100

/** Longest pause between two tries to write evidence while the ledger is away. */
const MAX_WRITE_PAUSE_MS = 2000

/** A generation that this process looks after. */
interface Hold {
  row: Row
  readonly letGo: AbortController
  /** Interrupts waiting, so that the row is read again. */
  wake: AbortController
  /** Resolves when nothing is done for it here any more. */
  done: Promise<void>
}

export function createRunner (tools: RunnerTools): Runner {
  const { ledger, upstream, replica, times } = tools
  const held = new Map<string, Hold>()
  const timers: NodeJS.Timeout[] = []
  const stopped = new AbortController()
  let stopping: Promise<void> | null = null
  let unlisten = (): void => {}

  /** A claim whose answer was lost is asked for again under its own id, because it may have been granted. */
  let openClaim: { readonly claimId: string, readonly sentAtMs: number } | null = null
  let claiming = false
  let claimAgain = false

  function isStopping (): boolean {
    return stopping !== null
  }

  function isClaiming (): boolean {
    return claiming
  }

  /** Claims until there is nothing more to claim; asked while it does so, it looks once more. */
  async function claimAll (): Promise<void> {
    claimAgain = true
    if (claiming) return
    claiming = true
    try {
      while (claimAgain && !isStopping()) {
        claimAgain = false
        while (!isStopping() && await claimOne());
      }
    } catch (error) {
      tools.onTrouble('claiming from the line', error)
    } finally {
      claiming = false
    }
  }

  async function claimOne (): Promise<boolean> {
    openClaim ??= { claimId: tools.newId(), sentAtMs: performance.now() }
    const { claimId, sentAtMs } = openClaim
    const claimed = await ledger.claim({ claimId, deadlineMs: ledger.now() + CLAIM_DEADLINE_MS, replica, slots: tools.slots })
    openClaim = null
    if (claimed.outcome !== 'go') return false
    // A send may begin only within half a lease of sending its claim: later somebody else may have concluded already.
    const isFresh = (): boolean => performance.now() - sentAtMs < times.leaseMs / 2
    tools.onMove({ ...claimed.row, phase: 'waiting' }, claimed.row)
    tend(claimed.row, { attempt: claimed.row.attempt, isFresh })
    return true
  }

  /** Looks after a generation until it needs no one here any more. */
  function tend (row: Row, permit: Hands['permit']): void {
    const before = held.get(row.id)
    if (before !== undefined) {
      // Back in line and claimed again, or taken over again, while the last step for it here comes to its end.
      if (permit !== null || before.letGo.signal.aborted) before.done.then(() => { tend(row, permit) })
      return
    }
    const hold: Hold = { row, letGo: new AbortController(), wake: new AbortController(), done: Promise.resolve() }
    if (isStopping()) hold.letGo.abort()
    held.set(row.id, hold)
    hold.done = tendToEnd(hold, permit).finally(() => {
      held.delete(row.id)
      claimAll()
    })
  }

  async function tendToEnd (hold: Hold, permit: Hands['permit']): Promise<void> {
    const following: { reader: StatusReader | null } = { reader: null }
    let cancelAsked = false
    const hands: Hands = {
      ledger,
      upstream,
      guard: tools.guard,
      times,
      permit,
      status: row => (following.reader ??= upstream.follow(row.model, row.requestId)),
      letGo: hold.letGo.signal,
      wake: () => hold.wake.signal,
      cancelOnce: async row => {
        if (cancelAsked) return
        cancelAsked = true
        await upstream.cancel(row.model, row.requestId)
      },
      pause: ms => setTimeout(ms, undefined, { signal: hold.letGo.signal }),
      report
    }
    const overtime = hold.row.runUntilMs === null ? undefined : startTimer(() => { hold.wake.abort() }, hold.row.runUntilMs - ledger.now())
    hold.letGo.signal.addEventListener('abort', () => { hold.wake.abort() })
    try {
      do {
        const next = isAwake(hold) ? await readAgain(hold) : await step(hold.row, hands)
        if (next === null) return
        if (next.version !== hold.row.version) tools.onMove(hold.row, next)
        hold.row = next
        if (hasEnded(next.phase)) tools.watch.tell(next)
      } while (!hold.letGo.signal.aborted)
    } catch (error) {
      // What was not finished here is taken over after the lease; after five times it ends as unknown.
      if (!hold.letGo.signal.aborted) tools.onTrouble('tending a generation', error)
    } finally {
      clearTimeout(overtime)
      following.reader?.close()
    }
  }

  /** Was its waiting interrupted, other than by letting go of it? */
  function isAwake ({ wake, letGo }: Hold): boolean {
    return wake.signal.aborted && !letGo.signal.aborted
  }

  /** After a wish to cancel came in, or its time is over: the row as it now is. */
  async function readAgain (hold: Hold): Promise<Row> {
    hold.wake = new AbortController()
    const [row] = await write(() => ledger.look([hold.row.id]))
    return row ?? hold.row
  }

  async function report (row: Row, evidence: () => Promise<Row | null>, end?: () => Row): Promise<Row | null> {
    const onAway = end === undefined ? undefined : () => { tools.watch.tell(end()) }
    const next = await write(evidence, onAway)
    if (next !== null) return next
    // A ledger without this row went back in time: the row is put back first, from what is known here.
    await write(() => ledger.restore(replica, [{ row, holds: true }]))
    return await write(evidence)
  }

  async function write<T> (evidence: () => Promise<T>, onAway?: () => void): Promise<T> {
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, MAX_WRITE_PAUSE_MS)) {
      try {
        return await evidence()
      } catch (error) {
        tools.onTrouble('writing evidence', error)
        onAway?.()
        await setTimeout(pauseMs, undefined, { signal: stopped.signal })
      }
    }
  }

  async function sweep (): Promise<void> {
    try {
      for (const row of await ledger.sweep(replica, SWEEP_MAX)) tend(row, null)
    } catch (error) {
      tools.onTrouble('sweeping', error)
    }
  }

  async function tick (): Promise<void> {
    await Promise.all([sweep(), tools.guard.look()])
    await claimAll()
  }

  async function renew (): Promise<void> {
    const facts = [...held.values()].map(({ row }) => ({ row, holds: true }))
    if (facts.length === 0) return
    try {
      const { gone, rolledBack } = await ledger.renew(replica, facts)
      for (const id of gone) held.get(id)?.letGo.abort()
      if (rolledBack.length > 0) await ledger.restore(replica, facts.filter(({ row }) => rolledBack.includes(row.id)))
    } catch (error) {
      tools.onTrouble('renewing leases', error)
    }
  }

  function start (): void {
    unlisten = ledger.listen(change => {
      if (change === 'look-again') return
      if (change.cancelWished && !hasEnded(change.phase)) wakeForCancel(change.id, change.version)
      if (change.phase === 'waiting' || hasEnded(change.phase)) claimAll()
    })
    timers.push(
      setInterval(() => { tick() }, TICK_MS),
      setInterval(() => { renew() }, Math.max(50, times.leaseMs / 3))
    )
    claimAll()
  }

  function wakeForCancel (id: string, version: number): void {
    const hold = held.get(id)
    if (hold !== undefined && !hold.row.cancelWished && hold.row.version < version) hold.wake.abort()
  }

  async function stop (graceMs: number): Promise<void> {
    stopping ??= letGoOfEverything(graceMs)
    await stopping
  }

  async function letGoOfEverything (graceMs: number): Promise<void> {
    unlisten()
    for (const timer of timers) clearInterval(timer)
    // A submit under way is not disturbed: its step ends when its answer is written. One that was only claimed is given back.
    for (const { letGo } of held.values()) letGo.abort()
    const graceOver = new AbortController()
    const ids = [...held.keys()]
    await Promise.race([untilQuiet(), setTimeout(graceMs, undefined, { signal: graceOver.signal })])
    graceOver.abort()
    stopped.abort()
    try {
      await ledger.release(replica, ids)
    } catch (error) {
      tools.onTrouble('releasing leases', error)
    }
  }

  /** Resolves when no claim is under way and nothing is held. */
  async function untilQuiet (): Promise<void> {
    while (isClaiming() || held.size > 0) {
      await Promise.all([...held.values()].map(({ done }) => done))
      await setImmediate()
    }
  }

  return { start, stop, get held () { return held.size } }
}
