// Waiting that is in vain ends with a sentence.

import t from 'tap'
import { settlesWithin } from './support/timers.ts'
import { until } from './support/until.ts'

t.test('what was waited for in vain is said: in words when there are some, else by its condition', async t => {
  const bill = { cancels: 0 }
  await t.rejects(until(() => bill.cancels > 0, { patienceMs: 20 }), { message: 'waited for 0.02 s until bill.cancels > 0, in vain' })
  await t.rejects(until(async () => bill.cancels > 0, { patienceMs: 20, what: 'it is cancelled' }), { message: 'waited for 0.02 s until it is cancelled, in vain' })
})

t.test('a question that is never answered ends, too, and one that fails at once', async t => {
  await t.rejects(until(async () => await new Promise<boolean>(() => {}), { patienceMs: 20 }), /in vain/)
  await t.rejects(until(() => { throw new Error('broken') }), { message: 'broken' })
})

t.test('the answer that was waited for is given, also when it is 0 or an empty text', async t => {
  let asked = 0
  t.equal(await until(() => ++asked > 2 && 'there'), 'there')
  t.equal(asked, 3)
  t.equal(await until(() => 0), 0)
  t.equal(await until(() => ''), '')
})

t.test('the order of timers is not moved by a process that was busy', async t => {
  const late = new Promise(resolve => { setTimeout(resolve, 40) })
  const within = settlesWithin(60, late)
  const without = settlesWithin(20, late)
  const startMs = performance.now()
  while (performance.now() - startMs < 100); // both are due by now
  t.same([await within, await without], [true, false])
})
