// The upstream accounts of a ledger (rule 28): which there are, which of them the process that asks has, how many slots each has, and what is kept of each by itself.
// An account is its text, such as `fal main`, or `null` for the first one of a ledger without a mark.

import type { Generation } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { AccountGauge } from '../../generation/ledger.ts'
import { accountText, type OwnAccount } from '../../upstream-account.ts'
import { isFinal } from './books.ts'
import type { Entry } from './entry.ts'
import type { Caller, State } from './state.ts'

export type Account = string | null

export function callerWith (own: readonly OwnAccount[]): Caller {
  return { accounts: own.map(accountText), slots: new Map(own.flatMap(account => account.slots === undefined ? [] : [[accountText(account), account.slots]])) }
}

/** The account that this row is bought with, or would be. */
export function accountOf (state: State, { upstream }: Pick<Generation, 'upstream'>): Account {
  return upstream ?? state.upstream
}

/** Of another account than the ledger's first: its text. */
export function apart (state: State, account: Account): Account {
  return account === state.upstream ? null : account
}

/**
 * The account in whose sets a row stands, where that is not the ledger's first: what waits belongs to none, and with what has ended nothing is done at fal, but
 * for questions about it.
 */
export function apartOf (state: State, { row, hidden }: Entry): Account {
  if (row.phase === 'waiting' || (isFinal(row) && !(hidden.settled && hidden.askAtMs !== null))) return null
  return apart(state, row.upstream)
}

/** What is kept by account is kept under this, `account` being that of {@link apartOf}. */
export function keyOf (account: Account): string {
  return account ?? ''
}

/** All of this ledger, the first one first. */
export function allAccounts (state: State): readonly Account[] {
  return [state.upstream, ...state.otherAccounts]
}

/** Those that the process has which asks. */
export function ownAccounts (state: State): readonly Account[] {
  return state.caller?.accounts ?? allAccounts(state)
}

/** Adds an account to those of the ledger. */
export function knowAccount (state: State, account: Account | undefined): void {
  if (account !== undefined && account !== null && account !== state.upstream) state.otherAccounts.add(account)
}

/** How many slots an account may use now, or null when fal never took no more: after its pause one more, and another with every step. */
function slotsNow (state: State, account: Account): number | null {
  const lowered = state.lowered.get(keyOf(apart(state, account)))
  if (lowered === undefined) return null
  const sinceMs = state.now() - lowered.untilMs
  return lowered.slots + (sinceMs < 0 ? 0 : 1 + Math.floor(sinceMs / ledgerConstants.busyStepMs))
}

function usedOf (state: State, account: Account): number {
  return state.active.get(keyOf(apart(state, account))) ?? 0
}

/** fal took no more than what is there without this one: that many slots the account has for a while. */
export function lowerSlots (state: State, row: Generation, pauseMs: number): void {
  const account = accountOf(state, row)
  state.lowered.set(keyOf(apart(state, account)), { slots: Math.max(0, usedOf(state, account) - 1), untilMs: state.now() + Math.min(pauseMs, ledgerConstants.maxBusyMs) })
}

/** The asking process' accounts that have a free slot, the one with most of them first. `slots`: of each that has no number of its own. */
export function accountsWithRoom (state: State, slots: number): readonly Account[] {
  const free = ownAccounts(state).map(account => {
    const most = (account === null ? undefined : state.caller?.slots.get(account)) ?? slots
    return { account, left: Math.min(most, slotsNow(state, account) ?? most) - usedOf(state, account) }
  })
  return free.filter(({ left }) => left > 0).toSorted((one, other) => other.left - one.left).map(({ account }) => account)
}

/** How each stands. */
export function accountGauges (state: State): readonly AccountGauge[] {
  return allAccounts(state).map(account => ({ upstream: account, used: usedOf(state, account), open: slotsNow(state, account) }))
}
