// Writing down what this process learns of one generation: in the order in which it was learned, and however long the ledger is away. Meanwhile the
// generation goes on from what is known here.

import { clearTimeout, setTimeout as startTimer } from 'node:timers'
import { setTimeout } from 'node:timers/promises'
import { doubtAfter, doubtSince, type Doubt } from './doubt.ts'
import { joinLogs } from './log-text.ts'
import { hasEnded, type Phase } from './phases.ts'
import type { Ledger, LogPiece, Sighting, Taken, Weighed } from './ports.ts'
import type { Row } from './row.ts'
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
  /**
   * Told that the ledger had lost, or forgotten news of, generations that this process holds; they were put back. `contested`: names that lead to purchases
   * begun meanwhile and stay there.
   */
  readonly onRestored: (generations: number, contested: number) => void
  /** Told of troubles with the ledger; everything is tried again. */
  readonly onTrouble: (doing: string, error: unknown) => void
  /** Does this process follow another generation under this request id? The ledger knows it of all processes, and may be away. */
  readonly isOthersHere: (requestId: string, id: string) => boolean
}

export interface Evidence {
  /** The generation as the ledger had it last; of a double under the request id that is followed here. */
  readonly row: Row
  /** fal's id under which it is followed here, also when that is not written yet. */
  readonly requestId: string | null
  /** The ledger has another purchase for it. The one that is followed here is a double, and its end is news about its price. */
  readonly isDouble: boolean
  /**
   * Writes how an attempt went and gives the row as it then is; null when there is none any more, or it is another purchase's to go on. What the ledger has
   * lost is put back first. `end` is that row as far as this process can tell: while the ledger is away, it is what the waiters here are told. Rejects when
   * `stopped` fires.
   */
  readonly report: (reported: Row, write: () => Promise<Weighed | null>, end?: Row) => Promise<Row | null>
  /**
   * Writes that fal took it under this id, and gives the row to go on with meanwhile. Where that id may be another generation's it is the row as the ledger
   * then has it.
   */
  readonly accepted: (reported: Row, requestId: string) => Row | Promise<Row | null>
  /** Resolves once the ledger was told the request id, with whether it is this generation's. While the ledger is away it counts as that. */
  readonly isOurs: () => Promise<boolean>
  /** Writes what fal shows of it, and gives the row to go on with meanwhile. What is seen before it can be written becomes one piece. */
  readonly progress: (reported: Followed, seen: Progress) => Row
  /** Writes that fal is done with it and its answer could not be used, and gives the row to go on with meanwhile; nothing is written when that stands in it. */
  readonly doubted: (reported: Followed, seen: Doubt, log?: LogPiece) => Followed
  /**
   * The row to go on with: as the ledger has it now, or `current` when it has none or an older one, cannot be asked, or was not told yet what is known here.
   * Of a double only a wish to cancel is taken over.
   */
  readonly read: (current: Row) => Promise<Row>
  /** Resolves when everything is written, or given up because `stopped` fired. */
  readonly written: () => Promise<void>
  /** The same, and nothing is read any more. */
  readonly close: () => Promise<void>
}

/** A row that fal knows under an id. */
export type Followed = Row & { readonly requestId: string }

/** What the purchase that is followed here is to the ledger: the row's own, a second one beside it, or one of another generation. */
type Standing = 'own' | 'double' | 'refused'

/** Longest pause between two tries while the ledger is away. */
const MAX_PAUSE_MS = 2000

/**
 * The row as it was given to this process; `isFresh`: its phase began just now. `onReadingDue` is called when all is written and the row should be read:
 * it is not as this process went on with it, or the ledger was away.
 */
export function createEvidence ({ row, terms }: Taken, isFresh: boolean, tools: EvidenceTools, onReadingDue: () => void, stopped: AbortSignal): Evidence {
  const { ledger } = tools
  let known = row
  let own = row.requestId
  let standing: Standing = 'own'
  /** Resolves when it is known whether `own` is this generation's, as far as that can be known now. */
  let judged: Promise<void> = Promise.resolve()
  let onJudged = (): void => {}
  let phaseSinceMs = isFresh ? performance.now() : null
  /** Pieces that are not written yet; each waits for the one before it. */
  let unwritten = 0
  let writing: Promise<unknown> = Promise.resolve()
  /** What fal showed and nobody tried to write yet. */
  let untried: { seen: Progress } | null = null
  /** What waiters are told while the ledger is away. */
  let told: Row | null = null
  let isAway = false
  /** The row is to be read when all is written. */
  let isReadingDue = false
  let readingAgain: NodeJS.Timeout | undefined

  async function report (reported: Row, write: () => Promise<Weighed | null>, end?: Row): Promise<Row | null> {
    if (end !== undefined) {
      told = end
      if (isAway) tools.watch.tell(end)
    }
    try {
      const now = await inTurn(reported, write)
      return now === null || standing === 'own' || hasEnded(now.phase) ? now : null
    } finally {
      told = null // the ledger has the last word
    }
  }

  function accepted (reported: Row, requestId: string): Row | Promise<Row | null> {
    const sent = async (): Promise<Weighed | null> => await ledger.sent(reported.id, reported.attempt, requestId)
    own = requestId
    if (tools.isOthersHere(requestId, reported.id)) return report(reported, sent)
    judged = new Promise(resolve => { onJudged = resolve })
    const next: Row = { ...reported, phase: 'accepted', requestId }
    goOn(reported, sent, next)
    return next
  }

  async function isOurs (): Promise<boolean> {
    await judged
    return standing !== 'refused'
  }

  function progress (reported: Followed, seen: Progress): Row {
    const certain: Row = reported.doubt === null ? reported : { ...reported, doubt: null, doubtSinceMs: null }
    const next: Row = seen.kind === 'queued' ? certain : { ...certain, phase: 'running', startedAtMs: reported.startedAtMs ?? ledger.now() }
    if (untried !== null) {
      untried.seen = { ...seen, log: joinLogs(untried.seen.log, seen.log) }
      return next
    }
    const piece = { seen }
    untried = piece
    goOn(reported, async () => {
      // Once tried it stays as it is: with more in it, its own answer that was lost would not be recognised.
      if (untried === piece) untried = null
      const { log, ...sighting } = piece.seen
      return await ledger.progressed(reported.id, reported.attempt, reported.requestId, sighting, log)
    }, next)
    return next
  }

  function doubted (reported: Followed, seen: Doubt, log?: LogPiece): Followed {
    const doubt = doubtAfter(reported.doubt, seen)
    if (doubt === reported.doubt) return reported
    const next = { ...reported, doubt, doubtSinceMs: doubtSince(reported.doubt, reported.doubtSinceMs, seen, ledger.now()) }
    untried = null // what is seen at work after this is another piece
    goOn(reported, async () => await ledger.doubted(reported.id, reported.attempt, reported.requestId, seen, log), next)
    return next
  }

  /** Has it written while the generation goes on as `next`. */
  function goOn (reported: Row, write: () => Promise<Weighed | null>, next: Row): void {
    inTurn(reported, write).then(written => {
      if (written === null || isOtherwise(written, next, standing)) isReadingDue = true
      if (!isReadingDue || unwritten > 0) return
      isReadingDue = false
      onReadingDue()
    }, () => {}) // `stopped`: whoever takes over learns it again
  }

  async function inTurn (reported: Row, write: () => Promise<Weighed | null>): Promise<Row | null> {
    const learnedAtMs = performance.now()
    unwritten += 1
    const turn = writing.then(async () => await put(reported, learnedAtMs, write)).finally(() => { unwritten -= 1 })
    writing = turn.catch(() => {}) // told to whoever reported it
    return await turn
  }

  async function put (reported: Row, learnedAtMs: number, write: () => Promise<Weighed | null>): Promise<Row | null> {
    let tries = 0
    const weighed = await putBackAnd(reported, async () => {
      tries += 1
      return await write()
    })
    if (weighed === null) return null
    const { from: found, ...now } = weighed
    // What changed it was an earlier try, whose answer was lost: others who have evidence claimed the row or took it over first.
    const from = tries > 1 && now.attempt === known.attempt && now.takeovers === known.takeovers ? known.phase : found
    // Others may have told the same before, and then it was they who changed it.
    // That an operator's settlement was corrected is news, whoever corrected it.
    if (from !== now.phase && from !== 'failed') tools.onMove(from, now, phaseSinceMs === null || from !== known.phase ? null : learnedAtMs - phaseSinceMs)
    judge(now)
    note(now, learnedAtMs)
    return now
  }

  /** What the ledger makes of the request id that this process holds, once it was told that one. */
  function judge ({ requestId }: Row): void {
    own ??= requestId
    if (own === null) return
    standing = requestId === own ? 'own' : requestId === null ? 'refused' : 'double'
    onJudged()
  }

  async function putBackAnd (reported: Row, write: () => Promise<Weighed | null>): Promise<Weighed | null> {
    const weighed = await untilAnswered(write)
    if (weighed !== null && !isOlder(weighed, known)) return weighed
    // The ledger went back in time. The row is put back first, from what is known here; what ended as not bought is booked by the renewal.
    const facts = [{ row: { ...reported, version: Math.max(reported.version, known.version) }, terms, holds: true }]
    await untilAnswered(async () => await ledger.renew(tools.replica, facts, true))
    const { contested } = await untilAnswered(async () => await ledger.restore(tools.replica, facts))
    tools.onRestored(1, contested)
    return await untilAnswered(write)
  }

  async function untilAnswered<T> (ask: () => Promise<T>): Promise<T> {
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      try {
        const answer = await ask()
        isAway = false
        return answer
      } catch (error) {
        isAway = isReadingDue = true
        onJudged()
        tools.onTrouble('writing evidence', error)
        if (told !== null) tools.watch.tell(told)
        await setTimeout(pauseMs, undefined, { signal: stopped })
      }
    }
  }

  function note (now: Row, atMs: number): void {
    if (now.phase !== known.phase) phaseSinceMs = atMs
    known = now
  }

  async function read (current: Row): Promise<Row> {
    if (unwritten > 0) return current
    let now: Row | undefined
    try {
      [now] = await ledger.look([known.id])
    } catch (error) {
      tools.onTrouble('reading a generation', error)
      clearTimeout(readingAgain)
      readingAgain = startTimer(onReadingDue, MAX_PAUSE_MS)
    }
    // A copy from before what was told is put back with the next renewal. Meanwhile it must not be acted upon: a submit would be begun twice.
    if (now === undefined || isOlder(now, known)) return current
    if (own !== null && now.requestId !== null && now.requestId !== own && standing === 'own') await tellDouble(now, own)
    else note(now, performance.now())
    own ??= now.requestId
    return standing === 'double' ? { ...current, cancelWished: now.cancelWished } : now
  }

  /** The row came back with another purchase than the one that is held here: the ledger is told of this one, and both are followed. */
  async function tellDouble ({ id, attempt }: Row, requestId: string): Promise<void> {
    await inTurn({ ...known, requestId }, async () => await ledger.sent(id, attempt, requestId)).catch(() => {}) // `stopped`
  }

  return {
    get row () { return standing === 'double' ? { ...known, requestId: own } : known },
    get requestId () { return own },
    get isDouble () { return standing === 'double' },
    report,
    accepted,
    isOurs,
    progress,
    doubted,
    read,
    written: async () => { await writing },
    close: async () => {
      clearTimeout(readingAgain)
      await writing
    }
  }
}

/** Does the row stand otherwise than its owner thought? Then others had a word: an operator, a caller who cancels, a process that took it over. */
function isOtherwise (row: Row, thought: Row, standing: Standing): boolean {
  if (row.cancelWished !== thought.cancelWished) return true
  return standing !== 'double' && (hasEnded(row.phase) || row.requestId !== thought.requestId)
}

/** Is it from before something that the ledger knew already? Its version alone does not tell: others may have changed it since. */
function isOlder (row: Row, known: Row): boolean {
  return row.version < known.version || row.attempt < known.attempt || (row.requestId === null && known.requestId !== null)
}
