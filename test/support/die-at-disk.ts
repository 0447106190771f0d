// To be imported by a gateway that is to die: node --import die-at-disk.js … with DIE_AT=<moment> <n>. Before or after the nth of these calls to the file system, before
// anything in the process knows of its end: there it kills itself, as a power cut or an impatient operator would. With SYNC_FAILS=<n> the nth `fdatasync` fails, after which
// a checkpoint is made.

import promises, { open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { devNull } from 'node:os'

/** On the way of one request. */
export const moments = ['before write', 'before datasync', 'after datasync'] as const

/** On the way of a checkpoint. */
export const checkpointMoments = [...moments, 'before sync', 'before rename', 'after rename', 'before unlink', 'after unlink'] as const

const [, when = '', name = '', number = ''] = /^(before|after) (\w+) (\d+)$/.exec(process.env['DIE_AT'] ?? '') ?? []
const failing = Number(process.env['SYNC_FAILS'] ?? '0')

if (when !== '' || failing > 0) {
  const handle = await open(devNull)
  const prototype: object = Object.getPrototypeOf(handle)
  await handle.close()
  if (failing > 0) failAt(prototype, 'datasync', failing)
  if (when !== '') dieAt(name === 'rename' || name === 'unlink' ? promises : prototype, name, Number(number))
  syncBuiltinESMExports()
}

function dieAt (where: object, name: string, number: number): void {
  let calls = 0
  around(where, name, async call => {
    calls += 1
    const isIt = calls === number
    if (when === 'before' && isIt) die()
    try {
      return await call()
    } finally {
      // Also where it failed.
      if (when === 'after' && isIt) die()
    }
  })
}

function failAt (where: object, name: string, number: number): void {
  let calls = 0
  around(where, name, async call => {
    calls += 1
    if (calls === number) throw Object.assign(new Error(`EIO: ${name}`), { code: 'EIO' })
    return await call()
  })
}

function around (where: object, name: string, wrapper: (call: () => Promise<unknown>) => Promise<unknown>): void {
  const method: unknown = Reflect.get(where, name)
  if (typeof method !== 'function') throw new Error(`there is no ${name}`)
  Reflect.set(where, name, function (this: object, ...given: unknown[]) {
    return wrapper(async () => await Reflect.apply(method, this, given))
  })
}

function die (): void {
  process.kill(process.pid, 'SIGKILL')
}
