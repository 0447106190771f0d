// To be imported by a gateway that is to die: node --import die-at-disk.js … with DIE_AT=<moment> <n>. Before the nth write to a file, before the nth `fdatasync`, or right
// after it, before anything in the process knows of that: there it kills itself, as a power cut or an impatient operator would.

import { open } from 'node:fs/promises'
import { devNull } from 'node:os'

export const moments = ['before write', 'before sync', 'after sync'] as const

const [, moment = '', number = ''] = /^(.*) (\d+)$/.exec(process.env['DIE_AT'] ?? '') ?? []
if (moment !== '') await dieAt(moment, Number(number))

async function dieAt (moment: string, number: number): Promise<void> {
  const handle = await open(devNull)
  const prototype: object = Object.getPrototypeOf(handle)
  await handle.close()
  let [writes, syncs] = [0, 0]
  around(prototype, 'write', async call => {
    writes += 1
    if (moment === 'before write' && writes === number) die()
    return await call()
  })
  around(prototype, 'datasync', async call => {
    syncs += 1
    const isIt = syncs === number
    if (moment === 'before sync' && isIt) die()
    const result = await call()
    if (moment === 'after sync' && isIt) die()
    return result
  })
}

function around (prototype: object, name: string, wrapper: (call: () => Promise<unknown>) => Promise<unknown>): void {
  const method: unknown = Reflect.get(prototype, name)
  if (typeof method !== 'function') throw new Error(`file handles have no ${name}`)
  Reflect.set(prototype, name, function (this: object, ...given: unknown[]) {
    return wrapper(async () => await Reflect.apply(method, this, given))
  })
}

function die (): void {
  process.kill(process.pid, 'SIGKILL')
}
