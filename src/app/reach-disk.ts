// A ledger in a folder as operators' commands meet it: over the socket of the gateway that has it, or, when none runs, opened for that moment.

import { stat } from 'node:fs/promises'
import type { Socket } from 'node:net'
import type { Config } from '../config.ts'
import { createOperators, type Operators } from '../generation/operators.ts'
import { openDiskLedger } from '../store/disk/ledger.ts'
import { askedOf } from '../store/disk/operators-wire.ts'
import { ownFolder, reachOwner } from '../store/disk/owner.ts'
import { assertThere } from './data-folder.ts'
import { answerIn, askedText } from './overview-wire.ts'
import { readOverview, type Overview, type OverviewAsked } from './overview.ts'
import { timesOf } from './store-terms.ts'

/** Operators' commands on a ledger, and what those on call look at. */
export interface DiskOperators extends Operators { readonly overview: (asked: OverviewAsked) => Promise<Overview> }

/** The commands on the ledger in this folder. Rejects with a sentence when there is none, or it cannot be read. */
export async function openDiskOperators (config: Config, folder: string): Promise<DiskOperators> {
  if (await isOwned(folder)) {
    const asked = askedOf(async () => await connectionTo(folder))
    return { ...asked, overview: async given => answerIn(await asked.overview(askedText(given))), close: async () => {} }
  }
  await assertThere(folder)
  const owner = await ownFolder(folder)
  try {
    const { ledger, recount } = await openDiskLedger({ folder, times: timesOf(config), accounts: () => [], onDamage: () => {}, onState: () => {}, onCheckpointFailure: () => {} })
    const window = ledger.beside(null)
    return {
      ...createOperators({ ...window, recount }),
      overview: async given => await readOverview(window, given),
      close: async () => { await ledger.close().finally(owner.close) }
    }
  } catch (error) {
    await owner.close()
    throw error
  }
}

/**
 * The same for somebody who looks again and again. Of a ledger that nobody has nothing changes, so it is read once and let go of at once, for the gateway that wants it.
 */
export function diskOverview (config: Config, folder: string): DiskOperators['overview'] {
  let seen: { readonly book: OverviewAsked['book'], readonly touchedMs: number, readonly overview: Overview } | null = null

  return async asked => {
    const hasOwner = await isOwned(folder)
    if (!hasOwner && seen !== null && seen.book === asked.book && seen.touchedMs === await touchedMsOf(folder)) return seen.overview
    const operators = await openDiskOperators(config, folder)
    const overview = await operators.overview(asked).finally(operators.close)
    seen = hasOwner ? null : { book: asked.book, touchedMs: await touchedMsOf(folder), overview }
    return overview
  }
}

async function isOwned (folder: string): Promise<boolean> {
  const reached = await reachOwner(folder)
  reached?.socket.destroy()
  return reached !== null
}

/** When a file came there or went last: the process that takes the folder makes one. */
async function touchedMsOf (folder: string): Promise<number> {
  return await stat(folder).then(({ mtimeMs }) => mtimeMs, () => 0)
}

async function connectionTo (folder: string): Promise<Socket> {
  const reached = await reachOwner(folder)
  if (reached === null) throw new Error(`DATA_DIR: the gateway that had ${folder} has ended: ask again`)
  return reached.socket
}
