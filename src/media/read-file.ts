// Reads a file of an output into memory: with the same hosts, bounds and patience as files are stored.

import { Agent, type buildConnector } from 'undici'
import { storedFileAt, type ReadFile, type ReadOutcome, type StoredFiles } from '../generation/media.ts'
import type { AddressRule, WayToFile } from './address-rule.ts'
import { unpack } from './data-address.ts'
import { fetchInto } from './fetch-file.ts'
import { createPlaces } from './places.ts'

export interface FileReaderDeps {
  readonly allowed: AddressRule
  /** What makes connections, by the way that the rule names. */
  readonly connect: Readonly<Record<WayToFile, buildConnector.connector>>
  readonly maxBytes: number
  /** Where files are stored; `null`: nowhere. */
  readonly stored: Pick<StoredFiles, 'open'> | null
}

export interface FileReader { readonly read: ReadFile, readonly close: () => Promise<void> }

/** Files in memory at once; others wait for their turn, or until their time is over. */
const AT_ONCE = 4

export function createFileReader ({ allowed, connect, maxBytes, stored }: FileReaderDeps): FileReader {
  const dispatchers = { public: new Agent({ connect: connect.public }), ours: new Agent({ connect: connect.ours }) }
  const takePlace = createPlaces(AT_ONCE)

  async function read (address: string, signal: AbortSignal): Promise<ReadOutcome> {
    const giveBack = await takePlace(signal)
    if (giveBack === null) return unread('deadline')
    try {
      const file = storedFileAt(address)
      return file === null ? await readAddress(address, signal) : await readStored(file)
    } catch {
      return unread('store')
    } finally {
      giveBack()
    }
  }

  async function readAddress (text: string, signal: AbortSignal): Promise<ReadOutcome> {
    const address = URL.parse(text)
    if (address === null) return unread('address')
    if (address.protocol === 'data:') {
      const file = await unpack(address, maxBytes)
      return file.kind === 'refused' ? unread(file.why) : { kind: 'read', bytes: file.bytes }
    }
    const chunks: Buffer[] = []
    const fetched = await fetchInto(address, {
      begin: async () => { chunks.length = 0 },
      write: async chunk => { chunks.push(chunk) }
    }, { allowed, dispatchers, maxBytes, signal })
    return fetched.kind === 'fetched' ? { kind: 'read', bytes: Buffer.concat(chunks) } : unread(fetched.why)
  }

  async function readStored (file: string): Promise<ReadOutcome> {
    const opened = await stored?.open(file, null)
    if (opened?.kind !== 'opened') return unread('gone')
    if (Buffer.isBuffer(opened.content)) return { kind: 'read', bytes: opened.content }
    const chunks: Buffer[] = []
    for await (const chunk of opened.content) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
    return { kind: 'read', bytes: Buffer.concat(chunks) }
  }

  return { read, close: async () => { await Promise.all([dispatchers.public.destroy(), dispatchers.ours.destroy()]) } }
}

function unread (why: string): ReadOutcome {
  return { kind: 'unread', why }
}
