// Follows changes of the tenants file. A faulty new file is refused and told once; the old one stays in force.

import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ModelBook } from '../models/models.ts'
import { looksOf, watch, type Look } from '../watched.ts'
import { parseTenants, versionOf, type TenantBook } from './book.ts'
import { describeReadError, faultsOfSecretFiles } from './load.ts'

export interface WatchOptions {
  readonly file: string
  /** What is in force already: the `version` of the book that the caller loaded, for the models on offer now. */
  readonly version: string
  /** What is on offer: other models are faults in the file. */
  readonly models: () => ModelBook
  /** The keys of the file spend money. */
  readonly isReal: boolean
  /** A sound new file is in force from now on, or the old one for other models. Must not throw. */
  readonly onChange: (book: TenantBook) => void
  /** The file changed into something that cannot be used, or cannot be read. Must not throw. */
  readonly onRefused: (faults: readonly string[]) => void
  readonly intervalMs?: number
}

export interface TenantsWatch {
  /** Looks now, whatever the file's times say, and tells a refusal again: somebody asked. Never rejects. */
  readonly reload: () => Promise<void>
  /** Looks now: there are other models on offer, which the file is held against. Never rejects. */
  readonly modelsChanged: () => Promise<void>
  /** Ends the watch; nothing is told afterwards. Twice is harmless. */
  readonly close: () => void
}

/** Unchanged files are not read while the models on offer are the same: what the file looks like has to differ first. */
export function watchTenants ({ file, version, models, isReal, onChange, onRefused, intervalMs }: WatchOptions): TenantsWatch {
  let inForce = { version, models: models() }
  let lastSeen = { looks: '', models: models() }

  async function look (isAsked: boolean): Promise<Look> {
    const offered = models()
    let text: string
    try {
      const { looks } = await looksOf(file)
      if (looks === lastSeen.looks && offered === lastSeen.models && !isAsked) return { kind: 'unchanged' }
      text = await readFile(file, 'utf8')
      // Kept from before the read: a write in between makes the next look read again.
      lastSeen = { looks, models: offered }
    } catch (error) {
      lastSeen = { looks: '', models: offered }
      return { kind: 'refused', what: 'unreadable', faults: [describeReadError(error)] }
    }
    const found = { version: versionOf(text), models: offered }
    if (found.version === inForce.version && offered === inForce.models) return { kind: 'in-force' }
    const folder = dirname(file)
    const read = parseTenants(text, { models: offered, isReal, folder })
    if (!read.ok) return { kind: 'refused', what: `${found.version} ${read.faults.join()}`, faults: read.faults }
    const faults = await faultsOfSecretFiles(text, folder)
    if (faults.length > 0) {
      // These may be mended while this file stays as it is.
      lastSeen = { looks: '', models: offered }
      return { kind: 'refused', what: `${found.version} ${faults.join()}`, faults }
    }
    return {
      kind: 'new',
      take: () => {
        inForce = found
        onChange(read.book)
      }
    }
  }

  const watched = watch({ look, onRefused, intervalMs })
  return { reload: async () => { await watched.look(true) }, modelsChanged: async () => { await watched.look(false) }, close: watched.close }
}
