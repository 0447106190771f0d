// What becomes of generations that somebody here is interested in: one subscription per process, fanned out to all that wait or follow.

import type { Change } from '../changes.ts'
import type { Generation } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import { hasEnded, type Phase } from '../phases.ts'
import type { CallerLink } from './presence.ts'

export interface Watch {
  /** The generation once it has ended, or that the ledger has lost it, or `null` when the time is up or the caller leaves first. */
  untilEnded: (id: string, timeoutMs: number, caller: CallerLink) => Promise<Outcome>
  /** Tells `listener` how the generation stands and whatever becomes of it, until the returned function is called. */
  attend: (id: string, listener: Listener) => () => void
  /** Hands an ended row to its listeners without asking the ledger: for the code of this process that wrote the end. */
  tell: (row: Generation) => void
  /**
   * This process begins to write the end of a generation, and will hand it over by `tell`: until the returned function is called, an end that is published is not asked
   * for. One that was published by then is, unless it was handed over, or nobody attends it any more.
   */
  readonly endsHere: (id: string) => () => void
  /** How many callers wait. */
  readonly waiting: number
  close: () => void
}

/** A generation that the ledger does not know any more, and the phase that it was last seen in while somebody attended it here. */
export interface Lost { readonly lastSeen: Phase | null }

/** What a caller waited for; `null`: in vain. */
type Outcome = Generation | Lost | null

/** A listener of a generation. None of the functions may throw. */
export interface Listener {
  /** It has changed, and has not ended. */
  readonly changed?: (change: Change) => void
  /** It has ended; may be told more than once. */
  readonly ended: (row: Generation) => void
  /** The ledger has not known it for so long that nobody will put it back. */
  readonly gone?: (lost: Lost) => void
}

/** A generation that is attended: the version and the position that its listeners were told last, and in how many regular looks it was not found since. */
interface Attended { readonly id: string, readonly listeners: Set<Listener>, version: number, position: number | null, misses: number, lastSeen: Phase | null }

/** How often all attended generations are looked at again, since published changes can be lost and positions in the queue move unpublished. */
const LOOK_AGAIN_MS = 1000

/**
 * Regular looks that did not find it, beyond those that a renewal takes, before it counts as gone. The process that holds a generation puts it back with the next
 * renewal, or sooner, as soon as that process notices that the ledger went back in time; what waits in the queue nobody holds.
 */
const MISSES_AFTER_RENEWAL = 2

/** How often leases are renewed unless it is told. */
const USUAL_RENEWAL_MS = 5000

/** Generations looked at in one call. */
const LOOK_BATCH = 500

export interface WatchTimes { readonly lookAgainMs?: number, readonly renewalMs?: number }

export function createWatch (ledger: Ledger, onLookFailed: (error: unknown) => void, { lookAgainMs = LOOK_AGAIN_MS, renewalMs = USUAL_RENEWAL_MS }: WatchTimes = {}): Watch {
  const missesToBeGone = Math.ceil(renewalMs / lookAgainMs) + MISSES_AFTER_RENEWAL
  const attended = new Map<string, Attended>()
  const soon = new Set<string>()
  /** Ends that are being written here, and whether they were published meanwhile. */
  const endingHere = new Map<string, { isPublished: boolean }>()
  const callers = new Set<WaitingCaller>()
  let timer: NodeJS.Timeout | undefined
  let looking = false

  const unlisten = ledger.listen(change => {
    if (change === 'look-again') look([...attended.keys()])
    else if (attended.has(change.id)) hear(change)
  })

  function hear (change: Change): void {
    const ending = hasEnded(change.phase) ? endingHere.get(change.id) : undefined
    if (ending === undefined) tellChanges([change])
    else ending.isPublished = true
  }

  function endsHere (id: string): () => void {
    const ending = { isPublished: false }
    endingHere.set(id, ending)
    return () => {
      if (endingHere.get(id) === ending) endingHere.delete(id)
      if (ending.isPublished) lookSoon(id)
    }
  }

  function tell (row: Generation): void {
    for (const listener of attended.get(row.id)?.listeners ?? []) listener.ended(row)
  }

  /** Tells listeners what was published or read. An end is told with the whole row, so the rows of those that have ended are read first. */
  async function tellChanges (changes: readonly Change[]): Promise<void> {
    const ended: string[] = []
    for (const change of changes) {
      if (hasEnded(change.phase)) ended.push(change.id)
      else tellChange(change)
    }
    if (ended.length === 0) return
    try {
      for (const row of await ledger.getMany(ended)) {
        if (hasEnded(row.phase)) tell(row)
      }
    } catch (error) {
      onLookFailed(error) // the next look comes within a second
    }
  }

  /** Tells listeners of a change, unless they know it or a later one: a look may bring what is older than what was published meanwhile. */
  function tellChange (change: Change): void {
    const one = attended.get(change.id)
    if (one === undefined) return
    one.misses = 0
    if (change.version >= one.version) one.lastSeen = change.phase
    if (change.version < one.version) return
    if (change.version === one.version && change.queuePosition === one.position) return
    one.version = change.version
    one.position = change.queuePosition
    for (const listener of one.listeners) listener.changed?.(change)
  }

  /** Counts for each that a regular look did not find how often that happened. After enough times it is gone. */
  function countMisses (asked: readonly string[], found: readonly Change[]): void {
    const known = new Set(found.map(({ id }) => id))
    for (const id of asked) {
      const one = known.has(id) ? undefined : attended.get(id)
      if (one === undefined || ++one.misses < missesToBeGone) continue
      for (const listener of one.listeners) listener.gone?.({ lastSeen: one.lastSeen })
    }
  }

  async function look (ids: readonly string[], isRegular = false): Promise<void> {
    try {
      for (let from = 0; from < ids.length; from += LOOK_BATCH) {
        const batch = ids.slice(from, from + LOOK_BATCH)
        const found = await ledger.getStatuses(batch)
        await tellChanges(found)
        if (isRegular && found.length < batch.length) countMisses(batch, found)
      }
    } catch (error) {
      onLookFailed(error)
    }
  }

  /** Looks once for all who came in this turn of the event loop. */
  function lookSoon (id: string): void {
    if (soon.size === 0) {
      setImmediate(() => {
        const ids = [...soon].filter(id => attended.has(id))
        soon.clear()
        look(ids)
      })
    }
    soon.add(id)
  }

  /** Runs while anything is attended; a look that is still under way is not overtaken. */
  function lookRegularly (): void {
    timer ??= setInterval(() => {
      if (looking) return
      looking = true
      look([...attended.keys()], true).finally(() => { looking = false })
    }, lookAgainMs)
  }

  function attend (id: string, listener: Listener): () => void {
    const one = listen(id, listener)
    return () => { unlistenTo(one, listener) }
  }

  function listen (id: string, listener: Listener): Attended {
    const one: Attended = attended.get(id) ?? { id, listeners: new Set(), version: -1, position: null, misses: 0, lastSeen: null }
    one.listeners.add(listener)
    // The look tells a listener that comes later how it stands, too.
    one.version = -1
    attended.set(id, one)
    lookRegularly()
    // It may have changed between the caller's last look and the lines above.
    lookSoon(id)
    return one
  }

  function unlistenTo (one: Attended, listener: Listener): void {
    one.listeners.delete(listener)
    if (one.listeners.size === 0 && attended.get(one.id) === one) attended.delete(one.id)
    if (attended.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  /** Not `async`: each function that waits along would be kept as long as the caller waits. */
  function untilEnded (id: string, timeoutMs: number, link: CallerLink): Promise<Outcome> {
    if (!link.isOpen()) return Promise.resolve(null)
    return new Promise(resolve => {
      const caller = new WaitingCaller(link, resolve, timeoutMs, stopWaiting)
      caller.attended = listen(id, caller)
      callers.add(caller)
    })
  }

  function stopWaiting (caller: WaitingCaller): void {
    callers.delete(caller)
    if (caller.attended !== null) unlistenTo(caller.attended, caller)
  }

  return {
    untilEnded,
    attend,
    tell,
    endsHere,
    get waiting () { return callers.size },
    close: () => {
      unlisten()
      for (const caller of callers) caller.leave()
    }
  }
}

/** Was it not found by the latest look, and in the queue when it was seen last? Nobody holds what waits there, so nobody puts it back. */
function missedInQueue ({ misses, lastSeen }: Attended): Lost | null {
  return misses > 0 && lastSeen === 'waiting' ? { lastSeen } : null
}

/** A caller that waits for an end. One object with few parts, because there may be ten thousand of them. */
class WaitingCaller implements Listener {
  attended: Attended | null = null
  readonly #link: CallerLink
  readonly #settle: (outcome: Outcome) => void
  readonly #stopWaiting: (caller: WaitingCaller) => void
  readonly #timeout: NodeJS.Timeout
  /** It has gone, or nobody waits any more. */
  readonly leave: () => void

  constructor (link: CallerLink, settle: (outcome: Outcome) => void, timeoutMs: number, stopWaiting: (caller: WaitingCaller) => void) {
    this.#link = link
    this.#settle = settle
    this.#stopWaiting = stopWaiting
    this.leave = () => { this.#end(null) }
    this.#timeout = setTimeout(() => { this.#end(this.attended === null ? null : missedInQueue(this.attended)) }, timeoutMs)
    link.onceOver(this.leave)
  }

  ended (row: Generation): void {
    this.#end(row)
  }

  gone (lost: Lost): void {
    this.#end(lost)
  }

  /** Twice is harmless. */
  #end (outcome: Outcome): void {
    clearTimeout(this.#timeout)
    this.#link.forget(this.leave)
    this.#stopWaiting(this)
    this.#settle(outcome)
  }
}
