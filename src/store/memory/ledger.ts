// The ledger in memory: for one process, and the model that the ledger on Redis is compared with.
// Each operation runs to its end within one turn of the event loop, which is what makes it atomic.

import { performance } from 'node:perf_hooks'
import type { Ledger, LedgerTimes, Verdict } from '../../generation/ports.ts'
import { admit, admitAll } from './admit.ts'
import { aside } from './aside.ts'
import { audit } from './audit.ts'
import { claim } from './claim.ts'
import { answerOpen, askOpen, left, seen, withdraw } from './delivery.ts'
import { doubted, finish, lost, progressed, sent, unsent } from './evidence.ts'
import { guards, judge } from './guards.ts'
import { release, renew, sweep } from './leases.ts'
import { logs } from './logs.ts'
import { takeNews } from './news.ts'
import { glance, list, look, lookup, read } from './readers.ts'
import { balances, gauges, journal, unknowns } from './reports.ts'
import { restore } from './restore.ts'
import { briefOf } from './rows.ts'
import { createState, type State } from './state.ts'
import { mint, readToken, revoke } from './tokens.ts'
import { cancel, correct, settle } from './verdicts.ts'

/** A ledger that can tell whether it keeps its own rules. */
export type MemoryLedger = Ledger & {
  /** One sentence for every broken invariant; none when the ledger is sound. */
  readonly audit: () => readonly string[]
}

interface MemoryLedgerOptions { readonly times: LedgerTimes, readonly now?: () => number, readonly server?: () => string }

/**
 * A ledger for one process; nothing survives it. Several runners may share one, each under a replica name of its own.
 * `now` is the ledger's clock in milliseconds; by default wall time that never goes back. `server`: as if it were kept by one that may be another later.
 */
export function createMemoryLedger ({ times, now: clock = monotonicNow, server }: MemoryLedgerOptions): MemoryLedger {
  let instantMs = clock()
  const state = createState(times, () => instantMs, server)

  /** An operation at one instant, which is what its rules compare with. */
  function atomic<Given extends unknown[], Result> (operation: (state: State, ...given: Given) => Result): (...given: Given) => Promise<Result> {
    return async (...given) => {
      instantMs = clock()
      return operation(state, ...given)
    }
  }

  return {
    now: clock,
    ping: async () => {},

    admit: atomic(admit),
    admitAll: atomic(admitAll),
    withdraw: atomic(withdraw),
    claim: atomic(claim),

    sent: atomic(sent),
    unsent: atomic(unsent),
    lost: atomic(lost),
    progressed: atomic(progressed),
    doubted: atomic(doubted),
    finish: atomic(finish),

    renew: atomic(renew),
    restore: atomic(restore),
    release: atomic(release),
    sweep: atomic(sweep),
    takeNews: atomic((state, max: number) => takeNews(state, max, id => look(state, [id]).map(briefOf)[0])),

    seen: atomic(seen),
    left: atomic(left),
    askOpen: atomic(askOpen),
    answerOpen: (replica, isOpen) => answerOpen(state, replica, isOpen),

    read: atomic(read),
    lookup: atomic(lookup),
    list: atomic(list),
    look: atomic(look),
    glance: atomic(glance),
    logs: atomic(logs),
    aside: atomic(aside),
    listen: listener => {
      state.listeners.add(listener)
      return () => { state.listeners.delete(listener) }
    },

    cancel: atomic(cancel),
    settle: atomic(settle),
    correct: atomic(correct),
    guard: atomic((state, scope: string, verdict: Omit<Verdict, 'scope' | 'tenantFirst'>) => judge(state, { scope, ...verdict })),
    guards: atomic(guards),
    mint: atomic(mint),
    token: atomic(readToken),
    revoke: atomic(revoke),

    balances: atomic(balances),
    unknowns: atomic(unknowns),
    journal: atomic(journal),
    gauges: atomic(gauges),

    close: async () => {
      state.listeners.clear()
      state.answerers.clear()
    },
    audit: () => {
      instantMs = clock()
      return audit(state)
    }
  }
}

/** Wall time at the start of the process and monotonic time since: nobody who sets the machine's clock moves a deadline. */
function monotonicNow (): number {
  return Math.floor(performance.timeOrigin + performance.now())
}
