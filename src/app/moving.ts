// Exports and imports: a ledger leaves the place that the environment names, or comes into it.

import type { Writable } from 'node:stream'
import type { Config } from '../config.ts'
import { createDiskMovingPlace, declarations } from '../store/disk/moving.ts'
import { OwnedError, ownFolder } from '../store/disk/owner.ts'
import { Unmovable, type MovingPlace, type OnCount } from '../store/moving/entry.ts'
import { openingFault } from '../store/moving/file.ts'
import { exportLedger, importLedger } from '../store/moving/move.ts'
import { openMovingRedis, type OperatorsPlace } from './reach-redis.ts'
import { timesOf } from './store-terms.ts'

/** Where a ledger is that is moved as a whole: in a folder, or in a Redis. */
export type MovingAt = { readonly kind: 'folder', readonly folder: string, readonly config: Config } | { readonly kind: 'redis' } & OperatorsPlace

/** Told that so much of it is done. */
export type OnProgress = (doing: 'exported' | 'looked through' | 'imported') => OnCount

/**
 * Does something with the ledger at a place; a folder belongs to this process meanwhile, unless it is only read. Rejects with one sentence when that cannot be, and with
 * what can be done `instead` where a gateway has the folder.
 */
async function at<Result> (where: MovingAt, work: (place: MovingPlace) => Promise<Result>, { isReading = false, instead = '' } = {}): Promise<Result> {
  if (where.kind === 'redis') {
    const place = await openMovingRedis(where)
    try {
      return await work(place)
    } finally {
      await place.close()
    }
  }
  const owner = isReading ? null : await ownFolder(where.folder).catch(error => { throw error instanceof OwnedError ? inUse(where.folder, error, instead) : error })
  const place = createDiskMovingPlace({ folder: where.folder, times: timesOf(where.config), onDamage: () => {} }) // what was cut off was never answered
  try {
    return await work(place)
  } finally {
    await place.close()
    await owner?.close()
  }
}

function inUse (folder: string, { owner }: OwnedError, instead: string): Unmovable {
  const who = owner === null ? 'a process that does not answer' : `process ${owner.pid} on ${owner.host}, since ${owner.since}`
  return new Unmovable(`DATA_DIR=${folder}: a gateway is running there (${who}); stop it first${instead}`)
}

/** Writes the ledger to a file, or a stream. */
export async function runExport (where: MovingAt, { version, isMove, to, onProgress }: { readonly version: string, readonly isMove: boolean, readonly to: string | Writable, readonly onProgress: OnProgress }): Promise<void> {
  const about = { version, store: where.kind === 'redis' ? 'Redis' : 'DATA_DIR' }
  await at(where, async place => { await exportLedger(place, { about, isMove, to, onCount: onProgress('exported') }) }, { isReading: !isMove, instead: '. Without --move, falgate export writes a backup beside it' })
}

/** Puts the ledger of a file into an empty place. Gives how many entries it has. */
export async function runImport (where: MovingAt, { from, takesBackup, onProgress }: { readonly from: string, readonly takesBackup: boolean, readonly onProgress: OnProgress }): Promise<number> {
  return await at(where, async place => (await importLedger(place, { from, takesBackup, declarations, onLook: onProgress('looked through'), onCount: onProgress('imported') })).count)
}

/** What can be told of a file before its ledger is looked for; null when nothing stands in the way. */
export async function importFault (from: string): Promise<string | null> {
  return await openingFault(from)
}

/** Takes a ledger back that was marked as moved. Gives the account whose it is. */
export async function runTakeBack (where: MovingAt): Promise<string> {
  return await at(where, async place => await place.takeBack())
}
