// The ledger in memory: for one process, and the model that the ledger on Redis is compared with.
// Each operation runs to its end within one turn of the event loop, which is what makes it atomic. The clock stands still during one.

import type { Ledger, LedgerTimes } from '../../generation/ports.ts'
import { admit } from './admit.ts'
import { audit } from './audit.ts'
import { balanceOf, periodOf } from './books.ts'
import { claim } from './claim.ts'
import { answerOpen, askOpen, left, seen } from './delivery.ts'
import { finish, lost, progressed, sent, unsent } from './evidence.ts'
import { judge } from './guards.ts'
import { release, renew, restore, sweep } from './leases.ts'
import { list, look, lookup, read } from './readers.ts'
import { createState } from './state.ts'
import { mint, readToken, revoke } from './tokens.ts'
import { cancel, settle } from './verdicts.ts'

/** A ledger that can tell whether it keeps its own rules. */
export type MemoryLedger = Ledger & {
  /** One sentence for every broken invariant; none when the ledger is sound. */
  readonly audit: () => readonly string[]
}

/**
 * A ledger for one process; nothing survives it. Several runners may share one, each under a replica name of its own.
 * `now` is the ledger's clock in milliseconds; by default wall time that never goes back.
 */
export function createMemoryLedger ({ times, now: clock }: { readonly times: LedgerTimes, readonly now?: () => number }): MemoryLedger {
  const state = createState(times, clock)

  return {
    now: state.now,
    ping: async () => {},

    admit: async admission => admit(state, admission),
    claim: async request => claim(state, request),

    sent: async (id, attempt, requestId) => sent(state, id, attempt, requestId),
    unsent: async (id, attempt, then) => unsent(state, id, attempt, then),
    lost: async (id, attempt, failure) => lost(state, id, attempt, failure),
    progressed: async (id, attempt, sighting) => progressed(state, id, attempt, sighting),
    finish: async (id, attempt, requestId, ending) => finish(state, id, attempt, requestId, ending),

    renew: async (replica, facts) => renew(state, replica, facts),
    restore: async (replica, facts) => { restore(state, replica, facts) },
    release: async (replica, ids) => { release(state, replica, ids) },
    sweep: async (replica, max) => sweep(state, replica, max),

    seen: async (id, connection) => { seen(state, id, connection) },
    left: async (id, connection) => { left(state, id, connection) },
    askOpen: async (replica, connections) => askOpen(state, replica, connections),
    answerOpen: (replica, isOpen) => answerOpen(state, replica, isOpen),

    read: async (id, reader) => read(state, id, reader),
    lookup: async cacheName => lookup(state, cacheName),
    list: async (reader, page) => list(state, reader, page),
    look: async ids => look(state, ids),
    listen: listener => {
      state.listeners.add(listener)
      return () => { state.listeners.delete(listener) }
    },

    cancel: async (id, reader) => cancel(state, id, reader),
    settle: async (id, billed) => settle(state, id, billed),
    guard: async (scope, verdict) => judge(state, scope, verdict),
    guards: async () => [...state.guards.values()],
    mint: async token => { mint(state, token) },
    token: async id => readToken(state, id),
    revoke: async (id, tenant) => revoke(state, id, tenant),

    balances: async accounts => accounts.map(({ owner, per }) => balanceOf(state, { owner, period: periodOf(state.now(), per) })),
    unknowns: async limit => look(state, state.unknown.first(limit)),
    journal: async (fromMs, toMs, limit) => state.journal.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).slice(0, limit),
    gauges: async () => {
      const open = look(state, state.unknown.first(Infinity))
      return {
        waiting: new Map([...state.tenants].map(([tenant, { waiting }]) => [tenant, waiting])),
        atUpstream: state.active,
        unknownOpen: open.length,
        unknownOldestMs: open.length === 0 ? null : Math.min(...open.map(row => row.createdAtMs))
      }
    },

    close: async () => {
      state.listeners.clear()
      state.answerers.clear()
    },
    audit: () => audit(state)
  }
}
