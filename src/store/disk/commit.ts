// When answers are let go. An operation is done in memory at once; what it changed goes to disk together with what others change meanwhile (a group), and whoever was
// told of any of it is answered when that group is there. One group is written at a time.
//
// When a group cannot be written, the rights that were granted with it are taken back, and nothing is granted until a write succeeds again. Evidence stays in
// memory, is told, and is written as soon as that is possible.

import { Problem } from '../../errors.ts'
import type { Published } from '../../generation/changes.ts'
import type { Ledger } from '../../generation/ledger.ts'
import type { Run } from '../memory/ledger.ts'
import type { Changed, Changes } from './changes.ts'

/** Operations whose changes nobody has to wait for: when they are lost, nothing is bought twice and no picture is gone. They are written with the next group. */
const unhurried: ReadonlySet<keyof Ledger> = new Set(['seen', 'left', 'renew', 'heartbeat', 'release', 'takeOutbox', 'once', 'issueTicket', 'recordProgress'])

/** How long such a change is in memory only, at most. */
const UNHURRIED_MS = 1000

/** The pauses after the first failures in a row, and after each further one; the last also while the disk is full. */
const RETRY_MS = [100, 250, 500, 1000]
const LONGEST_RETRY_MS = 2000

interface Group {
  /** Somebody waits for it. */
  isAwaited: boolean
  readonly undo: (() => void)[]
  readonly told: Published[]
  readonly isKept: Promise<boolean>
  readonly end: (isKept: boolean) => void
}

export interface CommitOptions {
  readonly changes: Changes
  /** Puts these changes on disk, and what follows from their being there into memory. Rejects when they are not there. */
  readonly write: (changed: Changed) => Promise<void>
  /** Is there no room for anything new? */
  readonly isFull: () => boolean
  /** Tries to have room again. */
  readonly makeRoom: () => Promise<boolean>
  /** Something is undone: the ledger's clock goes to the present before it. */
  readonly advance: () => void
  /** Tells those who listen. */
  readonly tell: (change: Published) => void
  /** The disk cannot be written to, or (`null`) can be again. */
  readonly onState: (trouble: unknown) => void
}

export interface Commit {
  readonly run: Run
  readonly tell: (change: Published) => void
  /** Why nothing is granted at the moment; `null`: rights are granted. */
  readonly trouble: () => Problem | null
  /** Resolves when everything that happened so far is on disk; rejects when it could not be written. */
  readonly flush: () => Promise<void>
  /** Writes what is left, and stops. */
  readonly close: () => Promise<void>
}

export function createCommit ({ changes, write, isFull, makeRoom, advance, tell, onState }: CommitOptions): Commit {
  let open = newGroup()
  let writing: Group | null = null
  let trouble: unknown = null
  let failures = 0
  let timer: NodeJS.Timeout | null = null
  let isClosed = false

  const run: Run = async (name, operate, undo) => {
    if (isClosed) throw unavailable(new Error('The ledger is closed.'))
    const before = changes.count()
    const result = operate()
    const isChange = changes.count() !== before
    if (isChange) {
      const isAwaited = !unhurried.has(name)
      open.isAwaited ||= isAwaited
      plan(isAwaited && trouble === null ? 0 : UNHURRIED_MS)
    }
    const group = open
    if (undo !== null && isChange) {
      let isTaken = false
      group.undo.push(() => { isTaken = undo(result) })
      // Not even in trouble is a right let go before it lasts.
      if (!await group.isKept && isTaken) throw unavailable(trouble)
      return result
    }
    if (trouble === null) await (group.isAwaited ? group.isKept : writing?.isAwaited === true ? writing.isKept : null)
    else spread(group)
    return result
  }

  /** A group is written once this turn of the event loop is over, so that all that happens in it goes together. */
  function plan (afterMs: number): void {
    if (writing !== null || isClosed) return
    if (afterMs === 0) {
      if (timer !== null) clearTimeout(timer)
      timer = null
      begin()
    } else if (timer === null) {
      timer = setTimeout(begin, afterMs)
      timer.unref()
    }
  }

  function begin (): void {
    timer = null
    if (writing !== null) return
    const group = open
    writing = group
    setImmediate(() => { writeGroup(group).catch(onState) }) // it deals with what fails itself
  }

  async function writeGroup (group: Group): Promise<void> {
    open = newGroup()
    const changed = changes.take()
    try {
      await write(changed)
      if (isFull()) await makeRoom()
      recovered()
      writing = null
      spread(group)
      group.end(true)
      if (!open.isAwaited) spread(open)
    } catch (error) {
      changes.putBack(changed)
      failed(group, error)
    }
    if (trouble !== null) plan(RETRY_MS[failures - 1] ?? LONGEST_RETRY_MS)
    else if (!changes.isEmpty()) plan(open.isAwaited ? 0 : UNHURRIED_MS)
  }

  function recovered (): void {
    failures = 0
    if (trouble === null && !isFull()) return
    const now = isFull() ? Object.assign(new Error('There is no space left on the disk.'), { code: 'ENOSPC' }) : null
    if (trouble === null || now === null) onState(now)
    trouble = now
  }

  /** What was done meanwhile may rest upon what is taken back, so its rights go first. */
  function failed (group: Group, error: unknown): void {
    failures += 1
    if (trouble === null) onState(error)
    trouble = error
    writing = null
    const later = open
    open = newGroup()
    advance()
    for (const undo of [...later.undo.toReversed(), ...group.undo.toReversed()]) undo()
    for (const each of [group, later, open]) spread(each)
    group.end(false)
    later.end(false)
  }

  function spread (group: Group): void {
    for (const change of group.told.splice(0)) queueMicrotask(() => { tell(change) })
  }

  async function flush (): Promise<void> {
    for (let group = writing; group !== null; group = writing) await group.isKept
    if (changes.isEmpty()) return
    const group = open
    plan(0)
    if (!await group.isKept) throw unavailable(trouble)
  }

  return {
    run,
    tell: change => {
      open.told.push(change)
      queueMicrotask(() => { if (!open.isAwaited && writing === null) spread(open) })
    },
    trouble: () => trouble === null ? null : unavailable(trouble),
    flush,
    close: async () => {
      await flush().finally(() => { isClosed = true })
    }
  }
}

function unavailable (cause: unknown): Problem {
  return new Problem('store-unavailable', { cause })
}

function newGroup (): Group {
  let end = (_isKept: boolean): void => {}
  const isKept = new Promise<boolean>(resolve => { end = resolve })
  return { isAwaited: false, undo: [], told: [], isKept, end }
}
