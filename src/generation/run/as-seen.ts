// A row as it is after something was seen of it at fal, before the ledger has said so.

import { doubtAfter, doubtSince, type Doubt } from '../doubt.ts'
import type { Followed, Generation } from '../generation.ts'
import type { Progress } from './progress-piece.ts'

/** After this was seen: whatever was in doubt about its end, it is at work. */
export function withProgress (row: Generation, seen: Progress, nowMs: number): Generation {
  const certain: Generation = row.doubt === null ? row : { ...row, doubt: null, doubtSinceMs: null }
  return seen.kind === 'queued' ? certain : { ...certain, phase: 'running', startedAtMs: row.startedAtMs ?? nowMs }
}

/** After its result could not be used; the same row when that stands in it. */
export function withDoubt (row: Followed, seen: Doubt, nowMs: number): Followed {
  const doubt = doubtAfter(row.doubt, seen)
  return doubt === row.doubt ? row : { ...row, doubt, doubtSinceMs: doubtSince(row.doubt, row.doubtSinceMs, seen, nowMs) }
}
