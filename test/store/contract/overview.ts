// What whoever is on call sees of the ledger: tenants in the line, what failed last, and the replicas that are there.

import type { Test } from 'tap'
import { failureOf, refusal, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, startMs, type MakeStore } from './world.ts'

const leaseMs = 15_000

export async function overview (t: Test, make: MakeStore): Promise<void> {
  t.test('standings tell of each tenant its places, how many wait, and since when the oldest does, whatever its priority', async t => {
    const { ledger, buy, accepted, advance } = await createWorld(t, make)
    t.same(await ledger.standings(['studio', 'nobody']), [{ tenant: 'studio', running: 0, waiting: 0, oldestMs: null }, { tenant: 'nobody', running: 0, waiting: 0, oldestMs: null }])
    t.same(await ledger.standings([]), [])
    await accepted('a')
    await advance(1000)
    const low = await buy({ priority: 'low' })
    await advance(1000)
    await buy({ priority: 'interactive' })
    await buy({ tenant: 'agency' })
    t.same(await ledger.standings(['agency', 'studio']), [{ tenant: 'agency', running: 0, waiting: 1, oldestMs: startMs + 2000 }, { tenant: 'studio', running: 1, waiting: 2, oldestMs: startMs + 1000 }])
    await ledger.cancel(low.id, { tenant: 'studio', subject: '' })
    t.match(await ledger.standings(['studio']), [{ waiting: 1, oldestMs: startMs + 2000 }])
  })

  t.test('one that pauses before another attempt has waited since its admission like any other', async t => {
    const { ledger, buy, go, advance } = await createWorld(t, make)
    const early = await buy()
    await go()
    await advance(1000)
    await buy({ tenant: 'agency' })
    const { id } = await go()
    await ledger.recordNotSent(early.id, 1, { retryAfterMs: 120_000 })
    await ledger.recordNotSent(id, 1, { retryAfterMs: 60_000 })
    t.match(await ledger.standings(['studio', 'agency', 'nobody']), [{ waiting: 1, oldestMs: startMs }, { waiting: 1, oldestMs: startMs + 1000 }, { waiting: 0, oldestMs: null }], 'nothing else waits')
    await advance(1000)
    await buy()
    t.match(await ledger.standings(['studio']), [{ waiting: 2, oldestMs: startMs }], 'before one that may go at once')
    await advance(120_000)
    t.equal((await go()).id, id)
    t.match(await ledger.standings(['studio', 'agency']), [{ waiting: 2, oldestMs: startMs }, { waiting: 0, oldestMs: null }], 'back in the queue')
    await ledger.cancel(early.id, { tenant: 'studio', subject: '' })
    t.match(await ledger.standings(['studio']), [{ waiting: 1, oldestMs: startMs + 2000 }])
  })

  t.test('failures tell what failed last, the latest first, without a word of anybody else', async t => {
    const { ledger, ended, accepted, advance } = await createWorld(t, make)
    t.same(await ledger.failures(10, null), [])
    const first = await ended(failureOf())
    await advance(1000)
    const second = await ended(failureOf(), { tenant: 'agency' })
    await advance(1000)
    await ended()
    const third = await ended(failureOf())
    await accepted('a')
    const told = await ledger.failures(10, null)
    t.same(told.map(({ id }) => id), [third.id, second.id, first.id])
    t.same(told[1], { id: second.id, tenant: 'agency', model: second.model, code: 'content-refused', finishedAtMs: startMs + 1000, cost: second.cost })
    t.notMatch(JSON.stringify(told), new RegExp(refusal.detail))
    t.same((await ledger.failures(2, null)).map(({ id }) => id), [third.id, second.id])
    t.same((await ledger.failures(1, 'studio')).map(({ id }) => id), [third.id], 'of one tenant')
    t.same((await ledger.failures(10, 'agency')).map(({ id }) => id), [second.id])
    t.same(await ledger.failures(10, 'nobody'), [])
  })

  t.test('what failed is told as long as its row is kept, and no more once it was bought after all', async t => {
    const { ledger, ended, accepted, advance } = await createWorld(t, make)
    const { id } = await ended(failureOf(0))
    const lost = await accepted('lost')
    await ledger.recordUnknown(lost.id, 1, 'lost', traceLost)
    await advance(600_000)
    await ledger.settle(lost.id, false)
    t.same((await ledger.failures(10, null)).map(({ id }) => id), [lost.id, id])
    await ledger.finish(lost.id, 1, 'lost', successOf())
    t.same((await ledger.failures(10, null)).map(({ id }) => id), [id])
    await advance(3_600_000)
    await ledger.sweep('r1', 10)
    t.same(await ledger.failures(10, null), [])
  })

  t.test('replicas are those with a heartbeat in the last lease, each with what it follows at fal', async t => {
    const { ledger, buy, go, accepted, advance } = await createWorld(t, make)
    t.same(await ledger.replicas(), [])
    await accepted('a')
    await accepted('b')
    await buy()
    await go('r2')
    await ledger.heartbeat('r1')
    await advance(1000)
    await ledger.heartbeat('r2')
    t.same(await ledger.replicas(), [{ replica: 'r2', beatAtMs: startMs + 1000, following: 0 }, { replica: 'r1', beatAtMs: startMs, following: 2 }], 'what is being submitted is not followed yet')
    await advance(leaseMs - 1000)
    t.same((await ledger.replicas()).map(({ replica }) => replica), ['r2'])
    await ledger.release('r2', [])
    t.same(await ledger.replicas(), [])
  })
}
