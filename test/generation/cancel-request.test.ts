// Asking fal to stop.

import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createCancelRequest } from '../../src/generation/run/cancel-request.ts'
import type { Upstream } from '../../src/generation/upstream.ts'
import { boughtRow } from '../support/bought.ts'
import { until } from '../support/until.ts'

type Answer = Awaited<ReturnType<Upstream['cancel']>>

interface Scene {
  readonly ask: () => void
  /** Request ids that fal was asked to stop. */
  readonly asked: string[]
  readonly release: () => void
  readonly troubles: () => number
}

/** After these answers fal says that it was asked. The pauses between tries are short. */
async function scene (answers: readonly (Answer | Promise<Answer>)[]): Promise<Scene> {
  const row = { ...await boughtRow(), requestId: 'request' }
  const asked: string[] = []
  const released = new AbortController()
  let troubles = 0
  const request = createCancelRequest(() => ({
    cancel: async (_model, requestId) => {
      asked.push(requestId)
      return await (answers[asked.length - 1] ?? 'asked')
    }
  }), () => { troubles += 1 }, released.signal, { firstMs: 10, mostMs: 10 })
  return { ask: () => { request(row) }, asked, release: () => { released.abort() }, troubles: () => troubles }
}

t.test('fal is asked once, however often it is wished', async t => {
  const { ask, asked } = await scene(['asked'])
  ask()
  ask()
  await setImmediate()
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

t.test('fal that cannot be reached five times is asked no more', async t => {
  const unreachable = Array<Answer>(10).fill('unavailable')
  const first = await scene(unreachable)
  const second = await scene(unreachable)
  first.ask()
  await until(() => first.asked.length === 5)
  second.ask()
  await until(() => second.asked.length === 5)
  t.equal(first.asked.length, 5, 'not in the time of five tries, either')
})

t.test('a fault of ours is told, but not once this process has let go of it', async t => {
  for (const [isReleased, told] of [[false, 1], [true, 0]] as const) {
    const broken = Promise.reject(new Error('a fault'))
    broken.catch(() => {}) // heard below
    const { ask, release, troubles } = await scene([broken])
    ask()
    if (isReleased) release()
    await setImmediate()
    t.equal(troubles(), told)
  }
})
