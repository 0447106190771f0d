// What the reader of one stream was not told yet.

import type { Generation } from '../generation.ts'
import type { Follower } from './tracks.ts'

export interface Inbox extends Follower {
  /** The ledger does not know the generation any more. */
  readonly isLost: boolean
  /** Takes out the oldest state. */
  readonly take: () => Generation | undefined
  readonly wake: () => void
  /** Resolves with the next call of any of the others but `take`. */
  readonly woken: () => Promise<void>
}

/** States that wait for one reader; with more the oldest are passed over. */
const MAX_STATES = 16

export function createInbox (): Inbox {
  const states: Generation[] = []
  let isLost = false
  let wakeReader = (): void => {}
  const wake = (): void => { wakeReader() }
  return {
    changed: row => {
      if (states.length === MAX_STATES) states.shift()
      states.push(row)
      wake()
    },
    logged: wake,
    lost: () => {
      isLost = true
      wake()
    },
    get isLost () { return isLost },
    take: () => states.shift(),
    wake,
    woken: async () => { await new Promise<void>(resolve => { wakeReader = resolve }) }
  }
}
