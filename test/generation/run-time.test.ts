// When it is told that a generation has been at fal for too long.

import t from 'tap'
import { createRunTime } from '../../src/generation/run/run-time.ts'
import { until } from '../support/until.ts'

// Most of their time is pauses of the code, so they wait together.
t.jobs = 6
const together = { buffered: true }

t.test('its time is over: told at once, and again until it is closed', together, async t => {
  let over = 0
  const time = createRunTime(1000, 'counted', () => 1000, () => { over += 1 })
  t.equal(over, 1)
  await until(() => over > 1)
  time.close()
})

t.test('its time is over while its result is looked for: told only when it is at work again', together, async t => {
  let over = 0
  let looks = 0
  const now = (): number => {
    looks += 1
    return 1000
  }
  const time = createRunTime(1000, 'suspended', now, () => { over += 1 })
  time.count()
  time.suspend()
  await until(() => looks > 1)
  t.equal(over, 0)
  time.count()
  await until(() => over > 0)
  time.close()
})

t.test('a clock that was put back: it is told when the time is over by that clock', together, async t => {
  let nowMs = 0
  let looks = 0
  let over = 0
  const time = createRunTime(1100, 'counted', () => {
    looks += 1
    return nowMs
  }, () => { over += 1 })
  await until(() => looks > 1)
  t.equal(over, 0)
  nowMs = 1100
  await until(() => over > 0)
  time.close()
})

t.test('no end: never told', t => {
  createRunTime(null, 'counted', () => { throw new Error('nobody asks') }, () => { t.fail('told') }).close()
  t.end()
})
