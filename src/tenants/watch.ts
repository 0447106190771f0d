// Follows changes of the tenants file. A faulty new file is refused and told once; the old one stays in force.

import { readFile, realpath, stat } from 'node:fs/promises'
import type { ModelBook } from '../models/models.ts'
import { parseTenants, versionOf, type TenantBook } from './book.ts'
import { describeReadError } from './load.ts'

export interface WatchOptions {
  readonly file: string
  /** The version that is in force already: the `version` of the book that the caller loaded. */
  readonly version: string
  /** What is on offer: other models are faults in the file. */
  readonly models: () => ModelBook
  /** The keys of the file spend money. */
  readonly isReal: boolean
  /** A sound new file is in force from now on. Must not throw. */
  readonly onChange: (book: TenantBook) => void
  /** The file changed into something that cannot be used, or cannot be read. Must not throw. */
  readonly onRefused: (faults: readonly string[]) => void
  readonly intervalMs?: number
}

export interface TenantsWatch {
  /** Looks now, whatever the file's times say, and tells a refusal again: somebody asked. Never rejects. */
  readonly reload: () => Promise<void>
  /** Ends the watch; nothing is told afterwards. Twice is harmless. */
  readonly close: () => void
}

/**
 * Polls, because mounted config maps swap by a symlink that file watchers lose. Unchanged files are not read:
 * the resolved path, inode, size and times have to differ first.
 */
export function watchTenants ({ file, version, models, isReal, onChange, onRefused, intervalMs = 5000 }: WatchOptions): TenantsWatch {
  let inForce = version
  let lastSeen = ''
  let lastRefusal = ''
  let closed = false
  let running: Promise<void> = Promise.resolve()

  async function look (isAsked: boolean): Promise<void> {
    if (closed) return
    let text: string
    try {
      const seen = await signatureOf(file)
      if (seen === lastSeen && !isAsked) return
      text = await readFile(file, 'utf8')
      // Kept from before the read: a write in between makes the next look read again.
      lastSeen = seen
    } catch (error) {
      lastSeen = ''
      refuse('unreadable', [describeReadError(error)], isAsked)
      return
    }
    const found = versionOf(text)
    if (found === inForce) {
      lastRefusal = ''
      return
    }
    const read = parseTenants(text, { models: models(), isReal })
    if (!read.ok) {
      refuse(found, read.faults, isAsked)
      return
    }
    if (closed) return
    inForce = found
    lastRefusal = ''
    onChange(read.book)
  }

  function refuse (what: string, faults: readonly string[], isAsked: boolean): void {
    if (closed || (what === lastRefusal && !isAsked)) return
    lastRefusal = what
    onRefused(faults)
  }

  /** One look at a time, so that an older content never replaces a newer one. */
  function enqueue (isAsked: boolean): Promise<void> {
    running = running.then(() => look(isAsked))
    return running
  }

  let isLooking = false
  const timer = setInterval(() => {
    // A hanging network file system must not pile up looks.
    if (isLooking) return
    isLooking = true
    enqueue(false).finally(() => { isLooking = false })
  }, intervalMs)

  return {
    reload: () => enqueue(true),
    close: () => {
      closed = true
      clearInterval(timer)
    }
  }
}

async function signatureOf (file: string): Promise<string> {
  const target = await realpath(file)
  const { ino, size, mtimeNs, ctimeNs } = await stat(target, { bigint: true })
  return `${target} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
}
