// The outbox: what ends, or costs more, without its owner's doing is told, once, to the process that asks first; and evidence tells whether it changed anything.

import type { Test } from 'tap'
import { failureOf, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

/** What there is to tell, in short. */
async function told ({ ledger }: World): Promise<string[]> {
  return (await ledger.takeOutbox(100)).map(event => event.kind === 'breaker' ? `${event.scope} ${event.from} ${event.state}` : `${event.row.id} ${event.kind} ${event.from} ${event.row.phase} ${event.booked}`)
}

export async function outbox (t: Test, make: MakeStore): Promise<void> {
  t.test('what is closed while it waits is told: by a claim, by a sweep, by a cancel', async t => {
    const world = await createWorld(t, make)
    const { ledger, buy, claim, advance } = world
    const cancelled = await buy()
    await ledger.cancel(cancelled.id, cancelled)
    await ledger.cancel(cancelled.id, cancelled)
    const first = await buy()
    await advance(900_000)
    t.equal(await claim(), 'empty')
    const second = await buy()
    await advance(900_000)
    await ledger.sweep('r1', 10)
    t.same(await told(world), [`${cancelled.id} ended waiting cancelled 0`, `${first.id} ended waiting failed 0`, `${second.id} ended waiting failed 0`])
    t.same(await told(world), [], 'once')
  })

  t.test('what kills its owners, and what an operator settles, is told with what it cost', async t => {
    const world = await createWorld(t, make)
    const { ledger, accepted, advance } = world
    const poison = await accepted('a')
    for (let takeover = 1; takeover <= 6; takeover += 1) {
      await advance(15_000)
      await ledger.sweep(`victim${takeover}`, 10)
    }
    const lost = await accepted('b')
    await ledger.recordUnknown(lost.id, 1, 'b', traceLost)
    t.same(await told(world), [`${poison.id} ended accepted unknown 0`], 'evidence is told to its owner')
    await advance(600_000)
    await ledger.settle(poison.id, true)
    await ledger.settle(lost.id, false)
    await ledger.settle(lost.id, true)
    t.same(await told(world), [`${poison.id} ended unknown failed ${price}`, `${lost.id} ended unknown failed 0`])
  })

  t.test('late costs and double purchases are told with what they added', async t => {
    const world = await createWorld(t, make)
    const { ledger } = world
    const { id, requestId } = await world.ended(failureOf(0))
    await ledger.finish(id, 1, requestId ?? '', failureOf(40_000))
    await ledger.finish(id, 1, requestId ?? '', failureOf(40_000))
    await ledger.finish(id, 1, requestId ?? '', successOf({ cost: 70_000 }))
    await ledger.recordAccepted(id, 1, 'another')
    await ledger.finish(id, 1, 'another', successOf())
    t.same((await told(world)).map(line => line.replace(id + ' ', '')), ['late failed failed 40000', 'late failed failed 30000', `double failed failed ${price}`])
  })

  t.test('what is to be done once is granted to one call, and to no other for as long as was said', async t => {
    const { ledger, advance } = await createWorld(t, make)
    t.same(await Promise.all(Array.from({ length: 5 }, async () => await ledger.once('look', 60_000))), [true, false, false, false, false])
    t.equal(await ledger.once('another', 1000), true, 'each by its name')
    await advance(59_999)
    t.equal(await ledger.once('look', 60_000), false)
    await advance(1)
    t.equal(await ledger.once('look', 60_000), true)
    t.equal(await ledger.once('look', 60_000), false)
  })

  t.test('no more is taken than asked for; what is forgotten meanwhile is not told', async t => {
    const world = await createWorld(t, make, { resultTtlMs: 1000 })
    const { ledger, buy, advance } = world
    for (const { id } of [await buy(), await buy(), await buy()]) await ledger.cancel(id, { tenant: 'studio', subject: '' })
    t.same(await ledger.takeOutbox(0), [])
    t.equal((await ledger.takeOutbox(2)).length, 2)
    await advance(1000)
    await ledger.sweep('r1', 10)
    t.same(await told(world), [])
  })

  t.test('evidence is answered with the phase that it found, so that one teller knows that it changed something', async t => {
    const { ledger, buy, go } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    t.match(await ledger.recordAccepted(id, 1, 'a'), { from: 'submitting', phase: 'accepted' })
    t.match(await ledger.recordAccepted(id, 1, 'a'), { from: 'accepted', phase: 'accepted' })
    t.match(await ledger.recordProgress(id, 1, 'a', { kind: 'running' }), { from: 'accepted', phase: 'running' })
    t.match(await ledger.recordUnknown(id, 1, 'a', traceLost), { from: 'running', phase: 'unknown' })
    t.match(await ledger.finish(id, 1, 'a', successOf()), { from: 'unknown', phase: 'succeeded' })
    t.match(await ledger.finish(id, 1, 'a', successOf()), { from: 'succeeded', phase: 'succeeded' })
    t.equal(await ledger.recordAccepted('nobody', 1, 'a'), null)
  })
}
