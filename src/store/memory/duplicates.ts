// Reattaching: an identical request gets the undelivered generation of a caller who is gone (rule 7).

import type { Admission, DuplicateQuestion } from '../../generation/admission.ts'
import type { Connection } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isAside } from './aside.ts'
import { isCalledOff, isFinal } from './books.ts'
import { isAnswerOver } from './names.ts'
import { change } from './rows.ts'
import { dropFrom, type Entry, type State } from './state.ts'

/** `reattach` this one, `ask` for these first (for none: look once more, behind those that were dropped), or (`null`) there is no duplicate that could be had. */
export type DuplicatesFound = { readonly reattach: Entry } | { readonly ask: readonly DuplicateQuestion[] } | null

/**
 * Looks at the 8 oldest undelivered duplicates. The oldest whose caller is certainly gone is reattached: nobody waits for it, its replica said that
 * the connection is closed, or it is the asker's own. Otherwise those are named whose present connection was not asked about; in the last round
 * the oldest of them counts as left.
 */
export function findDuplicate (state: State, admission: Admission): DuplicatesFound {
  const { duplicateName } = admission
  if (duplicateName === null) return null
  const { found, passed, isMore } = reattachable(state, duplicateName, LOOKS)
  for (const id of passed) {
    dropFrom(state.duplicates, duplicateName, id)
    if (state.rows.has(id)) state.passedDuplicates.add(id)
  }
  return chooseFrom(found, isMore, admission)
}

/** The same without dropping any, so that it looks further at once: at as many as all rounds of an admission do. */
export function seekDuplicate (state: State, admission: Admission): DuplicatesFound {
  return admission.duplicateName === null ? null : chooseFrom(reattachable(state, admission.duplicateName, SEEKS).found, false, admission)
}

function chooseFrom (found: readonly Entry[], isMore: boolean, admission: Admission): DuplicatesFound {
  const ask: DuplicateQuestion[] = []
  let unasked: Entry | null = null
  for (const entry of found) {
    const { id, connection } = entry.row
    if (connection === null || isSame(connection, admission.connection)) return { reattach: entry }
    const answer = admission.duplicates.find(duplicate => duplicate.id === id && isSame(duplicate, connection))
    if (answer?.open === false) return { reattach: entry }
    if (answer !== undefined) continue
    ask.push({ id, ...connection })
    unasked ??= entry
  }
  if (unasked !== null && admission.lastRound) return { reattach: unasked }
  return ask.length > 0 || (isMore && !admission.lastRound) ? { ask } : null
}

/**
 * Hands a generation to another caller, with the time in the queue that its first caller's leaving cost it, should it wait here or come back to the queue. That
 * caller's own deadline holds on, counted from the start, when the other has one, too (a retry has). Without a connection it stays reattachable until its
 * id was delivered.
 */
export function reattach (state: State, entry: Entry, { connection, startWithinMs }: Admission): void {
  const { createdAtMs, startUntilMs: asked } = entry.row
  const startUntilMs = startWithinMs === null ? null : asked
  change(state, entry, { connection, startUntilMs, waitUntilMs: Math.min(createdAtMs + state.times.queueMs, startUntilMs ?? Infinity) })
}

function isSame (one: Connection, other: Connection | null): boolean {
  return other !== null && one.replica === other.replica && one.connection === other.connection
}

/** How many of them are looked at in one round of an admission, and how many without one. */
const LOOKS = 64
const SEEKS = 1024

/**
 * The oldest duplicates that may be reattached, and whether there are others behind those that were looked at. Passed, and dropped by an admission, are ends older
 * than ten minutes; so are an old `unknown`, what is called off, and a picture that nobody can get any more, until they move (see `replace`).
 */
function reattachable (state: State, duplicateName: string, looks: number): { readonly found: readonly Entry[], readonly passed: readonly string[], readonly isMore: boolean } {
  const found: Entry[] = []
  const passed: string[] = []
  const ids = state.duplicates.get(duplicateName)?.first(looks + 1) ?? []
  for (const id of ids.slice(0, looks)) {
    const entry = state.rows.get(id)
    const isOld = entry === undefined || (isFinal(entry.row) && state.now() >= (entry.row.finishedAtMs ?? 0) + ledgerConstants.reattachableMs)
    const isGone = entry !== undefined && entry.row.large !== null && !isAside(state, id, entry.row.large)
    if (isOld || isGone || isAnswerOver(state, entry) || isCalledOff(entry.row)) {
      passed.push(id)
    } else {
      found.push(entry)
    }
    if (found.length === ledgerConstants.maxDuplicates) return { found, passed, isMore: false }
  }
  return { found, passed, isMore: ids.length > looks }
}
