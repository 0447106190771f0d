// One generation in one process: what comes while a submit is under way, while fal is waited for, and while its result is fetched.

import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createRunTime } from '../../src/generation/run/run-time.ts'
import { unreachable } from '../support/admission.ts'
import { answer, completed, picture, running, taskScene as scene, untilFollowed } from '../support/task-scene.ts'
import { until } from '../support/until.ts'

const accepted = { kind: 'accepted', requestId: 'request', position: null } as const

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
  await answer(told.submits, accepted)
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
  await answer(told.submits, accepted)
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
    await answer(told.submits, accepted)
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

t.test('what a process took over is not told as begun there', async t => {
  const own = await scene(t)
  await untilFollowed(own)
  const taken = await scene(t, { takenOverAfter: async (ledger, { id }) => await ledger.recordAccepted(id, 1, 'request') })
  await answer(taken.sightings, running)
  await until(async () => (await taken.row()).phase === 'running')
  t.same(own.moves, ['submitting accepted, begun here'])
  t.same(taken.moves, ['accepted running, begun elsewhere'])
})

t.test('taken over while its result is looked for, and its time to run is over: no look is sooner for that', async t => {
  const told = await scene(t, {
    given: { runUntilMs: 0 },
    lookAgainMs: [60_000],
    takenOverAfter: async (ledger, { id }) => {
      await ledger.recordAccepted(id, 1, 'request')
      await ledger.recordDoubt(id, 1, 'request', 'expired')
    }
  })
  await until(() => told.results.length > 0)
  let seconds = 0
  const clock = createRunTime(0, 'counted', () => 0, () => { seconds += 1 })
  await until(() => seconds > 1)
  clock.close()
  await answer(told.results, { kind: 'expired', isClear: true })
  await setImmediate()
  t.equal(told.results.length, 1)
})

t.test('a ledger that gives its row back as it was before a submit: nothing is sent again, because fal has it', async t => {
  const told = await scene(t, { changed: () => ({ recordAccepted: async () => null, restore: async () => ({ contested: 0 }) }) })
  await answer(told.submits, accepted)
  await until(() => told.sightings.length > 0)
  told.task.interrupt()
  await told.task.done
  t.equal(told.submits.length, 1)
  t.match(await told.row(), { phase: 'unknown' })
})

t.test('another process was granted the next attempt before this one was known to be unsent: it is left to that process', async t => {
  const told = await scene(t)
  await told.ledger.recordNotSent((await told.row()).id, 1, { retryAfterMs: 0 }) // the answer was lost, so it is told again below
  await told.claim()
  await answer(told.submits, { kind: 'unsent', failure: unreachable, retryAfterMs: null, suspect: 'account' })
  await told.task.done
  t.match(await told.row(), { phase: 'submitting', attempt: 2, owner: 'r3' })
})

t.test('another process was granted the next attempt, and then fal accepts this one: it is followed here, also when its row was read', async t => {
  const told = await scene(t)
  await told.ledger.recordNotSent((await told.row()).id, 1, { retryAfterMs: 0 })
  await told.claim()
  await untilFollowed(told)
  told.task.interrupt()
  await until(() => told.sightings.length > 1)
  await answer(told.sightings, completed)
  await answer(told.results, picture)
  await told.task.done
  t.match(await told.row(), { phase: 'succeeded', attempt: 2, requestId: 'request' })
})

t.test('a wish to cancel that stands in the ledger\'s answer is heard, though nobody interrupts', async t => {
  const told = await scene(t)
  await told.ledger.cancel((await told.row()).id, { tenant: 'studio', subject: '' })
  await answer(told.submits, accepted)
  await until(() => told.cancels.length > 0)
  t.same(told.cancels, ['request'])
})

t.test('it is not done before what was heard is written', async t => {
  let write = (): void => {}
  const held = new Promise<void>(resolve => { write = resolve })
  const told = await scene(t, {
    changed: ledger => ({
      recordProgress: async (...given) => {
        await held
        return await ledger.recordProgress(...given)
      }
    })
  })
  await untilFollowed(told)
  await answer(told.sightings, running)
  await until(() => told.sightings.length > 1)
  told.task.release()
  await setImmediate()
  t.notOk(told.isDone())
  write()
  await told.task.done
  t.match(await told.row(), { phase: 'running' })
})

t.test('callers that wait here get a large picture also when there is no room for it in the ledger', async t => {
  const told = await scene(t, { times: { largeResultBytes: 0 } })
  await untilFollowed(told)
  await answer(told.sightings, completed)
  const body = JSON.stringify({ images: [], padding: 'x'.repeat(300_000) })
  await answer(told.results, { ...picture, body })
  await told.task.done
  t.ok(told.ends.some(({ output }) => output === body))
})

t.test('a process that leaves tells no trouble of what was cut off for that', async t => {
  const told = await scene(t)
  told.task.release()
  told.submits[0]?.fail(new Error('closed'))
  await told.task.done
  t.same(told.troubles, [])
})
