// Stores the files of outputs: fetched once or taken out of a `data:` address, checked, and kept under what is in them.

import { createHash, randomUUID } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Agent, type buildConnector } from 'undici'
import type { Expectation } from '../generation/kept-files.ts'
import type { Kept, KeepFile } from '../generation/media.ts'
import type { AddressRule, WayToFile } from './address-rule.ts'
import { unpack } from './data-address.ts'
import { fetchFile, type Fetched } from './fetch-file.ts'
import { fileName } from './file-name.ts'
import { endingOf, kindOf } from './kinds.ts'
import type { MediaStore } from './media-store.ts'
import { createPlaces } from './places.ts'

/** How storing one file went, as metrics and logs name it. */
export type Outcome = 'stored' | 'gone' | 'refused' | 'failed' | 'full'

export interface KeeperDeps {
  readonly store: MediaStore
  readonly allowed: AddressRule
  /** What makes connections, by the way that the rule names. */
  readonly connect: Readonly<Record<WayToFile, buildConnector.connector>>
  readonly maxBytes: number
  /** Told of each file before it is stored, so that nobody removes it and it is found whatever becomes of this process. */
  readonly expect: (name: string, bytes: number) => Promise<Expectation>
  /** Told of each file that was tried: `why` is a word, and holds nothing of the address. `bytes`: of one that was stored. */
  readonly onFile: (outcome: Outcome, why: string | null, bytes: number) => void
}

/** Files on their way at once; others wait for their turn, or until their time is over. */
const AT_ONCE = 16

/** So long after there was no room nothing is fetched: it would have to be fetched again. */
const FULL_MS = 30_000

/** What stores files, and what ends its connections. */
export interface Keeper { readonly keep: KeepFile, readonly close: () => Promise<void> }

export function createKeeper (deps: KeeperDeps): Keeper {
  const { store, allowed, connect, onFile } = deps
  const dispatchers = { public: new Agent({ connect: connect.public }), ours: new Agent({ connect: connect.ours }) }
  const takePlace = createPlaces(AT_ONCE)
  let fullUntilMs = 0

  async function fetched (address: URL, path: string, signal: AbortSignal): Promise<Fetched> {
    return address.protocol === 'data:' ? await unpacked(address, path, deps.maxBytes) : await fetchFile(address, path, { allowed, dispatchers, maxBytes: deps.maxBytes, signal })
  }

  async function stored (address: URL, path: string, signal: AbortSignal): Promise<Kept> {
    const file = await fetched(address, path, signal)
    if (file.kind !== 'fetched') {
      onFile(file.kind, file.why, 0)
      return { kind: file.kind === 'failed' ? 'later' : 'never' }
    }
    const { bytes, sha256, declaredType } = file
    const ending = await endingOf(path, declaredType, address.protocol === 'data:' ? '' : address.pathname)
    const name = fileName(sha256, ending)
    const expected = await deps.expect(name, bytes)
    if (expected === 'full') {
      fullUntilMs = performance.now() + FULL_MS
      onFile('full', 'MEDIA_MAX_BYTES', 0)
    }
    if (expected === 'withdrawn') onFile('refused', 'withdrawn', 0)
    if (expected !== 'expected') return { kind: expected === 'withdrawn' ? 'never' : 'later' }
    await store.put(name, { path, bytes, type: kindOf(ending).type }, signal)
    onFile('stored', null, bytes)
    return { kind: 'kept', file: name }
  }

  async function keep (text: string, until: AbortSignal): Promise<Kept> {
    // One answer has many files: with listeners of all of them on one signal Node warns of a leak.
    const signal = AbortSignal.any([until])
    const address = URL.parse(text)
    // What lies with somebody else stays with them.
    if (address === null || (address.protocol !== 'data:' && allowed(address) === null)) return { kind: 'never' }
    if (performance.now() < fullUntilMs) return { kind: 'later' }
    const giveBack = await takePlace(signal)
    if (giveBack === null) return { kind: 'later' }
    const work = inTurn(address, signal).finally(giveBack)
    const overdue = longAfter(signal)
    try {
      // A disk that does not answer heeds no signal, and nobody waits for it. The turn is given back when it does.
      return await Promise.race([work, overdue.isOver.then((): Kept => ({ kind: 'later' }))])
    } finally {
      overdue.forget()
    }
  }

  async function inTurn (address: URL, signal: AbortSignal): Promise<Kept> {
    const path = join(store.spoolFolder, randomUUID())
    try {
      return await stored(address, path, signal)
    } catch (error) {
      onFile('failed', error instanceof Error && 'code' in error ? String(error.code) : 'store', 0)
      return { kind: 'later' }
    } finally {
      await rm(path, { force: true }).catch(() => {}) // tidied up at the next start
    }
  }

  return { keep, close: async () => { await Promise.all([dispatchers.public.destroy(), dispatchers.ours.destroy()]) } }
}

/** What heeds a signal has ended so long after it. */
const GRACE_MS = 1000

function longAfter (signal: AbortSignal): { readonly isOver: Promise<void>, readonly forget: () => void } {
  let timer: NodeJS.Timeout | undefined
  let onAbort = (): void => {}
  const isOver = new Promise<void>(resolve => { onAbort = () => { timer = setTimeout(resolve, GRACE_MS) } })
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return {
    isOver,
    forget: () => {
      signal.removeEventListener('abort', onAbort)
      clearTimeout(timer)
    }
  }
}

/** The file that a `data:` address holds. */
async function unpacked (address: URL, path: string, maxBytes: number): Promise<Fetched> {
  const file = await unpack(address, maxBytes)
  if (file.kind === 'refused') return file
  const { bytes, declaredType } = file
  await writeFile(path, bytes, { mode: 0o600, flag: 'wx' })
  return { kind: 'fetched', bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'), declaredType }
}
