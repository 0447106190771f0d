// What those on call are shown of the ledger beside figures and circuit breakers: tenants in the line, what failed last, and which replicas are there.

import type { ProblemCode } from '../errors.ts'
import type { MicroUsd } from '../money.ts'

/** How a tenant stands in the line. */
export interface Standing {
  readonly tenant: string
  /** Its places at fal. */
  readonly running: number
  readonly waiting: number
  /** The admission of the oldest that waits for its turn, or pauses before another attempt; `null`: there is none. Of those that pause the thousand are looked at that go on first. */
  readonly oldestMs: number | null
}

/** A generation that failed, without anything that a caller or fal has written. */
export interface FailedGeneration {
  readonly id: string
  readonly tenant: string
  readonly model: string
  readonly code: ProblemCode
  readonly finishedAtMs: number
  /** What was booked for it. */
  readonly cost: MicroUsd
}

/** A replica, and how much it looks after. */
export interface SeenReplica {
  /** The name of its process in leases. */
  readonly replica: string
  /** Its last heartbeat. */
  readonly beatAtMs: number
  /** Generations that fal has accepted and that it follows. One that was taken over twice is not among them. */
  readonly following: number
}
