// Inputs of generations that have not ended and that the disk has lost: without them a ledger is not opened, until it is said that they are gone.

import { openState, readState, type OpenStateOptions } from './open.ts'
import { entryRecord } from './records.ts'
import { codecs } from './tables.ts'

/** The ids of those generations; nothing is changed. */
export async function lostInputs (options: OpenStateOptions): Promise<readonly string[]> {
  const lost: string[] = []
  const { log } = await readState({ ...options, onLostInput: id => { lost.push(id) } })
  await log.close()
  return lost
}

/** Writes down that they have none any more. The folder belongs to this process. */
export async function forgetInputs (options: OpenStateOptions): Promise<void> {
  const lost: string[] = []
  const { state, log } = await openState({ ...options, onLostInput: id => { lost.push(id) } })
  try {
    await log.append({ records: lost.map(id => entryRecord('rows', id, codecs.rows.image(state, id))), texts: [] })
  } finally {
    await log.close()
  }
}
