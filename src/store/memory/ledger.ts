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
import { erase } from './erase.ts'
import { recordDoubt, finish, recordUnknown, recordProgress, recordAccepted, recordNotSent } from './evidence.ts'
import { hookTried, listHooks, sendHooksAgain, takeHooks } from './hooks.ts'
import { heartbeat, release, renew, sweep, takeOver } from './leases.ts'
import { logs } from './logs.ts'
import { expectFile, filesGone, keptFiles, meetFiles, takeOrphans, withdrawFiles } from './kept.ts'
import { keepFiles, noteDeadLinks, takeMissing } from './media.ts'
import { once, takeOutbox } from './outbox.ts'
import { getStatuses, list, getMany, lookup, read } from './readers.ts'
import { balances, failures, gauges, journal, replicas, standings, unknowns } from './reports.ts'
import { restore } from './restore.ts'
import { briefOf } from './rows.ts'
import { createState, type State } from './state.ts'
import { issueTicket, takeTicket } from './tickets.ts'
import { listTokens, mint, readToken, revoke } from './tokens.ts'
import { undoAdmission, undoAdmissions, undoClaim, undoMint, undoWord, type Undo } from './undo.ts'

/** A ledger that can tell whether it keeps its own rules. */
export type MemoryLedger = Ledger & {
  /** One sentence for every broken invariant; none when the ledger is sound. */
  readonly audit: () => readonly string[]
  /** The same ledger as a process of another account has it, or of several, or (`null`) an operator's window. */
  readonly beside: (own: UpstreamAccount | readonly OwnAccount[] | null) => MemoryLedger
}

interface MemoryLedgerOptions { readonly times: LedgerTimes, readonly now?: () => number, readonly server?: () => string, readonly account?: UpstreamAccount | null, readonly accounts?: () => readonly OwnAccount[], readonly looseRows?: number }

/**
 * A ledger for one process; nothing survives it. Several runners may share one, each under a replica name of its own.
 * `now` is the ledger's clock in milliseconds; by default wall time that never goes back. `server`: as if it were kept by one that may be another later. `accounts`: those
 * that it buys with, where there may be several or others tomorrow; by default `account` alone. `looseRows`: how many
 * ended rows are not packed, those that were looked at last.
 */
export function createMemoryLedger ({ times, now: clock = monotonicNow, server, account = null, accounts, looseRows }: MemoryLedgerOptions): MemoryLedger {
  const instant = createInstant(clock)
  const state = createState({ times, now: instant.now, server, looseRows })
  return createLedgerOf({ state, instant, accounts: accounts ?? listOf(account), run: async (_, operate) => operate() })
}

/** A moment that stands still while an operation runs: what its rules compare with. */
export interface Instant {
  readonly clock: () => number
  readonly now: () => number
  /** To the clock's present. */
  readonly advance: () => void
}

export function createInstant (clock: () => number): Instant {
  let nowMs = clock()
  return { clock, now: () => nowMs, advance: () => { nowMs = clock() } }
}

/**
 * Runs an operation at once, and resolves with its result when what it did and saw may be told; or takes it back with `undo`, where that says that there was
 * something to take back, and rejects.
 */
export type Run = <Result>(name: keyof Ledger, operate: () => Result, undo: ((result: Result) => boolean) | null) => Promise<Result>

/** What a ledger stands on that keeps its state in this process. */
export interface LedgerBase {
  readonly state: State
  readonly instant: Instant
  /** Those that the process buys with; `null`: an operator's window. */
  readonly accounts: (() => readonly OwnAccount[]) | null
  readonly run: Run
}

/** The ledger's operations on a state in this process. */
export function createLedgerOf ({ state, instant, accounts: ownAccounts, run }: LedgerBase): MemoryLedger {
  return of(ownAccounts)

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
    function open<Given extends unknown[], Result> (name: keyof Ledger, operation: (state: State, ...given: Given) => Result, undo: Undo<Given, Result> | null = null): (...given: Given) => Promise<Result> {
      return async (...given) => {
        instant.advance()
        state.rows.tidy()
        state.caller = accounts === null ? null : callerWith(accounts())
        return await run(name, () => operation(state, ...given), undo === null ? null : result => undo(state, result, ...given))
      }
    }

    /** An operation at one instant, which is what its rules compare with. */
    function atomic<Given extends unknown[], Result> (name: keyof Ledger, operation: (state: State, ...given: Given) => Result, undo: Undo<Given, Result> | null = null): (...given: Given) => Promise<Result> {
      return open(name, (state, ...given: Given) => {
        if (!contact()) throw new Problem('foreign-ledger', { cause: new Error(`It is the ledger of ${state.upstream ?? UNMARKED_LEDGER}.`) })
        return operation(state, ...given)
      }, undo)
    }

    return {
      beside,
      now: instant.clock,
      ping: async () => {},

      admit: atomic('admit', admit, undoAdmission),
      admitAll: atomic('admitAll', admitAll, undoAdmissions),
      withdraw: atomic('withdraw', withdraw),
      claim: atomic('claim', claim, undoClaim),

      recordAccepted: atomic('recordAccepted', recordAccepted),
      recordNotSent: atomic('recordNotSent', recordNotSent),
      recordUnknown: atomic('recordUnknown', recordUnknown),
      recordProgress: atomic('recordProgress', recordProgress),
      recordDoubt: atomic('recordDoubt', recordDoubt),
      finish: atomic('finish', finish),

      renew: atomic('renew', renew),
      restore: atomic('restore', restore),
      release: atomic('release', release),
      sweep: atomic('sweep', sweep),
      heartbeat: atomic('heartbeat', heartbeat),
      takeOver: atomic('takeOver', takeOver),
      takeOutbox: atomic('takeOutbox', (state, max: number) => takeOutbox(state, max, id => getMany(state, [id]).map(briefOf)[0])),
      once: atomic('once', once),
      takeMissing: atomic('takeMissing', takeMissing),
      keepFiles: atomic('keepFiles', keepFiles),
      noteDeadLinks: atomic('noteDeadLinks', noteDeadLinks),
      expectFile: atomic('expectFile', expectFile),
      takeOrphans: atomic('takeOrphans', takeOrphans),
      filesGone: atomic('filesGone', filesGone),
      withdrawFiles: atomic('withdrawFiles', withdrawFiles),
      keptFiles: open('keptFiles', keptFiles),
      meetFiles: atomic('meetFiles', meetFiles),

      takeHooks: atomic('takeHooks', takeHooks),
      hookTried: atomic('hookTried', hookTried),
      hooks: open('hooks', listHooks),
      sendHooksAgain: atomic('sendHooksAgain', sendHooksAgain, undoWord),

      seen: atomic('seen', seen),
      left: atomic('left', left),
      askOpen: open('askOpen', askOpen),
      askThere: open('askThere', askThere),
      answerOpen: (replica, isOpen) => answerOpen(state, replica, isOpen),

      read: open('read', read),
      lookup: atomic('lookup', lookup),
      preview: atomic('preview', preview),
      list: open('list', list),
      getMany: open('getMany', getMany),
      getStatuses: open('getStatuses', getStatuses),
      logs: open('logs', logs),
      aside: open('aside', aside),
      listen: listener => {
        state.listeners.add(listener)
        return () => { state.listeners.delete(listener) }
      },

      cancel: atomic('cancel', cancel),
      erase: atomic('erase', erase, undoWord),
      settle: atomic('settle', settle, undoWord),
      correct: atomic('correct', correct, undoWord),
      breaker: atomic('breaker', (state, scope: string, report: Omit<BreakerReport, 'scope' | 'tenantFirst'>) => takeReport(state, { scope, ...report })),
      breakers: open('breakers', breakers),
      mint: atomic('mint', mint, undoMint),
      token: open('token', readToken),
      tokens: open('tokens', listTokens),
      revoke: atomic('revoke', revoke, undoWord),
      issueTicket: atomic('issueTicket', issueTicket),
      takeTicket: atomic('takeTicket', takeTicket),

      balances: open('balances', balances),
      unknowns: open('unknowns', unknowns),
      journal: open('journal', journal),
      gauges: open('gauges', gauges),
      standings: open('standings', standings),
      failures: open('failures', failures),
      replicas: open('replicas', replicas),

      close: async () => {
        state.listeners.clear()
        state.answerers.clear()
      },
      audit: () => {
        instant.advance()
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
