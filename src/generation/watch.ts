// Waiting for generations to end: one subscription per process, fanned out to everybody who waits here.

import { hasEnded } from './phases.ts'
import type { Ledger, Row } from './ports.ts'

export interface Watch {
  /** The generation once it has ended, or `null` when the time is up or the signal fires first. */
  untilEnded: (id: string, timeoutMs: number, signal: AbortSignal) => Promise<Row | null>
  /** Hands an ended row to its waiters without asking the ledger: for whoever wrote the end in this process. */
  tell: (row: Row) => void
  /** How many callers wait. */
  readonly waiting: number
  close: () => void
}

type Waiter = (row: Row | null) => void

/** How often all awaited generations are looked at again, since published changes can be lost. */
const LOOK_AGAIN_MS = 1000

/** Generations looked at in one call. */
const LOOK_BATCH = 500

export function createWatch (ledger: Ledger, onLookFailed: (error: unknown) => void): Watch {
  const waiters = new Map<string, Set<Waiter>>()
  const soon = new Set<string>()
  let callers = 0
  let timer: NodeJS.Timeout | undefined
  let looking = false

  const unlisten = ledger.listen(change => {
    if (change === 'look-again') look([...waiters.keys()])
    else if (hasEnded(change.phase) && waiters.has(change.id)) look([change.id])
  })

  function tell (row: Row): void {
    for (const waiter of waiters.get(row.id) ?? []) waiter(row)
  }

  async function look (ids: readonly string[]): Promise<void> {
    try {
      for (let from = 0; from < ids.length; from += LOOK_BATCH) {
        for (const row of await ledger.look(ids.slice(from, from + LOOK_BATCH))) {
          if (hasEnded(row.phase)) tell(row)
        }
      }
    } catch (error) {
      onLookFailed(error) // the next look comes within a second
    }
  }

  /** Looks once for all who began to wait in this turn of the event loop. */
  function lookSoon (id: string): void {
    if (soon.size === 0) {
      setImmediate(() => {
        const ids = [...soon]
        soon.clear()
        look(ids)
      })
    }
    soon.add(id)
  }

  /** Runs while anybody waits; a look that is still under way is not overtaken. */
  function lookRegularly (): void {
    timer ??= setInterval(() => {
      if (looking) return
      looking = true
      look([...waiters.keys()]).finally(() => { looking = false })
    }, LOOK_AGAIN_MS)
  }

  async function untilEnded (id: string, timeoutMs: number, signal: AbortSignal): Promise<Row | null> {
    if (signal.aborted) return null
    let settle: Waiter = () => {}
    const promise = new Promise<Row | null>(resolve => { settle = resolve })
    const leave = (): void => { settle(null) }
    const timeout = setTimeout(leave, timeoutMs)
    signal.addEventListener('abort', leave)
    const others = waiters.get(id) ?? new Set<Waiter>()
    others.add(settle)
    waiters.set(id, others)
    callers++
    lookRegularly()
    try {
      // It may have ended between the caller's last look and the lines above.
      lookSoon(id)
      return await promise
    } finally {
      clearTimeout(timeout)
      signal.removeEventListener('abort', leave)
      others.delete(settle)
      if (others.size === 0) waiters.delete(id)
      if (--callers === 0) {
        clearInterval(timer)
        timer = undefined
      }
    }
  }

  return {
    untilEnded,
    tell,
    get waiting () { return callers },
    close: () => {
      unlisten()
      for (const set of waiters.values()) for (const waiter of set) waiter(null)
    }
  }
}
