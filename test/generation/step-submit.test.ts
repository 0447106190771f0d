// The step that buys: what becomes of a generation after each answer of fal, and what it says about buying at all.

import t from 'tap'
import type { Submitted } from '../../src/generation/upstream.ts'
import { refusal, unreachable } from '../support/admission.ts'
import { answer, noLines, taskScene, untilFollowed, type TaskScene } from '../support/task-scene.ts'
import { until } from '../support/until.ts'

const unsent: Extract<Submitted, { readonly kind: 'unsent' }> = { kind: 'unsent', failure: unreachable, retryAfterMs: null, suspect: 'account' }
const busy: Submitted = { ...unsent, busy: true }
const lost: Extract<Submitted, { readonly kind: 'lost' }> = { kind: 'lost', requestId: null, suspect: 'account', cause: 'reset' }

/** Scopes and states of the breakers that are not ok. */
async function tripped ({ ledger }: TaskScene): Promise<string[]> {
  return (await ledger.breakers()).filter(({ state }) => state !== 'ok').map(({ scope, state }) => `${scope} ${state}`).toSorted()
}

t.test('what another process may have sent is not sent again: it is unknown', async t => {
  const told = await taskScene(t, { takenOverAfter: async () => {} })
  await told.task.done
  t.equal(told.submits.length, 0)
  t.match(await told.row(), { phase: 'unknown', failure: { code: 'outcome-unknown' } })
})

t.test('what has no input any more is not sent, and fails unbought', async t => {
  const told = await taskScene(t, { given: { input: null } })
  await told.task.done
  t.equal(told.submits.length, 0)
  t.match(await told.row(), { phase: 'failed', failure: { code: 'generation-lost' }, cost: 0 })
})

t.test('a right that came too late sends nothing, and the next claim may begin at once', async t => {
  const told = await taskScene(t, { isPermitValid: false })
  await told.task.done
  t.equal(told.submits.length, 0)
  t.match(await told.row(), { phase: 'waiting', attempt: 1 })
  t.match(await told.claim(), { outcome: 'go', row: { attempt: 2 } })
})

for (const seen of ['queued', 'running', 'completed'] as const) {
  t.test(`an error that named a request id which fal shows ${seen}: it is bought, and followed under that id`, async t => {
    for (const submitted of [unsent, lost]) {
      const told = await taskScene(t)
      await answer(told.submits, { ...submitted, requestId: 'named' })
      await answer(told.sightings, { kind: seen, position: null, log: noLines })
      await until(() => told.sightings.length > 1)
      await until(async () => (await told.row()).phase === 'accepted')
      t.equal((await told.row()).requestId, 'named')
      t.same([...told.followed], ['named'])
    }
  })
}

t.test('an error that named a request id which fal does not know is what it was', async t => {
  for (const [submitted, phase] of [[unsent, 'waiting'], [lost, 'unknown']] as const) {
    const told = await taskScene(t)
    await answer(told.submits, { ...submitted, requestId: 'named' })
    await answer(told.sightings, { kind: 'missing' })
    await told.task.done
    t.match(await told.row(), { phase, requestId: null })
    t.same([...told.followed], [])
  }
})

t.test('an error that named a request id of which fal cannot be asked: nothing is sent again, and its outcome is unknown', async t => {
  for (const submitted of [unsent, lost]) {
    for (const ask of [
      async (told: TaskScene): Promise<void> => { await answer(told.sightings, { kind: 'interrupted' }) },
      async (told: TaskScene): Promise<void> => {
        await until(() => told.sightings.length > 0)
        told.sightings[0]?.fail(new Error('closed'))
      }
    ]) {
      const told = await taskScene(t)
      await answer(told.submits, { ...submitted, requestId: 'named' })
      await ask(told)
      await told.task.done
      t.match(await told.row(), { phase: 'unknown' })
      t.same([...told.followed], [])
      t.same(told.troubles, [])
    }
  }
})

t.test('what came back unsent is sent again after a pause that is no shorter than fal asked for, and no longer than a quarter more', async t => {
  for (const [retryAfterMs, leastMs, mostMs] of [[60_000, 60_000, 75_000], [null, 400, 600], [0, 400, 600]] as const) {
    const told = await taskScene(t)
    await answer(told.submits, { ...busy, retryAfterMs })
    await told.task.done
    await told.ledger.sweep('r3', 10)
    told.advance(leastMs - 1)
    await told.ledger.sweep('r3', 10)
    t.notMatch(await told.claim(), { outcome: 'go' })
    told.advance(mostMs - leastMs + 2)
    t.match(await told.claim(), { outcome: 'go', row: { attempt: 2 } })
  }
})

t.test('the fifth attempt that came back unsent is the last, but for a fal that is only busy', async t => {
  for (const [attempt, answered, phase] of [[4, unsent, 'waiting'], [5, unsent, 'failed'], [5, busy, 'waiting']] as const) {
    const told = await taskScene(t, { attempt })
    await answer(told.submits, answered)
    await told.task.done
    t.match(await told.row(), { phase, attempt })
  }
})

t.test('a pause that would outlast its time in line is not waited for', async t => {
  for (const answered of [unsent, busy]) {
    const told = await taskScene(t, { times: { queueMs: 60_000 } })
    await answer(told.submits, { ...answered, retryAfterMs: 60_000 })
    await told.task.done
    t.match(await told.row(), { phase: 'failed', failure: unreachable, cost: 0 })
  }
})

t.test('a busy fal has fewer slots for a while, and is no failing one', async t => {
  const told = await taskScene(t)
  await answer(told.submits, busy)
  await told.task.done
  t.equal((await told.ledger.gauges()).accounts[0]?.open, 0)
  t.same(await tripped(told), [])
  const failing = await taskScene(t)
  await answer(failing.submits, unsent)
  await failing.task.done
  t.equal((await failing.ledger.gauges()).accounts[0]?.open, null)
})

t.test('what an answer says about buying at all stops what it is about', async t => {
  const { model } = await (await taskScene(t)).row()
  const cases: ReadonlyArray<readonly [answered: Submitted, stopped: readonly string[]]> = [
    [unsent, ['* open']],
    [{ ...unsent, suspect: 'request' }, ['tenant:studio open']],
    [lost, ['* open']],
    [{ ...lost, suspect: 'request' }, ['tenant:studio open']],
    [{ kind: 'refused', failure: { code: 'model-retired', detail: '' } }, [`${model} retired`]],
    [{ kind: 'refused', failure: { code: 'upstream-account-blocked', detail: '' } }, ['* account-blocked']],
    [{ kind: 'refused', failure: refusal }, []]
  ]
  for (const [answered, stopped] of cases) {
    const told = await taskScene(t)
    await answer(told.submits, answered)
    await told.task.done
    t.same(await tripped(told), stopped, JSON.stringify(answered))
  }
})

t.test('while the ledger is away, callers that wait here are told that it will not be bought, or that nobody knows', async t => {
  const cases: ReadonlyArray<readonly [answered: Submitted, attempt: number, end: object]> = [
    [{ kind: 'refused', failure: refusal }, 1, { phase: 'failed', failure: refusal, cost: 0 }],
    [unsent, 5, { phase: 'failed', failure: unreachable, cost: 0 }],
    [lost, 1, { phase: 'unknown', failure: { code: 'outcome-unknown' } }]
  ]
  for (const [answered, attempt, end] of cases) {
    const told = await taskScene(t, { attempt })
    told.away(true)
    await answer(told.submits, answered)
    await until(() => told.ends.length > 0)
    t.match(told.ends[0], end)
    told.away(false)
    await told.task.done
    t.match(await told.row(), end)
  }
})

t.test('what is sent again when its pause is over is told to nobody as an end', async t => {
  const told = await taskScene(t)
  told.away(true)
  await answer(told.submits, unsent)
  await until(() => told.troubles.length > 0)
  told.away(false)
  await told.task.done
  t.same(told.ends, [])
})

t.test('fal takes it: it is followed', async t => {
  const told = await taskScene(t)
  await untilFollowed(told)
  t.match(await told.row(), { phase: 'accepted', requestId: 'request' })
})
