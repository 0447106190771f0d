// To be imported by a gateway: node --import break-disk.js … with DISK_FAULT=<file>. As long as the file has a code of the system in it, whatever would change the disk fails
// with that: as on one that is full or was mounted read-only, without the rights that it takes to make one.

import promises, { open } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { devNull } from 'node:os'

const file = process.env['DISK_FAULT'] ?? ''
if (file !== '') await breakAll()

async function breakAll (): Promise<void> {
  const handle = await open(devNull)
  const prototype: object = Object.getPrototypeOf(handle)
  await handle.close()
  for (const name of ['write', 'datasync', 'sync', 'truncate']) breakOne(prototype, name, () => true)
  // What is only read is opened as ever; what is given up makes room, unless nothing at all may be changed.
  breakOne(promises, 'open', ([, flags]) => flags !== 'r')
  for (const name of ['mkdir', 'rename', 'unlink', 'link']) breakOne(promises, name, () => faultNow() !== 'ENOSPC')
  syncBuiltinESMExports()
}

function breakOne (where: object, name: string, isMet: (given: readonly unknown[]) => boolean): void {
  const method: unknown = Reflect.get(where, name)
  if (typeof method !== 'function') throw new Error(`there is no ${name}`)
  Reflect.set(where, name, async function (this: object, ...given: unknown[]): Promise<unknown> {
    const code = faultNow()
    if (code !== '' && isMet(given)) throw Object.assign(new Error(`${code}: ${name}`), { code })
    return await Reflect.apply(method, this, given)
  })
}

function faultNow (): string {
  return readFileSync(file, 'utf8')
}
