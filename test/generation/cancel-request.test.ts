// Asking fal to stop.

import t from 'tap'
import { hasRequestId } from '../../src/generation/generation.ts'
import { createCancelRequest } from '../../src/generation/run/cancel-request.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, times } from '../support/admission.ts'
import { until } from '../support/until.ts'

async function scene (answers: readonly ('asked' | 'unavailable')[]): Promise<{ readonly ask: () => void, readonly asked: string[], readonly release: () => void, readonly troubles: () => number }> {
  const ledger = createMemoryLedger({ times })
  await ledger.admit(admissionOf())
  const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const row = { ...claimed.row, requestId: 'request' }
  await ledger.close()
  const asked: string[] = []
  const released = new AbortController()
  let troubles = 0
  const request = createCancelRequest({
    cancel: async (_model, requestId) => {
      asked.push(requestId)
      return answers[asked.length - 1] ?? 'asked'
    }
  }, () => { troubles += 1 }, released.signal)
  return { ask: () => { if (hasRequestId(row)) request(row) }, asked, release: () => { released.abort() }, troubles: () => troubles }
}

t.test('fal is asked once, however often it is wished', async t => {
  const { ask, asked } = await scene(['asked'])
  ask()
  ask()
  await new Promise(setImmediate)
  ask()
  t.same(asked, ['request'])
})

t.test('fal that cannot be reached is asked again, until it answers', async t => {
  const { ask, asked, troubles } = await scene(['unavailable'])
  ask()
  await until(() => asked.length === 2)
  t.same(asked, ['request', 'request'])
  t.equal(troubles(), 0)
})

t.test('a process that lets go of it asks no more', async t => {
  const { ask, asked, release, troubles } = await scene(['unavailable', 'unavailable'])
  ask()
  await until(() => asked.length === 1)
  release()
  const other = await scene(['unavailable'])
  other.ask()
  await until(() => other.asked.length === 2)
  t.equal(asked.length, 1, 'not when its pause is over, either')
  t.equal(troubles(), 0)
})
