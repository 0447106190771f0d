// Writing down what this process learns of one generation: in the order in which it was learned, and however long the ledger is away. Meanwhile the
// generation goes on from what is known here.

import { clearTimeout, setTimeout as startTimer } from 'node:timers'
import { setTimeout } from 'node:timers/promises'
import { joinLogs } from './log-text.ts'
import { hasEnded, type Phase } from './phases.ts'
import type { Ledger, Row, Sighting, Weighed } from './ports.ts'
import type { Watch } from './watch.ts'

/** A generation as fal shows it at work. */
export type Progress = Extract<Sighting, { kind: 'queued' | 'running' }>

export interface EvidenceTools {
  readonly ledger: Ledger
  readonly watch: Watch
  /** This process, as it stands in rows and leases. */
  readonly replica: string
  /** Told of every change of phase that evidence of this process made, and how long the last phase took, where that was seen here. */
  readonly onMove: (from: Phase, to: Row, phaseMs: number | null) => void
  /** Told that the ledger had lost, or forgotten news of, generations that this process holds; they were put back. */
  readonly onRestored: (generations: number) => void
  /** Told of troubles with the ledger; everything is tried again. */
  readonly onTrouble: (doing: string, error: unknown) => void
}

export interface Evidence {
  /** The generation as the ledger had it last. */
  readonly row: Row
  /**
   * Writes one piece about `reported` and gives the row as it then is; null when there is none any more. What the ledger has lost is put back first.
   * `then` is the row that this makes, as far as this process can tell: while the ledger is away, the step goes on with one that has not ended, and the
   * piece is written later; of one that has ended the waiters here are told. Rejects when `stopped` fires.
   */
  readonly report: (reported: Row, write: () => Promise<Weighed | null>, then?: Row) => Promise<Row | null>
  /** Reports what fal shows. While the ledger is away it becomes one piece: the last state, and all log lines. */
  readonly progress: (reported: Row, seen: Progress) => Promise<Row | null>
  /** The row as the ledger has it now; null when it has none, cannot be asked, or was not told yet what is known here. */
  readonly read: () => Promise<Row | null>
  /** Resolves when everything is written, or given up because `stopped` fired. */
  readonly close: () => Promise<void>
}

/** Longest pause between two tries while the ledger is away. */
const MAX_PAUSE_MS = 2000

/**
 * `row` as it was given to this process; `isFresh`: its phase began just now. `onBack` is called when the ledger was away and knows now what was learned
 * meanwhile, or may be read again.
 */
export function createEvidence (row: Row, isFresh: boolean, tools: EvidenceTools, onBack: () => void, stopped: AbortSignal): Evidence {
  const { ledger } = tools
  let known = row
  let phaseSinceMs = isFresh ? performance.now() : null
  /** Pieces that are not written yet; each waits for the one before it. */
  let unwritten = 0
  let writing: Promise<unknown> = Promise.resolve()
  /** What fal showed and nobody tried to write yet. */
  let untold: { seen: Progress } | null = null
  let readingAgain: NodeJS.Timeout | undefined

  async function report (reported: Row, write: () => Promise<Weighed | null>, then?: Row): Promise<Row | null> {
    if (then === undefined) return await inTurn(reported, write, () => {})
    if (hasEnded(then.phase)) return await inTurn(reported, write, () => { tools.watch.tell(then) })
    let isAway = false
    return await new Promise((resolve, reject) => {
      inTurn(reported, write, () => {
        isAway = true
        resolve(then)
      }).then(written => {
        resolve(written)
        if (isAway && unwritten === 0) onBack()
      }, reject)
    })
  }

  async function progress (reported: Row, seen: Progress): Promise<Row | null> {
    const next: Row = seen.kind === 'queued' ? reported : { ...reported, phase: 'running', startedAtMs: reported.startedAtMs ?? ledger.now() }
    if (untold !== null) {
      untold.seen = { ...seen, log: joinLogs(untold.seen.log, seen.log) }
      return next
    }
    const piece = { seen }
    untold = piece
    return await report(reported, async () => {
      // Once tried it stays as it is: with more in it, its own answer that was lost would not be recognised.
      if (untold === piece) untold = null
      const { log, ...sighting } = piece.seen
      return await ledger.progressed(reported.id, reported.attempt, sighting, log)
    }, next)
  }

  /** `onAway` is called whenever it could not be written, and when something before it still waits to be. */
  async function inTurn (reported: Row, write: () => Promise<Weighed | null>, onAway: () => void): Promise<Row | null> {
    if (unwritten > 0) onAway()
    unwritten += 1
    const turn = writing.then(async () => await put(reported, write, onAway)).finally(() => { unwritten -= 1 })
    writing = turn.catch(() => {}) // told to whoever reported it
    return await turn
  }

  async function put (reported: Row, write: () => Promise<Weighed | null>, onAway: () => void): Promise<Row | null> {
    let tries = 0
    const weighed = await putBackAnd(reported, async () => {
      tries += 1
      return await write()
    }, onAway)
    if (weighed === null) return null
    const { from: found, ...now } = weighed
    // What changed it was an earlier try, whose answer was lost, when nothing else did: others who have evidence took the row over first.
    const from = tries > 1 && now.version === known.version + 1 ? known.phase : found
    // Others may have told the same before, and then it was they who changed it.
    if (from !== now.phase) tools.onMove(from, now, phaseSinceMs === null || from !== known.phase ? null : performance.now() - phaseSinceMs)
    note(now)
    return now
  }

  async function putBackAnd (reported: Row, write: () => Promise<Weighed | null>, onAway: () => void): Promise<Weighed | null> {
    const weighed = await untilAnswered(write, onAway)
    if (weighed !== null) return weighed
    // A ledger without this row went back in time: the row is put back first, from what is known here.
    await untilAnswered(async () => { await ledger.restore(tools.replica, [{ row: reported, holds: true }]) }, onAway)
    tools.onRestored(1)
    return await untilAnswered(write, onAway)
  }

  async function untilAnswered<T> (ask: () => Promise<T>, onAway: () => void): Promise<T> {
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      try {
        return await ask()
      } catch (error) {
        tools.onTrouble('writing evidence', error)
        onAway()
        await setTimeout(pauseMs, undefined, { signal: stopped })
      }
    }
  }

  function note (now: Row): void {
    if (now.phase !== known.phase) phaseSinceMs = performance.now()
    known = now
  }

  async function read (): Promise<Row | null> {
    if (unwritten > 0) return null
    try {
      const [now] = await ledger.look([known.id])
      if (now === undefined) return null
      note(now)
      return now
    } catch (error) {
      tools.onTrouble('reading a generation', error)
      clearTimeout(readingAgain)
      readingAgain = startTimer(onBack, MAX_PAUSE_MS)
      return null
    }
  }

  return {
    get row () { return known },
    report,
    progress,
    read,
    close: async () => {
      clearTimeout(readingAgain)
      await writing
    }
  }
}
