// The two rights, admission and claim: asked for with a deadline on Redis' clock, so that what was answered too late has changed nothing (rule 1).

import type { Admission, Admitted, Claimed, Ledger, RateState } from '../../generation/ports.ts'
import { Problem } from '../../errors.ts'
import type { Caller } from './caller.ts'
import { ConnectionLost, MAX_IN_FLIGHT, Unanswered, type Connection } from './connection.ts'
import { guardStateIn, integerIn, listIn, rowIn, textIn, wordIn } from './wire.ts'

/** A script that starts this much before the caller is given up still has its answer there in time. */
const TRAVEL_MS = 50

type Rights = Pick<Ledger, 'admit' | 'claim'>

type AdmittedFor = Pick<Admission, 'id' | 'connection'>

interface RightsOptions {
  readonly caller: Caller
  readonly connection: Connection
  readonly now: () => number
  readonly deadlineMs: number
}

/** Admissions taken back in one call. */
const WITHDRAW_BATCH = 500

export function createRights ({ caller, connection, now, deadlineMs }: RightsOptions): Rights {
  /** Admissions whose callers were told that nothing was bought, while Redis may have written them. At most as many as calls wait for Redis at once. */
  const doubtful = new Map<string, AdmittedFor>()

  /** A lost connection leaves open whether the right was granted. It is asked for again under the same id while there is time, which gives the same answer. */
  async function insist (ask: () => Promise<unknown>, onUnanswered = (): void => {}): Promise<unknown> {
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

  function doubt ({ id, connection }: AdmittedFor): void {
    const [oldest] = doubtful.keys()
    if (doubtful.size >= MAX_IN_FLIGHT && oldest !== undefined) doubtful.delete(oldest)
    doubtful.set(id, { id, connection })
  }

  /** Makes true what those callers were told, before this process claims anything; a script that is still to start is too late for its deadline. */
  async function withdraw (): Promise<void> {
    while (doubtful.size > 0) {
      const batch = [...doubtful.values()].slice(0, WITHDRAW_BATCH)
      await caller.call('withdraw', { admissions: batch })
      for (const { id } of batch) doubtful.delete(id)
    }
  }

  return {
    async admit ({ input, ...admission }) {
      const given = { startByMs: startBy(admission.deadlineMs), ...admission }
      // Whatever its last answer was: one of them was lost, and may have told of a purchase.
      let isDoubtful = false
      try {
        return admittedIn(await insist(async () => await caller.callBounded('admit', given, input), () => { isDoubtful = true }), admission)
      } catch (error) {
        if (isDoubtful) doubt(admission)
        throw error
      }
    },
    async claim (claim) {
      await withdraw()
      const given = { startByMs: startBy(claim.deadlineMs), ...claim }
      return claimedIn(await insist(async () => await caller.call('claim', given)))
    }
  }
}

function admittedIn (answer: unknown, { rate }: Pick<Admission, 'rate'>): Admitted {
  const [outcome, first, second, third] = listIn(answer)
  switch (outcome) {
    case 'replayed': case 'joined': case 'adopted': case 'hit': return { outcome, row: rowIn(first) }
    case 'bought': return { outcome, row: rowIn(first), rate: rateIn(second, rate) }
    case 'twins': return {
      outcome,
      twins: listIn(first).map(twin => {
        const [id, replica, connection] = listIn(twin)
        return { id: textIn(id), replica: textIn(replica), connection: textIn(connection) }
      })
    }
  }
  wordIn(['refused'], outcome)
  const why = wordIn(['reused', 'late', 'guard', 'token', 'rate', 'full', 'budget'], first)
  switch (why) {
    case 'reused': case 'late': return { outcome: 'refused', why }
    case 'guard': return { outcome: 'refused', why, guard: guardStateIn(second), retryAfterSeconds: integerIn(third) }
    case 'token': return { outcome: 'refused', why, token: wordIn(['unknown', 'expired', 'revoked', 'exhausted'], second) }
    case 'rate': case 'full': return { outcome: 'refused', why, rate: rateIn(second, rate) }
    case 'budget': return { outcome: 'refused', why, rate: rateIn(second, rate), owner: textIn(third) }
  }
}

function rateIn (value: unknown, { max, windowSeconds }: Admission['rate']): RateState {
  const [used, resetSeconds] = listIn(value)
  return { max, windowSeconds, used: integerIn(used), resetSeconds: integerIn(resetSeconds) }
}

function claimedIn (answer: unknown): Claimed {
  const [outcome, row, isLineEmpty] = listIn(answer)
  return outcome === 'go' ? { outcome, row: rowIn(row), isLineEmpty: isLineEmpty === '1' } : { outcome: wordIn(['busy', 'empty', 'guard', 'late'], outcome) }
}
