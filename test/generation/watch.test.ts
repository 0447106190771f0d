// What those who wait are told of an end that this process writes itself.

import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, successOf, times } from '../support/admission.ts'

async function sceneOf (t: Test) {
  const memory = createMemoryLedger({ times })
  let reads = 0
  const watch = createWatch({
    ...memory,
    getMany: async ids => {
      reads += 1
      return await memory.getMany(ids)
    }
  }, error => { t.fail('looking', { found: error }) })
  await memory.admit(admissionOf())
  const claimed = await memory.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const { id } = claimed.row
  await memory.recordAccepted(id, 1, 'a')
  const ended = new Promise<Generation>(resolve => {
    const unattend = watch.attend(id, {
      ended: row => {
        unattend()
        resolve(row)
      }
    })
    t.teardown(unattend)
  })
  await setImmediate() // the look with which it begins is over
  t.teardown(() => { watch.close() })
  return { memory, watch, id, ended, reads: () => reads }
}

t.test('an end that this process writes and tells itself is not read', async t => {
  const { memory, watch, id, ended, reads } = await sceneOf(t)
  const over = watch.endsHere(id)
  const row = await memory.finish(id, 1, 'a', successOf())
  await setImmediate() // it is published
  over()
  if (row !== null) watch.tell(row)
  t.match(await ended, { id, phase: 'succeeded' })
  await setImmediate()
  t.equal(reads(), 0)
})

t.test('an end that was published meanwhile and told by nobody is read', async t => {
  const { memory, watch, id, ended, reads } = await sceneOf(t)
  const over = watch.endsHere(id)
  await memory.finish(id, 1, 'a', successOf())
  await setImmediate()
  t.equal(reads(), 0)
  over()
  t.match(await ended, { id, phase: 'succeeded' })
  t.equal(reads(), 1)
})
