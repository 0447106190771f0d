// Which generations callers follow in this process. What is known of one is kept once, in its track, however many follow it.
//
// A track is `live` until its row has ended:
//
//   live  → live    a change: followers are told when callers see the difference; log lines that are not here are fetched
//   live  → ended   the end: the next caller reads the ledger; the last lines are fetched, then followers are told
//   live  → live    the ledger does not know the generation any more: followers are told, and leave
//   ended → ended   whatever comes later is ignored
//   any   → gone    the last follower left

import type { OnTrouble } from '../../trouble.ts'
import type { Change } from '../changes.ts'
import type { Generation } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import { endOf, joinLogs } from '../log-text.ts'
import { hasEnded, statusOf } from '../phases.ts'
import type { LogPiece } from '../upstream.ts'
import type { Watch } from './watch.ts'

/** A generation that is followed here. */
export interface Track {
  /** The row under the names of one of those who asked for it; see {@link seenBy}. */
  readonly row: Generation
  /** The lines that are kept, up to the last one that was read. */
  readonly log: LogPiece
}

/** What a track calls when it changes. None of the functions may throw. */
export interface Follower {
  /** Callers see a difference in the row. It is the last time when that has ended. */
  readonly changed: (row: Generation) => void
  /** The track has more log lines. */
  readonly logged: () => void
  /** The ledger does not know the generation any more. */
  readonly lost: () => void
}

export interface Tracks {
  /** Joins the track of this row, or begins it; `log` is what the caller has read of its log already. */
  readonly join: (row: Generation, follower: Follower, log?: LogPiece) => { readonly track: Track, readonly leave: () => void }
}

export interface TracksDeps {
  readonly ledger: Pick<Ledger, 'logs'>
  readonly watch: Pick<Watch, 'attend'>
  readonly onTrouble: OnTrouble
}

/** A track as this file keeps it. */
interface OpenTrack extends Track {
  /** By what it is found: the purchase as it was when the track began. A row that was put back may have become a name of another purchase. */
  readonly purchase: string
  row: Generation
  log: LogPiece
  readonly followers: Set<Follower>
  readonly unattend: () => void
  isReadingLog: boolean
}

const NO_LINES: LogPiece = { from: 0, lines: [] }

export function createTracks ({ ledger, watch, onTrouble }: TracksDeps): Tracks {
  const live = new Map<string, OpenTrack>()

  function join (row: Generation, follower: Follower, log: LogPiece = NO_LINES): { readonly track: Track, readonly leave: () => void } {
    const track = live.get(row.purchase) ?? begin(row)
    // It was read after what the track heard of last, which may come later than the answer to a read.
    if (row.version > track.row.version) takeChange(track, row)
    track.log = joinLogs(track.log, log)
    track.followers.add(follower)
    return { track, leave: () => { leave(track, follower) } }
  }

  function begin (row: Generation): OpenTrack {
    const track: OpenTrack = {
      purchase: row.purchase,
      row,
      log: NO_LINES,
      followers: new Set(),
      unattend: watch.attend(row.purchase, {
        changed: change => { takeChange(track, change) },
        ended: ended => { takeEnd(track, ended) },
        gone: () => { takeLoss(track) }
      }),
      isReadingLog: false
    }
    live.set(track.purchase, track)
    readLog(track)
    return track
  }

  function leave (track: OpenTrack, follower: Follower): void {
    track.followers.delete(follower)
    if (track.followers.size > 0) return
    track.unattend()
    drop(track)
  }

  function drop (track: OpenTrack): void {
    if (live.get(track.purchase) === track) live.delete(track.purchase)
  }

  function takeChange (track: OpenTrack, change: Change): void {
    const { row } = track
    if (change.version < row.version || hasEnded(row.phase)) return
    // What the ledger calls by the purchase's id, the caller may know by another: the names stay.
    track.row = seenBy(row, { ...row, ...change })
    readLog(track)
    if (looksDifferent(row, track.row)) for (const follower of track.followers) follower.changed(track.row)
  }

  /** The last lines come before the end, if they can be had. */
  async function takeEnd (track: OpenTrack, ended: Generation): Promise<void> {
    if (hasEnded(track.row.phase)) return
    track.row = ended
    drop(track)
    if (endOf(track.log) < ended.logged) await fetchLog(track)
    for (const follower of track.followers) follower.changed(ended)
  }

  function takeLoss (track: OpenTrack): void {
    if (hasEnded(track.row.phase)) return
    for (const follower of track.followers) follower.lost()
  }

  /** Fetches the lines that are told of and not here. */
  async function readLog (track: OpenTrack): Promise<void> {
    if (track.isReadingLog) return
    track.isReadingLog = true
    while (endOf(track.log) < track.row.logged && !hasEnded(track.row.phase) && await fetchLog(track));
    track.isReadingLog = false
  }

  /** Were there any? Lines are a comfort: when the ledger is away, the next change brings them. */
  async function fetchLog (track: OpenTrack): Promise<boolean> {
    const before = endOf(track.log)
    try {
      track.log = joinLogs(track.log, await ledger.logs(track.row.purchase, before))
      for (const follower of track.followers) follower.logged()
    } catch (error) {
      onTrouble('read-log', error)
    }
    return endOf(track.log) > before
  }

  return { join }
}

/** A row as it is now, under the names that it was asked for: through an alias it shows nothing of its buyer. */
export function seenBy ({ id, tenant, subject, accounts, token, connection }: Generation, row: Generation): Generation {
  return { ...row, id, tenant, subject, accounts, token, connection }
}

/** Do callers see the difference? */
function looksDifferent (before: Generation, after: Generation): boolean {
  return statusOf(before.phase) !== statusOf(after.phase) || before.queuePosition !== after.queuePosition || before.startedAtMs !== after.startedAtMs ||
    before.doubtSinceMs !== after.doubtSinceMs
}
