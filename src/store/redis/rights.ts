// The two rights, admission and claim: asked for with a deadline on Redis' clock, so that what was answered too late has changed nothing (rule 1).

import { Problem } from '../../errors.ts'
import type { Admission, AdmittedAll, ClaimOffer, Withdrawal } from '../../generation/admission.ts'
import { trace } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { Ledger } from '../../generation/ledger.ts'
import { admittedAlone, assertListable } from '../admission-list.ts'
import type { Caller } from './caller.ts'
import { MAX_IN_FLIGHT, type Connection } from './connection.ts'
import { ConnectionLost, Unanswered } from './redis-errors.ts'
import { connectionText } from './wire-rows.ts'

/** A script that starts this much before the caller is given up still has its answer there in time. */
const TRAVEL_MS = 50

type Rights = Pick<Ledger, 'admit' | 'admitAll' | 'preview' | 'withdraw' | 'claim'> & {
  /** Makes true what callers were told whose admissions were not answered. */
  readonly withdrawDoubtful: () => Promise<void>
}

interface RightsOptions {
  readonly caller: Caller
  readonly connection: Connection
  /** Throws when nothing may be bought with this Redis. */
  readonly assertFit: () => void
  readonly now: () => number
  readonly deadlineMs: number
}

/** Admissions taken back in one call. */
const WITHDRAW_BATCH = 25

export function createRights ({ caller, connection, assertFit, now, deadlineMs }: RightsOptions): Rights {
  /** Admissions whose callers were told that nothing was bought, while Redis may have written them. At most as many as wait for Redis at once. */
  const doubtful = new Map<string, Withdrawal>()

  /** A lost connection leaves open whether the right was granted. It is asked for again under the same id while there is time, which gives the same answer. */
  async function insist<Answer> (ask: () => Promise<Answer>, onUnanswered = (): void => {}): Promise<Answer> {
    const endMs = performance.now() + deadlineMs
    for (;;) {
      try {
        return await ask()
      } catch (error) {
        const leftMs = endMs - performance.now()
        const cause = error instanceof Problem ? error.facts.cause : undefined
        if (cause instanceof Unanswered) onUnanswered()
        const isLost = cause instanceof ConnectionLost
        if (!isLost || leftMs < TRAVEL_MS || !await connection.whenUp(leftMs)) throw error
      }
    }
  }

  /** The latest start that a caller who is given up after `deadlineMs` can have bought something with. */
  function startBy (givenMs: number): number {
    return Math.min(givenMs, now() + deadlineMs - TRAVEL_MS)
  }

  function doubt (withdrawal: Withdrawal): void {
    const [oldest] = doubtful.keys()
    if (doubtful.size >= MAX_IN_FLIGHT * ledgerConstants.maxAdmissions && oldest !== undefined) doubtful.delete(oldest)
    doubtful.set(withdrawal.id, withdrawal)
  }

  async function withdraw (admissions: readonly Withdrawal[]): Promise<void> {
    await caller.call('withdraw', { admissions: admissions.map(({ connection, ...withdrawal }) => ({ ...withdrawal, connection: connectionText(connection) })) })
  }

  /** Makes true what those callers were told, before this process claims anything; a script that is still to start is too late for its deadline. */
  async function withdrawDoubtful (): Promise<void> {
    while (doubtful.size > 0) {
      const batch = [...doubtful.values()].slice(0, WITHDRAW_BATCH)
      await withdraw(batch)
      for (const { id } of batch) doubtful.delete(id)
    }
  }

  async function admitThem (admissions: readonly Admission[], claim?: ClaimOffer): Promise<AdmittedAll> {
    assertListable(admissions)
    assertFit()
    const given = {
      startByMs: startBy(Math.min(...admissions.map(({ deadlineMs }) => deadlineMs))),
      admissions: admissions.map(admission => ({ ...writtenOf(admission), inputBytes: Buffer.byteLength(admission.input) })),
      ...claim
    }
    const inputs = admissions.map(({ input }) => input).join('')
    // Whatever its last answer was: one of them was lost, and may have told of a purchase.
    let isDoubtful = false
    try {
      return await insist(async () => await caller.callBounded('admit', claim === undefined ? given : { ...given, known: caller.history() }, inputs), () => { isDoubtful = true })
    } catch (error) {
      if (isDoubtful) for (const { id, connection, hook } of admissions) doubt({ id, connection, ...(claim === undefined ? {} : { claimId: claim.claimId }), ...(hook === null ? {} : { hookId: hook.id }) })
      throw error
    }
  }

  return {
    admit: async (admission, claim) => admittedAlone(await admitThem([admission], claim)),
    admitAll: async admissions => await admitThem(admissions),
    async preview (admission) {
      assertFit()
      // Not as admissions are: what writes nothing goes on when memory is full (rule 15).
      return await caller.call('preview', { admission: writtenOf(admission) })
    },
    withdraw,
    async claim (claim) {
      await withdrawDoubtful()
      assertFit()
      const given = { startByMs: startBy(claim.deadlineMs), ...claim }
      return await insist(async () => await caller.call('claim', { ...given, known: caller.history() }))
    },
    withdrawDoubtful
  }
}

/** An admission as scripts take it, without its input. */
function writtenOf ({ input, ...admission }: Omit<Admission, 'deadlineMs'>): object {
  return {
    ...admission,
    connection: connectionText(admission.connection),
    trace: trace.write(admission.trace),
    duplicates: admission.duplicates.map(({ id, open, ...connection }) => ({ id, open, connection: connectionText(connection) }))
  }
}
