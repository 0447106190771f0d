// Files of outputs are stored before a generation ends, as far as that goes in a moment, and the others afterwards, by whichever process.

import type { OnTrouble } from '../../trouble.ts'
import type { Generation } from '../generation.ts'
import { withOutput } from '../large.ts'
import type { Ledger } from '../ledger.ts'
import { hasMissing, keepMissing, withoutInner, type KeepFile } from '../media.ts'
import type { Result } from '../upstream.ts'
import type { Removal } from './remove-files.ts'

/** What stores files, how long a generation that is done waits for that, and what removes those that nothing refers to. */
export interface FileKeeper { readonly keep: KeepFile, readonly waitMs: number, readonly removal: Removal }

/** A result with an output. */
export type Success = Extract<Result, { kind: 'succeeded' }>

/** A success with its files stored, as far as they could be in its time or until the signal fires. What is missing is tried again: the ledger has it. */
export async function withFiles (result: Success, { keep, waitMs }: FileKeeper, released: AbortSignal): Promise<Success> {
  if (result.media === undefined) return result
  const media = await keepMissing(result.body, result.media, keep, AbortSignal.any([released, AbortSignal.timeout(waitMs)]))
  const { bases: known = null, ...others } = result
  const { output, bases, media: places } = withoutInner({ output: result.body, media, bases: known })
  return { ...others, body: output, media: places, ...(bases === null ? {} : { bases }) }
}

export interface MissingFilesDeps {
  readonly ledger: Pick<Ledger, 'takeMissing' | 'keepFiles' | 'aside'>
  readonly keep: KeepFile
  readonly leaving: AbortSignal
  readonly onTrouble: OnTrouble
}

export interface MissingFiles {
  /** Takes what is due, when nothing of that is under way here. Never rejects. */
  readonly round: () => Promise<void>
}

/** Rows whose files are looked after at once. */
const ROWS_AT_ONCE = 8
/** Shorter than the ledger leaves them to one process. */
const TIME_MS = 240_000

export function createMissingFiles ({ ledger, keep, leaving, onTrouble }: MissingFilesDeps): MissingFiles {
  let isBusy = false

  async function round (): Promise<void> {
    if (isBusy) return
    isBusy = true
    try {
      await Promise.all((await ledger.takeMissing(ROWS_AT_ONCE)).map(store))
    } catch (error) {
      if (!leaving.aborted) onTrouble('store-files', error)
    } finally {
      isBusy = false
    }
  }

  async function store (row: Generation): Promise<void> {
    const { output } = await withOutput(ledger, row)
    if (output === null || row.media === null || !hasMissing(row.media)) return
    const media = await keepMissing(output, row.media, keep, AbortSignal.any([leaving, AbortSignal.timeout(TIME_MS)]))
    await ledger.keepFiles(row.id, row.media, media)
  }

  return { round }
}
