// The ledger's clock as a process knows it: by what Redis tells, in whatever order that is read.

import { performance } from 'node:perf_hooks'
import t from 'tap'
import { createLedgerClock } from '../../src/store/redis/clock.ts'

t.test('an answer that is read after a later one does not move the clock back; Redis\' own going back is followed', async t => {
  const clock = createLedgerClock()
  const sentAtMs = performance.now()
  clock.learn(5_000_000, sentAtMs)
  const shownMs = clock.now()
  clock.learn(4_999_000, sentAtMs)
  t.ok(clock.now() >= shownMs)
  clock.learn(4_000_000, performance.now() + 1)
  t.ok(clock.now() < shownMs)
})
