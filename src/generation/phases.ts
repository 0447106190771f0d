// The words for where a generation stands, inside and outside, and the moves that are legal.

/** Where a generation stands, as the ledger writes it. */
export type Phase =
  | 'waiting' // in our queue; nothing was sent
  | 'submitting' // a submit attempt was granted; its outcome is not written yet
  | 'accepted' // fal gave a request id and has it in its queue
  | 'running' // fal works on it
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'unknown' // bytes of a submit went out and nothing came back

/** Where a generation stands, as callers see it. */
export type Status = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'unknown'

export const phases = ['waiting', 'submitting', 'accepted', 'running', 'succeeded', 'failed', 'cancelled', 'unknown'] as const satisfies readonly Phase[]

export const statuses = ['queued', 'running', 'succeeded', 'failed', 'cancelled', 'unknown'] as const satisfies readonly Status[]

/**
 * The legal moves. `unknown` is left by evidence that comes late (accepted, never sent, finished) or by an operator;
 * `succeeded`, `failed` and `cancelled` are never left, but for one that an operator settled as `failed`, when its output is found.
 */
export const moves: Readonly<Record<Phase, readonly Phase[]>> = {
  waiting: ['submitting', 'failed', 'cancelled'],
  submitting: ['waiting', 'accepted', 'running', 'succeeded', 'failed', 'cancelled', 'unknown'],
  accepted: ['running', 'succeeded', 'failed', 'cancelled', 'unknown'],
  running: ['succeeded', 'failed', 'cancelled', 'unknown'],
  unknown: ['waiting', 'accepted', 'running', 'succeeded', 'failed', 'cancelled'],
  succeeded: [],
  failed: [],
  cancelled: []
}

/** The public word for a phase. */
export function statusOf (phase: Phase): Status {
  return phase === 'waiting' || phase === 'submitting' || phase === 'accepted' ? 'queued' : phase
}

/** Has the generation ended, as far as a waiting caller is concerned? `unknown` counts: nothing more will come by itself. */
export function hasEnded (phase: Phase): boolean {
  return phase === 'succeeded' || phase === 'failed' || phase === 'cancelled' || phase === 'unknown'
}

/** Is the generation at fal, as far as is known? */
export function isAtUpstream (phase: Phase): boolean {
  return phase === 'submitting' || phase === 'accepted' || phase === 'running'
}
