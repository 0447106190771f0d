// `falgate ledger mend`: what is damaged in a ledger's folder, what putting it right would lose, and the doing of it.

import { basename } from 'node:path'
import type { Config } from '../config.ts'
import { formatUsd } from '../money.ts'
import { inspectLog, mendLog, type Cut } from '../store/disk/log/mend.ts'
import { countLoss, type Loss } from '../store/disk/lost.ts'
import { forgetInputs, lostInputs } from '../store/disk/inputs.ts'
import { markAgain } from '../store/disk/moving.ts'
import type { OpenStateOptions } from '../store/disk/open.ts'
import { ownFolder } from '../store/disk/owner.ts'
import { movingSentence } from '../upstream-account.ts'
import { assertThere } from './data-folder.ts'
import { timesOf } from './store-terms.ts'

/**
 * Says what is damaged in this folder and what would be cut off, and with `isWriting` cuts it off, keeping all of it in files beside. `done`: nothing is damaged (any
 * more). Rejects with a sentence while another process has the folder, and when there is no ledger in it.
 */
export async function mendFolder (config: Config, folder: string, isWriting: boolean): Promise<{ readonly done: boolean, readonly text: string }> {
  await assertThere(folder)
  const owner = await ownFolder(folder)
  const place = { folder, times: timesOf(config), onDamage: () => {} } // what was cut off was never answered
  try {
    const count = countLoss()
    const { damage, canMend, cuts } = await inspectLog(folder, { onKept: count.keep, onLost: count.lose })
    if (damage === null) return await mendInputs(place, isWriting)
    if (!canMend) return { done: false, text: `${damage.message}\nNothing in the folder can take its place, and nothing is changed.` }
    const loss = count.loss()
    const { mark } = loss
    const found = [damage.finding, ...cuts.map(cutText), ...lossText(loss)]
    if (!isWriting) return { done: false, text: [...found, 'Nothing is changed. falgate ledger mend --write cuts it off, and keeps each file as it is now beside it.'].join('\n') }
    const made = await mendLog(folder)
    const { damage: further } = await inspectLog(folder)
    // Else it could buy again what was bought where it is now.
    if (mark !== null && further === null) await markAgain(place, mark)
    return {
      done: further === null,
      text: [
        ...found,
        `Cut off. As they were, the files are kept in ${folder}: ${made.map(({ aside }) => basename(aside)).join(', ')}`,
        further !== null ? `There is more: ${further.message}` : mark === null ? 'The journal is sound now: start the gateway.' : `The journal is sound now. ${movingSentence(mark, folder)}`
      ].join('\n')
    }
  } finally {
    await owner.close()
  }
}

/** The journal is sound: whether the inputs of what has not ended can be read, which are in files beside it. */
async function mendInputs (place: OpenStateOptions, isWriting: boolean): Promise<{ readonly done: boolean, readonly text: string }> {
  const lost = await lostInputs(place)
  if (lost.length === 0) return { done: true, text: `the journal in ${place.folder} is sound: there is nothing to mend` }
  const found = `The journal in ${place.folder} is sound. Damaged ${lost.length === 1 ? 'is the input of a generation that has' : `are the inputs of ${lost.length} generations that have`} not ended: ${lost.join(', ')}`
  if (!isWriting) return { done: false, text: `${found}\nNothing is changed. falgate ledger mend --write goes on without: what waits in line then fails unbought, and what is at fal is followed to its end.` }
  await forgetInputs(place)
  return { done: true, text: `${found}\nThe ledger goes on without: start the gateway.` }
}

function cutText ({ file, offset, bytes, batches, records }: Cut): string {
  const held = batches === 0 ? 'nothing in it can be read' : `${counted(batches, 'batch', 'batches')} of it can be read, with ${counted(records, 'record')}`
  return `To be cut off: ${offset === 0 ? `all of ${basename(file)}` : `${basename(file)} from byte ${offset} on`}, ${counted(bytes, 'byte')}; ${held}`
}

function lossText ({ untilMs, lastMs, generationsGone, generationsSetBack, lines, amount, others }: Loss): readonly string[] {
  const since = untilMs === null ? null : new Date(untilMs).toISOString()
  return [
    since === null ? 'The ledger would be empty.' : `The ledger would be as it was at ${since}${lastMs === null ? '' : `; the last that can be read behind the damage is of ${new Date(lastMs).toISOString()}`}`,
    `Lost, as far as it can be read: all of ${counted(generationsGone, 'generation')}, the latest of ${counted(generationsSetBack, 'other')}, ${counted(lines, 'line')} of the journal of money ($${formatUsd(amount)}), ${counted(others, 'other entry', 'other entries')}`,
    `What was bought ${since === null ? 'so far' : 'since then'} would not be known any more: hold falgate usage against fal's bill afterwards`
  ]
}

function counted (count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`
}
