// Whose ledger it is that this process meets on Redis. Scripts decide and tell with every answer; what was told is known here.

import { Problem } from '../../errors.ts'
import type { StoreFaultChange } from '../../store-faults.ts'
import { accountText, foreignLedgerSentence, NOBODYS_LEDGER, type UpstreamAccount } from '../../upstream-account.ts'

export interface Ownership {
  /** What scripts are told of this process. */
  readonly claimed: () => { readonly upstream?: string, readonly takesEmpty?: true }
  /** Told with each answer whose ledger it is, when it is not this process'. */
  readonly heard: (upstream: string | undefined) => void
  /** What an operation is rejected with that a script refused. */
  readonly refusal: () => Problem
}

export interface OwnershipOptions {
  /** `null`: an operator's window. */
  readonly account: UpstreamAccount | null
  /** Makes an empty ledger its own. */
  readonly takesEmpty: boolean
  /** Where the ledger is, in words. */
  readonly place: string
  /** Told once for each change. */
  readonly onFault: (change: StoreFaultChange) => void
}

export function createOwnership ({ account, takesEmpty, place, onFault }: OwnershipOptions): Ownership {
  let foreign: string | undefined
  const sentence = (): string => foreign === undefined || account === null ? `${place}: the ledger there is that of this process` : foreignLedgerSentence(foreign, account, place)

  return {
    claimed: () => account === null
      ? {}
      // An owner whose Redis was emptied comes back for it; one that only met it as another's must not be quicker.
      : { upstream: accountText(account), ...(takesEmpty && foreign === undefined ? { takesEmpty: true } : {}) },
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

/** It lasts until an operator does something. */
const RETRY_AFTER_SECONDS = 60

/** Where a ledger is, for operators: the settings that lead there, without the address. */
export function placeOf (namespace: string): string {
  return `REDIS_URL, REDIS_NAMESPACE=${namespace}`
}
