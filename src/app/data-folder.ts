// The folder of a ledger on disk, as it is before anybody uses it: is it there, and does it stay?

import { readFile, realpath, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { DiskAccess } from '../config.ts'

/** Where a file system is mounted, and of what kind it is. */
export interface Mount { readonly path: string, readonly kind: string }

/** Why a gateway with real money must not keep it in this folder, and what to do; `null`: it may. */
export async function unmountedFault ({ folder, hasToBeMount }: DiskAccess, readMounts = readOwnMounts): Promise<string | null> {
  if (!hasToBeMount) return null
  const path = await existingPath(resolve(folder))
  const mount = mountOf(path, await readMounts())
  if (mount !== null && mount.path !== '/' && mount.kind !== 'tmpfs') return null
  return `DATA_DIR: ${folder} is no mount, so that paid pictures, budgets and keys would end with this container: run it with -v falgate-data:${folder}, or with REDIS_URL, or with STORE=memory if that is meant`
}

/** The mount that a path is on: that with the longest path above it, and of several the last. */
export function mountOf (path: string, mounts: readonly Mount[]): Mount | null {
  const above = mounts.filter(mount => mount.path === '/' || mount.path === path || path.startsWith(`${mount.path}/`))
  return above.reduce<Mount | null>((best, mount) => best === null || mount.path.length >= best.path.length ? mount : best, null)
}

/** What `/proc/self/mountinfo` says (proc_pid_mountinfo(5)). */
export function mountsIn (mountinfo: string): readonly Mount[] {
  return mountinfo.split('\n').flatMap(line => {
    const [before = '', after = ''] = line.split(' - ')
    const [path, kind] = [before.split(' ')[4], after.split(' ')[0]]
    return path === undefined || kind === undefined ? [] : [{ path: path.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8))), kind }]
  })
}

async function readOwnMounts (): Promise<readonly Mount[]> {
  return mountsIn(await readFile('/proc/self/mountinfo', 'utf8'))
}

/** Of it, or of the nearest folder above it that is there, without links. */
async function existingPath (path: string): Promise<string> {
  return await realpath(path).catch(async () => path === dirname(path) ? path : await existingPath(dirname(path)))
}

/** Rejects with a sentence when there is no such folder: a command makes none. */
export async function assertThere (folder: string): Promise<void> {
  const isThere = await stat(folder).then(found => found.isDirectory(), () => false)
  if (!isThere) throw new Error(`DATA_DIR: there is no ledger in ${folder}`)
}
