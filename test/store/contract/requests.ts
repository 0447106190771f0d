// fal's request ids: each stands for one purchase of one generation. Two ids for one generation are two purchases, two generations with one id are a fault of fal's.

import type { Test } from 'tap'
import type { Generation } from '../../../src/generation/generation.ts'
import type { Ledger } from '../../../src/generation/ledger.ts'
import { failureOf, noTerms, price, refusal, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

/** Everything that evidence can say about a purchase. */
const tellings: ReadonlyArray<readonly [string, (ledger: Ledger, id: string, requestId: string) => Promise<Generation | null>]> = [
  ['accepted', async (ledger, id, requestId) => await ledger.recordAccepted(id, 1, requestId)],
  ['queued', async (ledger, id, requestId) => await ledger.recordProgress(id, 1, requestId, { kind: 'queued', position: 2 })],
  ['running', async (ledger, id, requestId) => await ledger.recordProgress(id, 1, requestId, { kind: 'running' })],
  ['recordDoubt', async (ledger, id, requestId) => await ledger.recordDoubt(id, 1, requestId, 'expired')],
  ['recordUnknown', async (ledger, id, requestId) => await ledger.recordUnknown(id, 1, requestId, traceLost)],
  ['ended', async (ledger, id, requestId) => await ledger.finish(id, 1, requestId, failureOf(null))]
]

/** The journal without what tests do not care about. */
async function lines ({ ledger }: World): Promise<[string, string | null, number][]> {
  return (await ledger.journal(0, ledger.now() + 1, 20)).map(({ kind, requestId, amount }) => [kind, requestId, amount])
}

export async function requests (t: Test, make: MakeStore): Promise<void> {
  for (const [what, tell] of tellings) {
    t.test(`whatever is told of a second request id (${what}), it is a double purchase: booked and told once, and the row stays with the first`, async t => {
      const world = await createWorld(t, make)
      const { ledger, balance } = world
      const row = await world.accepted('a')
      t.match(await tell(ledger, row.id, 'b'), { from: 'accepted', phase: 'accepted', requestId: 'a', version: row.version })
      await tell(ledger, row.id, 'b')
      t.same(await lines(world), [['double', 'b', price]])
      t.same(await balance(), { held: price, spent: price })
      t.match(await ledger.takeOutbox(10), [{ kind: 'double', from: 'accepted', booked: price, row: { id: row.id } }])
      await ledger.finish(row.id, 1, 'a', successOf())
      t.same(await balance(), { held: 0, spent: 2 * price })
    })
  }

  t.test('a second purchase counts whatever attempt it came of, and after the end, too', async t => {
    const world = await createWorld(t, make)
    const { id } = await world.ended()
    await world.ledger.recordAccepted(id, 1, 'b')
    await world.ledger.recordAccepted(id, 3, 'c')
    t.match(await lines(world), [['purchase', /request-/, price], ['double', 'b', price], ['double', 'c', price]])
    t.match(await world.row(id), { phase: 'succeeded', attempt: 1 })
  })

  t.test('the end of a double corrects what was booked for it; the first counts, and a later one that costs more', async t => {
    const world = await createWorld(t, make)
    const { ledger, balance } = world
    const { id } = await world.ended()
    await ledger.takeOutbox(10)
    for (const requestId of ['b', 'c', 'd']) await ledger.recordAccepted(id, 1, requestId)
    await ledger.finish(id, 1, 'b', successOf({ cost: 50_000 }))
    await ledger.finish(id, 1, 'b', successOf({ cost: 40_000 }))
    await ledger.finish(id, 1, 'b', failureOf(55_000))
    await ledger.finish(id, 1, 'c', failureOf(0))
    await ledger.finish(id, 1, 'd', failureOf(null))
    t.same((await lines(world)).slice(4), [['correction', 'b', -10_000], ['correction', 'b', 5000], ['correction', 'c', -price]])
    t.same(await balance(), { held: 0, spent: 2 * price + 55_000 })
    t.match((await ledger.takeOutbox(10)).filter(({ kind }) => kind !== 'double'), [{ kind: 'late', booked: 5000 }])
    t.match(await world.row(id), { phase: 'succeeded', cost: price }, 'of the row nothing')
  })

  for (const story of ['is followed', 'is lost'] as const) {
    t.test(`a double that succeeds while the first purchase ${story} gives the row its picture, since it is paid for; the first one's end is then a correction`, async t => {
      const world = await createWorld(t, make)
      const { ledger, balance } = world
      const { id } = await world.accepted('a', { cacheName: 'cache' })
      await ledger.recordAccepted(id, 1, 'b')
      if (story === 'is lost') await ledger.recordUnknown(id, 1, 'a', traceLost)
      t.match(await ledger.finish(id, 1, 'b', successOf({ cost: 50_000 })), { phase: 'succeeded', requestId: 'b', cost: 50_000 })
      t.match(await ledger.lookup('cache'), { id })
      t.same(await balance(), { held: 0, spent: price + 50_000 })
      await ledger.finish(id, 1, 'a', failureOf(0))
      t.same(await balance(), { held: 0, spent: 50_000 })
      const sums = new Map<string | null, number>()
      for (const [, requestId, amount] of await lines(world)) sums.set(requestId, (sums.get(requestId) ?? 0) + amount)
      if (story === 'is followed') t.same(sums, new Map([['b', 50_000], ['a', 0]]), 'the journal says what each of them cost')
    })
  }

  t.test('a double that comes to nothing leaves the row to the first purchase', async t => {
    const { ledger, accepted, balance } = await createWorld(t, make)
    const { id } = await accepted('a')
    await ledger.recordAccepted(id, 1, 'b')
    t.match(await ledger.finish(id, 1, 'b', failureOf(0)), { phase: 'accepted', requestId: 'a' })
    t.match(await ledger.recordUnknown(id, 1, 'b', traceLost), { phase: 'accepted' })
    t.same(await balance(), { held: price, spent: 0 })
    t.match(await ledger.finish(id, 1, 'a', successOf()), { phase: 'succeeded' })
  })

  t.test('a replica that follows a double holds that, and the row stays with its owner', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    const row = await accepted('a')
    const double = { row: { ...row, requestId: 'b' }, terms: noTerms, holds: true }
    await ledger.recordAccepted(row.id, 1, 'b')
    t.same(await ledger.renew('r2', [double]), { gone: [], rolledBack: [] })
    await advance(15_000)
    t.match(await ledger.sweep('r3', 10), [{ row: { id: row.id, owner: 'r3', requestId: 'a' } }], 'which is no sign of life of the row\'s owner')
    await ledger.finish(row.id, 1, 'b', failureOf(0))
    t.same(await ledger.renew('r2', [double]), { gone: [row.id], rolledBack: [] }, 'until it has ended')
  })

  for (const [what, tell] of tellings) {
    t.test(`a request id that stands for another generation (${what}): the second one is unknown and told, its money held, and the first one goes on`, async t => {
      const { ledger, accepted, buy, go, balance, nowMs } = await createWorld(t, make)
      const first = await accepted('a')
      const second = await buy({ cacheName: 'cache' })
      await go()
      await ledger.takeOutbox(10)
      t.match(await tell(ledger, second.id, 'a'), { from: 'submitting', phase: 'unknown', requestId: null, output: null, failure: { code: 'outcome-unknown' }, owner: null })
      t.match(await tell(ledger, second.id, 'a'), { from: 'unknown', phase: 'unknown' })
      t.match(await ledger.takeOutbox(10), [{ kind: 'shared', from: 'submitting', booked: 0, row: { id: second.id } }])
      t.same(await balance(), { held: 2 * price, spent: 0 })
      t.match(await ledger.journal(0, nowMs() + 1, 10), [{ kind: 'unknown', id: second.id, requestId: null, amount: price }])
      t.same(await ledger.renew('r1', [{ row: { ...second, attempt: 1, requestId: 'a' }, holds: true }]), { gone: [second.id], rolledBack: [] })
      t.match(await ledger.finish(first.id, 1, 'a', successOf()), { phase: 'succeeded' })
      t.match(await ledger.getMany([second.id]), [{ phase: 'unknown', output: null }])
    })
  }

  t.test('a generation with a purchase of its own keeps that when it hears another one\'s id, which is told all the same', async t => {
    const { ledger, accepted, balance } = await createWorld(t, make)
    await accepted('a')
    const second = await accepted('b')
    t.match(await ledger.recordAccepted(second.id, 1, 'a'), { phase: 'accepted', requestId: 'b' })
    t.match(await ledger.takeOutbox(10), [{ kind: 'shared', row: { id: second.id } }])
    t.same(await balance(), { held: 2 * price, spent: 0 })
  })

  t.test('the id of a double stands for its generation, too', async t => {
    const { ledger, accepted, buy, go } = await createWorld(t, make)
    const first = await accepted('a')
    await ledger.recordAccepted(first.id, 1, 'b')
    const second = await buy()
    await go()
    t.match(await ledger.recordAccepted(second.id, 1, 'b'), { phase: 'unknown', requestId: null })
  })

  t.test('a request id stands for its generation as long as there is the row', async t => {
    const { ledger, ended, advance, buy, go } = await createWorld(t, make, { resultTtlMs: 5000 })
    const { requestId } = await ended()
    await advance(5000)
    await ledger.sweep('r1', 10)
    const second = await buy()
    await go()
    t.match(await ledger.recordAccepted(second.id, 1, requestId ?? ''), { phase: 'accepted', requestId })
  })

  t.test('a row that comes back from a rollback with the id of another generation is unknown, without the picture that was fetched under it', async t => {
    const lost = await (async () => {
      const { accepted, ended, ledger, row } = await createWorld(t, make)
      const { id } = await accepted('a')
      await ledger.finish(id, 1, 'a', successOf())
      return [await row(id), await ended(), await accepted('b')] as const
    })()
    const { ledger, accepted, row } = await createWorld(t, make)
    const present = await accepted('a')
    const [finished, , followed] = lost
    const facts = [{ row: finished, terms: noTerms, holds: false }, { row: { ...followed, requestId: 'a' }, terms: noTerms, holds: true }]
    t.same(await ledger.renew('r1', facts), { gone: [], rolledBack: [finished.id, followed.id] })
    await ledger.restore('r1', facts)
    for (const { id } of [finished, followed]) t.match(await row(id), { phase: 'unknown', requestId: null, output: null })
    t.match(await row(present.id), { phase: 'accepted', requestId: 'a' })
    t.same(await ledger.renew('r1', facts), { gone: [followed.id], rolledBack: [] })
  })

  t.test('a replica that has the end of another purchase than the row\'s brings its picture along', async t => {
    const { ledger, buy, go, accepted, balance } = await createWorld(t, make)
    const done = await accepted('a')
    const ended: Generation = { ...done, phase: 'succeeded', version: done.version + 1, owner: null, output: '{}', cost: 50_000, finishedAtMs: ledger.now() }
    const again = await buy()
    await go()
    await ledger.recordAccepted(again.id, 1, 'b')
    await ledger.restore('r2', [{ row: { ...ended, id: again.id, purchase: again.id, requestId: 'c' }, terms: noTerms, holds: false }])
    t.match(await ledger.getMany([again.id]), [{ phase: 'succeeded', requestId: 'c', output: '{}', cost: 50_000 }])
    t.same(await balance(), { held: price, spent: price + 50_000 })
    await ledger.finish(again.id, 1, 'b', { kind: 'failed', failure: refusal, cost: 0 })
    t.same(await balance(), { held: price, spent: 50_000 })
  })

  t.test('a fact without a request id says nothing about a row that has one', async t => {
    const { ledger, accepted, row } = await createWorld(t, make)
    const known = await accepted('a')
    const fact = { row: { ...known, phase: 'submitting' as const, requestId: null, attempt: 2, version: 30 }, terms: noTerms, holds: true }
    t.same(await ledger.renew('r2', [fact]), { gone: [], rolledBack: [known.id] })
    await ledger.restore('r2', [fact])
    t.match(await row(known.id), { phase: 'accepted', requestId: 'a', owner: 'r1', attempt: 2, version: 31 })
    t.same(await ledger.renew('r2', [fact]), { gone: [known.id], rolledBack: [] })
  })
}
