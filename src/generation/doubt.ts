// What is done about an answer that would throw a paid picture away: it is looked at again, for as long as fal may still have it (rule 25).

/**
 * Why a result is looked at again, as its row keeps it: it cannot be had; it is gone, no output of the model, or cancelled although nobody asked for that;
 * or it was two of these, one after the other.
 */
export type Doubt = 'unavailable' | 'expired' | 'no-output' | 'cancelled' | 'undecided'

export const doubts = ['unavailable', 'expired', 'no-output', 'cancelled', 'undecided'] as const satisfies readonly Doubt[]

/** The pauses before each look. */
export const LOOK_AGAIN_MS: readonly number[] = [1_000, 3_000, 10_000, 30_000, 60_000, 120_000]

/** Nothing is looked at for longer than this after the first doubt: fal keeps large results for six minutes. */
export const LOOK_FOR_MS = 300_000

/** A failure that would cost nothing is believed when it was seen so often, after a pause each time: a paid picture may lie behind it. */
export const TRIES_TO_BELIEVE = 3
export const BELIEVE_PAUSE_MS = 500

/** The doubt of a row after this was seen. That a result cannot be had says nothing of it; whatever else is said differently leaves it undecided. */
export function doubtAfter (known: Doubt | null, seen: Doubt): Doubt {
  if (known === null || known === 'unavailable') return seen
  return seen === 'unavailable' || seen === known ? known : 'undecided'
}

/** Since when there is a doubt that was `known` since `sinceMs`: the time of the first answer that would throw the picture away, or else of the first one that said nothing. */
export function doubtSince (known: Doubt | null, sinceMs: number | null, seen: Doubt, nowMs: number): number {
  return sinceMs === null || (known === 'unavailable' && seen !== 'unavailable') ? nowMs : sinceMs
}

/** How many of the looks are over when the doubt is so old. */
export function looksOver (pausesMs: readonly number[], ageMs: number): number {
  let atMs = 0
  const next = pausesMs.findIndex(pauseMs => (atMs += pauseMs) > ageMs)
  return next < 0 ? pausesMs.length : next
}
