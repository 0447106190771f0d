// The folder of a ledger on disk, looked at from outside: nothing in it is opened, and nothing is written there.

import { access, constants, readdir, stat, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Config, DiskAccess } from '../../config.ts'
import { unusable } from '../../store/disk/log/folder.ts'
import { RESERVE_BYTES, RESERVE_NAME } from '../../store/disk/log/reserve.ts'
import { networkOf, reachOwner } from '../../store/disk/owner.ts'
import { unmountedFault } from '../data-folder.ts'
import { bytesText, fault, ok, warning, type Finding } from './finding.ts'

/** The reserve, and as much again beside it, without which it is not made. */
const LEAST_FREE_BYTES = 2 * RESERVE_BYTES

/** A journal is that long before a checkpoint is made, which needs as much as the last one beside it. */
const JOURNAL_BYTES = 64 * 1024 * 1024

/** How a folder stands; none where the ledger is elsewhere. Whatever else is wrong with it is told only where it can be used. */
export async function folderFindings (config: Config | null): Promise<readonly Finding[]> {
  if (config === null || config.disk === null) return []
  const place = await placeFinding(config.disk)
  if (place.verdict === 'fault') return [place]
  const { folder } = config.disk
  const files = await filesOf(folder)
  return [place, await ownerFinding(folder), await roomFinding(folder, files), reserveFinding(files), snapshotFinding(files)]
}

/** The same in a word: with which of it nothing would be bought, and what is worth one. */
export async function lookAtFolder (config: Config): Promise<{ readonly faults: readonly string[], readonly warnings: readonly string[] }> {
  const found = await folderFindings(config)
  const of = (verdict: Finding['verdict']): readonly string[] => found.filter(finding => finding.verdict === verdict).map(({ sentence }) => sentence)
  return { faults: of('fault'), warnings: of('warning') }
}

async function placeFinding (disk: DiskAccess): Promise<Finding> {
  const check = 'folder'
  const { folder } = disk
  const unmounted = await unmountedFault(disk)
  if (unmounted !== null) return fault(check, unmounted)
  try {
    const [path, isThere] = await nearest(resolve(folder))
    await access(path, constants.W_OK | constants.X_OK)
    const network = process.platform === 'linux' ? networkOf((await statfs(path)).type) : null
    if (network !== null) return fault(check, `DATA_DIR: ${folder} lies on a file system that other machines may use, too (${network}), where nothing keeps two of them apart: choose a folder on a local disk; in a container, a named volume`)
    return ok(check, isThere ? `${folder} may be written, and no other machine uses its file system` : `${folder} is not there yet: the first start makes it, and no other machine uses its file system`)
  } catch (error) {
    return fault(check, `DATA_DIR: ${unusable(folder, error).message}`)
  }
}

/** The folder, or the nearest one above it that is there. Rejects when it is a file. */
export async function nearest (path: string, isThere = true): Promise<readonly [path: string, isThere: boolean]> {
  const found = await stat(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT' && path !== dirname(path)) return null
    throw error
  })
  if (found === null) return await nearest(dirname(path), false)
  if (!found.isDirectory()) throw Object.assign(new Error(`${path} is a file`), { code: 'ENOTDIR' })
  return [path, isThere]
}

interface File { readonly name: string, readonly bytes: number, readonly modifiedMs: number }

async function filesOf (folder: string): Promise<readonly File[]> {
  const names = await readdir(folder).catch(() => [])
  const files = await Promise.all(names.map(async name => await stat(join(folder, name)).then(({ size, mtimeMs }) => [{ name, bytes: size, modifiedMs: mtimeMs }], () => [])))
  return files.flat()
}

function sum (files: readonly File[], ending = ''): number {
  return files.filter(({ name }) => name.endsWith(ending)).reduce((sum, { bytes }) => sum + bytes, 0)
}

async function ownerFinding (folder: string): Promise<Finding> {
  const check = 'folder-owner'
  try {
    const reached = await reachOwner(folder)
    reached?.socket.destroy()
    if (reached === null) return ok(check, 'nobody has it: a gateway may start')
    const { greeting } = reached
    return greeting === null ? warning(check, 'a process has it and does not answer: look whether it stands still; no other can start meanwhile') : ok(check, `process ${greeting.pid} on ${greeting.host} has it, since ${greeting.since}; no other can start meanwhile`)
  } catch (error) {
    return fault(check, `DATA_DIR: who has ${folder} cannot be asked (${error instanceof Error && 'code' in error ? String(error.code) : 'no answer'}): give it with all that is in it to the user that falgate runs as`)
  }
}

async function roomFinding (folder: string, files: readonly File[]): Promise<Finding> {
  const check = 'folder-room'
  const [path] = await nearest(resolve(folder))
  const { bavail, bsize } = await statfs(path)
  const [freeBytes, usedBytes] = [bavail * bsize, sum(files)]
  const measured = { free_bytes: freeBytes, used_bytes: usedBytes }
  const told = `${bytesText(freeBytes)} are left on its disk, and it takes ${bytesText(usedBytes)}`
  const wantedBytes = 2 * JOURNAL_BYTES + sum(files, '.snapshot') + sum(files, '.texts')
  if (freeBytes < LEAST_FREE_BYTES) return fault(check, `${told}: make room, since with less than ${bytesText(LEAST_FREE_BYTES)} nothing is bought`, measured)
  if (freeBytes < wantedBytes) return warning(check, `${told}: make room, since the next snapshot may need ${bytesText(wantedBytes)}, and without one the journal grows`, measured)
  return ok(check, told, measured)
}

function reserveFinding (files: readonly File[]): Finding {
  const check = 'folder-reserve'
  if (!files.some(({ name }) => name.endsWith('.log'))) return ok(check, 'there is no ledger yet')
  if (files.find(({ name }) => name === RESERVE_NAME)?.bytes === RESERVE_BYTES) return ok(check, `${bytesText(RESERVE_BYTES)} are held back for a full disk`)
  return warning(check, `the ${bytesText(RESERVE_BYTES)} that are held back for a full disk are not there, so its disk was full: make room, and they are held back again`)
}

function snapshotFinding (files: readonly File[]): Finding {
  const check = 'folder-snapshot'
  const snapshot = files.filter(({ name }) => name.endsWith('.snapshot')).toSorted((one, other) => other.modifiedMs - one.modifiedMs)[0]
  const journalBytes = sum(files, '.log')
  if (snapshot === undefined) return ok(check, `there is none yet: a start reads ${bytesText(journalBytes)} of journal`, { journal_bytes: journalBytes })
  const ageSeconds = Math.max(0, Math.round((Date.now() - snapshot.modifiedMs) / 1000))
  const measured = { snapshot_age_seconds: ageSeconds, snapshot_bytes: snapshot.bytes, journal_bytes: journalBytes }
  const told = `the last one has ${bytesText(snapshot.bytes)} and is of ${new Date(snapshot.modifiedMs).toISOString().slice(0, 19)}Z; a start reads it and ${bytesText(journalBytes)} of journal`
  if (journalBytes > 4 * Math.max(JOURNAL_BYTES, snapshot.bytes)) return warning(check, `${told}: snapshots are not written, look in the log for why (a snapshot of the ledger could not be written)`, measured)
  return ok(check, told, measured)
}
