// A ledger on disk for the contract and the walks: after any operation the process may be gone, and another one that opens the folder has to find all that was answered.

import { isDeepStrictEqual } from 'node:util'
import type { Ledger, LedgerTimes } from '../../src/generation/ledger.ts'
import { openDiskLedger, type DiskStore } from '../../src/store/disk/ledger.ts'
import type { OwnAccount } from '../../src/upstream-account.ts'
import { owner, type Store } from '../store/contract/world.ts'
import { createFakeDisk, FOLDER, type FakeDisk } from '../store/disk/fake-disk.ts'

export interface TestedDisk extends Store {
  readonly store: () => DiskStore
  /** What another process finds that opens a copy of the disk now and did not find here, or the other way round. */
  readonly differences: () => Promise<readonly string[]>
  /** The ledger of the process that is there now. */
  readonly now: () => DiskStore['ledger']
  /** The process is gone, and another one has opened the disk. Gives what it found otherwise. */
  readonly crash: () => Promise<readonly string[]>
}

/** An empty ledger on a disk of its own, whose clock stands at `startMs`. */
export async function diskStore (times: LedgerTimes, startMs: number): Promise<TestedDisk> {
  let disk = createFakeDisk()
  let nowMs = startMs
  let server = 'first'
  const open = async (files: FakeDisk): Promise<DiskStore> => await openDiskLedger({
    folder: FOLDER,
    files,
    times,
    accounts: (): readonly OwnAccount[] => [owner],
    wallNow: () => nowMs,
    server: () => server,
    onDamage: damage => { throw new Error(`damage: ${JSON.stringify(damage)}`) },
    onState: trouble => { if (trouble !== null) throw trouble },
    onCheckpointFailure: error => { throw error }
  })
  let store = await open(disk)
  let isClosed = false
  const close = async (): Promise<void> => {
    isClosed = true
    await store.ledger.close()
  }
  return {
    store: () => store,
    ledger: { ...store.ledger, close },
    beside: store.ledger.beside,
    audit: store.ledger.audit,
    setNow: atMs => { nowMs = atMs },
    setServer: other => { server = other },
    now: () => store.ledger,
    crash: async () => {
      await store.flush()
      const before = store
      disk = disk.copy()
      store = await open(disk)
      const found = await compare(before, store, nowMs)
      await before.ledger.close()
      return found
    },
    differences: async () => {
      // Some tests close it themselves.
      if (isClosed) return []
      await store.flush()
      const other = await open(disk.copy())
      const found = [...other.ledger.audit().map(fault => `found again: ${fault}`), ...await compare(store, other, nowMs)]
      await other.ledger.close()
      return found
    },
    close
  }
}

async function compare (one: DiskStore, other: DiskStore, nowMs: number): Promise<string[]> {
  const [here, there] = [imagesOf(one), imagesOf(other)]
  const found = [...new Set([...here.keys(), ...there.keys()])].flatMap(key => isDeepStrictEqual(here.get(key), there.get(key)) ? [] : [`${key}: ${JSON.stringify(here.get(key))}, found again: ${JSON.stringify(there.get(key))}`])
  const ids = [...here.keys()].filter(key => key.startsWith('rows ')).map(key => key.slice(5))
  const questions: readonly ((ledger: Ledger) => Promise<unknown>)[] = [
    async ledger => (await ledger.getMany(ids)).map(({ id, input, output, queuePosition }) => ({ id, input, output, queuePosition })),
    async ledger => await ledger.journal(0, nowMs + 1, 10_000),
    async ledger => (await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: null })).rows.map(({ purchase, ...row }) => row),
    async ledger => await ledger.gauges(),
    async ledger => (await ledger.unknowns(100)).map(({ id, sinceMs }) => ({ id, sinceMs })),
    async ledger => await Promise.all(ids.map(async id => await ledger.aside(id)))
  ]
  for (const ask of questions) {
    const [mine, found2] = [await ask(one.ledger), await ask(other.ledger)]
    if (!isDeepStrictEqual(mine, found2)) found.push(`${JSON.stringify(mine)}, found again: ${JSON.stringify(found2)}`)
  }
  return found
}

/** By table and key. The latest moment is another one with every look. */
function imagesOf (store: DiskStore): ReadonlyMap<string, unknown> {
  return new Map([...store.images()].map(([table, key, { nowMs, ...image }]) => [`${table} ${key}`, image]))
}
