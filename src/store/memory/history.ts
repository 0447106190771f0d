// Whether the store may have lost what it was told last, and how long nothing is claimed therefore (rule 23): until the replicas have put back what they know,
// for one lease at most. Memory loses nothing; with a server that a test changes it is the model of what does.

import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { State } from './state.ts'

/** Looks whether something may have been lost since the last claim or renewal, and gives until when nothing is claimed, or null. */
export function lookAtServer (state: State): number | null {
  const server = state.server()
  const isOther = state.metServer !== null && state.metServer !== server
  state.metServer = server
  if (isOther && state.counter > 0) pauseClaims(state)
  if (state.held === null) return null
  const now = state.now()
  // The clock was set back: no longer than a lease from here.
  if (now < state.held.sinceMs) state.held = { sinceMs: now, untilMs: now + state.times.leaseMs }
  if (state.held.untilMs > now) return state.held.untilMs
  letGo(state)
  return null
}

/** Holds claims back until everybody has renewed again that did in the last lease before the change. */
function pauseClaims (state: State): void {
  const { renewed, awaited } = state
  const now = state.now()
  const latestMs = Math.max(...renewed.values())
  for (const [replica, atMs] of renewed) if (atMs > latestMs - state.times.leaseMs) awaited.add(replica)
  renewed.clear()
  if (awaited.size > 0) state.held = { sinceMs: now, untilMs: now + state.times.leaseMs }
}

function letGo (state: State): void {
  state.awaited.clear()
  state.held = null
}

/** Notes that this replica is there, and forgets those that were not for a lease. */
function note (state: State, seen: Map<string, number>, replica: string): void {
  const now = state.now()
  seen.set(replica, now)
  for (const [name, atMs] of seen) {
    if (atMs < now - state.times.leaseMs) seen.delete(name)
    // Those who come from later than now were there before the clock was set back.
    else if (atMs > now) seen.set(name, now)
  }
}

/** This replica is there, and has put back all that it knows. */
export function isThere (state: State, replica: string): void {
  const { renewed, awaited } = state
  note(state, renewed, replica)
  if (awaited.delete(replica) && awaited.size === 0) letGo(state)
}

/** This replica has a heartbeat. */
export function beat (state: State, replica: string): void {
  note(state, state.beats, replica)
}

/** Those that had a heartbeat within the last lease and none for two seconds, the longest silent first. */
export function silentReplicas (state: State): readonly string[] {
  return [...state.beats]
    .filter(([replica]) => isSilent(state, replica))
    .toSorted(([one, oneMs], [other, otherMs]) => oneMs - otherMs || (one < other ? -1 : 1))
    .map(([replica]) => replica)
}

export function isSilent (state: State, replica: string): boolean {
  const beatMs = state.beats.get(replica)
  return beatMs !== undefined && beatMs <= state.now() - ledgerConstants.silentMs
}

/** This replica leaves: after a later change nobody waits for it, and its silence means nothing. */
export function leave (state: State, replica: string): void {
  state.renewed.delete(replica)
  state.beats.delete(replica)
}
