// How long until the next look for a result.

import t from 'tap'
import { LOOK_AGAIN_MS } from '../../src/generation/doubt.ts'
import { createLooks, type Looks, type Unusable } from '../../src/generation/run/looks.ts'

const gone: Unusable = { kind: 'expired', isClear: true }
const away: Unusable = { kind: 'unavailable', retryAfterMs: null }
const doubted = { doubtSinceMs: 0, runUntilMs: 3_600_000 }

/** Looks at a row that is in doubt since 0, by a clock that stands still. */
function looksAt (nowMs: number): Looks {
  return createLooks(doubted, { ledger: { now: () => nowMs }, lookAgainMs: LOOK_AGAIN_MS })
}

t.test('what would throw the picture away is looked at after each of the pauses, and then no more', t => {
  const looks = looksAt(0)
  t.same(LOOK_AGAIN_MS.map(() => looks.pauseBeforeNext(gone, doubted)), LOOK_AGAIN_MS)
  t.equal(looks.pauseBeforeNext(gone, doubted), null)
  t.end()
})

t.test('the looks of another process count', t => {
  t.equal(looksAt(1000).pauseBeforeNext(gone, doubted), 3000)
  t.equal(looksAt(4000).pauseBeforeNext(gone, doubted), 10_000)
  t.equal(looksAt(300_000).pauseBeforeNext(gone, doubted), null)
  t.end()
})

t.test('a result that cannot be had is asked for when fal wants that, or else after pauses that grow; after ten seconds in any case', t => {
  const looks = looksAt(0)
  t.equal(looks.pauseBeforeNext({ kind: 'unavailable', retryAfterMs: 1500 }, doubted), 1500)
  t.equal(looks.pauseBeforeNext({ kind: 'unavailable', retryAfterMs: 3_600_000 }, doubted), 10_000)
  for (const usualMs of [500, 1000, 2000, 4000]) {
    const pauseMs = looks.pauseBeforeNext(away, doubted) ?? NaN
    t.ok(pauseMs >= usualMs * 0.8 && pauseMs <= usualMs * 1.2)
  }
  looks.pauseBeforeNext({ kind: 'pending' }, doubted)
  t.equal(looks.pauseBeforeNext(away, doubted), 10_000)
  t.end()
})

t.test('a result that cannot be had takes no look from those that would throw the picture away', t => {
  const looks = looksAt(0)
  looks.pauseBeforeNext(away, doubted)
  t.equal(looks.pauseBeforeNext(gone, doubted), 1000)
  t.end()
})
