// Asking fal what became of an unknown generation: what it says that is believed, and what says nothing.

import t from 'tap'
import type { Ending } from '../../src/generation/evidence.ts'
import type { Followed } from '../../src/generation/generation.ts'
import { findEnd } from '../../src/generation/run/find-end.ts'
import type { Result, Sighting } from '../../src/generation/upstream.ts'
import { refusal } from '../support/admission.ts'
import { boughtRow } from '../support/bought.ts'
import { playUpstream } from '../support/played-upstream.ts'
import { answer, picture } from '../support/task-scene.ts'
import { until } from '../support/until.ts'

async function unknown (cancelWished = false): Promise<Followed> {
  return { ...await boughtRow(), phase: 'unknown', requestId: 'request', cancelWished }
}

interface Asking {
  readonly found: Promise<Ending | null>
  readonly asked: () => number
  readonly answer: (result: Result) => Promise<void>
  readonly leave: () => void
}

async function ask (state: Sighting['kind'] | 'unavailable', row?: Followed): Promise<Asking> {
  const { upstream, states, results } = playUpstream()
  const leaving = new AbortController()
  const found = findEnd(row ?? await unknown(), { upstreamOf: () => upstream, cacheVersionOf: () => 1 }, leaving.signal)
  await answer(states, state)
  return { found, asked: () => results.length, answer: async result => { await answer(results, result) }, leave: () => { leaving.abort() } }
}

const billedFailure: Result = { kind: 'failed', failure: refusal, units: null, free: false }
const freeFailure: Result = { ...billedFailure, free: true }

t.test('what is at work, or fal cannot say where, has no end yet, and its result is not asked for', async t => {
  for (const state of ['queued', 'running', 'unavailable'] as const) {
    const { found, asked } = await ask(state)
    t.equal(await found, null)
    t.equal(asked(), 0)
  }
})

t.test('a picture is found, also when fal has forgotten its status', async t => {
  for (const state of ['completed', 'missing'] as const) {
    const { found, answer } = await ask(state)
    await answer(picture)
    t.match(await found, { kind: 'succeeded', output: '{"images":[]}' })
  }
})

t.test('a failure that is billed is believed, and one that costs nothing when it was said three times', async t => {
  const billed = await ask('completed')
  await billed.answer(billedFailure)
  t.match(await billed.found, { kind: 'failed', failure: refusal, cost: null })
  t.equal(billed.asked(), 1)
  const free = await ask('completed')
  for (let n = 0; n < 3; n++) await free.answer(freeFailure)
  t.match(await free.found, { kind: 'failed', failure: refusal, cost: 0 })
  t.equal(free.asked(), 3)
  const once = await ask('completed')
  await once.answer(freeFailure)
  await once.answer(picture)
  t.match(await once.found, { kind: 'succeeded' }, 'a picture lay behind it')
})

t.test('a cancel is believed when it was wished and fal itself says so', async t => {
  for (const [isWished, isClear, kind] of [[true, true, 'cancelled'], [true, false, null], [false, true, null]] as const) {
    const { found, answer } = await ask('completed', await unknown(isWished))
    await answer({ kind: 'cancelled', isClear, units: null })
    t.equal((await found)?.kind ?? null, kind)
  }
})

t.test('what would throw a picture away, or says nothing, is no end', async t => {
  for (const result of [{ kind: 'expired', isClear: true }, { kind: 'no-output', isClear: true, units: null }, { kind: 'pending' }, { kind: 'unavailable', retryAfterMs: null }] as const) {
    const { found, answer } = await ask('completed')
    await answer(result)
    t.equal(await found, null)
  }
})

t.test('a process that leaves asks no more, and has found nothing', async t => {
  const { found, asked, answer, leave } = await ask('completed')
  await answer(freeFailure)
  await until(() => asked() === 1)
  leave()
  t.equal(await found, null)
  t.equal(asked(), 1)
})
