// A ledger in a folder as operators' commands meet it: over the socket of the gateway that has it, or, when none runs, opened for that moment.

import type { Socket } from 'node:net'
import type { Config } from '../config.ts'
import { createOperators, type Operators } from '../generation/operators.ts'
import { openDiskLedger } from '../store/disk/ledger.ts'
import { askedOf } from '../store/disk/operators-wire.ts'
import { ownFolder, reachOwner } from '../store/disk/owner.ts'
import { assertThere, nothingToRecount } from './data-folder.ts'
import { timesOf } from './store-terms.ts'

/** The commands on the ledger in this folder. Rejects with a sentence when there is none, or it cannot be read. */
export async function openDiskOperators (config: Config, folder: string): Promise<Operators> {
  const reached = await reachOwner(folder)
  if (reached !== null) {
    reached.socket.destroy()
    return { ...askedOf(async () => await connectionTo(folder)), recount: nothingToRecount, close: async () => {} }
  }
  await assertThere(folder)
  const owner = await ownFolder(folder)
  try {
    const { ledger } = await openDiskLedger({ folder, times: timesOf(config), accounts: () => [], onDamage: () => {}, onState: () => {}, onCheckpointFailure: () => {} })
    return { ...createOperators({ ...ledger.beside(null), recount: nothingToRecount }), close: async () => { await ledger.close().finally(owner.close) } }
  } catch (error) {
    await owner.close()
    throw error
  }
}

async function connectionTo (folder: string): Promise<Socket> {
  const reached = await reachOwner(folder)
  if (reached === null) throw new Error(`DATA_DIR: the gateway that had ${folder} has ended: ask again`)
  return reached.socket
}
