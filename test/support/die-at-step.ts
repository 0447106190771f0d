// To be imported by a command that is to die: node --import die-at-step.js … with DIE_BEFORE_STEP=<n>. A step is a call that changes what a file system or Redis keeps:
// before the nth of them, counted together, the process kills itself.

import fs, { promises } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { Socket } from 'node:net'
import { devNull } from 'node:os'

const deadly = Number(process.env['DIE_BEFORE_STEP'] ?? '0')
let steps = 0

if (deadly > 0) {
  const handle = await promises.open(devNull)
  const prototype: object = Object.getPrototypeOf(handle)
  await handle.close()
  for (const name of ['write', 'datasync', 'sync', 'truncate']) count(prototype, name)
  for (const name of ['mkdir', 'rename', 'rm', 'unlink']) count(promises, name)
  // Those of streams.
  for (const name of ['write', 'writev', 'fsync']) count(fs, name)
  count(Socket.prototype, 'write', ([said]) => /FCALL|unlink/i.test(String(said)))
  syncBuiltinESMExports()
}

function count (where: object, name: string, isStep: (given: readonly unknown[]) => boolean = () => true): void {
  const method: unknown = Reflect.get(where, name)
  if (typeof method !== 'function') throw new Error(`there is no ${name}`)
  Reflect.set(where, name, function (this: object, ...given: unknown[]): unknown {
    if (isStep(given)) steps += 1
    if (steps === deadly) process.kill(process.pid, 'SIGKILL')
    return Reflect.apply(method, this, given)
  })
}
