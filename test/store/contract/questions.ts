// Unknowns that have a request id are asked about, by whichever replica sweeps, until fal has forgotten them; a settlement ends no question.

import type { Test } from 'tap'
import { failureOf, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

const second = 1000
const minute = 60 * second

/** One that was accepted under `requestId` and is unknown now. */
async function unknown ({ ledger, accepted }: World, requestId: string, given: Parameters<World['accepted']>[1] = {}): Promise<string> {
  const { id } = await accepted(requestId, given)
  await ledger.recordUnknown(id, 1, requestId, traceLost)
  return id
}

/** Sweeps, and gives the ids that are to be asked about. */
async function asked ({ ledger }: World, replica = 'r2', max = 100): Promise<string[]> {
  return (await ledger.sweep(replica, max)).map(({ row }) => row.id)
}

export async function questions (t: Test, make: MakeStore): Promise<void> {
  t.test('the first question comes after 30 s, the pauses double to ten minutes, and 66 minutes after the claim there is none any more', async t => {
    const world = await createWorld(t, make)
    const id = await unknown(world, 'a')
    const startMs = world.nowMs()
    const at: number[] = []
    for (let seconds = 1; seconds <= 80 * 60; seconds++) {
      await world.setNow(startMs + seconds * second)
      if ((await asked(world)).includes(id)) at.push(seconds)
    }
    t.same(at, [30, 90, 210, 450, 930, 1530, 2130, 2730, 3330, 3930])
    t.match(await world.row(id), { phase: 'unknown', version: (await world.row(id)).version, owner: null })
  })

  t.test('each question goes to one replica, and what asks changes nothing that callers see', async t => {
    const world = await createWorld(t, make)
    const id = await unknown(world, 'a')
    const before = await world.row(id)
    await world.advance(30 * second)
    t.same(await asked(world, 'r2'), [id])
    t.same(await asked(world, 'r3'), [])
    t.same(await world.row(id), before)
  })

  t.test('one without a request id is never asked about, and neither is what ended', async t => {
    const world = await createWorld(t, make)
    await world.buy()
    await world.go()
    const [{ id } = { id: '' }] = (await world.ledger.list({ tenant: 'studio', subject: '' }, { limit: 1, cursor: null, status: null })).rows
    await world.ledger.recordUnknown(id, 1, null, traceLost)
    const ended = await unknown(world, 'b')
    await world.ledger.finish(ended, 1, 'b', failureOf())
    for (let count = 0; count < 70; count++) {
      await world.advance(minute)
      t.same(await asked(world), [])
    }
  })

  t.test('no more than two are asked about in a second, on all replicas together, and none is left out', async t => {
    const world = await createWorld(t, make)
    const ids: string[] = []
    for (let count = 0; count < 9; count++) ids.push(await unknown(world, `r${count}`))
    await world.advance(30 * second)
    const times = new Map<string, number>()
    for (let steps = 0; steps < 60; steps++) {
      for (const replica of ['r2', 'r3', 'r4']) for (const id of await asked(world, replica, 4)) if (!times.has(id)) times.set(id, world.nowMs())
      await world.advance(250)
    }
    t.same([...times.keys()].toSorted(), ids.toSorted())
    const sorted = [...times.values()].toSorted((one, other) => one - other)
    t.ok(sorted.every((atMs, n) => n < 2 || atMs - (sorted[n - 2] ?? 0) >= second), sorted.join(' '))
  })

  t.test('questions that wait do not keep a generation from being taken over', async t => {
    const world = await createWorld(t, make)
    for (let count = 0; count < 6; count++) await unknown(world, `r${count}`)
    await world.advance(20 * second)
    const { id } = await world.accepted('held')
    await world.advance(20 * second)
    await asked(world, 'r2', 6)
    t.ok((await asked(world, 'r2', 6)).includes(id))
  })

  t.test('a clock that was set forward leaves a few questions all the same', async t => {
    const world = await createWorld(t, make)
    const { id } = await world.accepted('a')
    await world.advance(120 * minute)
    await world.ledger.recordUnknown(id, 1, 'a', traceLost)
    let count = 0
    for (let steps = 0; steps < 60; steps++) {
      await world.advance(30 * second)
      count += (await asked(world)).length
    }
    t.equal(count, 4)
  })

  t.test('a clock that was set back stops no question', async t => {
    const world = await createWorld(t, make)
    for (const requestId of ['a', 'b']) await unknown(world, requestId)
    await world.advance(30 * second)
    t.equal((await asked(world)).length, 2)
    await world.advance(-120 * minute)
    const id = await unknown(world, 'c')
    await world.advance(30 * second)
    t.same(await asked(world), [id])
  })

  t.test('the end that was found turns it to what it is, and the money with it', async t => {
    const world = await createWorld(t, make)
    const [made, refused] = [await unknown(world, 'a', { cacheName: 'cache' }), await unknown(world, 'b')]
    t.same(await world.balance(), { held: 2 * price, spent: 0 })
    t.match(await world.ledger.finish(made, 1, 'a', successOf({ cost: 50_000 })), { from: 'unknown', phase: 'succeeded', cost: 50_000, failure: null })
    t.match(await world.ledger.finish(refused, 1, 'b', failureOf(0)), { from: 'unknown', phase: 'failed', cost: 0 })
    t.same(await world.balance(), { held: 0, spent: 50_000 })
    t.match(await world.admit({ cacheName: 'cache' }), { outcome: 'hit', row: { id: made } })
  })

  for (const billed of [true, false]) {
    t.test(`settling as ${billed ? 'billed' : 'not billed'} is a booking: the questions go on, and an output that is found corrects it and is told`, async t => {
      const world = await createWorld(t, make)
      const { ledger } = world
      const id = await unknown(world, 'a')
      await world.advance(10 * minute)
      await asked(world)
      await ledger.settle(id, billed)
      t.same(await world.balance(), { held: 0, spent: billed ? price : 0 })
      await ledger.takeOutbox(10)
      await world.advance(10 * minute)
      t.same(await asked(world), [id])
      t.match(await ledger.finish(id, 1, 'a', successOf({ cost: 50_000 })), { from: 'failed', phase: 'succeeded', cost: 50_000, costAssumed: false, failure: null, finishedAtMs: world.nowMs() })
      t.same(await world.balance(), { held: 0, spent: 50_000 })
      t.match(await ledger.takeOutbox(10), [{ kind: 'found', from: 'failed', booked: billed ? 50_000 - price : 50_000, row: { id, phase: 'succeeded' } }])
      await world.advance(10 * minute)
      t.same(await asked(world), [], 'what is found is asked about no more')
      await ledger.finish(id, 1, 'a', successOf({ cost: 50_000 }))
      t.same(await ledger.takeOutbox(10), [], 'and told once')
      t.same(await world.balance(), { held: 0, spent: 50_000 })
    })
  }

  t.test('only an output does that, of the same request, and only of what was settled', async t => {
    const world = await createWorld(t, make)
    const { ledger } = world
    const settled = await unknown(world, 'a')
    await world.advance(10 * minute)
    await ledger.settle(settled, true)
    t.match(await ledger.finish(settled, 1, 'a', failureOf(0)), { phase: 'failed', cost: price })
    t.match(await ledger.finish(settled, 1, 'another', successOf()), { phase: 'failed', cost: price })
    const failed = await world.ended(failureOf())
    t.match(await ledger.finish(failed.id, 1, String(failed.requestId), successOf()), { phase: 'failed' })
  })

  t.test('a settled one is forgotten when its time is over', async t => {
    const world = await createWorld(t, make)
    const id = await unknown(world, 'a')
    await world.advance(10 * minute)
    await world.ledger.settle(id, false)
    await world.advance(80 * minute)
    await asked(world)
    await world.advance(518_400_000)
    for (let count = 0; count < 3; count++) await asked(world)
    t.same(await world.ledger.getMany([id]), [])
  })
}
