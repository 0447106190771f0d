// A process that wants a folder: it says `ready`, tries when the folder has a file `go`, says what came of it, and stays.

import { watch } from 'node:fs'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { ownFolder } from '../../../src/store/disk/owner.ts'

const [folder = '', barrier = ''] = process.argv.slice(2)

function say (line: string): void {
  process.stdout.write(line + '\n')
}

const watcher = watch(barrier)
const isThere = new Promise<void>((resolve, reject) => {
  const look = (): void => { access(join(barrier, 'go')).then(resolve, () => {}) }
  watcher.on('change', look).on('error', reject)
  look()
})
say('ready')
await isThere
watcher.close()
await ownFolder(folder).then(() => { say('owner') }, error => { say(`refused ${String(error)}`) })
setInterval(() => {}, 1000)
