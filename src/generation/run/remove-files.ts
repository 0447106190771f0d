// Stored files that nothing refers to any more are removed, some at a time, by whichever process the ledger gives them to.

import type { OnTrouble } from '../../trouble.ts'
import type { CondemnedFile, RemovalTerms } from '../kept-files.ts'
import { ledgerConstants } from '../ledger-constants.ts'
import type { Ledger } from '../ledger.ts'

/** What removes a file from where it is stored; twice is harmless. */
export interface Removal {
  readonly remove: (name: string) => Promise<void>
  readonly terms: RemovalTerms
}

/** What was removed: how many files, of how many bytes, and how many could not be. `error`: why the last of these could not. */
export interface Removed { readonly files: number, readonly bytes: number, readonly failed: number, readonly error: unknown }

/** Files that one process is given at a time. */
const FILES = 50
const AT_ONCE = 8
/** In the other half of its time nobody begins to remove one, so that none is removed when that is over. */
const WITHIN_MS = ledgerConstants.condemnedMs / 2

/** Removes what the terms allow now, until nothing of that is left, or something fails: then the rest is tried another time. Rejects as the ledger does. */
export async function removeOrphans (ledger: Pick<Ledger, 'takeOrphans' | 'filesGone'>, { remove, terms }: Removal, { onPiece = () => {}, leaving }: { readonly onPiece?: (removed: Removed) => void, readonly leaving?: AbortSignal } = {}): Promise<Removed> {
  let all: Removed = { files: 0, bytes: 0, failed: 0, error: null }
  while (leaving?.aborted !== true) {
    const startMs = performance.now()
    const taken = await ledger.takeOrphans(FILES, terms)
    if (taken.length === 0) return all
    const gone: CondemnedFile[] = []
    let [failed, error]: [number, unknown] = [0, null]
    const left = [...taken]
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let file = left.shift(); file !== undefined; file = left.shift()) {
        try {
          if (performance.now() - startMs > WITHIN_MS || leaving?.aborted === true) continue
          await remove(file.name)
          gone.push(file)
        } catch (reason) {
          failed += 1
          error = reason
        }
      }
    }))
    const missed = await ledger.filesGone(gone)
    if (missed.length > 0) error = new Error(`${missed.length} files were removed that generations refer to by now, such as ${missed[0]}`)
    all = { files: all.files + gone.length, bytes: all.bytes + gone.reduce((sum, { bytes }) => sum + bytes, 0), failed: all.failed + failed, error: error ?? all.error }
    onPiece(all)
    if (failed > 0) return all
  }
  return all
}

export interface OrphanRoundsDeps extends Removal {
  readonly ledger: Pick<Ledger, 'takeOrphans' | 'filesGone'>
  readonly leaving: AbortSignal
  readonly onRemoved: (removed: Removed) => void
  readonly onTrouble: OnTrouble
  /** Of a clock that never goes back. */
  readonly nowMs?: () => number
  readonly everyMs?: number
}

const EVERY_MS = 60_000
/** What could not be written while the ledger was away is written by then: a generation whose file was announced long ago may have ended meanwhile. */
const AFTER_TROUBLE_MS = 600_000

/** A round a minute. Gives what is to be called once a second; never rejects. */
export function createOrphanRounds ({ ledger, leaving, onRemoved, onTrouble, nowMs = () => performance.now(), everyMs = EVERY_MS, ...removal }: OrphanRoundsDeps): { readonly round: () => Promise<void> } {
  let nextMs = nowMs() + everyMs
  let isBusy = false

  async function round (): Promise<void> {
    if (isBusy || nowMs() < nextMs) return
    isBusy = true
    nextMs = nowMs() + everyMs
    try {
      const removed = await removeOrphans(ledger, removal, { leaving })
      onRemoved(removed)
      if (removed.error !== null) onTrouble('remove-files', removed.error)
    } catch (error) {
      nextMs = nowMs() + Math.max(everyMs, AFTER_TROUBLE_MS)
      if (!leaving.aborted) onTrouble('remove-files', error)
    } finally {
      isBusy = false
    }
  }

  return { round }
}
