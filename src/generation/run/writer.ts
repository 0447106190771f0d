// Writes pieces to the ledger in the order in which they come, each for as long as it takes.
//
//   state   | a piece comes             | a try fails         | a try is answered | the last piece is done
//   --------|---------------------------|---------------------|-------------------|-----------------------
//   idle    | writing: it is tried      | –                   | –                 | –
//   writing | it waits for its turn     | away: all are told  | writing           | idle
//   away    | it is told, and waits     | away: all are told  | writing           | –
//
// `stopped` ends the pause between two tries. From then on each piece has one try, and the ledger that is away is not waited for.

import { backoffMs } from '../../backoff.ts'
import type { OnTrouble } from '../../trouble.ts'
import { sleep } from './sleep.ts'

/** Asks the ledger until it answers. */
export type Ask = <T>(operation: () => Promise<T>) => Promise<T>

export type Written<T> = { readonly kind: 'written', readonly value: T } | { readonly kind: 'stopped' }

export interface Writer {
  /** Everything is written, or given up. */
  readonly isIdle: boolean
  /** Does `piece` once it is its turn. `whileAway` is called for each try that fails before it is done, its own or that of a piece before it, and at once while the ledger is away. */
  readonly write: <T>(piece: (ask: Ask) => Promise<T>, whileAway: () => void) => Promise<Written<T>>
  /** Resolves when all that came until now is written, or given up. */
  readonly written: () => Promise<void>
}

/** Between two tries while the ledger is away: the first pause, and the longest. */
const BACKOFF = { firstMs: 50, mostMs: 2000 }

const STOPPED = new Error('the writer is stopped')

export function createWriter (onTrouble: OnTrouble, stopped: AbortSignal): Writer {
  /** Those that are not done; each waits for the one before it. */
  const pieces = new Set<{ readonly whileAway: () => void }>()
  let last: Promise<unknown> = Promise.resolve()
  let isAway = false

  async function write<T> (work: (ask: Ask) => Promise<T>, whileAway: () => void): Promise<Written<T>> {
    const piece = { whileAway }
    pieces.add(piece)
    if (isAway) whileAway()
    const turn = last.then(async () => await done(work)).finally(() => {
      pieces.delete(piece)
      if (pieces.size === 0) isAway = false
    })
    last = turn.catch(() => {}) // told to the caller of `write`
    return await turn
  }

  async function done<T> (work: (ask: Ask) => Promise<T>): Promise<Written<T>> {
    try {
      return { kind: 'written', value: await work(ask) }
    } catch (error) {
      if (error !== STOPPED) throw error
      return { kind: 'stopped' }
    }
  }

  async function ask<T> (operation: () => Promise<T>): Promise<T> {
    for (let failures = 1; ; failures++) {
      try {
        const answer = await operation()
        isAway = false
        return answer
      } catch (error) {
        isAway = true
        onTrouble('write-evidence', error)
        for (const { whileAway } of pieces) whileAway()
      }
      if (await sleep(backoffMs(failures, BACKOFF), stopped) === 'interrupted') throw STOPPED
    }
  }

  return { get isIdle () { return pieces.size === 0 }, write, written: async () => { await last } }
}
