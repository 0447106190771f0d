// Whether an answer reached its caller, and whether a caller is still there (rules 6 and 7).

import type { Withdrawal } from '../../generation/admission.ts'
import type { Connection, Failure } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { takeBackHook } from './hooks.ts'
import { addEvent } from './outbox.ts'
import { change, deliver, findById } from './rows.ts'
import type { State } from './state.ts'

/** The ledger's `seen`. */
export function seen (state: State, id: string, connection: Connection | null): void {
  const entry = state.rows.get(id)
  // An unknown is no end: a caller who was told of it may ask again, and must not buy again.
  if (entry === undefined || entry.row.delivered || entry.row.phase === 'unknown') return
  if (connection === null || isWrittenThere(entry.row.connection, connection)) deliver(state, entry)
}

/** The ledger's `left`. A caller that was answered may leave: a delivered generation keeps its time, and so does one that others wait for. */
export function left (state: State, id: string, connection: Connection): void {
  const entry = state.rows.get(id)
  if (entry === undefined || entry.row.delivered || !isWrittenThere(entry.row.connection, connection)) return
  const { phase, waitUntilMs, joined } = entry.row
  if (phase !== 'waiting' || !entry.hidden.keyless || joined) return change(state, entry, { connection: null })
  change(state, entry, { connection: null, waitUntilMs: Math.min(waitUntilMs, state.now() + ledgerConstants.abandonedMs) })
}

/** What a generation ends with whose caller was told that the store was away. */
const withdrawn: Failure = { code: 'store-unavailable', detail: 'Its admission was not confirmed in time, so nothing was bought.' }

/** The ledger's `withdraw`. */
export function withdraw (state: State, admissions: readonly Withdrawal[]): void {
  for (const { id, connection, claimId, hookId } of admissions) {
    const noted = hookId === undefined ? undefined : findById(state, state.answers.get(id)?.id ?? id)?.entry
    if (hookId !== undefined && noted !== undefined) takeBackHook(state, noted, hookId)
    const entry = state.rows.get(id)
    if (entry === undefined) continue
    const { phase, attempt, joined, delivered } = entry.row
    // Nobody heard of the claim that came along, so nothing was sent.
    const isUnsent = phase === 'submitting' && claimId !== undefined && entry.hidden.claimId === claimId
    if (!isUnsent && (phase !== 'waiting' || attempt > 0)) continue
    const isLeft = !joined && !delivered && (connection === null || isWrittenThere(entry.row.connection, connection))
    if (isLeft) {
      change(state, entry, { phase: 'failed', owner: null, failure: withdrawn, cost: 0, finishedAtMs: state.now() }, { claimId: null })
      addEvent(state, entry, 'ended', phase, 0)
    } else if (isUnsent) {
      change(state, entry, { phase: 'waiting', owner: null, upstream: state.upstream }, { claimId: null, retryAtMs: state.now() })
    }
  }
}

/** The ledger's `askOpen`: every replica of this ledger lives in this process. */
export function askOpen (state: State, replica: string, connections: readonly string[]): ReadonlySet<string> {
  const isOpen = state.answerers.get(replica)
  return new Set(isOpen === undefined ? [] : connections.filter(isOpen))
}

/** The ledger's `askThere`. */
export function askThere (state: State, replica: string): 'there' | 'silent' {
  return state.answerers.has(replica) ? 'there' : 'silent'
}

/** The ledger's `answerOpen`. */
export function answerOpen (state: State, replica: string, isOpen: (connection: string) => boolean): () => void {
  state.answerers.set(replica, isOpen)
  return () => {
    if (state.answerers.get(replica) === isOpen) state.answerers.delete(replica)
  }
}

function isWrittenThere (written: Connection | null, connection: Connection): boolean {
  return written !== null && written.replica === connection.replica && written.connection === connection.connection
}
