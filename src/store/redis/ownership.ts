// Whose ledger it is that this process meets on Redis. Scripts decide and tell with every answer; what was told is known here.

import { Problem } from '../../errors.ts'
import type { StoreFaultChange } from '../../store-faults.ts'
import { accountText, foreignLedgerSentence, NOBODYS_LEDGER, type OwnAccount } from '../../upstream-account.ts'

export interface Ownership {
  /** What scripts are told of this process. */
  readonly claimed: () => Claimed
  /** Told with each answer whose ledger it is, when it is not this process'. */
  readonly heard: (upstream: string | undefined) => void
  /** What an operation is rejected with that a script refused. */
  readonly refusal: () => Problem
}

/**
 * `upstream`: the first of its accounts; `accounts`: all of them, where there are several; `slots`: of those that have a number of their own; `isGuest`: it makes neither an
 * empty ledger its own, nor accounts known to it.
 */
export interface Claimed {
  readonly upstream?: string
  readonly accounts?: readonly string[]
  readonly slots?: Readonly<Record<string, number>>
  readonly takesEmpty?: true
  readonly isGuest?: true
}

export interface OwnershipOptions {
  /** Those that this process has keys of now; the same list as long as nothing changes. `null`: an operator's window. */
  readonly accounts: (() => readonly OwnAccount[]) | null
  /** Makes an empty ledger its own, and its accounts known to the ledger. Operators' commands, which only look who somebody is, do not. */
  readonly takesEmpty: boolean
  /** Where the ledger is, in words. */
  readonly place: string
  /** Told once for each change. */
  readonly onFault: (change: StoreFaultChange) => void
}

export function createOwnership ({ accounts, takesEmpty, place, onFault }: OwnershipOptions): Ownership {
  let foreign: string | undefined
  let latest: { readonly own: readonly OwnAccount[], readonly mayTake: boolean, readonly claimed: Claimed } = { own: [], mayTake: false, claimed: NOTHING }
  const sentence = (): string => foreign === undefined ? `${place}: the ledger there is that of this process` : foreignLedgerSentence(foreign, accounts?.() ?? [], place)

  return {
    claimed: () => {
      if (accounts === null) return NOTHING
      const own = accounts()
      // An owner whose Redis was emptied comes back for it; one that only met it as another's must not be quicker.
      const mayTake = takesEmpty && foreign === undefined
      if (own !== latest.own || mayTake !== latest.mayTake) latest = { own, mayTake, claimed: claimedWith(own, mayTake, !takesEmpty) }
      return latest.claimed
    },
    heard (upstream) {
      // To a process that would not take it, an empty ledger is nothing to tell.
      const isForeign = upstream !== undefined && !(upstream === NOBODYS_LEDGER && foreign === undefined)
      const before = foreign
      foreign = isForeign ? upstream : undefined
      if (foreign !== before) onFault({ fault: 'foreign', isThere: isForeign, sentence: sentence() })
    },
    refusal: () => new Problem('foreign-ledger', { retryAfterSeconds: RETRY_AFTER_SECONDS, cause: new Error(sentence()) })
  }
}

const NOTHING: Claimed = {}

function claimedWith (own: readonly OwnAccount[], mayTake: boolean, isGuest: boolean): Claimed {
  const names = own.map(accountText)
  const slots = Object.fromEntries(own.flatMap(account => account.slots === undefined ? [] : [[accountText(account), account.slots]]))
  return {
    upstream: names[0] ?? '',
    ...(names.length > 1 ? { accounts: names } : {}),
    ...(Object.keys(slots).length > 0 ? { slots } : {}),
    ...(mayTake ? { takesEmpty: true } : {}),
    ...(isGuest ? { isGuest: true } : {})
  }
}

/** It lasts until an operator does something. */
const RETRY_AFTER_SECONDS = 60

/** Where a ledger is, for operators: the settings that lead there, without the address. */
export function placeOf (namespace: string): string {
  return `REDIS_URL, REDIS_NAMESPACE=${namespace}`
}
