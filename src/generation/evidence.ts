// What the ledger answers to a claim, what it is told of an attempt or a purchase, and how it answers then. Evidence is a fact, and always taken.

import type { MicroUsd } from '../money.ts'
import type { Bases } from './bases.ts'
import type { Failure, Generation, Terms } from './generation.ts'
import type { Media } from './media.ts'
import type { Phase } from './phases.ts'

/**
 * What a claim gets:
 *
 * - `go`: the right to send submit attempt `row.attempt`, once. It is written before the POST. `isQueueEmpty`: no other generation in the queue could be claimed.
 * - `wait`: the store may have lost what it was told last. Nothing is claimed until the replicas have put it back (see `renew`), or until `untilMs`.
 * - `busy`: no slot is free. `empty`: no generation waits that could be claimed. `breaker`: circuit breakers stop those that wait.
 * - `late`: the claim began after its deadline.
 */
export type Claimed =
  | Taken & { readonly outcome: 'go', readonly isQueueEmpty: boolean }
  | { readonly outcome: 'wait', readonly untilMs: number }
  | { readonly outcome: 'busy' | 'empty' | 'breaker' | 'late' }

/**
 * How a purchase ended at fal. `cost`: what fal billed; `null` when it named no bill, and the price table decides. `files`: how many pictures were made; without
 * it as many as the request could give. `bases`: where addresses stand in the output that are made for who asks; `media`: those of
 * files that are stored, or will be.
 */
export type Ending =
  | { readonly kind: 'succeeded', readonly output: string, readonly seed: string | null, readonly learnedName: string | null, readonly cost: MicroUsd | null, readonly files?: number, readonly bases?: Bases | null, readonly media?: Media | null }
  | { readonly kind: 'failed', readonly failure: Failure, readonly cost: MicroUsd | null }
  | { readonly kind: 'cancelled', readonly cost: MicroUsd | null }

/**
 * What becomes of a generation whose attempt fal certainly did not accept: it waits in the queue again, or it fails. `busy`: fal answered 429.
 * `elsewhere`: the failure is the account's alone, so that with another one it may go well.
 */
export type Unsent = { readonly retryAfterMs: number, readonly busy?: boolean } | { readonly failure: Failure, readonly elsewhere?: boolean }

/** A row as a piece of evidence left it. `from` is its phase before that, which is the same where the evidence changed none. */
export interface Weighed extends Generation { readonly from: Phase }

/** A row for the replica that looks after it from now on, and what it was admitted under. */
export interface Taken { readonly row: Generation, readonly terms: Terms }

/** What a replica knows about a generation. When that is more than the store knows, the store went back in time. `holds`: the replica looks after it now. */
export interface Fact extends Taken { readonly holds: boolean }

/** What became of a wish to have a generation forgotten: it is, now or since before; or it has not ended for good. */
export type Erased = { readonly outcome: 'erased' | 'no-such-generation' } | { readonly outcome: 'not-ended', readonly phase: Phase }

export type Cancelled =
  | { readonly outcome: 'cancelled' | 'asked' | 'already-cancelled' | 'others-waiting' | 'already-finished', readonly row: Generation }
  | { readonly outcome: 'no-such-generation' }

export type Settled = { readonly outcome: 'settled', readonly row: Generation } | { readonly outcome: 'too-young' | 'not-unknown' | 'no-such-generation' }

/** `booked`: what the correction added to what was spent, or took from it; `reopened`: the model was closed because its price was unsure. */
export type Corrected =
  | { readonly outcome: 'corrected', readonly row: Generation, readonly booked: MicroUsd, readonly reopened: boolean }
  | { readonly outcome: 'not-ended' | 'no-such-generation' }
