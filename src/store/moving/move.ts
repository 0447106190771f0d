// From a place into a file, and from a file into a place: what happens in which order, so that a crash between any two steps leaves what it holds to be bought in one
// place at most. The place says first that it is being left, then the file is written and synced, then it gets its name, then the place says that it was left. A place
// that a file goes into has no ledger before all of it is there.

import { createWriteStream } from 'node:fs'
import { access, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { arriving, readerOf, type Declarations } from './arrive.ts'
import { Unmovable, type MovingPlace, type OnCount } from './entry.ts'
import { fileLines, lookThrough, type Head } from './file.ts'

interface ExportOptions {
  readonly about: Pick<Head, 'version' | 'store'>
  readonly isMove: boolean
  /** A path where nothing is yet, or a stream that stays open. */
  readonly to: string | Writable
  readonly onCount?: OnCount
}

/** Only for whoever exports: prompts lie in it. */
const MODE = 0o600

/** Writes a ledger down. Rejects with an {@link Unmovable} when that cannot be, before anything is written. */
export async function exportLedger (place: MovingPlace, { about, isMove, to, onCount = () => {} }: ExportOptions): Promise<void> {
  if (typeof to === 'string' && await isThere(to)) throw new Unmovable(`${to}: there is a file already, and an export writes over none`)
  // A file that cannot be written is told before the ledger is left.
  const unfinished = typeof to === 'string' ? `${to}.part` : null
  if (unfinished !== null) await (await freshFile(unfinished).catch(error => { throw unwritable(to, error) })).close()
  try {
    const lines = fileLines(await place.leave(isMove), { ...about, isMoved: isMove }, onCount)
    if (typeof to !== 'string') await pipeline(lines, to, { end: false })
    else await keep(to, `${to}.part`, lines)
  } catch (error) {
    if (unfinished !== null) await rm(unfinished, { force: true })
    throw isFull(error) ? unwritable(to, error) : error
  }
  if (isMove) await place.left()
}

async function keep (path: string, unfinished: string, lines: AsyncIterable<string>): Promise<void> {
  await pipeline(lines, createWriteStream(unfinished, { flags: 'r+', flush: true }))
  await rename(unfinished, path)
  // A name lasts when its folder does.
  const folder = await open(dirname(path), 'r')
  await folder.sync().finally(async () => { await folder.close() })
}

/** Why an export has no file, and what to do. */
function unwritable (to: string | Writable, error: unknown): Unmovable {
  const code = codeOf(error)
  const why = isFull(error)
    ? 'there is no space left on its disk; make room there'
    : code === 'ENOENT' ? 'its folder is not there; make it' : code === 'EACCES' || code === 'EROFS' || code === 'EPERM' ? 'this user may not write there' : error instanceof Error ? error.message : String(error)
  return new Unmovable(`${typeof to === 'string' ? to : 'Standard output'} cannot be written: ${why}, or choose another place, and run the command again`)
}

/** Is there no room on the disk, or none for this user? */
function isFull (error: unknown): boolean {
  return codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT'
}

function codeOf (error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

async function freshFile (path: string): ReturnType<typeof open> {
  await rm(path, { force: true })
  return await open(path, 'wx', MODE)
}

async function isThere (path: string): Promise<boolean> {
  return await access(path).then(() => true, () => false)
}

interface ImportOptions {
  readonly from: string
  /** A file that was exported beside a running gateway is taken, too. */
  readonly takesBackup: boolean
  readonly declarations: Declarations
  /** The file is read twice: until all of it was looked through nothing is written. */
  readonly onLook?: OnCount
  readonly onCount?: OnCount
}

/** Puts a ledger into an empty place. Gives how many entries it has. Rejects with an {@link Unmovable} when that cannot be, before anything is written. */
export async function importLedger (place: MovingPlace, { from, takesBackup, declarations, onLook = () => {}, onCount = () => {} }: ImportOptions): Promise<{ readonly head: Head, readonly count: number }> {
  const { head, figures, count, entries } = await lookThrough(from, { read: readerOf(declarations), onCount: onLook })
  if (!head.isMoved && !takesBackup) throw new Unmovable(`${from} is a backup: the ledger that it was read from may go on, and what was bought there since is not in it. With --backup it is imported all the same: whatever was bought since then is not known here and may be bought again, so the other ledger must never be used beside it`)
  const arrival = await place.arrive()
  await arrival.take(arriving({ identity: head, entries: entries(), figures }, { nowMs: arrival.nowMs, declarations }), done => { onCount(done, count) })
  return { head, count }
}
