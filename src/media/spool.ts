// Where files are put together before they are stored. What a process that died left there is removed by the next start.

import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** No file is put together for as long. Other processes may be at work in the same folder. */
const LEFT_OVER_MS = 3_600_000

/** Makes a folder that several processes use, and removes what was left over in it. */
export async function openSharedSpool (folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const found = await stat(path).catch(() => null) // another one was sooner
    if (found !== null && Date.now() - found.mtimeMs > LEFT_OVER_MS) await rm(path, { force: true, recursive: true })
  }
}

const OWN = 'falgate-media-'

/** A folder of this process alone, among the temporary files of the machine; and those of processes that are not there any more are removed. */
export async function openOwnSpool (above = tmpdir()): Promise<{ readonly folder: string, readonly remove: () => Promise<void> }> {
  for (const name of await readdir(above)) {
    const pid = new RegExp(`^${OWN}(\\d+)-`).exec(name)?.[1]
    if (pid !== undefined && await isLeftOver(join(above, name), Number(pid))) await rm(join(above, name), { force: true, recursive: true }).catch(() => {}) // somebody else's
  }
  const folder = await mkdtemp(join(above, `${OWN}${process.pid}-`))
  return { folder, remove: async () => { await rm(folder, { force: true, recursive: true }) } }
}

async function isLeftOver (path: string, pid: number): Promise<boolean> {
  if (pid !== process.pid) return !isThere(pid)
  // In a container every process has the same number: the process that had it before is not there any more.
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }))
  return mtimeMs < Date.now() - process.uptime() * 1000
}

function isThere (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}
