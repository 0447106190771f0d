// The model in memory as the process left it that died a moment ago, and as the next one finds it: what nobody writes down has ended.

import { isFinal } from '../../src/store/memory/books.ts'
import { adjust } from '../../src/store/memory/rows.ts'
import type { State } from '../../src/store/memory/state.ts'

export function restart (state: State): void {
  for (const id of state.rows.keys()) {
    const entry = state.rows.get(id)
    if (entry === undefined) continue
    entry.row = { ...entry.row, connection: null }
    // Nobody looks after it, so it is due.
    adjust(state, entry, { claimId: null, leaseUntilMs: isFinal(entry.row) ? 0 : state.now() })
  }
  for (const breaker of state.breakers.values()) state.breakers.set(breaker.scope, { ...breaker, probe: null })
  for (const [id] of state.answers.entries()) state.answers.delete(id)
  for (const [id] of state.tombstones.entries()) state.tombstones.delete(id)
  for (const ended of [state.beats, state.renewed, state.awaited]) ended.clear()
  state.held = null
  state.metServer = null
}
