// Calls are counted for each tenant in windows of its own.

import t from 'tap'
import { createCallCounter } from '../../src/http/call-counter.ts'

t.test('as many calls pass as the limit says, and more again once the window has ended', async t => {
  let nowMs = 1000
  const count = createCallCounter({ max: 2, windowSeconds: 10 }, () => nowMs)
  t.same(count('studio'), { isExceeded: false, left: 1, resetSeconds: 10 })
  nowMs += 9001
  t.same(count('studio'), { isExceeded: false, left: 0, resetSeconds: 1 })
  t.same(count('studio'), { isExceeded: true, left: 0, resetSeconds: 1 }, 'the one too many')
  t.same(count('press'), { isExceeded: false, left: 1, resetSeconds: 10 }, 'each tenant has its own')
  nowMs += 998
  t.equal(count('studio').isExceeded, true, 'a refused call does not make the window longer')
  nowMs += 1
  t.same(count('studio'), { isExceeded: false, left: 1, resetSeconds: 10 })
})

t.test('of more tenants than are counted the one whose window began longest ago makes room', async t => {
  const count = createCallCounter({ max: 1, windowSeconds: 10 }, () => 0)
  for (let n = 0; n < 10_000; n++) count(`tenant ${n}`)
  t.equal(count('tenant 0').isExceeded, true, 'all of them are counted')
  count('one more')
  t.equal(count('tenant 1').isExceeded, true)
  t.equal(count('tenant 0').isExceeded, false)
})
