// What one process looks after: what is taken once, twice or when it was bought already, and what is left of it afterwards.

import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Claimed } from '../../src/generation/evidence.ts'
import { createBreakers } from '../../src/generation/run/breakers.ts'
import { createTasks, type Tasks } from '../../src/generation/run/tasks.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { createMemoryLedger, type MemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, times } from '../support/admission.ts'
import { playUpstream, type PlayedUpstream } from '../support/played-upstream.ts'
import { until } from '../support/until.ts'

type Granted = Extract<Claimed, { readonly outcome: 'go' }>

interface Scene extends PlayedUpstream {
  readonly ledger: MemoryLedger
  readonly tasks: Tasks
  /** Buys one and claims it. */
  readonly claim: () => Promise<Granted>
  /** Has it accepted and made. */
  readonly make: (requestId: string) => Promise<void>
  /** How often a grant was refused because this process has bought it. */
  readonly forgotten: () => number
  /** How many tasks were told to be done. */
  readonly done: () => number
  readonly leave: () => void
}

const valid = { isValid: () => true }

function open (t: Test): Scene {
  const played = playUpstream()
  const ledger = createMemoryLedger({ times })
  const fail = (operation: string, error: unknown): void => { t.fail(operation, { found: error }) }
  const watch = createWatch(ledger, error => { fail('looking', error) })
  const leaving = new AbortController()
  const stopped = new AbortController()
  let forgotten = 0
  let done = 0
  const tasks = createTasks({
    ledger,
    watch,
    upstreamOf: () => played.upstream,
    breakers: createBreakers(ledger, { failuresToOpen: 5, openMs: 1000, blockedMs: 1000, retiredMs: 1000 }, fail),
    cacheVersionOf: () => 1,
    replica: 'r1',
    lookAgainMs: [10],
    leaving: leaving.signal,
    stopped: stopped.signal,
    onForgotten: () => { forgotten += 1 },
    onDone: () => { done += 1 },
    onLookAgain: () => {},
    onMove: () => {},
    onRestored: () => {},
    onBehind: () => {},
    onTrouble: fail
  })
  t.teardown(async () => {
    tasks.releaseAll()
    stopped.abort()
    for (const { answer } of played.submits) answer({ kind: 'refused', failure: { code: 'model-retired', detail: '' } })
    await tasks.allDone()
    watch.close()
    await ledger.close()
  })
  return {
    ...played,
    ledger,
    tasks,
    claim: async () => {
      await ledger.admit(admissionOf({ rate: { max: 1_000_000, windowSeconds: 60 } }))
      const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 10 })
      if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
      return claimed
    },
    make: async requestId => {
      played.submits.at(-1)?.answer({ kind: 'accepted', requestId, position: null })
      await until(() => played.sightings.length > 0)
      played.sightings.shift()?.answer({ kind: 'completed', log: { from: 0, lines: [] } })
      await until(() => played.results.length > 0)
      played.results.shift()?.answer({ kind: 'succeeded', body: '{"images":[]}', seed: null, units: null })
      await tasks.allDone()
    },
    forgotten: () => forgotten,
    done: () => done,
    leave: () => { leaving.abort() }
  }
}

t.test('a grant of what this process has bought, under way or ended, begins nothing: the ledger forgot, and is told', async t => {
  const { tasks, claim, make, submits, sightings, forgotten } = open(t)
  const claimed = await claim()
  const again = { ...claimed, row: { ...claimed.row, attempt: 2 } }
  tasks.take(claimed, valid)
  submits[0]?.answer({ kind: 'accepted', requestId: 'one', position: null })
  await until(() => sightings.length > 0)
  tasks.take(again, valid)
  t.equal(forgotten(), 1)
  await make('one')
  tasks.take(again, valid)
  t.equal(forgotten(), 2)
  t.equal(tasks.running.size, 0)
  t.equal(submits.length, 1)
})

t.test('what is taken over while it is looked after here is one task', async t => {
  const { tasks, claim, make, submits, done } = open(t)
  const claimed = await claim()
  tasks.take(claimed, valid)
  tasks.take(claimed, null)
  await make('one')
  t.equal(submits.length, 1)
  t.equal(done(), 1)
  t.equal(tasks.running.size, 0)
})

t.test('what is granted once more before its last step here is over begins when that is over', async t => {
  const { tasks, claim, submits, ledger } = open(t)
  const claimed = await claim()
  tasks.take(claimed, valid)
  tasks.take({ ...claimed, row: { ...claimed.row, attempt: 2 } }, valid)
  t.equal(submits.length, 1)
  submits[0]?.answer({ kind: 'unsent', failure: { code: 'upstream-unavailable', detail: '' }, retryAfterMs: null, suspect: 'account' })
  await until(() => submits.length === 2)
  t.match(await ledger.getMany([claimed.row.id]), [{ phase: 'waiting', attempt: 1 }])
})

t.test('what is released and taken over again goes on when its last step is over', async t => {
  const { tasks, claim, submits, sightings, followed } = open(t)
  const claimed = await claim()
  tasks.take(claimed, valid)
  tasks.releaseAll()
  const { row } = claimed
  tasks.take({ ...claimed, row: { ...row, phase: 'accepted', version: row.version + 1, requestId: 'one' } }, null)
  t.equal(sightings.length, 0)
  submits[0]?.answer({ kind: 'accepted', requestId: 'one', position: null })
  await until(() => sightings.length > 0)
  t.same([...followed], ['one'])
})

t.test('what is granted to a process that leaves is given back unsent', async t => {
  const { tasks, claim, submits, ledger, leave } = open(t)
  const claimed = await claim()
  leave()
  tasks.take(claimed, { isValid: () => false })
  t.equal(tasks.running.get(claimed.row.id)?.isReleased, true)
  await tasks.allDone()
  t.equal(submits.length, 0)
  t.match(await ledger.getMany([claimed.row.id]), [{ phase: 'waiting', attempt: 1 }])
})

t.test('the ledger is told of what is looked after, and of what has ended here', async t => {
  const { tasks, claim, make } = open(t)
  const first = await claim()
  tasks.take(first, valid)
  await make('one')
  const second = await claim()
  tasks.take(second, valid)
  t.match(tasks.facts(), [
    { row: { id: second.row.id, phase: 'submitting' }, holds: true },
    { row: { id: first.row.id, phase: 'succeeded', requestId: 'one' }, holds: false }
  ])
  t.equal(tasks.facts().length, 2)
})

t.test('no more than a thousand ends are remembered, the latest', async t => {
  const { tasks, claim, submits } = open(t)
  let last = ''
  for (let n = 0; n < 1002; n++) {
    const claimed = await claim()
    last = claimed.row.id
    tasks.take(claimed, valid)
    submits.pop()?.answer({ kind: 'refused', failure: { code: 'invalid-input', detail: '' } })
    await tasks.allDone()
  }
  const facts = tasks.facts()
  t.equal(facts.length, 1000)
  t.ok(facts.some(({ row }) => row.id === last))
})

t.test('a wish to cancel that its task has not heard of interrupts it, an older change does not', async t => {
  const { tasks, ledger, claim, submits, sightings, cancels } = open(t)
  const claimed = await claim()
  const { id } = claimed.row
  tasks.take(claimed, valid)
  submits[0]?.answer({ kind: 'accepted', requestId: 'one', position: null })
  await until(async () => (await ledger.getMany([id]))[0]?.phase === 'accepted')
  await until(() => sightings.length === 1)
  tasks.interruptForCancel(id, tasks.running.get(id)?.row.version ?? NaN)
  tasks.interruptForCancel('another', never)
  for (let turn = 0; turn < 10; turn++) await setImmediate()
  t.equal(sightings.length, 1, 'fal is still waited for')
  await ledger.cancel(id, { tenant: 'studio', subject: '' })
  const [wished] = await ledger.getMany([id])
  tasks.interruptForCancel(id, wished?.version ?? NaN)
  await until(() => cancels.length === 1)
  t.same(cancels, ['one'])
})
