// Random interleavings of everything that can happen to the ledger in memory. A failure prints its seed and the shortest walk to it.

import fc from 'fast-check'
import t from 'tap'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { owner, startMs } from './contract/world.ts'
import { walk, walks, walkTimes } from './walk.ts'

t.test('no interleaving of operations breaks an invariant of the ledger', async t => {
  let steps = 0
  await fc.assert(fc.asyncProperty(walks(60), async drawn => {
    let nowMs = startMs
    let server = 'first'
    const ledger = createMemoryLedger({ times: walkTimes, now: () => nowMs, server: () => server, account: owner, looseRows: drawn.length % 3 })
    await walk({ ledger, beside: ledger.beside, audit: ledger.audit, setNow: atMs => { nowMs = atMs }, setServer: other => { server = other }, close: ledger.close }, drawn, startMs)
    steps += drawn.length
  }), { numRuns: 1000 })
  t.ok(steps > 20_000, `${steps} steps were walked`)
})
