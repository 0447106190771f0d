// What can be saved of a damaged journal: everything before the damage. What lies behind it rests upon what cannot be read.

import { copyFile, open, rename, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { DamageError } from './damage.ts'
import { FILE_MODE, fileOf, listFolder, nameOf, syncFolder } from './folder.ts'
import { encodeFrame, findFrame, readFrames } from './frames.ts'
import { snapshotHeadIn, type SegmentHead, type SnapshotHead } from './heads.ts'
import { realFiles, writeAll } from './port.ts'
import { replay } from './replay.ts'

/** A part of a file that would be cut off: all from this byte on. */
export interface Cut { readonly file: string, readonly offset: number, readonly bytes: number, readonly batches: number, readonly records: number }

/** A cut that was made: all of the file as it was is kept in `aside`. */
export interface MadeCut extends Cut { readonly aside: string }

/** What is damaged, and what it would take to start again. `canMend`: cutting off `cuts` is enough; otherwise only a copy of the folder helps. */
export interface Inspection { readonly damage: DamageError | null, readonly canMend: boolean, readonly cuts: readonly Cut[] }

/** Are told of each sound record, in order: of those before the damage first, then of those that would be cut off. */
export interface InspectOptions { readonly onKept?: (record: string) => void, readonly onLost?: (record: string) => void }

/** Looks at a folder that nobody uses. Rejects when the folder cannot be read at all, or was written by a newer version. */
export async function inspectLog (folder: string, { onKept = () => {}, onLost = () => {} }: InspectOptions = {}): Promise<Inspection> {
  try {
    await replay({ port: realFiles, folder, onRecord: onKept })
    return { damage: null, canMend: true, cuts: [] }
  } catch (error) {
    if (!(error instanceof DamageError)) throw error
    const cuts = await cutsOf(folder, error, onLost)
    return { damage: error, canMend: cuts !== null, cuts: cuts ?? [] }
  }
}

/**
 * Cuts off what `inspectLog` says, and keeps all of it beside, in files that end with `.damaged`. Gives what it has cut off. Rejects, and changes nothing, when that
 * would not be enough. One that was interrupted may be run again; further damage is seen by the next `inspectLog`.
 */
export async function mendLog (folder: string): Promise<readonly MadeCut[]> {
  const { damage, canMend, cuts } = await inspectLog(folder)
  if (damage !== null && !canMend) throw damage
  const made: MadeCut[] = []
  // From the last one on: whatever is cut off first rests upon nothing that is still there.
  for (const cut of cuts.toReversed()) {
    const { file, offset } = cut
    const aside = await freeName(file)
    if (offset === 0) {
      await rename(file, aside)
    } else {
      await copyFile(file, aside)
      await synced(aside)
      await syncFolder(realFiles, folder)
      await truncated(file, offset)
    }
    await syncFolder(realFiles, folder)
    made.unshift({ ...cut, aside })
  }
  if (damage !== null) await beginAgain(folder)
  return made
}

async function cutsOf (folder: string, { file: path, offset, loss }: DamageError, onLost: (record: string) => void): Promise<readonly Cut[] | null> {
  const damaged = fileOf(basename(path))?.file
  if (loss === 'all' || damaged === undefined) return null
  const { files } = await listFolder(realFiles, folder)
  const cuts: Cut[] = []
  for (const one of files) {
    if (one.ending !== 'log' || one.file < damaged || (loss === 'file' && one.file > damaged)) continue
    cuts.push(await cutOf(join(folder, nameOf(one)), one.file === damaged ? offset : 0, onLost))
  }
  return cuts
}

/** A snapshot is followed by a segment, even when there is nothing in it. */
async function beginAgain (folder: string): Promise<void> {
  const { files } = await listFolder(realFiles, folder)
  const snapshot = files.findLast(({ ending }) => ending === 'snapshot')
  if (snapshot === undefined) return
  const head = await headOf(join(folder, nameOf(snapshot)))
  if (files.some(({ file, ending }) => ending === 'log' && file === head.from)) return
  const none: SegmentHead = { after: null }
  const opened = await realFiles.open(join(folder, nameOf({ file: head.from, ending: 'log' })), 'wx', FILE_MODE)
  try {
    await writeAll(opened, encodeFrame('segment', head.batch, [JSON.stringify(none)]).bytes, 0)
    await opened.sync()
  } finally {
    await opened.close()
  }
  await syncFolder(realFiles, folder)
}

async function headOf (path: string): Promise<SnapshotHead> {
  const opened = await open(path, 'r')
  try {
    let head: SnapshotHead = { from: 0, batch: 0 }
    await readFrames(opened, 0, (await opened.stat()).size, frame => {
      head = snapshotHeadIn(frame.records())
      return 'enough'
    })
    return head
  } finally {
    await opened.close()
  }
}

async function truncated (file: string, bytes: number): Promise<void> {
  const opened = await open(file, 'r+')
  try {
    await opened.truncate(bytes)
    await opened.sync()
  } finally {
    await opened.close()
  }
}

async function cutOf (file: string, offset: number, onLost: (record: string) => void): Promise<Cut> {
  const opened = await open(file, 'r')
  try {
    const size = (await opened.stat()).size
    let batches = 0
    let records = 0
    for (let from: number | null = offset; from !== null && from < size;) {
      const sound: number | null = await findFrame(opened, from, size)
      if (sound === null) break
      const fault = await readFrames(opened, sound, size, frame => {
        if (frame.kind !== 'batch' && frame.kind !== 'part') return undefined
        const lost = frame.records()
        if (frame.kind === 'batch') batches += 1
        records += lost.length
        for (const record of lost) onLost(record)
        return undefined
      })
      from = fault === null ? null : fault.offset + 1
    }
    return { file, offset, bytes: size - offset, batches, records }
  } finally {
    await opened.close()
  }
}

/** The name of the file with `.damaged`, and a number when there is one from another time. */
async function freeName (file: string): Promise<string> {
  for (let count = 1; ; count++) {
    const name = `${file}${count === 1 ? '' : `.${count}`}.damaged`
    if (!await stat(name).then(() => true, () => false)) return name
  }
}

async function synced (file: string): Promise<void> {
  const opened = await open(file, 'r')
  try {
    await opened.sync()
  } finally {
    await opened.close()
  }
}
