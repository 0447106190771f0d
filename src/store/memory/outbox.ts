// The outbox: what happened to a generation without its owner's doing, and how breakers stand. Kept until one replica takes it, so that it is told once.
// And what one replica does for all.

import type { BreakerState } from '../../breaker-states.ts'
import type { Brief, Generation } from '../../generation/generation.ts'
import type { OutboxEvent, GenerationNotice } from '../../generation/outbox.ts'
import type { Phase } from '../../generation/phases.ts'
import type { MicroUsd } from '../../money.ts'
import type { Notice, State } from './state.ts'

/** Writes down that a row has just changed from this phase, or got more expensive. */
export function addEvent (state: State, { row }: { readonly row: Generation }, kind: GenerationNotice['kind'], from: Phase, booked: MicroUsd): void {
  post(state, { kind, id: row.id, from, booked })
}

/** Writes down that a breaker has just changed. */
export function addBreakerEvent (state: State, scope: string, from: BreakerState, to: BreakerState): void {
  post(state, { kind: 'breaker', scope, from, state: to })
}

/** The ledger's `takeOutbox`. `show` gives the row as it now is, briefly, or nothing when it is forgotten. */
export function takeOutbox (state: State, max: number, show: (id: string) => Brief | undefined): OutboxEvent[] {
  const taken = [...state.outbox].slice(0, max)
  for (const [number] of taken) state.outbox.delete(number)
  return taken.flatMap<OutboxEvent>(([, event]) => {
    if (event.kind === 'breaker') return [event]
    const { id, ...told } = event
    const row = show(id)
    return row === undefined ? [] : [{ ...told, row }]
  })
}

function post (state: State, notice: Notice): void {
  state.notices += 1
  state.outbox.set(String(state.notices), notice)
}

/** The ledger's `once`. */
export function once (state: State, what: string, forMs: number): boolean {
  if ((state.granted.get(what) ?? 0) > state.now()) return false
  state.granted.set(what, state.now() + forMs)
  return true
}
