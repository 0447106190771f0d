// The in-process layer in front of the ledger: finished results by cache name, bounded in bytes, at most a minute old.

import { LRUCache } from 'lru-cache'
import type { MicroUsd } from '../../money.ts'
import type { Generation } from '../generation.ts'

/** A finished result, ready to be sent. */
export interface StoredResult {
  readonly body: Buffer
  /** The id that the generation has for this reader, who alone may see it. */
  readonly generationId: string
  readonly tenant: string
  readonly subject: string
  /** The generation that bought it, as it was when it was read. */
  readonly purchase: string
  readonly version: number
  readonly cost: MicroUsd
  /** Where in the body addresses stand that are made for who asks. */
  readonly bases: Generation['bases']
  readonly media: Generation['media']
  /** Ledger clock. */
  readonly finishedAtMs: number
}

export interface ResultCache {
  /**
   * Drops what is older than this of a generation that changed. Where changes may have been missed nothing is dropped: hits are given out while the ledger is away, and nothing here is older than
   * a minute.
   */
  hear: (change: Pick<Generation, 'id' | 'version'> | 'look-again') => void
  get: (name: string) => StoredResult | undefined
  /** Keeps the row's output under this name, unless a newer one is there, and gives it back as it will be sent. */
  put: (name: string, row: Generation, output: string) => StoredResult
}

/** An entry is believed for this long without asking the ledger again. */
const MAX_AGE_MS = 60_000

/** What an entry costs beside its body: name, object and the bookkeeping of the map. */
const ENTRY_OVERHEAD_BYTES = 512

/** A row's output, ready to be sent. */
export function storedResultOf (row: Generation, output: string): StoredResult {
  return {
    body: Buffer.from(output),
    generationId: row.id,
    tenant: row.tenant,
    subject: row.subject,
    purchase: row.purchase,
    version: row.version,
    cost: row.cost ?? 0,
    bases: row.bases,
    media: row.media,
    finishedAtMs: row.finishedAtMs ?? 0
  }
}

export function createResultCache (maxBytes: number): ResultCache {
  /** The names under which a generation lies here. */
  const namesOf = new Map<string, Set<string>>()
  const entries = new LRUCache<string, StoredResult>({
    maxSize: Math.max(1, maxBytes),
    maxEntrySize: Math.max(1, maxBytes),
    sizeCalculation: entry => entry.body.length + ENTRY_OVERHEAD_BYTES,
    ttl: MAX_AGE_MS,
    ttlResolution: 100,
    dispose: ({ purchase }, name) => { unname(purchase, name) },
    onInsert: ({ purchase }, name) => { namesOf.set(purchase, (namesOf.get(purchase) ?? new Set()).add(name)) }
  })

  function unname (id: string, name: string): void {
    const names = namesOf.get(id)
    names?.delete(name)
    if (names?.size === 0) namesOf.delete(id)
  }

  return {
    hear: change => {
      if (change === 'look-again') return
      const { id, version } = change
      for (const name of namesOf.get(id) ?? []) if ((entries.peek(name)?.version ?? version) < version) entries.delete(name)
    },
    get: name => entries.get(name),
    put: (name, row, output) => {
      const stored = storedResultOf(row, output)
      const newest = entries.peek(name)?.finishedAtMs ?? 0
      if (maxBytes > 0 && stored.finishedAtMs >= newest) entries.set(name, stored)
      return stored
    }
  }
}
