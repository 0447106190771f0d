// Books: every micro-dollar that is held, spent or doubtful, and the journal that explains it to finance.

import type { Test } from 'tap'
import { admissionOf, failureOf, price, successOf, tokenOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

async function lines ({ ledger }: World): Promise<[kind: string, amount: number][]> {
  return (await ledger.journal(0, ledger.now() + 1, 100)).map(({ kind, amount }) => [kind, amount])
}

export async function books (t: Test, make: MakeStore): Promise<void> {
  t.test('an end settles at what it cost and releases the rest', async t => {
    const world = await createWorld(t, make)
    const { id, accounts } = await world.ended(successOf({ cost: 12_345 }))
    t.same(await world.balance(), { held: 0, spent: 12_345 })
    t.same(await world.balance('*'), { held: 0, spent: 12_345 })
    t.match(await world.ledger.journal(0, world.nowMs() + 1, 10), [{
      atMs: world.nowMs(), kind: 'purchase', id, tenant: 'studio', model: 'fal-ai/imagen4/preview/ultra', requestId: /^request-/, accounts, amount: 12_345, assumed: false
    }])
  })

  t.test('a price that fal did not name is that of the table, and marked as assumed', async t => {
    const world = await createWorld(t, make)
    t.match(await world.ended(successOf({ cost: null })), { cost: price, costAssumed: true })
    t.match(await world.ended(failureOf(null)), { phase: 'failed', cost: price, costAssumed: true })
    t.same(await world.balance(), { held: 0, spent: 2 * price })
    t.match(await world.ledger.journal(0, world.nowMs() + 1, 10), [{ assumed: true }, { assumed: true }])
  })

  t.test('an end that was not billed releases everything and leaves no line', async t => {
    const world = await createWorld(t, make)
    await world.ended(failureOf(0))
    await world.ended({ kind: 'cancelled', cost: 0 })
    t.same(await world.balance(), { held: 0, spent: 0 })
    t.same(await lines(world), [])
  })

  t.test('billed above the reservation is booked in full, over the budget if need be', async t => {
    const world = await createWorld(t, make)
    const budgets = [{ owner: 'studio', limit: price, per: 'month' as const }]
    t.match(await world.ended(successOf({ cost: 3 * price }), { budgets }), { cost: 3 * price, price })
    t.same(await world.balance(), { held: 0, spent: 3 * price })
    t.match(await world.refused({ budgets }), { why: 'budget' })
  })

  t.test('up to ten times the reservation is booked in full; above that ten times, as an assumption, whatever is told', async t => {
    const world = await createWorld(t, make)
    t.match(await world.ended(successOf({ cost: 10 * price })), { phase: 'succeeded', cost: 10 * price, costAssumed: false, price })
    for (const cost of [10 * price + 1, Number.MAX_SAFE_INTEGER]) {
      const absurd = await world.accepted('request' + cost)
      // What is at fal already ends, whatever the breaker says of the next purchase.
      t.match(await world.ledger.finish(absurd.id, 1, 'request' + cost, failureOf(cost)), { phase: 'failed', cost: 10 * price, costAssumed: true, price })
      await world.ledger.finish(absurd.id, 1, 'request' + cost, failureOf(cost))
      await world.ledger.correct(absurd.id, null)
    }
    t.same(await lines(world), [['purchase', 10 * price], ['purchase', 10 * price], ['purchase', 10 * price]])
    t.same(await world.balance(), { held: 0, spent: 30 * price })
  })

  t.test('a bill that turns out absurd later is bounded as well', async t => {
    const world = await createWorld(t, make)
    const { id } = await world.accepted('a')
    await world.ledger.finish(id, 1, 'a', successOf())
    t.match(await world.ledger.finish(id, 1, 'a', successOf({ cost: Number.MAX_SAFE_INTEGER })), { cost: 10 * price, costAssumed: true })
    t.same(await world.balance(), { held: 0, spent: 10 * price })
    t.match(await world.ledger.breakers(), [{ state: 'price-unsure' }])
  })

  t.test('an operator corrects what was booked, either way, in budgets and token, and the journal explains it', async t => {
    const world = await createWorld(t, make)
    const { ledger } = world
    await ledger.mint(tokenOf({ subject: '', picturesLeft: 5, moneyLeft: 20 * price }))
    const { id, version } = await world.ended(successOf({ cost: Number.MAX_SAFE_INTEGER }), { token: 'tok1', files: 2 })
    t.match(await ledger.token('tok1'), { picturesLeft: 3, moneyLeft: 10 * price })
    t.match(await ledger.correct(id, 2 * price), { outcome: 'corrected', booked: -8 * price, reopened: true, row: { phase: 'succeeded', cost: 2 * price, costAssumed: false, corrected: true, price, version: version + 1 } })
    t.same(await world.balance(), { held: 0, spent: 2 * price })
    t.match(await ledger.token('tok1'), { picturesLeft: 3, moneyLeft: 18 * price })
    t.match(await ledger.correct(id, 0), { booked: -2 * price, reopened: false, row: { cost: 0 } })
    t.match(await ledger.token('tok1'), { picturesLeft: 5, moneyLeft: 20 * price })
    t.match(await ledger.correct(id, 30 * price), { booked: 30 * price, row: { cost: 30 * price } }, 'above the bound, too: it is an operator\'s word')
    t.same(await lines(world), [['purchase', 10 * price], ['correction', -8 * price], ['correction', -2 * price], ['correction', 30 * price]])
    t.match(await ledger.journal(0, ledger.now() + 1, 1), [{ assumed: true }])
    t.same(await world.balance('*'), { held: 0, spent: 30 * price })
    t.match((await ledger.takeOutbox(10)).filter(({ kind }) => kind === 'corrected'), [{ from: 'succeeded', booked: -8 * price }, { booked: -2 * price }, { booked: 30 * price }])
  })

  t.test('the same correction twice is booked once, and to confirm books nothing', async t => {
    const world = await createWorld(t, make)
    const { ledger } = world
    const first = await world.ended(successOf())
    for (const booked of [-10_000, 0]) t.match(await ledger.correct(first.id, price - 10_000), { outcome: 'corrected', booked, row: { version: first.version + 1 } })
    const second = await world.ended(successOf({ cost: null }))
    for (let told = 0; told < 2; told += 1) t.match(await ledger.correct(second.id, null), { outcome: 'corrected', booked: 0, row: { cost: price, costAssumed: false, corrected: true, version: second.version + 1 } })
    t.match(await ledger.correct(second.id, price), { booked: 0, row: { version: second.version + 1 } })
    t.same(await lines(world), [['purchase', price], ['correction', -10_000], ['purchase', price]])
    t.same(await world.balance(), { held: 0, spent: 2 * price - 10_000 })
  })

  t.test('only what has ended is corrected', async t => {
    const { ledger, buy, accepted } = await createWorld(t, make)
    t.same(await ledger.correct('nobody', 0), { outcome: 'no-such-generation' })
    const unknown = await accepted('a')
    t.same(await ledger.correct(unknown.id, 0), { outcome: 'not-ended' })
    await ledger.recordUnknown(unknown.id, 1, 'a', traceLost)
    t.same(await ledger.correct(unknown.id, 0), { outcome: 'not-ended' })
    t.same(await ledger.correct((await buy()).id, null), { outcome: 'not-ended' })
  })

  t.test('what an operator said is not changed by what is learned later', async t => {
    const world = await createWorld(t, make)
    const { ledger } = world
    const { id } = await world.accepted('a')
    await ledger.finish(id, 1, 'a', successOf({ cost: 5 * price }))
    await ledger.correct(id, price)
    t.match(await ledger.finish(id, 1, 'a', successOf({ cost: 5 * price })), { cost: price, corrected: true })
    const settled = await world.buy()
    await world.go()
    await ledger.recordUnknown(settled.id, 1, null, traceLost)
    const found = await world.accepted('b')
    await ledger.recordUnknown(found.id, 1, 'b', traceLost)
    await world.advance(10 * 60_000)
    for (const each of [settled, found]) {
      await ledger.settle(each.id, false)
      await ledger.correct(each.id, 0)
    }
    t.match(await ledger.recordAccepted(settled.id, 1, 'c'), { phase: 'failed', cost: 0, requestId: 'c' })
    t.match(await ledger.finish(found.id, 1, 'b', successOf()), { phase: 'succeeded', cost: 0, corrected: true }, 'a picture that is found is given all the same')
    t.same(await world.balance(), { held: 0, spent: price })
  })

  t.test('an absurd bill of a double is bounded, and leaves the price unsure like any other', async t => {
    const world = await createWorld(t, make)
    const { ledger } = world
    const beside = await world.accepted('a')
    await ledger.recordAccepted(beside.id, 1, 'b')
    const instead = await world.accepted('c')
    await ledger.recordAccepted(instead.id, 1, 'd')
    await ledger.finish(beside.id, 1, 'b', failureOf(Number.MAX_SAFE_INTEGER))
    t.same(await world.balance(), { held: 2 * price, spent: 11 * price })
    t.match(await ledger.breakers(), [{ state: 'price-unsure' }])
    await ledger.breaker('fal-ai/imagen4/preview/ultra', { state: 'ok', retryAfterMs: 0, only: 'price-unsure' })
    t.match(await ledger.finish(instead.id, 1, 'd', successOf({ cost: Number.MAX_SAFE_INTEGER })), { phase: 'succeeded', requestId: 'd', cost: 10 * price, costAssumed: true })
    t.match(await ledger.breakers(), [{ state: 'price-unsure' }])
    t.same(await world.balance(), { held: price, spent: 21 * price })
  })

  t.test('an end that a correction made free is no longer anybody\'s answer, and one that it made billed is', async t => {
    const { ledger, ended, admit } = await createWorld(t, make)
    const key = (name: string) => ({ idempotency: { name, fingerprint: 'f' } })
    const billed = await ended(failureOf(), key('billed'))
    const free = await ended(failureOf(0), key('free'))
    await ledger.correct(billed.id, 0)
    await ledger.correct(free.id, price)
    t.match(await admit(key('billed')), { outcome: 'bought' })
    t.match(await admit(key('free')), { outcome: 'replayed', row: { id: free.id } })
  })

  t.test('a later, higher cost is booked as a correction, a lower one is not', async t => {
    const world = await createWorld(t, make)
    const { id, requestId } = await world.ended(failureOf(0))
    t.match(await world.ledger.finish(id, 1, requestId ?? '', failureOf(40_000)), { phase: 'failed', cost: 40_000 })
    await world.ledger.finish(id, 1, requestId ?? '', successOf({ cost: 30_000 }))
    t.match(await world.ledger.finish(id, 1, requestId ?? '', successOf({ cost: 70_000 })), { phase: 'failed', cost: 70_000, output: null })
    t.same(await lines(world), [['correction', 40_000], ['correction', 30_000]])
    t.same(await world.balance(), { held: 0, spent: 70_000 })
  })

  t.test('an unknown stands in the journal with its price until it is known', async t => {
    const world = await createWorld(t, make)
    const first = await world.accepted('a')
    await world.ledger.recordUnknown(first.id, 1, 'a', traceLost)
    t.same(await lines(world), [['unknown', price]])
    t.same(await world.balance(), { held: price, spent: 0 })
    await world.ledger.finish(first.id, 1, 'a', successOf({ cost: 50_000 }))
    t.same(await lines(world), [['unknown', price], ['correction', -10_000]])
    t.same(await world.balance(), { held: 0, spent: 50_000 })
  })

  t.test('an unknown that goes on is a purchase like any other in the end', async t => {
    const world = await createWorld(t, make)
    const { id } = await world.accepted('a')
    await world.ledger.recordUnknown(id, 1, 'a', traceLost)
    await world.ledger.recordAccepted(id, 1, 'a')
    await world.ledger.finish(id, 1, 'a', successOf())
    t.same(await lines(world), [['unknown', price], ['correction', -price], ['purchase', price]])
    t.same(await world.balance(), { held: 0, spent: price })
  })

  t.test('an unknown that cost what was held leaves a line that closes it', async t => {
    const world = await createWorld(t, make)
    const { id } = await world.accepted('a')
    await world.ledger.recordUnknown(id, 1, 'a', traceLost)
    await world.ledger.finish(id, 1, 'a', successOf())
    t.same(await lines(world), [['unknown', price], ['correction', 0]])
  })

  t.test('balances are those of the period that is current', async t => {
    const { ledger, buy, setNow } = await createWorld(t, make)
    await buy({ budgets: [{ owner: 'studio', limit: 1_000_000, per: 'day' }, { owner: '*', limit: 1_000_000, per: 'month' }] })
    const asked = [{ owner: 'studio', per: 'day' }, { owner: '*', per: 'month' }, { owner: 'nobody', per: 'month' }] as const
    t.same(await ledger.balances(asked), [
      { owner: 'studio', period: '2026-11-22', held: price, spent: 0 },
      { owner: '*', period: '2026-11', held: price, spent: 0 },
      { owner: 'nobody', period: '2026-11', held: 0, spent: 0 }
    ])
    await setNow(Date.UTC(2026, 10, 23))
    t.match(await ledger.balances(asked), [{ period: '2026-11-23', held: 0 }, { period: '2026-11', held: price }, {}])
  })

  t.test('the journal is read by time, from inclusive to exclusive, oldest first, bounded', async t => {
    const { ledger, ended, advance, nowMs } = await createWorld(t, make)
    const startMs = nowMs()
    for (let count = 1; count <= 4; count += 1) {
      await ended(successOf({ cost: count }))
      await advance(1000)
    }
    const amounts = async (fromMs: number, toMs: number, limit: number): Promise<number[]> => (await ledger.journal(fromMs, toMs, limit)).map(line => line.amount)
    t.same(await amounts(startMs, startMs + 4000, 10), [1, 2, 3, 4])
    t.same(await amounts(startMs + 1000, startMs + 3000, 10), [2, 3])
    t.same(await amounts(startMs, startMs + 4000, 3), [1, 2, 3])
    t.same(await amounts(startMs + 4000, startMs + 9000, 3), [])
  })

  t.test('the journal is read on from any of its lines, however many share a millisecond', async t => {
    const { ledger, ended, advance, nowMs } = await createWorld(t, make)
    for (let count = 1; count <= 5; count += 1) {
      await ended(successOf({ cost: count }))
      if (count === 3) await advance(1)
    }
    const amounts: number[] = []
    let after: string | undefined
    for (let page = await ledger.journal(0, nowMs() + 1, 2); page.length > 0; page = await ledger.journal(0, nowMs() + 1, 2, after)) {
      amounts.push(...page.map(({ amount }) => amount))
      after = page.at(-1)?.cursor
    }
    t.same(amounts, [1, 2, 3, 4, 5])
  })

  t.test('the journal is kept for 92 days', async t => {
    const { ledger, ended, advance, nowMs } = await createWorld(t, make)
    await ended()
    await advance(92 * 86_400_000)
    await ledger.sweep('r1', 10)
    t.equal((await ledger.journal(0, nowMs() + 1, 10)).length, 1)
    await advance(1)
    await ledger.sweep('r1', 10)
    t.equal((await ledger.journal(0, nowMs() + 1, 10)).length, 0)
  })

  t.test('gauges tell what waits, what is at fal, and since when the oldest unknown was admitted', async t => {
    const { ledger, buy, accepted, advance, nowMs } = await createWorld(t, make)
    t.same(await ledger.gauges(), { waiting: new Map(), atUpstream: 0, accounts: [{ upstream: 'fal main', used: 0, open: null }], unknownOpen: 0, unknownOldestMs: null, asideBytes: 0, keptFiles: 0, keptBytes: 0, orphans: 0, hooksDue: 0, hooksOldestMs: null, hooksGivenUp: 0 })
    const oldestMs = nowMs()
    const first = await accepted('a')
    await advance(1000)
    const second = await accepted('b', { tenant: 'agency' })
    await ledger.recordUnknown(second.id, 1, 'b', traceLost)
    await advance(1000)
    await ledger.recordUnknown(first.id, 1, 'a', traceLost)
    await accepted('c')
    await buy()
    await buy()
    await ledger.admit(admissionOf({ tenant: 'lab' }))
    const gauges = await ledger.gauges()
    t.match(gauges, { atUpstream: 1, unknownOpen: 2, unknownOldestMs: oldestMs })
    t.same([gauges.waiting.get('studio'), gauges.waiting.get('lab'), gauges.waiting.get('agency') ?? 0], [2, 1, 0])
    t.match(await ledger.unknowns(1), [{ id: second.id, sinceMs: oldestMs + 1000 }], 'unknowns are told by the time since when')
    t.equal((await ledger.unknowns(10)).length, 2)
  })
}
