// The step of a generation that is at fal: what is done about each thing that fal shows of it, and about what others wish.

import t from 'tap'
import { hasRequestId, type Generation } from '../../src/generation/generation.ts'
import { createStepContext } from '../../src/generation/run/step-context.ts'
import type { LogPiece } from '../../src/generation/upstream.ts'
import type { MemoryLedger } from '../../src/store/memory/ledger.ts'
import { times } from '../support/admission.ts'
import { answer, completed, noLines, picture, running, taskScene, untilFollowed } from '../support/task-scene.ts'
import { until } from '../support/until.ts'

function lines (from: number, to: number): LogPiece {
  return { from, lines: Array.from({ length: to - from }, (_, n) => ({ message: `line ${from + n}`, timestamp: null, level: null })) }
}

async function acceptedBefore (ledger: MemoryLedger, { id }: Generation): Promise<void> {
  await ledger.recordAccepted(id, 1, 'request')
}

t.test('what another process had accepted is followed under its id', async t => {
  const told = await taskScene(t, { takenOverAfter: acceptedBefore })
  await until(() => told.sightings.length > 0)
  t.equal(told.submits.length, 0)
  t.same([...told.followed], ['request'])
})

t.test('what is at fal under an id that nobody knows is unknown', async t => {
  const told = await taskScene(t, { given: { phase: 'accepted' } })
  await told.task.done
  t.equal(told.submits.length + told.sightings.length, 0)
  t.match(await told.row(), { phase: 'unknown' })
})

t.test('a cancel that was wished before it was taken over is asked for, and it is followed on', async t => {
  const told = await taskScene(t, {
    takenOverAfter: async (ledger, row) => {
      await acceptedBefore(ledger, row)
      await ledger.cancel(row.id, { tenant: 'studio', subject: '' })
    }
  })
  await until(() => told.sightings.length > 0)
  t.same(told.cancels, ['request'])
  t.notOk(told.isDone())
})

t.test('when its time to run is over fal is asked to stop, and its outcome is unknown; a moment before it is not', async t => {
  const told = await taskScene(t)
  await untilFollowed(told)
  told.advance(times.runMs - 1)
  await answer(told.sightings, running)
  await until(() => told.sightings.length > 1)
  t.same(told.cancels, [])
  told.advance(1)
  await answer(told.sightings, { kind: 'running', log: lines(0, 1) })
  await told.task.done
  t.same(told.cancels, ['request'])
  t.match(await told.row(), { phase: 'unknown', requestId: 'request', logged: 1 })
})

t.test('its time to run is over though fal shows nothing of it', async t => {
  const told = await taskScene(t, { times: { runMs: 1000 } })
  await untilFollowed(told)
  told.advance(1000)
  await told.task.done
  t.match(await told.row(), { phase: 'unknown' })
})

t.test('a place in fal\'s queue is told, but that it is the next one is not', async t => {
  const told = await taskScene(t)
  await untilFollowed(told)
  for (const [n, position] of [3, 1, 0, null].entries()) {
    await answer(told.sightings, { kind: 'queued', position, log: noLines })
    await until(() => told.sightings.length > n + 1)
  }
  t.same(told.behind, [3, 1])
})

t.test('the last lines of its log are kept: with its picture, and with a doubt', async t => {
  const told = await taskScene(t, { lookAgainMs: [0] })
  await untilFollowed(told)
  await answer(told.sightings, { kind: 'running', log: lines(0, 1) })
  await until(() => told.sightings.length > 1)
  await answer(told.sightings, { kind: 'completed', log: lines(1, 3) })
  await answer(told.results, picture)
  await told.task.done
  t.same(await told.ledger.logs((await told.row()).id, 0), lines(0, 3))

  const doubted = await taskScene(t, { lookAgainMs: [60_000] })
  await untilFollowed(doubted)
  await answer(doubted.sightings, { kind: 'completed', log: lines(0, 2) })
  await answer(doubted.results, { kind: 'expired', isClear: true })
  await until(async () => (await doubted.row()).logged === 2)
})

t.test('what fal does not know yet is followed when it does, and has all its time to run', async t => {
  const told = await taskScene(t, { times: { runMs: 2000 }, lookAgainMs: [0] })
  await untilFollowed(told)
  await answer(told.sightings, { kind: 'missing' })
  await answer(told.results, { kind: 'expired', isClear: true })
  await answer(told.states, 'running')
  await until(() => told.sightings.length > 1)
  await until(async () => (await told.row()).phase === 'running')
  t.match(await told.row(), { doubt: null })
  told.advance(2000)
  await told.task.done
  t.match(await told.row(), { phase: 'unknown' }, 'its time counts again')
})

t.test('the status of a generation is read under one id at a time', async t => {
  const told = await taskScene(t)
  await untilFollowed(told)
  const row = await told.row()
  const read: string[] = []
  const closed: string[] = []
  const unasked = (): never => { throw new Error('that is not asked') }
  const context = createStepContext({
    ledger: told.ledger,
    upstreamOf: () => ({
      submit: unasked,
      openStatusReader: (_model, requestId) => {
        read.push(requestId)
        return { next: async () => completed, close: () => { closed.push(requestId) } }
      },
      state: unasked,
      result: unasked,
      cancel: unasked
    }),
    breakers: { reportOn: unasked, state: 'ok', tripped: [], look: unasked, tryAgain: unasked },
    cacheVersionOf: () => 1,
    lookAgainMs: [],
    onLookAgain: unasked,
    onBehind: unasked,
    onTrouble: unasked
  }, {
    recorder: { row, requestId: null, isDouble: false, record: unasked, recordAccepted: unasked, isOurs: unasked, recordProgress: unasked, recordDoubt: unasked, read: unasked, written: unasked, close: unasked },
    runTime: { count: unasked, suspend: unasked, close: unasked },
    takePermit: () => null,
    undisturbed: unasked,
    interruption: () => new AbortController().signal,
    released: new AbortController().signal
  })
  for (const requestId of ['one', 'one', 'other']) {
    const followed = { ...row, requestId }
    if (hasRequestId(followed)) await context.nextSighting(followed)
  }
  t.same([read, closed], [['one', 'other'], ['one']])
  context.close()
  t.same(closed, ['one', 'other'])
})
