// Money: what is held for open rows, what was spent, and the journal that explains it.
// Spending and journal follow from two versions of a row, so no operation can forget one of them.

import type { Balance, JournalEntry } from '../../generation/accounts.ts'
import type { Budget } from '../../generation/admission.ts'
import type { Account, Generation } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { MicroUsd } from '../../money.ts'
import { type Book, type State } from './state.ts'

/** The UTC day or month that holds this moment: `2026-11-22` or `2026-11`. */
export function periodOf (atMs: number, per: Budget['per']): string {
  return new Date(atMs).toISOString().slice(0, per === 'day' ? 10 : 7)
}

/** So many lists of accounts are known at most. */
const MOST_LISTS = 1000

const lists = new Map<string, readonly Account[]>()

/** What counts against these budgets at this moment. Rows and lines of the journal have the same list, as long as it is the same. */
export function accountsAt (atMs: number, budgets: readonly Pick<Budget, 'owner' | 'per'>[]): readonly Account[] {
  const accounts = budgets.map(({ owner, per }) => ({ owner, period: periodOf(atMs, per) }))
  const key = accounts.map(bookKeyOf).join(' ')
  const known = lists.get(key)
  if (known !== undefined) return known
  if (lists.size >= MOST_LISTS) lists.clear()
  lists.set(key, accounts)
  return accounts
}

/** Has it ended for good? An `unknown` has not: its money is held. */
export function isFinal (row: Generation): boolean {
  return row.phase === 'succeeded' || row.phase === 'failed' || row.phase === 'cancelled'
}

/** Ended for good, and nothing was paid. */
export function isUnbilledEnd (row: Generation): boolean {
  return (row.phase === 'failed' || row.phase === 'cancelled') && row.cost === 0
}

/** Is its cancel wished, and no picture there all the same? Then it is nobody else's (rule 30): a caller that asks again wants another. */
export function isCalledOff (row: Generation): boolean {
  return row.cancelWished && row.phase !== 'succeeded'
}

/** The book of an account, without making one. */
export function balanceOf (state: State, account: Account): Balance {
  const book = state.books.get(bookKeyOf(account))
  return { owner: account.owner, period: account.period, held: book?.held ?? 0, spent: book?.spent ?? 0 }
}

/** Holds (or with a negative amount lets go of) the reserved price of an open row, in its accounts and its token. */
export function hold (state: State, row: Generation, direction: 1 | -1): void {
  for (const account of row.accounts) bookFor(state, account).held += direction * row.price
  const token = row.token === null ? undefined : state.tokens.get(row.token)
  if (token === undefined) return
  token.heldPictures += direction * row.files
  token.heldMoney += direction * row.price
  noteToken(state, row)
}

/** Books what a change of a row means in money: the journal gets its line, the accounts and the token what was spent. */
export function book (state: State, before: Generation | null, after: Generation): void {
  const wasSpent = before === null ? 0 : spentOf(before)
  const spent = spentOf(after) - wasSpent
  const amount = worthOf(after) - (before === null ? 0 : worthOf(before))
  const wasUnknown = before?.phase === 'unknown'
  if (amount !== 0 || (wasUnknown && after.phase !== 'unknown')) {
    const kind = after.phase === 'unknown' ? 'unknown' : wasUnknown || (before !== null && isFinal(before)) ? 'correction' : 'purchase'
    write(state, after, kind, amount, after.requestId, after.phase === 'unknown' || after.costAssumed)
  }
  const pictures = picturesOf(after) - (before === null ? 0 : picturesOf(before))
  if (spent !== 0) for (const account of after.accounts) bookFor(state, account).spent += spent
  if (after.token === null || (spent === 0 && pictures === 0)) return
  const token = state.tokens.get(after.token)
  if (token === undefined) return
  token.spentMoney += spent
  token.spentPictures += pictures
  noteToken(state, after)
}

function noteToken (state: State, { token }: Generation): void {
  if (token !== null) state.note('tokens', token)
}

/** Books a second purchase, or what became known of its price: it counts against the budgets, not against the holder of a token. */
export function bookBeside (state: State, row: Generation, kind: 'double' | 'correction', requestId: string, amount: MicroUsd, assumed: boolean): void {
  if (amount === 0) return
  write(state, row, kind, amount, requestId, assumed)
  for (const account of row.accounts) bookFor(state, account).spent += amount
}

/** Forgets journal lines and unused books older than the journal's 92 days; in memory their number is bounded, too. */
export function tidyBooks (state: State): void {
  const oldestMs = state.now() - ledgerConstants.journalMs
  let surplus = Math.max(0, state.journal.length - state.maxJournalLines)
  while ((state.journal[surplus]?.atMs ?? Infinity) < oldestMs) surplus += 1
  if (surplus > 0) {
    state.journal.splice(0, surplus)
    state.journalTrimmed = true
  }
  // Those that were not changed for longest stand in front.
  let looks = ledgerConstants.tidyPerCall
  for (const [key, book] of state.books) {
    if (looks-- === 0 || book.changedAtMs >= oldestMs) break
    state.books.delete(key)
    if (book.held !== 0) state.books.set(key, book)
    else state.note('books', key)
  }
}

/** What a row adds to the journal: its cost, or while it is `unknown` the price that it may have cost. */
function worthOf (row: Generation): MicroUsd {
  return row.phase === 'unknown' ? row.price : spentOf(row)
}

/** What an ended row cost; an open one has spent nothing yet. */
export function spentOf (row: Generation): MicroUsd {
  return isFinal(row) ? row.cost ?? 0 : 0
}

/** What a row draws from its token's pictures for good: its files, when anything was paid for them. */
export function picturesOf (row: Generation): number {
  return spentOf(row) > 0 ? row.files : 0
}

/** A line is never older than the one before it. Its cursor is what a stream of Redis would call it. */
function write (state: State, row: Generation, kind: JournalEntry['kind'], amount: MicroUsd, requestId: string | null, assumed: boolean): void {
  const last = state.journalLast
  const atMs = Math.max(state.now(), last.atMs)
  const number = atMs === last.atMs ? last.number + 1 : 0
  state.journalLast = { atMs, number }
  // In one piece, unlike a text that is put together otherwise.
  const cursor = [atMs, number].join('-')
  state.journal.push({ cursor, atMs, kind, id: row.id, tenant: row.tenant, model: row.model, requestId, accounts: row.accounts, amount, assumed })
  state.note('journal', cursor)
}

function bookFor (state: State, account: Account): Book {
  const key = bookKeyOf(account)
  let known = state.books.get(key)
  if (known === undefined) {
    known = { owner: account.owner, period: account.period, held: 0, spent: 0, changedAtMs: 0 }
    state.books.set(key, known)
  }
  known.changedAtMs = state.now()
  state.books.delete(key)
  state.books.set(key, known)
  state.note('books', key)
  return known
}

function bookKeyOf (account: Account): string {
  return account.owner + ':' + account.period
}
