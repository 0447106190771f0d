// Stored files by name: how many rows refer to each, and since when nothing does. The references follow from the rows (rule 42).

import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { CondemnedFile, Expectation, FoundFile, KeptFile, KeptPage, RemovalTerms } from '../../generation/kept-files.ts'
import type { Media } from '../../generation/media.ts'
import type { SortedSet } from './sorted-set.ts'
import type { CountedReferences, Kept, State } from './state.ts'

/** The names of the files at these places, each once. */
export function namesIn (media: Media | null): ReadonlySet<string> {
  return new Set(media?.flatMap(({ file }) => file ?? []) ?? [])
}

/** The places of a row's files are others now: what it let go of may be an orphan. */
export function refer (state: State, id: string, before: Media | null, after: Media | null): void {
  if (before === after) return
  countAgain(state, id, before, after)
  const [had, has] = [namesIn(before), namesIn(after)]
  for (const name of has) if (!had.has(name)) takeUp(state, name)
  for (const name of had) if (!has.has(name)) letGo(state, name)
}

/** Takes a row into a count that is under way, once. */
export function countReferences ({ rows, of }: CountedReferences, id: string, media: Media | null): void {
  if (media === null || rows.has(id)) return
  rows.add(id)
  for (const name of namesIn(media)) of.set(name, (of.get(name) ?? 0) + 1)
}

/** The same of one that changes: it is counted as it now stands, looked at before or not. */
function countAgain ({ counting }: State, id: string, before: Media | null, after: Media | null): void {
  if (counting === null) return
  if (counting.rows.delete(id)) for (const name of namesIn(before)) counting.of.set(name, (counting.of.get(name) ?? 0) - 1)
  countReferences(counting, id, after)
}

function takeUp (state: State, name: string): void {
  const file = state.kept.get(name) ?? { ...unmet(state.now()), orphanSinceMs: null }
  put(state, name, { ...file, rows: file.rows + 1, orphanSinceMs: null })
}

function letGo (state: State, name: string): void {
  const file = state.kept.get(name)
  if (file === undefined || file.rows === 0) return
  put(state, name, settled({ ...file, rows: file.rows - 1 }, state.now()))
}

function unmet (nowMs: number): Kept {
  return { rows: 0, bytes: 0, sinceMs: nowMs, orphanSinceMs: nowMs, condemnedUntilMs: null, withdrawn: false }
}

/** An orphan since now, if nothing refers to it and nobody removes it. */
function settled (file: Kept, nowMs: number): Kept {
  const isOrphan = file.rows === 0 && file.condemnedUntilMs === null && !file.withdrawn
  return { ...file, orphanSinceMs: isOrphan ? file.orphanSinceMs ?? nowMs : null }
}

function put (state: State, name: string, file: Kept | null): void {
  const before = state.kept.get(name)
  state.keptBytes += (file?.bytes ?? 0) - (before?.bytes ?? 0)
  if (file === null) state.kept.delete(name)
  else state.kept.set(name, file)
  place(state.orphans, name, file?.orphanSinceMs ?? null)
  place(state.condemned, name, file?.condemnedUntilMs ?? null)
  // How many rows refer to it follows from these.
  const isSame = before !== undefined && file !== null && before.bytes === file.bytes && before.orphanSinceMs === file.orphanSinceMs && before.condemnedUntilMs === file.condemnedUntilMs && before.withdrawn === file.withdrawn
  if (!isSame) state.note('kept', name)
}

function place (set: SortedSet, name: string, atMs: number | null): void {
  if (atMs === null) set.delete(name)
  else set.set(name, atMs)
}

/** Puts back what was written down of a file, or (`null`) takes it away; the rows that refer to it may be there already. */
export function putBackKept (state: State, name: string, kept: Omit<Kept, 'rows'> | null): void {
  const rows = state.kept.get(name)?.rows ?? 0
  if (kept !== null) put(state, name, { ...kept, rows })
  else if (rows === 0) put(state, name, null)
}

/** Everything was put back: what nothing refers to is an orphan. */
export function settleKept (state: State): void {
  for (const [name, file] of [...state.kept]) {
    const now = settled(file, state.now())
    if (now.orphanSinceMs !== file.orphanSinceMs) put(state, name, now)
  }
}

/** Forgets who refers to what, before all rows are taken in again. */
export function forgetReferences (state: State): void {
  for (const [name, file] of state.kept) state.kept.set(name, { ...file, rows: 0 })
}

/** The ledger's `expectFile`. */
export function expectFile (state: State, name: string, bytes: number, maxBytes: number | null): Expectation {
  const now = state.now()
  const known = state.kept.get(name)
  if (known?.withdrawn === true) return 'withdrawn'
  if (known?.condemnedUntilMs != null && known.condemnedUntilMs > now) return 'busy'
  if (known === undefined && maxBytes !== null && state.keptBytes + bytes > maxBytes) return 'full'
  const file = known ?? unmet(now)
  put(state, name, { ...file, bytes, condemnedUntilMs: null, orphanSinceMs: file.rows === 0 ? now : null })
  return 'expected'
}

/** The ledger's `takeOrphans`. */
export function takeOrphans (state: State, max: number, { idleMs, keepMs, maxBytes }: RemovalTerms): CondemnedFile[] {
  const now = state.now()
  const untilMs = now + ledgerConstants.condemnedMs
  const taken: CondemnedFile[] = []
  const take = (name: string, file: Kept): void => {
    put(state, name, { ...file, orphanSinceMs: null, condemnedUntilMs: untilMs })
    taken.push({ name, bytes: file.bytes, untilMs })
  }
  for (const name of state.condemned.first(max, now)) {
    const file = state.kept.get(name)
    if (file === undefined) continue
    if (file.rows === 0 || file.withdrawn) take(name, file)
    else put(state, name, { ...file, condemnedUntilMs: null })
  }
  let above = maxBytes === null ? 0 : state.keptBytes - maxBytes * ledgerConstants.crowdedShare
  for (const name of state.orphans.first(max - taken.length, now - idleMs)) {
    const file = state.kept.get(name)
    if (file?.orphanSinceMs == null || (file.orphanSinceMs > now - idleMs - keepMs && above <= 0)) break
    take(name, file)
    above -= file.bytes
  }
  return taken
}

/** The ledger's `filesGone`. */
export function filesGone (state: State, files: readonly CondemnedFile[]): string[] {
  return files.flatMap(({ name, untilMs }) => {
    const file = state.kept.get(name)
    // Met again since, or given to another process, which may still be at it.
    if (file?.condemnedUntilMs !== untilMs) return []
    if (file.rows === 0 && !file.withdrawn) put(state, name, null)
    else put(state, name, { ...file, bytes: file.withdrawn ? 0 : file.bytes, condemnedUntilMs: null })
    return file.rows > 0 && !file.withdrawn ? [name] : []
  })
}

/** The ledger's `withdrawFiles`. */
export function withdrawFiles (state: State, names: readonly string[]): void {
  const now = state.now()
  for (const name of names) put(state, name, { ...state.kept.get(name) ?? unmet(now), withdrawn: true, orphanSinceMs: null, condemnedUntilMs: now + ledgerConstants.expectedMs })
}

/** Files on a page. */
const PAGE = 500

/** The ledger's `keptFiles`. */
export function keptFiles (state: State, after: string | null): KeptPage {
  const from = after === null ? 0 : Number(after)
  const files: KeptFile[] = []
  let at = 0
  for (const [name, { rows: references, bytes, sinceMs, orphanSinceMs, withdrawn: isWithdrawn }] of state.kept) {
    if (at >= from) files.push({ name, bytes, references, sinceMs, orphanSinceMs, isWithdrawn })
    at += 1
    if (files.length === PAGE) return { files, next: String(at), nowMs: state.now() }
  }
  return { files, next: null, nowMs: state.now() }
}

/** The ledger's `meetFiles`. */
export function meetFiles (state: State, found: readonly FoundFile[], isTaking: boolean): string[] {
  return found.flatMap(({ name, bytes, ageMs }) => {
    const file = state.kept.get(name)
    const sinceMs = Math.max(1, state.now() - ageMs)
    if (file === undefined && isTaking) put(state, name, { ...unmet(sinceMs), bytes })
    if (file?.bytes === 0 && !file.withdrawn) put(state, name, { ...file, bytes })
    return file === undefined ? [name] : []
  })
}
