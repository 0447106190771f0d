// `npm run test:fast`: what the tests promise that need neither Redis nor a process, within a minute. `test/support/fast.ts` says which files those are.
// A few processes run them, so that the gateway is loaded a few times and not once for each file; `npm test` gives each file its own process.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

/** Two keep two processors busy; a third one works while they wait for a pause of the code. */
const PROCESSES = 3

const begun = mkdtempSync(join(tmpdir(), 'falgate-fast-'))
t.teardown(() => { rmSync(begun, { recursive: true }) })

const share = fileURLToPath(new URL('./support/fast-share.js', import.meta.url))

t.setTimeout(0)
t.jobs = PROCESSES
await Promise.all(Array.from({ length: PROCESSES }, async (_, index) => {
  await t.spawn(process.execPath, [share, begun], {}, `process ${index + 1} of ${PROCESSES}`)
}))
