// The step of a generation that fal is done with: when a result is its end, and when it is looked at again, because a paid picture may lie behind it.

import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { LOOK_FOR_MS } from '../../src/generation/doubt.ts'
import { createRunTime } from '../../src/generation/run/run-time.ts'
import type { Result } from '../../src/generation/upstream.ts'
import { admissionOf, price, refusal } from '../support/admission.ts'
import { answer, completed, picture, running, taskScene, untilCompleted, untilFollowed, type TaskScene } from '../support/task-scene.ts'
import { until } from '../support/until.ts'

// Most of their time is pauses of the code, so they wait together.
t.jobs = 6
const together = { buffered: true }

const gone: Result = { kind: 'expired', isClear: true }
const noPicture: Result = { kind: 'no-output', isClear: true, units: null }
const cancelled: Result = { kind: 'cancelled', isClear: true, units: null }
const away: Result = { kind: 'unavailable', retryAfterMs: 0 }
const billedFailure: Result = { kind: 'failed', failure: refusal, units: null, free: false }
const freeFailure: Result = { ...billedFailure, free: true }

const longPause = [60_000]

async function answerAll (told: TaskScene, results: readonly Result[]): Promise<void> {
  for (const result of results) await answer(told.results, result)
}

/** Until a second of timers is over. What timers of the code did in that time is done. */
async function untilASecondIsOver (): Promise<void> {
  let seconds = 0
  const clock = createRunTime(0, 'counted', () => 0, () => { seconds += 1 })
  await until(() => seconds > 1)
  clock.close()
  await setImmediate()
}

t.test('a picture is the end, and a failure that is billed; one that costs nothing is when it was said three times', together, async t => {
  const cases: ReadonlyArray<readonly [results: readonly Result[], end: object]> = [
    [[picture], { phase: 'succeeded', cost: price }],
    [[billedFailure], { phase: 'failed', cost: price }],
    [[freeFailure, freeFailure, freeFailure], { phase: 'failed', cost: 0 }],
    [[freeFailure, freeFailure, picture], { phase: 'succeeded', cost: price }]
  ]
  for (const [results, end] of cases) {
    const told = await taskScene(t)
    await untilCompleted(told)
    await answerAll(told, results)
    await told.task.done
    t.match(await told.row(), end)
    t.equal(told.results.length, results.length)
    t.same(told.looks, [])
  }
})

t.test('what lies behind an id is not fetched before the ledger said whose it is, and not at all when it is another generation\'s', together, async t => {
  let write = (): void => {}
  const held = new Promise<void>(resolve => { write = resolve })
  const told = await taskScene(t, {
    changed: ledger => ({
      recordAccepted: async (...given) => {
        await held
        return await ledger.recordAccepted(...given)
      }
    })
  })
  await told.ledger.admit(admissionOf())
  const other = await told.claim()
  if (other.outcome !== 'go') throw new Error(other.outcome)
  await told.ledger.recordAccepted(other.row.id, 1, 'request')
  await answer(told.submits, { kind: 'accepted', requestId: 'request', position: null })
  await answer(told.sightings, completed)
  await setImmediate()
  write()
  await told.task.done
  t.equal(told.results.length, 0)
  t.match(await told.row(), { phase: 'unknown', requestId: null })
})

t.test('what would throw the picture away is believed when fal itself said the same in every look, and else its outcome is unknown', together, async t => {
  const unknown = { phase: 'unknown', failure: { code: 'outcome-unknown', detail: /could not be had/ }, cost: null }
  const cases: ReadonlyArray<readonly [results: readonly Result[], end: object]> = [
    [[gone, gone, gone], { phase: 'failed', failure: { code: 'result-expired' }, cost: price }],
    [[noPicture, noPicture, noPicture], { phase: 'failed', failure: { code: 'upstream-failed' } }],
    [[cancelled, cancelled, cancelled], { phase: 'cancelled' }],
    [[away, gone, gone, gone], { phase: 'failed', failure: { code: 'result-expired' } }],
    [[gone, gone, noPicture], unknown],
    [[gone, noPicture, gone], unknown],
    [[gone, gone, { ...gone, isClear: false }], unknown],
    [[gone, gone, picture], { phase: 'succeeded' }]
  ]
  for (const [results, end] of cases) {
    const told = await taskScene(t, { lookAgainMs: [0, 0] })
    await untilCompleted(told)
    await answerAll(told, results)
    await told.task.done
    t.match(await told.row(), end, JSON.stringify(results))
    t.equal(told.results.length, results.length)
    t.equal(told.states.length, 0, 'fal said that it is done')
  }
})

t.test('a cancel is believed at once when it was wished', together, async t => {
  const told = await taskScene(t, { lookAgainMs: longPause })
  await untilCompleted(told)
  await told.ledger.cancel((await told.row()).id, { tenant: 'studio', subject: '' })
  await answer(told.results, gone)
  await until(() => told.looks.length > 0)
  told.task.interrupt() // the pause before the next look is cut short, and the row is read
  await answer(told.results, cancelled)
  await told.task.done
  t.match(await told.row(), { phase: 'cancelled' })
})

t.test('that it is looked at again is told once for each reason', together, async t => {
  const told = await taskScene(t, { lookAgainMs: [0, 0, 0] })
  await untilCompleted(told)
  await answerAll(told, [{ kind: 'pending' }, gone, gone, noPicture, picture])
  await told.task.done
  t.same(told.looks, ['unavailable', 'expired', 'no-output'])
})

t.test('a process that takes over goes on with the looks that are left', together, async t => {
  const told = await taskScene(t, {
    lookAgainMs: [1000],
    takenOverAfter: async (ledger, { id }, advance) => {
      await ledger.recordAccepted(id, 1, 'request')
      await ledger.recordDoubt(id, 1, 'request', 'expired')
      advance(1000)
    }
  })
  await answer(told.results, gone)
  await told.task.done
  t.match(await told.row(), { phase: 'failed', failure: { code: 'result-expired' } })
  t.equal(told.results.length, 1)
  t.equal(told.sightings.length, 0, 'it is not followed: its result is looked for')
})

t.test('what another process looked for and fal shows at work is followed again', together, async t => {
  for (const state of ['queued', 'running'] as const) {
    const told = await taskScene(t, {
      lookAgainMs: [1],
      takenOverAfter: async (ledger, { id }) => {
        await ledger.recordAccepted(id, 1, 'request')
        await ledger.recordDoubt(id, 1, 'request', 'unavailable')
      }
    })
    await answer(told.results, gone)
    await answer(told.states, state)
    await until(() => told.sightings.length > 0)
    await until(async () => (await told.row()).doubt === null)
  }
})

t.test('fal is asked where it stands between two looks, until it says that it is done', together, async t => {
  const told = await taskScene(t, { lookAgainMs: [0, 0, 0] })
  await untilFollowed(told)
  await answer(told.sightings, { kind: 'missing' })
  for (const state of ['missing', 'unavailable', 'completed'] as const) {
    await answer(told.results, gone)
    await answer(told.states, state)
  }
  await answer(told.results, picture)
  await told.task.done
  t.match(await told.row(), { phase: 'succeeded' })
})

t.test('fal is not asked where it stands once it said that it is done', together, async t => {
  const told = await taskScene(t, { lookAgainMs: [0, 0] })
  await untilFollowed(told)
  await answer(told.sightings, { kind: 'missing' })
  await answer(told.results, gone)
  await answer(told.states, 'completed')
  await answerAll(told, [gone, picture])
  await told.task.done
  t.equal(told.states.length, 1)
})

t.test('no look comes later than five minutes after the first doubt', together, async t => {
  const told = await taskScene(t, { lookAgainMs: [0, 0, 0, 0] })
  await untilCompleted(told)
  await answer(told.results, gone)
  await until(() => told.results.length > 1)
  told.advance(LOOK_FOR_MS)
  await answer(told.results, gone)
  await told.task.done
  t.equal(told.results.length, 2)
  t.match(await told.row(), { phase: 'failed', failure: { code: 'result-expired' } })
})

t.test('a result that cannot be had is looked for as long as it may run and as long as all looks take, whichever is longer', together, async t => {
  for (const [runMs, firstMs] of [[1000, 1000], [LOOK_FOR_MS + 1000, LOOK_FOR_MS]] as const) {
    const told = await taskScene(t, { times: { runMs } })
    await untilCompleted(told)
    await answer(told.results, away)
    await until(() => told.results.length > 1)
    told.advance(firstMs)
    await answer(told.results, away)
    await until(() => told.results.length > 2)
    told.advance(LOOK_FOR_MS)
    await answer(told.results, away)
    await told.task.done
    t.match(await told.row(), { phase: 'unknown', failure: { code: 'outcome-unknown', detail: /could not be had/ } })
  }
})

t.test('fal is asked for what it wants to be asked for later no sooner', together, async t => {
  const told = await taskScene(t)
  await untilCompleted(told)
  await answer(told.results, { kind: 'unavailable', retryAfterMs: 60_000 })
  await untilASecondIsOver()
  t.equal(told.results.length, 1)
})

t.test('its time to run ends no look, and makes none sooner', together, async t => {
  const told = await taskScene(t, { times: { runMs: 1000 }, lookAgainMs: longPause })
  await untilCompleted(told)
  await answer(told.results, gone)
  await until(() => told.looks.length > 0)
  told.advance(1000)
  await untilASecondIsOver()
  t.equal(told.results.length, 1)
  t.match(await told.row(), { phase: 'accepted', doubt: 'expired' })
})

t.test('an interruption does not cut short what fal is being asked, nor begins the count of its failures once more', together, async t => {
  const told = await taskScene(t)
  await untilCompleted(told)
  told.task.interrupt()
  await answerAll(told, [freeFailure, freeFailure])
  told.task.interrupt()
  await answer(told.results, freeFailure)
  await told.task.done
  t.equal(told.results.length, 3)
  t.match(await told.row(), { phase: 'failed', cost: 0 })

  const asked = await taskScene(t, { lookAgainMs: [0] })
  await untilFollowed(asked)
  await answer(asked.sightings, { kind: 'missing' })
  await answer(asked.results, gone)
  await until(() => asked.states.length > 0)
  asked.task.interrupt()
  await answer(asked.states, 'running')
  await until(async () => (await asked.row()).phase === 'running')
  t.equal(asked.states.length, 1)
})

t.test('released between two questions: fal is asked no more, and the row stays as it was', together, async t => {
  const paused = await taskScene(t)
  await untilCompleted(paused)
  await answer(paused.results, freeFailure)
  await setImmediate()
  const stated = await taskScene(t, { lookAgainMs: [0] })
  await untilFollowed(stated)
  await answer(stated.sightings, { kind: 'missing' })
  await answer(stated.results, gone)
  await until(() => stated.states.length > 0)
  for (const told of [paused, stated]) {
    told.task.release()
    await told.task.done
    t.equal(told.results.length, 1)
    t.match(await told.row(), { phase: 'accepted' })
    t.same(told.troubles, [])
  }
})

t.test('while the ledger is away, callers that wait here get the picture', together, async t => {
  const told = await taskScene(t)
  await untilFollowed(told)
  told.away(true)
  await answer(told.sightings, running)
  await until(() => told.sightings.length > 1)
  await answer(told.sightings, completed)
  await answer(told.results, picture)
  await until(() => told.ends.length > 0)
  t.match(told.ends[0], { phase: 'succeeded', output: '{"images":[]}', cost: price })
  told.away(false)
  await told.task.done
  t.match(await told.row(), { phase: 'succeeded' })
})
