// What the ledger keeps until log and metrics of one replica have been told: the events that no process saw happen.

import type { BreakerState } from '../breaker-states.ts'
import type { MicroUsd } from '../money.ts'
import type { Brief } from './generation.ts'
import type { Phase } from './phases.ts'

/** What log and metrics are told once, whichever process takes it. */
export type OutboxEvent = GenerationNotice | BreakerNotice

/** A breaker that has changed. */
export interface BreakerNotice { readonly kind: 'breaker', readonly scope: string, readonly from: BreakerState, readonly state: BreakerState }

/**
 * What happened to a generation without its owner's doing.
 *
 * - `ended`: cancelled or given up while it waited here, given up because its owners kept dying, or settled by an operator.
 * - `late`: one that had ended turned out to be more expensive.
 * - `double`: a second purchase for one generation.
 * - `shared`: fal gave it the request id of another generation. It is `unknown` unless it has an id of its own.
 * - `found`: one that an operator had settled turned out to have a picture; `booked` may be negative.
 * - `corrected`: an operator said that it cost something else than was booked; `booked` may be negative.
 */
export interface GenerationNotice {
  readonly kind: 'ended' | 'late' | 'double' | 'shared' | 'found' | 'corrected'
  /** The phase before. */
  readonly from: Phase
  readonly row: Brief
  /** What this added to what was spent; a correction may take away. */
  readonly booked: MicroUsd
}
