// What fal showed of a generation at work since the last piece of evidence was begun. More is added to it until it is tried for the first time: after that it
// stays as it is, because with more in it the ledger would not recognise a piece whose answer was lost.

import { joinLogs } from '../log-text.ts'
import type { Sighting } from '../upstream.ts'

/** A generation as fal shows it at work. */
export type Progress = Extract<Sighting, { kind: 'queued' | 'running' }>

export interface ProgressPiece {
  /** Adds what was seen after it; false when it was tried already. */
  readonly add: (seen: Progress) => boolean
  /** All of it, for a try. */
  readonly take: () => Progress
}

export function createProgressPiece (first: Progress): ProgressPiece {
  let seen = first
  let isTried = false
  return {
    add: more => {
      if (!isTried) seen = { ...more, log: joinLogs(seen.log, more.log) }
      return !isTried
    },
    take: () => {
      isTried = true
      return seen
    }
  }
}
