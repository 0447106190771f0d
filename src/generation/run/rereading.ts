// When the row of a generation that is looked after here should be read again.
//
//   state   | doubtful | everything is written  | it could not be read | 2 s are over
//   --------|----------|------------------------|----------------------|---------------------
//   certain | due      | certain                | later                | –
//   due     | due      | certain: read it now   | due, and later       | as it was: read it now
//
// "Later" is a timer beside the state: what comes due meanwhile does not wait for it.

import { clearTimeout, setTimeout } from 'node:timers'
import type { Generation } from '../generation.ts'
import { hasEnded } from '../phases.ts'

export interface Rereading {
  /** The row may stand elsewhere than was thought here: it is to be read as soon as everything is written. */
  readonly doubtful: () => void
  readonly everythingWritten: () => void
  readonly couldNotBeRead: () => void
  readonly close: () => void
}

const AGAIN_MS = 2000

/** `onDue`: it should be read now. */
export function createRereading (onDue: () => void): Rereading {
  let state: 'certain' | 'due' = 'certain'
  let later: NodeJS.Timeout | undefined
  return {
    doubtful: () => { state = 'due' },
    everythingWritten: () => {
      if (state === 'certain') return
      state = 'certain'
      onDue()
    },
    couldNotBeRead: () => {
      clearTimeout(later)
      later = setTimeout(onDue, AGAIN_MS)
    },
    close: () => { clearTimeout(later) }
  }
}

/** Does the row stand elsewhere than its owner thought? Then others had a word: an operator, a caller who cancels, a process that took it over. */
export function isOtherwise (row: Generation, thought: Generation, isDouble: boolean): boolean {
  if (row.cancelWished !== thought.cancelWished) return true
  return !isDouble && (hasEnded(row.phase) || row.requestId !== thought.requestId)
}
