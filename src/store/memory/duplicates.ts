// Reattaching: an identical request gets the undelivered generation of a caller who is gone (rule 7), or joins its twin where the tenant wants that (rule 39).

import type { Admission, DuplicateQuestion } from '../../generation/admission.ts'
import type { Connection, Generation } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isAside } from './aside.ts'
import { isCalledOff, isFinal } from './books.ts'
import type { Entry } from './entry.ts'
import { isAnswerOver } from './names.ts'
import { change } from './rows.ts'
import { dropFrom, type State } from './state.ts'

/** `reattach` or `join` this one, `ask` for these first (for none: look once more, behind those that were dropped), or (`null`) there is no duplicate that could be had. */
export type DuplicatesFound = { readonly reattach: Entry } | { readonly join: Entry } | { readonly ask: readonly DuplicateQuestion[] } | null

/**
 * Looks at the 8 oldest undelivered duplicates. The oldest whose caller is certainly gone is reattached: nobody waits for it, its replica said that
 * the connection is closed, or it is the asker's own. A twin is joined without a question. Otherwise those are named whose present connection was not asked
 * about; in the last round the oldest of them counts as left. When all were asked about, a caller that repeats its call is given the oldest that was repeated less often.
 */
export function findDuplicate (state: State, admission: Admission): DuplicatesFound {
  const { duplicateName } = admission
  if (duplicateName === null) return null
  const { found, passed, isMore } = reattachable(state, duplicateName, LOOKS, admission)
  for (const id of passed) {
    dropFrom(state.duplicates, duplicateName, id)
    if (state.rows.has(id)) state.passedDuplicates.set(id, true)
  }
  return chooseFrom(state, found, isMore, admission)
}

/** The same without dropping any, so that it looks further at once: at as many as all rounds of an admission do. */
export function seekDuplicate (state: State, admission: Admission): DuplicatesFound {
  return admission.duplicateName === null ? null : chooseFrom(state, reattachable(state, admission.duplicateName, SEEKS, admission).found, false, admission)
}

function chooseFrom (state: State, found: readonly Entry[], isMore: boolean, admission: Admission): DuplicatesFound {
  const ask: DuplicateQuestion[] = []
  let unasked: Entry | null = null
  let earlier: Entry | null = null
  for (const entry of found) {
    const { id, connection, delivered, callerRetry } = entry.row
    if (!delivered && (connection === null || isSame(connection, admission.connection))) return { reattach: entry }
    if (isTwin(state, entry.row, admission)) return { join: entry }
    if (connection === null) continue
    if (callerRetry < admission.callerRetry) earlier ??= entry
    const answer = admission.duplicates.find(duplicate => duplicate.id === id && isSame(duplicate, connection))
    if (answer?.open === false) return { reattach: entry }
    if (answer !== undefined) continue
    ask.push({ id, ...connection })
    unasked ??= entry
  }
  if (unasked !== null && admission.lastRound) return { reattach: unasked }
  if (ask.length > 0 || (isMore && !admission.lastRound)) return { ask }
  return earlier === null ? null : { reattach: earlier }
}

/** Is it under way, or did it end a moment ago, for a request that joins its twins? */
function isTwin (state: State, row: Generation, { joinsTwins, twinMs }: Admission): boolean {
  return joinsTwins && (!isFinal(row) || state.now() < (row.finishedAtMs ?? 0) + twinMs)
}

/**
 * Hands a generation to another caller, with the time in the queue that its first caller's leaving cost it, should it wait here or come back to the queue. That
 * caller's own deadline holds on, counted from the start, when the other has one, too (a retry has). Without a connection it stays reattachable until its
 * id was delivered.
 */
export function reattach (state: State, entry: Entry, { connection, callerRetry, startWithinMs }: Admission): void {
  const { createdAtMs, startUntilMs: asked } = entry.row
  const startUntilMs = startWithinMs === null ? null : asked
  change(state, entry, { connection, callerRetry, startUntilMs, waitUntilMs: Math.min(createdAtMs + state.times.queueMs, startUntilMs ?? Infinity) })
}

function isSame (one: Connection, other: Connection | null): boolean {
  return other !== null && one.replica === other.replica && one.connection === other.connection
}

/** How many of them are looked at in one round of an admission, and how many without one. */
const LOOKS = 64
const SEEKS = 1024

/**
 * The oldest duplicates that may be reattached, and whether there are others behind those that were looked at. Passed, and dropped by an admission, are ends older
 * than ten minutes; so are an old `unknown`, what is called off, and a picture that nobody can get any more, until they move (see `replace`). What was delivered is
 * passed unless it is a twin.
 */
function reattachable (state: State, duplicateName: string, looks: number, admission: Admission): { readonly found: readonly Entry[], readonly passed: readonly string[], readonly isMore: boolean } {
  const found: Entry[] = []
  const passed: string[] = []
  const ids = state.duplicates.get(duplicateName)?.first(looks + 1) ?? []
  for (const id of ids.slice(0, looks)) {
    const entry = state.rows.get(id)
    const isOld = entry === undefined || (isFinal(entry.row) && state.now() >= (entry.row.finishedAtMs ?? 0) + ledgerConstants.reattachableMs)
    const isGone = entry !== undefined && entry.row.large !== null && !isAside(state, id, entry.row.large)
    const isOver = entry !== undefined && entry.row.delivered && !isTwin(state, entry.row, admission)
    if (isOld || isOver || isGone || isAnswerOver(state, entry) || isCalledOff(entry.row)) {
      passed.push(id)
    } else {
      found.push(entry)
    }
    if (found.length === ledgerConstants.maxDuplicates) return { found, passed, isMore: false }
  }
  return { found, passed, isMore: ids.length > looks }
}
