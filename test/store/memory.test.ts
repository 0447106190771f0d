// The ledger in memory keeps the contract.

import t from 'tap'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { contract } from './contract.ts'
import { owner } from './contract/world.ts'

// Each operation but the one that ends a row meets it packed.
t.test('the ledger in memory', async t => contract(t, (times, startMs) => {
  let nowMs = startMs
  let server = 'first'
  const ledger = createMemoryLedger({ times, now: () => nowMs, server: () => server, account: owner, looseRows: 0 })
  return { ledger, beside: ledger.beside, audit: ledger.audit, setNow: atMs => { nowMs = atMs }, setServer: other => { server = other }, close: ledger.close }
}))

t.test('by default the clock is the wall\'s, and it never goes back', async t => {
  // The wall's time when the process began, and what has passed since by a clock that nobody sets: two clocks that are read apart are not compared to the millisecond.
  const wallMs = (): number => Math.floor(performance.timeOrigin + performance.now())
  const beforeMs = wallMs()
  const ledger = createMemoryLedger({ times: { resultTtlMs: 1, queueMs: 1, runMs: 1, leaseMs: 1, largeResultBytes: 268_435_456 } })
  t.teardown(ledger.close)
  const first = ledger.now()
  t.ok(beforeMs <= first && first <= wallMs())
  t.ok(Math.abs(first - Date.now()) < 3_600_000, 'not the time since the machine was started, and not seconds')
  t.ok(Number.isInteger(first))
  t.ok(ledger.now() >= first)
})
