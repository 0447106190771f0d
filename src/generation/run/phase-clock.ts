// How long a phase of one generation took, as far as this process saw it: from when it learned of it until it learned of the next one.
//
//   state                  | another phase is learned of | the same phase is
//   -----------------------|-----------------------------|------------------
//   begun elsewhere        | begun here                  | begun elsewhere
//   begun here, at a time  | begun here, at a later one  | begun here, at the same one

import type { Phase } from '../phases.ts'

export interface PhaseClock {
  /** How long `phase` took that ended at `atMs`; null when it is not the one that is known here, or its beginning was not seen. */
  readonly lasted: (phase: Phase, atMs: number) => number | null
  /** At `atMs` it was learned that the generation is in `phase`. */
  readonly at: (phase: Phase, atMs: number) => void
}

/** Times are of a monotonic clock. `sinceMs`: when the phase began, or null when that was not seen here. */
export function createPhaseClock (phase: Phase, sinceMs: number | null): PhaseClock {
  let known = { phase, sinceMs }
  return {
    lasted: (ended, atMs) => known.phase === ended && known.sinceMs !== null ? atMs - known.sinceMs : null,
    at: (next, atMs) => { if (next !== known.phase) known = { phase: next, sinceMs: atMs } }
  }
}
