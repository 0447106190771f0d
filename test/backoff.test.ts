// The one backoff of everything that is tried again.

import t from 'tap'
import { backoffMs, jittered } from '../src/backoff.ts'

const backoff = { firstMs: 100, mostMs: 1000 }

t.test('a pause doubles with each failure, up to the most, and is never the same for all', async t => {
  for (const [failures, expectedMs] of [[1, 100], [2, 200], [3, 400], [4, 800], [5, 1000], [6, 1000], [5000, 1000]] as const) {
    const pauses = Array.from({ length: 200 }, () => backoffMs(failures, backoff))
    t.ok(pauses.every(ms => ms >= expectedMs * 0.8 && ms <= expectedMs * 1.2), `${failures} failures`)
    t.ok(new Set(pauses).size > 100, 'they differ')
  }
  t.ok(jittered(0) === 0)
})
