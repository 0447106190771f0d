// What a request asks of the ledger before anything is bought, and what the ledger answers. Terms: a *right* may be refused and has a deadline.

import type { BreakerState } from '../breaker-states.ts'
import type { ProblemCode } from '../errors.ts'
import type { MicroUsd } from '../money.ts'
import type { Balance } from './accounts.ts'
import type { AdmittedFields, Brief, Connection, Generation, Terms } from './generation.ts'
import type { WantedHook } from './hook.ts'

/** A budget to admit against. The ledger finds the period on its own clock. */
export interface Budget { readonly owner: string, readonly limit: MicroUsd, readonly per: 'day' | 'month' }

/** An undelivered duplicate, and the connection that waits for it. */
export interface DuplicateQuestion extends Connection { readonly id: string }

/** The same, and what its replica said about that connection. */
export interface DuplicateAnswer extends DuplicateQuestion { readonly open: boolean }

/**
 * All the ledger has to know to admit one request: what stands in the new row, and what decides whether there will be one. Everything that names
 * something is a digest, never a text of the caller. `cacheName` (digest of cache group, model and input) is given only with a seed, or with `reuse`: then it
 * is the `reuseName` (digest of cache group, model and input without its seed). `duplicateName` (digest of tenant, subject, model and input) is given only for
 * keyless unseeded requests without `reuse`, which it makes duplicates; `connection` is `null` when nobody waits, be it for the id only.
 */
export interface Admission extends AdmittedFields {
  /** The id the new generation, or an alias, will have. Asked twice with one id, `admit` answers the same. */
  readonly id: string
  /** On the ledger's clock. An admission that starts later changes nothing. */
  readonly deadlineMs: number
  readonly input: string
  /** It asks for pictures inside its output, which make that long. */
  readonly makesLarge: boolean
  /** 0: nobody knows what a unit costs, so the reserved price is booked. */
  readonly unitPrice: MicroUsd
  readonly priceRule: string
  /** The rule that this process had before, until the ledger was told that it has another; `null` when it has none to replace. */
  readonly replacesPriceRule: string | null
  /** The caller's `Idempotency-Key`: digest of tenant, subject and key, and the fingerprint of the request that it stands for. */
  readonly idempotency: { readonly name: string, readonly fingerprint: string } | null
  /** What is known about the duplicates that an earlier answer named. */
  readonly duplicates: readonly DuplicateAnswer[]
  /** No further round of questions: a duplicate not asked about counts as left, because in doubt the money is saved. */
  readonly lastRound: boolean
  /** How long after its end a duplicate is still joined by one that joins twins (`joinsTwins`): until it ends every one is. */
  readonly twinMs: number
  /** How long the caller lets it wait in the queue; `null`: as long as the ledger does. */
  readonly startWithinMs: number | null
  /** The caller has to be given an id, also for what is stored. */
  readonly needsId: boolean
  /** How long after its end the files of a success are there for sure; an older one is not handed out before they were looked at (`look`). `null`: as if for ever. */
  readonly filesLastMs: number | null
  /** The id of a success whose files were looked at for this admission. */
  readonly lookedAt: string | null
  /** Whom to tell when it has ended. Then it has to be given an id, too. */
  readonly hook: WantedHook | null
  readonly rate: { readonly max: number, readonly windowSeconds: number }
  readonly maxInFlight: number
  readonly maxQueued: number
  readonly weight: number
  readonly budgets: readonly Budget[]
}

/** A claim that comes along with an admission: see the ledger's `claim`. `slots`: of each account that has no number of its own. */
export interface ClaimOffer { readonly claimId: string, readonly replica: string, readonly slots: number }

/** The state of a tenant's purchases in this window. */
export interface RateState { readonly max: number, readonly windowSeconds: number, readonly used: number, readonly resetSeconds: number }

/** What is left of a generation that was forgotten while an idempotency key still leads to it: enough to answer, and not to buy again. */
export interface End {
  /** The id that the key's holder knew it by. */
  readonly id: string
  /** Why there is no picture any more, or never was one. */
  readonly code: ProblemCode
  /** What it cost that holder. */
  readonly cost: MicroUsd
  readonly finishedAtMs: number
}

/**
 * What became of an admission. Free answers come before refusals, in the order of this list; a refusal writes nothing.
 *
 * - `replayed`: the idempotency key leads here.
 * - `gone`: the idempotency key leads to a generation that was forgotten meanwhile.
 * - `hit`: the cache name leads to a success. Makes no row. A caller that needs an id, or brings a key to be bound, and may not read the purchase's gets an alias,
 *   always the same.
 * - `joined`: the cache name leads to a generation under way, to an `unknown`, or to a billed refusal younger than 15 minutes; or twins are joined, and there is a
 *   duplicate, delivered or not, that has not ended or did so no longer than `twinMs` ago.
 * - `adopted`: an undelivered duplicate, whose caller is gone, now belongs to this connection. When all callers of those that were asked about are there, one that
 *   repeats its call (`callerRetry`) is given the oldest of them whose caller has not repeated it as often: its own first call is one of these.
 * - `look`: the cache name leads to a success that is older than its files last for sure. Look whether they are there, tell the ledger when they are not
 *   (`noteDeadLinks`), and admit again.
 * - `duplicates`: there are undelivered duplicates; ask their replicas whether the connections are open and admit again. None are named when those that were looked at
 *   cannot be reattached any more, and others stand behind them.
 * - `bought`: a new row, with money reserved and a position in the queue. `terms` are there when it was granted its first attempt at once, to the claim that came along:
 *   nobody waited, and a slot was free. That row is `submitting`.
 */
export type Admitted = Got | LookFirst | DuplicatesFirst | Refused

/** What became of an admission that was not refused. */
export type Got =
  | { readonly outcome: 'replayed' | 'joined' | 'adopted' | 'hit', readonly row: Generation }
  | { readonly outcome: 'gone', readonly end: End }
  | { readonly outcome: 'bought', readonly row: Generation, readonly rate: RateState, readonly terms: Terms | null }

export interface LookFirst { readonly outcome: 'look', readonly row: Generation }

export interface DuplicatesFirst { readonly outcome: 'duplicates', readonly duplicates: readonly DuplicateQuestion[] }

/**
 * What became of a list: each has its own answer, or the whole list is refused, or there are duplicates to ask for, at most 8 of each. `late` stands in the answer
 * to a list that was admitted before, in place of a free answer that is forgotten since: nothing was bought for that one.
 */
export type AdmittedAll =
  | { readonly outcome: 'all', readonly got: readonly (Got | Late)[] }
  | LookFirst
  | DuplicatesFirst
  | Refused

/** What would become of an admission, were it asked for now. `row` is the purchase itself, also where the caller would be given an alias of it. */
export type Foreseen =
  | { readonly outcome: 'replayed' | 'joined' | 'adopted' | 'hit' | 'look', readonly row: Brief }
  | { readonly outcome: 'gone', readonly end: End }
  | { readonly outcome: 'bought' }
  | DuplicatesFirst
  | Refused

/** The same, and how tenant and budgets stand now, without it. */
export interface Preview {
  readonly would: Foreseen
  readonly rate: RateState
  /** Of each of the admission's budgets, in their order. */
  readonly balances: readonly Balance[]
  /** How many of its tenant's generations would be claimed before it, were it bought. */
  readonly position: number
  /** How many of them are at fal. */
  readonly running: number
}

/** An admission to be taken back, and what came along with it. */
export interface Withdrawal extends Pick<Admission, 'id' | 'connection'> {
  readonly claimId?: string
  /** The id of the webhook that came along. */
  readonly hookId?: string
}

interface Late { readonly outcome: 'refused', readonly why: 'late' }

export type Refused =
  | { readonly outcome: 'refused', readonly why: 'reused' | 'late' }
  | { readonly outcome: 'refused', readonly why: 'breaker', readonly breaker: BreakerState, readonly retryAfterSeconds: number }
  | { readonly outcome: 'refused', readonly why: 'prices', readonly ledgerRule: string }
  /** What lies aside leaves no room for what this would make. */
  | { readonly outcome: 'refused', readonly why: 'large' }
  /** The generation, or the tenant, has as many webhooks that are not told yet as it may. */
  | { readonly outcome: 'refused', readonly why: 'hooks' }
  | { readonly outcome: 'refused', readonly why: 'token', readonly token: 'unknown' | 'expired' | 'revoked' | 'exhausted' }
  | { readonly outcome: 'refused', readonly why: 'rate', readonly rate: RateState }
  | { readonly outcome: 'refused', readonly why: 'full', readonly rate: RateState }
  | { readonly outcome: 'refused', readonly why: 'budget', readonly owner: string, readonly rate: RateState }
