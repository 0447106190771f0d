// Looking at files again and again for changes: one look at a time, and each refusal told once.

import { statSync, type BigIntStats } from 'node:fs'
import { stat } from 'node:fs/promises'

/** What a look found. */
export type Look =
  /** It looks as it did the last time, so it was not read. */
  | { readonly kind: 'unchanged' }
  /** It was read, and is in force already. */
  | { readonly kind: 'in-force' }
  /** It cannot be used. `what` names it: the same is told once. */
  | { readonly kind: 'refused', readonly what: string, readonly faults: readonly string[] }
  /** It is sound and new; `take` puts it in force. Must not throw. */
  | { readonly kind: 'new', readonly take: () => void }

export interface WatchedOptions {
  /** `isAsked`: somebody wants it read, however it looks. Must not reject. */
  readonly look: (isAsked: boolean) => Promise<Look>
  /** Must not throw. */
  readonly onRefused: (faults: readonly string[]) => void
  readonly intervalMs?: number | undefined
}

export interface Watched {
  /** Looks at once. `isAsked`: somebody wants it read, and a refusal told again. Never rejects. */
  readonly look: (isAsked: boolean) => Promise<void>
  /** Ends the watch; nothing is told afterwards. Twice is harmless. */
  readonly close: () => void
}

const INTERVAL_MS = 5000

/** Polls, because mounted config maps swap by a symlink that file watchers lose. */
export function watch ({ look, onRefused, intervalMs = INTERVAL_MS }: WatchedOptions): Watched {
  let lastRefusal = ''
  let closed = false
  let running: Promise<void> = Promise.resolve()

  async function lookOnce (isAsked: boolean): Promise<void> {
    if (closed) return
    const found = await look(isAsked)
    if (closed || found.kind === 'unchanged') return
    if (found.kind === 'refused') {
      if (found.what === lastRefusal && !isAsked) return
      lastRefusal = found.what
      onRefused(found.faults)
      return
    }
    lastRefusal = ''
    if (found.kind === 'new') found.take()
  }

  /** One look at a time, so that an older content never replaces a newer one. */
  function enqueue (isAsked: boolean): Promise<void> {
    running = running.then(() => lookOnce(isAsked))
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
    look: enqueue,
    close: () => {
      closed = true
      clearInterval(timer)
    }
  }
}

/** What a file looks like without being read. */
export interface Looks {
  /** Its resolved path, inode, size and times. */
  readonly looks: string
  readonly bytes: number
}

/** Rejects as the file system does. */
export async function looksOf (file: string): Promise<Looks> {
  return looksIn(await stat(file, { bigint: true }))
}

/** The same while nobody is served who would have to wait for the disk. Throws as the file system does. */
export function looksNowOf (file: string): Looks {
  return looksIn(statSync(file, { bigint: true }))
}

/** Of what a link leads to: when it leads to another file, the number of the file is another. */
function looksIn ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): Looks {
  return { looks: `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`, bytes: Number(size) }
}
