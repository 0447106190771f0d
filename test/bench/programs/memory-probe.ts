// Tells how much memory a process has that knows nothing of it: node --expose-gc --import memory-probe.js <program>, with the file to tell it in as MEMORY_FILE.
// SIGWINCH, which nobody else listens for, has both written there as JSON: what there is, and what is left of it once all garbage is collected.

import { renameSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'

/** What finalizers hold is free only after they ran, which they do between collections. */
const COLLECTIONS = 4
const BETWEEN_MS = 50

const file = process.env['MEMORY_FILE']
if (file !== undefined) {
  process.on('SIGWINCH', () => {
    tell(file).catch((error: unknown) => { process.stderr.write(`${String(error)}\n`) })
  })
}

async function tell (file: string): Promise<void> {
  const before = process.memoryUsage()
  for (let count = 0; count < COLLECTIONS; count++) {
    globalThis.gc?.()
    await pause(BETWEEN_MS)
  }
  writeFileSync(`${file}.new`, JSON.stringify({ before, collected: process.memoryUsage() }))
  renameSync(`${file}.new`, file)
}
