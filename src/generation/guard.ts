// What the upstream's answers say about buying at all: repeated failures, a blocked account, a retired model. The state itself is shared in the ledger.

import type { ProblemCode } from '../errors.ts'
import type { GuardState, Ledger } from './ports.ts'

/** Tells the shared guard; never rejects, because an unreachable ledger refuses purchases by itself. */
export interface Guard {
  /** A submit or result failed with this code. */
  failed: (model: string, code: ProblemCode) => Promise<void>
  /** fal accepted a generation. */
  worked: (model: string) => Promise<void>
  /** What is known here of buying at all: the account's state. */
  readonly state: GuardState
  /** Learns what other processes told. Without it a probe that works here would not open what was closed elsewhere. */
  look: () => Promise<void>
}

/** This many failures in a row, with nothing that worked between them, open the guard. */
const FAILURES_TO_OPEN = 5

/** How long nothing is bought before one generation goes through as a probe. */
const retryAfterMs: Readonly<Record<Exclude<GuardState, 'ok'>, number>> = {
  open: 10_000,
  'account-blocked': 30_000,
  retired: 600_000
}

export function createGuard (ledger: Ledger, onError: (error: unknown) => void): Guard {
  let failuresInARow = 0
  /** Scopes that are not ok, as far as this process knows; of others nothing is told, so that a working upstream costs no call. */
  let closed = new Map<string, GuardState>()

  async function tell (scope: string, state: GuardState): Promise<void> {
    try {
      await ledger.guard(scope, { state, retryAfterMs: state === 'ok' ? 0 : retryAfterMs[state] })
      if (state === 'ok') closed.delete(scope)
      else closed.set(scope, state)
    } catch (error) {
      onError(error)
    }
  }

  return {
    failed: async (model, code) => {
      if (code === 'upstream-account-blocked') await tell('*', 'account-blocked')
      else if (code === 'model-retired') await tell(model, 'retired')
      else if (code === 'upstream-unavailable' && ++failuresInARow >= FAILURES_TO_OPEN) await tell('*', 'open')
    },
    worked: async model => {
      failuresInARow = 0
      for (const scope of ['*', model]) {
        if (closed.has(scope)) await tell(scope, 'ok')
      }
    },
    get state () { return closed.get('*') ?? 'ok' },
    look: async () => {
      try {
        closed = new Map((await ledger.guards()).filter(({ state }) => state !== 'ok').map(({ scope, state }) => [scope, state]))
      } catch (error) {
        onError(error)
      }
    }
  }
}
