// What the upstream's answers say about buying at all: repeated failures, a blocked account, a retired model. The state itself is shared in the ledger.

import type { BreakerState } from '../../breaker-states.ts'
import type { ProblemCode } from '../../errors.ts'
import type { OnTrouble } from '../../trouble.ts'
import { ACCOUNT_SCOPE, isAccountScope, type Breaker, type BreakerReport } from '../breaker-state.ts'
import type { Ledger } from '../ledger.ts'
import type { Suspect } from '../upstream.ts'

/** The circuit breakers as this process knows them. */
export interface Breakers {
  /** What a submit that failed with this code says about buying at all. It goes to the ledger with the evidence, so that nothing is sent between the two. */
  readonly reportOn: (model: string, code: ProblemCode, suspect?: Suspect) => BreakerReport | undefined
  /** The worst that holds: of the account, then of any model or tenant. At most a second old. */
  readonly state: BreakerState
  /** What is not ok, the account's first. */
  readonly tripped: readonly Breaker[]
  /** Learns what holds. Never rejects, because an unreachable ledger refuses purchases by itself. */
  readonly look: () => Promise<void>
  /** There is reason to think that fal takes our account again: the next one may try at once, not after the pause. Never rejects. */
  readonly tryAgain: () => Promise<void>
}

/** When a breaker trips, and for how long before one generation goes through as the probe. */
export interface BreakerLimits {
  /** This many failures in a row, on all replicas together and with nothing that worked between them, open the account's breaker. */
  readonly failuresToOpen: number
  readonly openMs: number
  readonly blockedMs: number
  readonly retiredMs: number
}

export function createBreakers (ledger: Ledger, { failuresToOpen, openMs, blockedMs, retiredMs }: BreakerLimits, onTrouble: OnTrouble): Breakers {
  let tripped: readonly Breaker[] = []

  async function look (): Promise<void> {
    try {
      const breakers = await ledger.breakers()
      tripped = breakers.filter(({ state }) => state !== 'ok').toSorted((one, other) => one.scope < other.scope ? -1 : 1)
    } catch (error) {
      onTrouble('read-breakers', error)
    }
  }

  return {
    reportOn: (model, code, suspect = 'account') => {
      switch (code) {
        case 'upstream-account-blocked': return { scope: ACCOUNT_SCOPE, state: 'account-blocked', retryAfterMs: blockedMs }
        case 'model-retired': return { scope: model, state: 'retired', retryAfterMs: retiredMs }
        case 'upstream-unavailable':
        case 'outcome-unknown': return { scope: ACCOUNT_SCOPE, state: 'open', retryAfterMs: openMs, after: failuresToOpen, ...(suspect === 'request' ? { tenantFirst: true } : {}) }
        default: return undefined
      }
    },
    get state () { return worstOf(tripped) },
    get tripped () { return tripped },
    look,
    tryAgain: async () => {
      await look()
      const blocked = tripped.filter(({ scope, state }) => isAccountScope(scope) && state === 'account-blocked')
      try {
        // A probe may have closed it since.
        for (const { scope } of blocked) await ledger.breaker(scope, { state: 'account-blocked', retryAfterMs: 0, only: 'account-blocked' })
      } catch (error) {
        onTrouble('reset-breaker', error)
      }
    }
  }
}

/** The state of the first account that is not ok, since it stops most; else that of some model or tenant which is not. */
export function worstOf (breakers: readonly Breaker[]): BreakerState {
  return breakers.find(({ scope, state }) => isAccountScope(scope) && state !== 'ok')?.state ?? breakers.find(({ state }) => state !== 'ok')?.state ?? 'ok'
}
