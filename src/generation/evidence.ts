// What a claim gives, what is told of an attempt or a purchase, and what becomes of it. Evidence is a fact and is always taken.

import type { MicroUsd } from '../money.ts'
import type { Failure, Generation, Terms } from './generation.ts'
import type { Phase } from './phases.ts'

/**
 * What an attempt to claim gave. `go` is the journal line before the POST: it grants submit attempt `row.attempt` once. `isQueueEmpty`: nobody else stands
 * in the queue that could be claimed. `wait`: the store may have lost what it was told last, and nothing is claimed before its replicas have put it back (see `renew`),
 * or before `untilMs`.
 */
export type Claimed =
  | Taken & { readonly outcome: 'go', readonly isQueueEmpty: boolean }
  | { readonly outcome: 'wait', readonly untilMs: number }
  | { readonly outcome: 'busy' | 'empty' | 'breaker' | 'late' }

/**
 * How a generation ended at fal. `cost` is `null` when fal named none and the price table decides; `files`: how many it made, where that is known; without
 * it as many as it might.
 */
export type Ending =
  | { readonly kind: 'succeeded', readonly output: string, readonly seed: string | null, readonly learnedName: string | null, readonly cost: MicroUsd | null, readonly files?: number }
  | { readonly kind: 'failed', readonly failure: Failure, readonly cost: MicroUsd | null }
  | { readonly kind: 'cancelled', readonly cost: MicroUsd | null }

/** What becomes of an attempt that fal has not got. */
export type Unsent = { readonly retryAfterMs: number, readonly busy?: boolean } | { readonly failure: Failure }

/** A row as a piece of evidence left it, and the phase that it found; the same phase when it changed none. */
export interface Weighed extends Generation { readonly from: Phase }

/** A row for the replica that looks after it from now on, and what it was admitted under. */
export interface Taken { readonly row: Generation, readonly terms: Terms }

/** What a replica knows about a generation it holds; more than the row's own facts proves that the store went back in time. */
export interface Fact extends Taken { readonly holds: boolean }

export type Cancelled =
  | { readonly outcome: 'cancelled' | 'asked' | 'already-cancelled' | 'others-waiting' | 'already-finished', readonly row: Generation }
  | { readonly outcome: 'no-such-generation' }

export type Settled = { readonly outcome: 'settled', readonly row: Generation } | { readonly outcome: 'too-young' | 'not-unknown' | 'no-such-generation' }

/** `booked`: what the correction added to what was spent, or took from it; `reopened`: the model was closed because its price was unsure. */
export type Corrected =
  | { readonly outcome: 'corrected', readonly row: Generation, readonly booked: MicroUsd, readonly reopened: boolean }
  | { readonly outcome: 'not-ended' | 'no-such-generation' }
