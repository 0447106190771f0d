// The upstream's state, shared by all replicas: what may be bought, and the one probe that finds out whether it may again (rule 14).

import type { Guard, Verdict } from '../../generation/ports.ts'
import type { Row } from '../../generation/row.ts'
import { tellGuard } from './news.ts'
import type { Entry, State } from './state.ts'

/** The guards that stand before a model and are not ok: the account's, then the model's own. */
export function closedGuards (state: State, model: string): Guard[] {
  return ['*', model].flatMap(scope => {
    const guard = state.guards.get(scope)
    return guard === undefined || guard.state === 'ok' ? [] : [guard]
  })
}

/** The first guard that keeps this generation from being bought now: its pause is not over, or another one is the probe. */
export function blockedBy (state: State, id: string, model: string): Guard | undefined {
  return closedGuards(state, model).find(guard => state.now() < guard.retryAtMs || (guard.probe !== null && guard.probe !== id))
}

/** Makes this generation the probe of every guard that is not ok; only for one that nothing blocks. */
export function becomeProbe (state: State, id: string, model: string): void {
  for (const guard of closedGuards(state, model)) state.guards.set(guard.scope, { ...guard, probe: id })
}

/** The probe ended or lost its owner: the next generation may try. */
export function freeProbe (state: State, id: string): void {
  for (const guard of state.guards.values()) {
    if (guard.probe === id) state.guards.set(guard.scope, { ...guard, probe: null })
  }
}

/** The probe pauses for longer than its guard does: another may try before it. */
export function yieldProbe (state: State, { row: { id, model }, hidden: { retryAtMs } }: Entry): void {
  for (const guard of closedGuards(state, model)) {
    if (guard.probe === id && guard.retryAtMs < retryAtMs) state.guards.set(guard.scope, { ...guard, probe: null })
  }
}

/** Ids of the probes under way. */
export function probes (state: State): string[] {
  return [...state.guards.values()].flatMap(guard => guard.probe ?? [])
}

/** How long a refused caller should wait: until the pause is over, or as long as a probe's owner may be silent. */
export function retryAfterSecondsOf (state: State, guard: Guard): number {
  const pauseMs = guard.retryAtMs - state.now()
  return Math.max(1, Math.ceil((pauseMs > 0 ? pauseMs : state.times.leaseMs) / 1000))
}

/**
 * Takes a word about buying at all, the last one counting. While it stays not ok the probe keeps its place: it goes again after the new pause, or frees
 * the place by ending.
 */
export function judge (state: State, verdict: Verdict): Guard {
  const { scope, after, only } = verdict
  const before = state.guards.get(scope) ?? { scope, state: 'ok', sinceMs: state.now(), retryAtMs: 0, probe: null, failures: 0 }
  if (only !== undefined && before.state !== only) return before
  const guard = judged(state, before, verdict, verdict.state === 'ok' ? 0 : before.failures + 1, after)
  state.guards.set(scope, guard)
  if (guard.state !== before.state) tellGuard(state, scope, before.state, guard.state)
  return guard
}

function judged (state: State, before: Guard, { state: word, retryAfterMs }: Verdict, failures: number, after: number | undefined): Guard {
  const now = state.now()
  if (after !== undefined && before.state === 'ok' && failures < after) return { ...before, failures }
  if (after !== undefined && before.state !== 'ok' && before.state !== word) return { ...before, failures, retryAtMs: Math.max(before.retryAtMs, now + retryAfterMs) }
  const isOk = word === 'ok'
  return {
    scope: before.scope,
    state: word,
    sinceMs: word === before.state ? before.sinceMs : now,
    retryAtMs: isOk ? 0 : now + retryAfterMs,
    probe: isOk ? null : before.probe,
    failures
  }
}

/** fal accepted this generation: it opens the guards whose probe it is, and ends a row of failures. */
export function clear (state: State, { id, model }: Row): void {
  for (const scope of ['*', model]) {
    const guard = state.guards.get(scope)
    if (guard !== undefined && (guard.state === 'ok' ? guard.failures > 0 : guard.probe === id)) judge(state, { scope, state: 'ok', retryAfterMs: 0 })
  }
}

/** Every guard that ever got a verdict. */
export function guards (state: State): Guard[] {
  return [...state.guards.values()]
}
