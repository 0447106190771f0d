// The end of a run at fal is told by the ledger's clock, which is not the one that timers go by.

import t from 'tap'
import { LOOK_AGAIN_MS } from '../../src/generation/doubt.ts'
import { createBreakers } from '../../src/generation/run/breakers.ts'
import { createTask } from '../../src/generation/run/task.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { createUpstreams } from '../../src/upstream/queue.ts'
import { admissionOf, freshId, never, times } from '../support/admission.ts'
import { CENTRAL_KEY } from '../support/gateway.ts'
import { startSandbox } from '../support/sandbox.ts'
import { until } from '../support/until.ts'

t.test('a run that lasts too long is ended though the ledger\'s clock was put back meanwhile, and its slot is free', async t => {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const release = sandbox.faults.holdJobs()
  let behindMs = 0
  const ledger = createMemoryLedger({ times: { ...times, runMs: 3000 }, now: () => Date.now() - behindMs })
  const fail = (operation: string, error: unknown): void => { t.fail(operation, { found: error }) }
  const watch = createWatch(ledger, error => { fail('looking', error) })
  const upstreams = createUpstreams({ models: () => builtInModels, queueUrl: () => `${sandbox.base}/queue`, keyOf: () => CENTRAL_KEY })
  const stopped = new AbortController()
  t.teardown(async () => {
    stopped.abort()
    release()
    watch.close()
    await upstreams.close()
    await ledger.close()
  })
  await ledger.admit(admissionOf())
  const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const breakers = createBreakers(ledger, { failuresToOpen: 5, openMs: 1000, blockedMs: 1000, retiredMs: 1000 }, fail)
  const task = createTask(claimed, { isValid: () => true }, {
    ledger, watch, upstreamOf: upstreams.of, breakers, cacheVersionOf: () => 1, replica: 'r1', lookAgainMs: LOOK_AGAIN_MS, onLookAgain: () => {}, onMove: () => {}, onRestored: () => {}, onBehind: () => {}, onTrouble: fail, isOthersHere: () => false
  }, stopped.signal)
  task.run()
  await until(() => task.row.phase === 'running')
  behindMs = 200
  await task.done
  t.equal(task.row.phase, 'unknown')
  t.equal((await ledger.gauges()).atUpstream, 0)
  await until(() => sandbox.bill.cancels === 1)
  task.release()
})
