// When it is said that a row should be read.

import t from 'tap'
import { createRereading } from '../../src/generation/run/rereading.ts'
import { until } from '../support/until.ts'

t.test('what is in doubt is read once, when everything is written', t => {
  let due = 0
  const rereading = createRereading(() => { due += 1 })
  rereading.everythingWritten()
  t.equal(due, 0)
  rereading.doubtful()
  rereading.doubtful()
  t.equal(due, 0)
  rereading.everythingWritten()
  rereading.everythingWritten()
  t.equal(due, 1)
  rereading.close()
  t.end()
})

t.test('what could not be read is tried again, once, and not after the end', async t => {
  const counts = [0, 0]
  const [again, closed] = counts.map((_, n) => createRereading(() => { counts[n] = (counts[n] ?? 0) + 1 }))
  closed?.couldNotBeRead()
  again?.couldNotBeRead()
  again?.couldNotBeRead()
  closed?.close()
  await until(() => (counts[0] ?? 0) > 0)
  t.same(counts, [1, 0])
  again?.close()
})
