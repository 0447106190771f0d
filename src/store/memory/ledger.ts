// The ledger in memory: for one process, and the model that the ledger on Redis is compared with.
// Each operation runs to its end within one turn of the event loop, which is what makes it atomic.

import { performance } from 'node:perf_hooks'
import { Problem } from '../../errors.ts'
import type { BreakerReport } from '../../generation/breaker-state.ts'
import type { Ledger, LedgerTimes } from '../../generation/ledger.ts'
import { UNMARKED_LEDGER, type OwnAccount, type UpstreamAccount } from '../../upstream-account.ts'
import { callerWith, knowAccount } from './accounts.ts'
import { admit, admitAll, preview } from './admit.ts'
import { aside } from './aside.ts'
import { audit } from './audit.ts'
import { breakers, takeReport } from './breakers.ts'
import { claim } from './claim.ts'
import { cancel, correct, settle } from './decisions.ts'
import { answerOpen, askOpen, askThere, left, seen, withdraw } from './delivery.ts'
import { recordDoubt, finish, recordUnknown, recordProgress, recordAccepted, recordNotSent } from './evidence.ts'
import { heartbeat, release, renew, sweep, takeOver } from './leases.ts'
import { logs } from './logs.ts'
import { once, takeOutbox } from './outbox.ts'
import { getStatuses, list, getMany, lookup, read } from './readers.ts'
import { balances, failures, gauges, journal, replicas, standings, unknowns } from './reports.ts'
import { restore } from './restore.ts'
import { briefOf } from './rows.ts'
import { createState, type State } from './state.ts'
import { issueTicket, takeTicket } from './tickets.ts'
import { listTokens, mint, readToken, revoke } from './tokens.ts'

/** A ledger that can tell whether it keeps its own rules. */
export type MemoryLedger = Ledger & {
  /** One sentence for every broken invariant; none when the ledger is sound. */
  readonly audit: () => readonly string[]
  /** The same ledger as a process of another account has it, or of several, or (`null`) an operator's window. */
  readonly beside: (own: UpstreamAccount | readonly OwnAccount[] | null) => MemoryLedger
}

interface MemoryLedgerOptions { readonly times: LedgerTimes, readonly now?: () => number, readonly server?: () => string, readonly account?: UpstreamAccount | null, readonly accounts?: () => readonly OwnAccount[] }

/**
 * A ledger for one process; nothing survives it. Several runners may share one, each under a replica name of its own.
 * `now` is the ledger's clock in milliseconds; by default wall time that never goes back. `server`: as if it were kept by one that may be another later. `accounts`: those
 * that it buys with, where there may be several or others tomorrow; by default `account` alone.
 */
export function createMemoryLedger ({ times, now: clock = monotonicNow, server, account = null, accounts }: MemoryLedgerOptions): MemoryLedger {
  let instantMs = clock()
  const state = createState(times, () => instantMs, server)

  return of(accounts ?? listOf(account))

  function beside (own: UpstreamAccount | readonly OwnAccount[] | null): MemoryLedger {
    return of(listOf(own))
  }

  /** The ledger as a process has it that buys with these accounts. */
  function of (accounts: (() => readonly OwnAccount[]) | null): MemoryLedger {
    contact()

    /**
     * Does the process have one of its accounts? The first that reaches an empty ledger writes down its own; one that was filled before that is fal's. A process
     * that has one of them brings its others along.
     */
    function contact (): boolean {
      state.caller = accounts === null ? null : callerWith(accounts())
      if (state.caller === null) return true
      const own = state.caller.accounts
      const ledger = state.upstream ?? (state.counter > 0 ? UNMARKED_LEDGER : own[0])
      if (!own.some(account => account === ledger || state.otherAccounts.has(account))) return false
      state.upstream = ledger ?? null
      for (const account of own) knowAccount(state, account)
      return true
    }

    /** What also a process of another account may do. */
    function open<Given extends unknown[], Result> (operation: (state: State, ...given: Given) => Result): (...given: Given) => Promise<Result> {
      return async (...given) => {
        instantMs = clock()
        state.caller = accounts === null ? null : callerWith(accounts())
        return operation(state, ...given)
      }
    }

    /** An operation at one instant, which is what its rules compare with. */
    function atomic<Given extends unknown[], Result> (operation: (state: State, ...given: Given) => Result): (...given: Given) => Promise<Result> {
      return open((state, ...given: Given) => {
        if (!contact()) throw new Problem('foreign-ledger', { cause: new Error(`It is the ledger of ${state.upstream ?? UNMARKED_LEDGER}.`) })
        return operation(state, ...given)
      })
    }

    return {
      beside,
      now: clock,
      ping: async () => {},

      admit: atomic(admit),
      admitAll: atomic(admitAll),
      withdraw: atomic(withdraw),
      claim: atomic(claim),

      recordAccepted: atomic(recordAccepted),
      recordNotSent: atomic(recordNotSent),
      recordUnknown: atomic(recordUnknown),
      recordProgress: atomic(recordProgress),
      recordDoubt: atomic(recordDoubt),
      finish: atomic(finish),

      renew: atomic(renew),
      restore: atomic(restore),
      release: atomic(release),
      sweep: atomic(sweep),
      heartbeat: atomic(heartbeat),
      takeOver: atomic(takeOver),
      takeOutbox: atomic((state, max: number) => takeOutbox(state, max, id => getMany(state, [id]).map(briefOf)[0])),
      once: atomic(once),

      seen: atomic(seen),
      left: atomic(left),
      askOpen: open(askOpen),
      askThere: open(askThere),
      answerOpen: (replica, isOpen) => answerOpen(state, replica, isOpen),

      read: open(read),
      lookup: atomic(lookup),
      preview: atomic(preview),
      list: open(list),
      getMany: open(getMany),
      getStatuses: open(getStatuses),
      logs: open(logs),
      aside: open(aside),
      listen: listener => {
        state.listeners.add(listener)
        return () => { state.listeners.delete(listener) }
      },

      cancel: atomic(cancel),
      settle: atomic(settle),
      correct: atomic(correct),
      breaker: atomic((state, scope: string, report: Omit<BreakerReport, 'scope' | 'tenantFirst'>) => takeReport(state, { scope, ...report })),
      breakers: open(breakers),
      mint: atomic(mint),
      token: open(readToken),
      tokens: open(listTokens),
      revoke: atomic(revoke),
      issueTicket: atomic(issueTicket),
      takeTicket: atomic(takeTicket),

      balances: open(balances),
      unknowns: open(unknowns),
      journal: open(journal),
      gauges: open(gauges),
      standings: open(standings),
      failures: open(failures),
      replicas: open(replicas),

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
}

function listOf (own: UpstreamAccount | readonly OwnAccount[] | null): (() => readonly OwnAccount[]) | null {
  if (own === null) return null
  const list: readonly OwnAccount[] = isList(own) ? own : [own]
  return () => list
}

function isList (own: UpstreamAccount | readonly OwnAccount[]): own is readonly OwnAccount[] {
  return Array.isArray(own)
}

/** Wall time at the start of the process and monotonic time since: nobody who sets the machine's clock moves a deadline. */
function monotonicNow (): number {
  return Math.floor(performance.timeOrigin + performance.now())
}
