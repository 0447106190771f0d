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
  if (admission.duplicateName === null) return null
  const ask: DuplicateQuestion[] = []
  let unasked: Entry | null = null
  const { found, isMore } = reattachable(state, admission.duplicateName)
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

/** How many of them are looked at in one admission. */
const LOOKS = 64

/**
 * The oldest duplicates that may be reattached, and whether there are others behind those that were looked at. Ends older than ten minutes are dropped; so are an old
 * `unknown`, what is called off, and a picture that nobody can get any more, until they move (see `replace`).
 */
function reattachable (state: State, duplicateName: string): { readonly found: readonly Entry[], readonly isMore: boolean } {
  const found: Entry[] = []
  const ids = state.duplicates.get(duplicateName)?.first(LOOKS + 1) ?? []
  for (const id of ids.slice(0, LOOKS)) {
    const entry = state.rows.get(id)
    const isOld = entry === undefined || (isFinal(entry.row) && state.now() >= (entry.row.finishedAtMs ?? 0) + ledgerConstants.reattachableMs)
    const isGone = entry !== undefined && entry.row.large !== null && !isAside(state, id, entry.row.large)
    if (isOld || isGone || isAnswerOver(state, entry) || isCalledOff(entry.row)) {
      dropFrom(state.duplicates, duplicateName, id)
      if (entry !== undefined) state.passedDuplicates.add(id)
    } else {
      found.push(entry)
    }
    if (found.length === ledgerConstants.maxDuplicates) return { found, isMore: false }
  }
  return { found, isMore: ids.length > LOOKS }
}
