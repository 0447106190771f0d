// What fal publishes of the models now, beside the files that they were made of: one replica looks for all, once in a while, and nothing changes by itself.

import { setInterval as startInterval } from 'node:timers'
import type { Logger } from 'pino'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { Ledger } from '../generation/ledger.ts'
import { differencesBetween } from '../models/difference.ts'
import { readDocument } from '../models/document.ts'
import type { LoadedFile } from '../models/load.ts'
import { plain } from '../models/outline.ts'
import type { OnTrouble } from '../trouble.ts'

export interface DriftDeps {
  /** The files in force now. */
  readonly files: () => Iterable<LoadedFile>
  readonly catalogue: Pick<Catalogue, 'document' | 'close'>
  readonly ledger: Pick<Ledger, 'once' | 'now'>
  /** How often all replicas together look. */
  readonly everyMs: number
  readonly log: Pick<Logger, 'warn' | 'info'>
  /** The models that differ, as far as this process has looked and no other since. */
  readonly onDrift: (models: ReadonlySet<string>) => void
  readonly onTrouble: OnTrouble
}

export interface DriftWatch {
  readonly start: () => void
  /** Looks, when it is this process' turn. Never rejects. */
  readonly look: () => Promise<void>
  /** Breaks off a look that is under way. Twice is harmless. */
  readonly stop: () => Promise<void>
}

/**
 * How often a process asks whether it is its turn, and when it does so first: another one may have left before it looked. Soon enough that an operator who starts the
 * first gateway with a model's file sees what comes of it, and not with the start, when the way out may not be there yet.
 */
const ASK_EVERY_MS = 60_000

/** More differences of one model are not told; `falgate model diff` has them all. */
const MAX_TOLD = 10

export function createDriftWatch ({ files, catalogue, ledger, everyMs, log, onDrift, onTrouble }: DriftDeps): DriftWatch {
  let lookedAtMs: number | null = null
  let isLooking = false
  let isStopped = false
  let timer: NodeJS.Timeout | null = null

  async function lookOnce (): Promise<void> {
    if (!await ledger.once('compare-models', everyMs)) {
      // A replica that has looked since knows better.
      if (lookedAtMs !== null && ledger.now() - lookedAtMs >= everyMs) {
        lookedAtMs = null
        onDrift(new Set())
      }
      return
    }
    lookedAtMs = ledger.now()
    const drifted = new Set<string>()
    let compared = 0
    let unreachable: string | null = null
    // One after another: nobody is in a hurry, and fal says nothing of how often it may be asked.
    for (const file of files()) {
      const found = await compareFile(file, catalogue)
      if (isStopped) return
      if (!found.isReached) {
        unreachable ??= found.fault
        continue
      }
      compared++
      const told = found.differences
      if (told.length === 0) continue
      drifted.add(file.endpointId)
      log.warn({ model: file.endpointId, document_of: file.added, differences: told.slice(0, MAX_TOLD), more: Math.max(0, told.length - MAX_TOLD) }, 'fal publishes another document of this model than its file has: falgate model diff')
    }
    onDrift(drifted)
    log.info({ compared, differ: drifted.size }, 'compared the files of models with what fal publishes')
    if (unreachable !== null) onTrouble('compare-models', new Error(unreachable))
  }

  async function look (): Promise<void> {
    // A catalogue that answers slowly must not pile up looks.
    if (isLooking || isStopped) return
    isLooking = true
    try {
      await lookOnce()
    } catch (error) {
      onTrouble('compare-models', error)
    } finally {
      isLooking = false
    }
  }

  return {
    start: () => { timer = startInterval(() => { look() }, Math.min(ASK_EVERY_MS, everyMs)).unref() },
    look,
    stop: async () => {
      isStopped = true
      if (timer !== null) clearInterval(timer)
      await catalogue.close()
    }
  }
}

/** Asks what fal publishes for a file now. `differences`: one sentence for each, none where it is as it was; `isReached` is false where that was not to be had. */
export async function compareFile (file: LoadedFile, catalogue: Pick<Catalogue, 'document'>): Promise<{ readonly isReached: true, readonly differences: readonly string[] } | { readonly isReached: false, readonly fault: string }> {
  const fetched = await catalogue.document(file.endpointId)
  if (!fetched.ok && !fetched.isUnknown) return { isReached: false, fault: fetched.fault }
  return { isReached: true, differences: fetched.ok ? differencesOf(file, fetched.value) : [fetched.fault] }
}

function differencesOf ({ endpointId, document }: LoadedFile, text: string): readonly string[] {
  const now = readDocument(text, endpointId)
  return now.ok ? differencesBetween(document, now.document).map(({ kind, place, name, text }) => plain(`${kind} ${place} ${name}: ${text}`)) : [now.fault]
}
