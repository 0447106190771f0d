import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createGathering } from '../../../src/http/fal/gather.ts'
import { until } from '../../support/until.ts'

t.test('a poll alone is answered at once, and those right behind it go out together, in order', async t => {
  const sent: string[] = []
  const gather = createGathering()
  gather(() => { sent.push('alone') })
  t.strictSame(sent, ['alone'])

  let behind = 0
  gather(() => {
    sent.push('second')
    // Those that are let go in the same turn are not yet.
    queueMicrotask(() => { behind = sent.length })
  })
  gather(() => { sent.push('third') })
  t.strictSame(sent, ['alone'])
  await until(() => sent.length === 3)
  t.strictSame(sent, ['alone', 'second', 'third'])
  t.equal(behind, 3, 'in one turn')
})

t.test('under steady load nobody is answered alone, and after a while of quiet the next one is', async t => {
  const gather = createGathering()
  let sent = 0
  const send = (): void => { sent += 1 }
  gather(send)
  gather(send)
  await until(() => sent === 2)
  gather(send)
  t.equal(sent, 2, 'a gathering follows on a gathering')
  await until(() => sent === 3)

  await until(async () => {
    const before = sent
    gather(send)
    const isAtOnce = sent === before + 1
    await pause(20) // quiet is a span of time in which nobody asks
    return isAtOnce
  })
  t.pass('quiet was noticed')
})
