// Watches the pauses of a process that has nothing to do with it: node --import pause-probe.js <program>, with the file to tell them in as PAUSES_FILE. SIGWINCH, which
// nobody else listens for, has those written there, as JSON, that there were since the signal before.

import { renameSync, writeFileSync } from 'node:fs'
import { watchPauses } from '../pauses.ts'

const file = process.env['PAUSES_FILE']
if (file !== undefined) {
  const pauses = watchPauses()
  process.on('SIGWINCH', () => {
    writeFileSync(`${file}.new`, JSON.stringify(pauses()))
    renameSync(`${file}.new`, file)
  })
}
