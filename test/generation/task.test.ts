// One generation in one process: what comes while a submit is under way, while fal is waited for, and while its result is fetched.

import t, { type Test } from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import { createBreakers } from '../../src/generation/run/breakers.ts'
import { createTask, type Task } from '../../src/generation/run/task.ts'
import type { Result, Sighting } from '../../src/generation/upstream.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { createMemoryLedger, type MemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, times } from '../support/admission.ts'
import { playUpstream, type Asked, type PlayedUpstream } from '../support/played-upstream.ts'
import { until } from '../support/until.ts'

const noLines = { from: 0, lines: [] }
const running: Sighting = { kind: 'running', log: noLines }
const completed: Sighting = { kind: 'completed', log: noLines }
const picture: Result = { kind: 'succeeded', body: '{"images":[]}', seed: null, units: null }

interface Scene extends PlayedUpstream {
  readonly ledger: MemoryLedger
  readonly task: Task
  readonly isDone: () => boolean
  readonly row: () => Promise<Generation>
  readonly troubles: string[]
}

async function scene (t: Test): Promise<Scene> {
  const played = playUpstream()
  const ledger = createMemoryLedger({ times })
  const watch = createWatch(ledger, error => { t.fail('looking', { found: error }) })
  const stopped = new AbortController()
  const troubles: string[] = []
  await ledger.admit(admissionOf())
  const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const { id } = claimed.row
  const task = createTask(claimed, { isValid: () => true }, {
    ledger,
    watch,
    upstream: played.upstream,
    breakers: createBreakers(ledger, { failuresToOpen: 5, openMs: 1000, blockedMs: 1000, retiredMs: 1000 }, (operation, error) => { t.fail(operation, { found: error }) }),
    schemaVersionOf: () => 1,
    replica: 'r1',
    lookAgainMs: [10],
    isOthersHere: () => false,
    onLookAgain: () => {},
    onMove: () => {},
    onRestored: () => {},
    onBehind: () => {},
    onTrouble: operation => { troubles.push(operation) }
  }, stopped.signal)
  let isDone = false
  task.done.then(() => { isDone = true })
  task.run()
  t.teardown(async () => {
    task.release()
    stopped.abort()
    for (const { answer } of played.submits) answer({ kind: 'refused', failure: { code: 'model-retired', detail: '' } })
    await task.done
    watch.close()
    await ledger.close()
  })
  return {
    ...played,
    ledger,
    task,
    isDone: () => isDone,
    troubles,
    row: async () => {
      const [row] = await ledger.getMany([id])
      if (row === undefined) throw new Error('There is no such row.')
      return row
    }
  }
}

/** Answers the latest question once it is asked. */
async function answer<T> (asked: readonly Asked<T>[], given: T): Promise<void> {
  const before = asked.length
  await until(() => asked.length > 0)
  asked[Math.max(before, asked.length) - 1]?.answer(given)
}

async function accept (scene: Scene, requestId = 'request'): Promise<void> {
  await answer(scene.submits, { kind: 'accepted', requestId, position: null })
}

async function untilFollowed (scene: Scene): Promise<void> {
  await accept(scene)
  await until(async () => scene.sightings.length > 0 && (await scene.row()).phase === 'accepted')
}

t.test('from submit to picture: each step follows from the one before', async t => {
  const told = await scene(t)
  await untilFollowed(told)
  await answer(told.sightings, running)
  await until(() => told.sightings.length === 2)
  await answer(told.sightings, completed)
  await answer(told.results, picture)
  await told.task.done
  t.match(await told.row(), { phase: 'succeeded', requestId: 'request' })
  t.same([...told.followed], [], 'its status is not read any more')
  t.same(told.troubles, [])
})

t.test('interrupted while fal is waited for: the row is read, and what is in it is done', async t => {
  const told = await scene(t)
  await untilFollowed(told)
  await told.ledger.cancel((await told.row()).id, { tenant: 'studio', subject: '' })
  t.same(told.cancels, [])
  told.task.interrupt()
  await until(() => told.cancels.length > 0)
  told.task.interrupt()
  told.task.interrupt()
  await until(() => told.sightings.length > 2)
  t.same(told.cancels, ['request'], 'fal is asked once')
  t.notOk(told.isDone())
})

t.test('interrupted while a submit is under way: its answer is heard, and the row read after that', async t => {
  const told = await scene(t)
  await told.ledger.cancel((await told.row()).id, { tenant: 'studio', subject: '' })
  told.task.interrupt()
  await untilFollowed(told)
  await until(() => told.cancels.length > 0)
  t.same(told.cancels, ['request'])
})

t.test('released while fal is waited for: it ends at once, and the row is as it was', async t => {
  const told = await scene(t)
  await untilFollowed(told)
  told.task.release()
  await told.task.done
  t.ok(told.task.isReleased)
  t.match(await told.row(), { phase: 'accepted', requestId: 'request' })
  t.same([...told.followed], [])
  t.same(told.troubles, [])
})

t.test('released while a submit is under way: it ends when that was answered, and the answer is written', async t => {
  const told = await scene(t)
  let isAnswered = false
  told.task.answered().then(() => { isAnswered = true })
  told.task.release()
  await until(() => told.task.isReleased)
  t.notOk(told.isDone())
  t.notOk(isAnswered)
  await accept(told)
  await told.task.answered()
  await told.task.done
  t.match(await told.row(), { phase: 'accepted', requestId: 'request' })
  t.equal(told.sightings.length, 0, 'it is followed elsewhere')
})

t.test('released while its result is fetched: it ends without one, and no doubt is noted', async t => {
  const told = await scene(t)
  await untilFollowed(told)
  await answer(told.sightings, completed)
  await until(() => told.results.length > 0)
  told.task.release()
  await told.task.done
  t.match(await told.row(), { phase: 'accepted', doubt: null })
  t.same(told.troubles, [])
})

t.test('disowned while fal is waited for: it ends when all is written', async t => {
  const told = await scene(t)
  await untilFollowed(told)
  told.task.disown()
  await told.task.done
  t.ok(told.task.isReleased)
  t.match(await told.row(), { phase: 'accepted' })
})

t.test('disowned while a submit is under way: what it bought is written before the row is left', async t => {
  const told = await scene(t)
  told.task.disown()
  told.task.disown()
  t.notOk(told.task.isReleased)
  await accept(told)
  await told.task.done
  t.ok(told.task.isReleased)
  t.match(await told.row(), { phase: 'accepted', requestId: 'request' })
  t.equal(told.sightings.length, 0)
})

for (const when of ['under way', 'answered'] as const) {
  t.test(`disowned when a submit is ${when} and another process has bought, too: this purchase is followed to its end`, async t => {
    const told = await scene(t)
    const { id, attempt } = await told.row()
    await told.ledger.recordAccepted(id, attempt, 'other')
    if (when === 'under way') told.task.disown()
    await accept(told)
    await until(() => told.task.isDouble && told.sightings.length > 0)
    told.task.disown()
    await answer(told.sightings, completed)
    await answer(told.results, picture)
    await told.task.done
    t.notOk(told.task.isReleased)
    t.match(await told.row(), { phase: 'succeeded', requestId: 'request' }, 'whose picture is there first')
    t.match(await told.ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 120_000 }])
  })
}

t.test('a fault of ours ends it here and is told; the row is taken over after the lease', async t => {
  const told = await scene(t)
  await untilFollowed(told)
  told.sightings[0]?.fail(new Error('a fault'))
  await told.task.done
  t.same(told.troubles, ['run-generation'])
  t.notOk(told.task.isReleased)
  t.match(await told.row(), { phase: 'accepted' })
})
