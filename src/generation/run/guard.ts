// What the upstream's answers say about buying at all: repeated failures, a blocked account, a retired model. The state itself is shared in the ledger.

import type { ProblemCode } from '../../errors.ts'
import type { Guard as SharedGuard, GuardState, Verdict } from '../guard-state.ts'
import type { Ledger } from '../ledger.ts'
import type { Suspect } from '../upstream.ts'

/** The upstream's guard as this process knows it. */
export interface Guard {
  /** What a submit that failed with this code says about buying at all. It goes to the ledger with the evidence, so that nothing is sent between the two. */
  readonly verdictOn: (model: string, code: ProblemCode, suspect?: Suspect) => Verdict | undefined
  /** The worst that holds: of the account, then of any model or tenant. At most a second old. */
  readonly state: GuardState
  /** What is not ok, the account's first. */
  readonly closed: readonly SharedGuard[]
  /** Learns what holds. Never rejects, because an unreachable ledger refuses purchases by itself. */
  readonly look: () => Promise<void>
  /** There is reason to think that fal takes our account again: the next one may try at once, not after the pause. Never rejects. */
  readonly tryAgain: () => Promise<void>
}

/** When the guard closes, and for how long before one generation goes through as the probe. */
export interface GuardLimits {
  /** This many failures in a row, on all replicas together and with nothing that worked between them, open the guard. */
  readonly failuresToOpen: number
  readonly openMs: number
  readonly blockedMs: number
  readonly retiredMs: number
}

/** The scope of the whole account. */
const ACCOUNT = '*'

export function createGuard (ledger: Ledger, { failuresToOpen, openMs, blockedMs, retiredMs }: GuardLimits, onError: (error: unknown) => void): Guard {
  let closed: readonly SharedGuard[] = []

  async function look (): Promise<void> {
    try {
      const guards = await ledger.guards()
      closed = guards.filter(({ state }) => state !== 'ok').toSorted((one, other) => one.scope < other.scope ? -1 : 1)
    } catch (error) {
      onError(error)
    }
  }

  return {
    verdictOn: (model, code, suspect = 'account') => {
      switch (code) {
        case 'upstream-account-blocked': return { scope: ACCOUNT, state: 'account-blocked', retryAfterMs: blockedMs }
        case 'model-retired': return { scope: model, state: 'retired', retryAfterMs: retiredMs }
        case 'upstream-unavailable':
        case 'outcome-unknown': return { scope: ACCOUNT, state: 'open', retryAfterMs: openMs, after: failuresToOpen, ...(suspect === 'request' ? { tenantFirst: true } : {}) }
        default: return undefined
      }
    },
    get state () { return worstOf(closed) },
    get closed () { return closed },
    look,
    tryAgain: async () => {
      await look()
      if (!closed.some(({ scope, state }) => scope === ACCOUNT && state === 'account-blocked')) return
      try {
        // A probe may have opened it since.
        await ledger.guard(ACCOUNT, { state: 'account-blocked', retryAfterMs: 0, only: 'account-blocked' })
      } catch (error) {
        onError(error)
      }
    }
  }
}

/** The account's state when it is not ok, since it stops everything; else that of some model or tenant which is not. */
export function worstOf (guards: readonly SharedGuard[]): GuardState {
  return guards.find(({ scope, state }) => scope === ACCOUNT && state !== 'ok')?.state ?? guards.find(({ state }) => state !== 'ok')?.state ?? 'ok'
}
