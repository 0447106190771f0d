// The queue and the claim: whose turn it is, and that every turn is granted once.

import type { Test } from 'tap'
import { freshId, never, successOf } from '../../support/admission.ts'
import { until } from '../../support/until.ts'
import { createWorld, present, type MakeStore, type World } from './world.ts'

async function order (world: World, count: number): Promise<string[]> {
  const tenants: string[] = []
  for (let turn = 0; turn < count; turn += 1) {
    const { id, tenant, attempt } = await world.go()
    await world.ledger.finish(id, attempt, 'request-' + id, successOf())
    tenants.push(tenant)
  }
  return tenants
}

export async function queue (t: Test, make: MakeStore): Promise<void> {
  t.test('a claim grants the next attempt to its replica, and sets lease and end of run', async t => {
    const { ledger, buy, go, row, nowMs, advance } = await createWorld(t, make)
    const { id } = await buy()
    await advance(5000)
    t.match(await go('r7'), { id, phase: 'submitting', attempt: 1, owner: 'r7', runUntilMs: nowMs() + 3_600_000, queuePosition: null })
    t.match(await row(id), { phase: 'submitting', attempt: 1, version: 2 })
    await ledger.recordNotSent(id, 1, { retryAfterMs: 0 })
    await advance(1000)
    t.match(await go('r8'), { id, attempt: 2, owner: 'r8', runUntilMs: nowMs() + 3_600_000 }, 'what waited again has its whole time to run')
  })

  t.test('a claim that starts after its deadline grants nothing', async t => {
    const { buy, claim, row, nowMs } = await createWorld(t, make)
    const { id } = await buy()
    t.equal(await claim({ deadlineMs: nowMs() - 1 }), 'late')
    t.match(await row(id), { phase: 'waiting', attempt: 0 })
    t.equal(await claim({ deadlineMs: nowMs(), claimId: 'c' }), id)
    t.equal(await claim({ deadlineMs: nowMs() - 1, claimId: 'c' }), id, 'which was granted already is told')
  })

  t.test('the same claim gets the same grant while that attempt is submitting, and no second one', async t => {
    const { ledger, buy, claim } = await createWorld(t, make)
    const first = await buy()
    const second = await buy()
    const claimId = freshId()
    t.equal(await claim({ claimId }), first.id)
    t.equal(await claim({ claimId }), first.id)
    t.equal(await claim({ claimId, slots: 0 }), first.id, 'also when no slot is free any more')
    t.equal((await ledger.gauges()).atUpstream, 1)
    await ledger.recordAccepted(first.id, 1, 'a')
    t.equal(await claim({ claimId }), second.id, 'afterwards it is a new claim')
  })

  t.test('no more than `slots` are at fal, of all tenants together', async t => {
    const { ledger, buy, claim } = await createWorld(t, make)
    for (const tenant of ['studio', 'agency', 'lab']) await buy({ tenant })
    t.equal(await claim({ slots: 0 }), 'busy')
    const first = await claim({ slots: 2 })
    await claim({ slots: 2 })
    t.equal(await claim({ slots: 2 }), 'busy')
    await ledger.finish(first, 1, 'a', successOf())
    t.not(await claim({ slots: 2 }), 'busy')
    t.equal(await claim({ slots: 3 }), 'empty')
  })

  t.test('when fal takes no more there are as many slots as it has taken, and after the pause more and more', async t => {
    const { ledger, buy, claim, advance } = await createWorld(t, make)
    const ids: string[] = []
    for (let count = 0; count < 8; count += 1) ids.push((await buy()).id)
    for (let count = 0; count < 4; count += 1) await claim({ slots: 6 })
    for (const id of ids.slice(0, 2)) await ledger.recordAccepted(id, 1, 'request-' + id)
    for (const id of ids.slice(2, 4)) await ledger.recordNotSent(id, 1, { retryAfterMs: 1000, busy: true })
    t.match(await ledger.gauges(), { atUpstream: 2, accounts: [{ upstream: 'fal main', used: 2, open: 2 }] })
    t.equal(await claim({ slots: 6 }), 'busy')
    await advance(999)
    t.equal(await claim({ slots: 6 }), 'busy')
    await advance(1)
    t.match(await ledger.gauges(), { accounts: [{ open: 3 }] })
    t.equal(await claim({ slots: 6 }), ids[2])
    t.equal(await claim({ slots: 6 }), 'busy')
    await advance(4999)
    t.equal(await claim({ slots: 6 }), 'busy')
    await advance(1)
    t.equal(await claim({ slots: 6 }), ids[3])
    t.equal(await claim({ slots: 6 }), 'busy')
    await advance(60_000)
    for (const id of ids.slice(4, 6)) t.equal(await claim({ slots: 6 }), id)
    t.equal(await claim({ slots: 6 }), 'busy', 'never more than `slots`')
    t.equal(await claim({ slots: 1 }), 'busy')
  })

  t.test('with nothing at fal one goes when the pause is over, and no pause is longer than a minute', async t => {
    const { ledger, buy, go, claim, advance } = await createWorld(t, make)
    const { id } = await buy()
    const next = await buy()
    await go()
    await ledger.recordNotSent(id, 1, { retryAfterMs: 600_000, busy: true })
    t.match(await ledger.gauges(), { accounts: [{ open: 0 }] })
    await advance(59_999)
    t.equal(await claim(), 'busy')
    await advance(1)
    t.equal(await claim(), next.id)
    t.equal(await claim(), 'busy')
  })

  t.test('an attempt that was not sent for other reasons lowers nothing', async t => {
    const { ledger, buy, go } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    await ledger.recordNotSent(id, 1, { retryAfterMs: 1000 })
    t.match(await ledger.gauges(), { accounts: [{ open: null }] })
  })

  t.test('a tenant has no more than its maxInFlight at fal; others go on', async t => {
    const { ledger, buy, claim } = await createWorld(t, make)
    const first = await buy({ maxInFlight: 1 })
    const second = await buy({ maxInFlight: 1 })
    const other = await buy({ tenant: 'agency' })
    t.same(new Set([await claim(), await claim()]), new Set([first.id, other.id]))
    t.equal(await claim(), 'empty')
    await ledger.finish(first.id, 1, 'a', successOf())
    t.equal(await claim(), second.id)
  })

  t.test('a tenant\'s limits are those of its latest purchase', async t => {
    const { buy, claim } = await createWorld(t, make)
    const first = await buy({ maxInFlight: 1 })
    t.equal(await claim(), first.id)
    const second = await buy({ maxInFlight: 2 })
    t.equal(await claim(), second.id)
    await buy({ maxInFlight: 1 })
    t.equal(await claim(), 'empty')
  })

  t.test('turns are shared in proportion to weights', async t => {
    const world = await createWorld(t, make)
    for (let turn = 0; turn < 40; turn += 1) {
      for (const [tenant, weight] of [['light', 1], ['middle', 2], ['heavy', 5]] as const) await world.buy({ tenant, weight })
    }
    const turns = await order(world, 40)
    const count = (name: string): number => turns.filter(tenant => tenant === name).length
    t.same([count('light'), count('middle'), count('heavy')], [5, 10, 25])
    const first = turns.slice(0, 8)
    t.ok(first.includes('light') && first.includes('middle') && first.includes('heavy'), 'nobody waits for a whole round')
  })

  t.test('a tenant that stayed away does not save up turns', async t => {
    const world = await createWorld(t, make)
    await world.buy({ tenant: 'early' })
    await order(world, 1)
    for (let turn = 0; turn < 20; turn += 1) await world.buy({ tenant: 'steady' })
    await order(world, 10)
    for (let turn = 0; turn < 10; turn += 1) await world.buy({ tenant: 'early' })
    const turns = await order(world, 10)
    const steady = turns.filter(tenant => tenant === 'steady').length
    t.ok(steady >= 4 && steady <= 6, `${steady} of 10 turns`)
  })

  t.test('within a tenant: interactive before background before low, then in order of admission', async t => {
    const { ledger, buy, claim, row } = await createWorld(t, make)
    const low = await buy({ priority: 'low' })
    const background = await buy({ priority: 'background' })
    const first = await buy({ priority: 'interactive' })
    const second = await buy({ priority: 'interactive' })
    await buy({ tenant: 'agency' })
    const expected = [first.id, second.id, background.id, low.id]
    t.same(await Promise.all(expected.map(async id => (await row(id)).queuePosition)), [0, 1, 2, 3], 'the position is counted in the tenant\'s own queue')
    const claimed: string[] = []
    for (let turn = 0; turn < 5; turn += 1) claimed.push(await claim())
    t.same(claimed.filter(id => expected.includes(id)), expected)
    t.equal((await ledger.gauges()).atUpstream, 5)
  })

  t.test('an attempt that was not sent keeps its position but pauses', async t => {
    const { ledger, buy, go, claim, advance, row } = await createWorld(t, make)
    const first = await buy()
    const second = await buy()
    const third = await buy()
    await go()
    t.match(await ledger.recordNotSent(first.id, 1, { retryAfterMs: 1000 }), { phase: 'waiting', attempt: 1, owner: null, queuePosition: 0 })
    t.equal(await claim(), second.id, 'others go on')
    await advance(999)
    t.equal((await row(third.id)).queuePosition, 0)
    await advance(1)
    t.equal(await claim(), first.id)
    t.equal(await claim(), third.id)
    t.equal((await row(first.id)).attempt, 2)
  })

  t.test('a generation that waited too long is closed unspent, by a claim on its way', async t => {
    const { ledger, buy, claim, advance, row, balance } = await createWorld(t, make)
    const first = await buy()
    await advance(1)
    const second = await buy()
    await advance(899_999)
    t.equal(await claim(), second.id)
    t.match(await row(first.id), { phase: 'failed', failure: { code: 'upstream-timeout' }, cost: 0, attempt: 0 })
    t.equal((await balance()).spent, 0)
    t.equal((await ledger.gauges()).atUpstream, 1)
  })

  t.test('the same by a sweep, also while it pauses', async t => {
    const { ledger, buy, go, advance, row } = await createWorld(t, make)
    const first = await buy()
    await go()
    await ledger.recordNotSent(first.id, 1, { retryAfterMs: 5_000_000 })
    const second = await buy()
    await advance(900_000)
    t.same(await ledger.sweep('r1', 10), [])
    for (const { id } of [first, second]) t.match(await row(id), { phase: 'failed', failure: { code: 'upstream-timeout' }, cost: 0 })
  })

  t.test('one claim closes a bounded number on its way; the next one goes on', async t => {
    const { ledger, buy, claim, advance } = await createWorld(t, make)
    for (let count = 0; count < 40; count += 1) await buy({ tenant: `tenant${count % 3}` })
    await advance(900_000)
    const { id } = await buy({ tenant: 'fresh' })
    const answers: string[] = []
    while (answers.at(-1) !== id) answers.push(await claim())
    t.same(answers.slice(0, -1).filter(answer => answer !== 'empty'), [])
    t.ok(answers.length <= 3)
    const { waiting } = await ledger.gauges()
    t.ok([...waiting.values()].reduce((sum, count) => sum + count, 0) <= 40)
  })

  t.test('every purchase is granted once, however many replicas claim', async t => {
    const { buy, claim } = await createWorld(t, make)
    const bought = new Set<string>()
    for (let count = 0; count < 30; count += 1) bought.add((await buy({ tenant: `tenant${count % 4}` })).id)
    const claimed = await Promise.all(Array.from({ length: 40 }, (_, turn) => claim({ replica: `r${turn % 5}` })))
    const granted = claimed.filter(id => id !== 'empty')
    t.equal(granted.length, 30)
    t.same(new Set(granted), bought)
  })

  t.test('a cancelled or expired head does not cost its tenant a turn', async t => {
    const { ledger, buy, claim } = await createWorld(t, make)
    const first = await buy()
    const second = await buy()
    await buy({ tenant: 'agency' })
    await ledger.cancel(first.id, first)
    const turns = [await claim(), await claim()]
    t.ok(turns.includes(second.id))
    t.equal(present((await ledger.getMany([first.id]))[0]).phase, 'cancelled')
  })

  t.test('a generation that its caller gave less time to start is closed unspent then, and says whose time it was', async t => {
    const { ledger, buy, claim, advance, row, balance, nowMs } = await createWorld(t, make)
    const hurried = await buy({ startWithinMs: 5000 })
    t.match(hurried, { waitUntilMs: nowMs() + 5000, startUntilMs: nowMs() + 5000 })
    const patient = await buy({ startWithinMs: 5_000_000 })
    t.match(patient, { waitUntilMs: nowMs() + 900_000 }, 'no caller waits for longer than the ledger lets it')
    await advance(5000)
    t.equal(await claim(), patient.id)
    t.match(await row(hurried.id), { phase: 'failed', failure: { code: 'start-timeout' }, cost: 0, attempt: 0 })
    const late = await buy({ startWithinMs: 5_000_000 })
    await advance(900_000)
    await ledger.sweep('r1', 10)
    t.match(await row(late.id), { failure: { code: 'upstream-timeout' } })
    t.equal((await balance()).spent, 0)
  })

  t.test('what has started in time is not ended by its caller\'s time', async t => {
    const { ledger, buy, go, advance, row } = await createWorld(t, make)
    const { id } = await buy({ startWithinMs: 5000 })
    await go()
    await advance(5000)
    await ledger.renew('r1', [{ row: await row(id), holds: true }])
    await ledger.sweep('r1', 10)
    t.match(await row(id), { phase: 'submitting' })
  })

  t.test('where others wait, too, the buyer\'s own time does not end it', async t => {
    const { buy, admit, advance, claim, nowMs } = await createWorld(t, make)
    const { id } = await buy({ cacheName: 'cache', startWithinMs: 5000 })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, startUntilMs: null, waitUntilMs: nowMs() + 900_000 } })
    await advance(6000)
    t.equal(await claim(), id)
  })

  t.test('a retry reattaches the time that is left; a caller that set none waits as long as anybody', async t => {
    const { ledger, buy, admit, advance, nowMs } = await createWorld(t, make)
    const at = (connection: string) => ({ duplicateName: 'duplicate', connection: { replica: 'r1', connection } })
    const { id, startUntilMs } = await buy({ ...at('c1'), startWithinMs: 5000 })
    await ledger.left(id, { replica: 'r1', connection: 'c1' })
    await advance(1000)
    t.match(await admit({ ...at('c2'), startWithinMs: 5000 }), { outcome: 'adopted', row: { id, startUntilMs, waitUntilMs: startUntilMs } })
    await ledger.left(id, { replica: 'r1', connection: 'c2' })
    t.match(await admit(at('c3')), { outcome: 'adopted', row: { id, startUntilMs: null, waitUntilMs: nowMs() + 899_000 } })
  })

  t.test('a claim tells whether others could be claimed, and a change that let somebody come to the front says so', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const told: boolean[] = []
    const stop = ledger.listen(change => { if (change !== 'look-again') told.push(change.isQueueEmpty) })
    const heard = async (count: number): Promise<boolean | undefined> => {
      await until(() => told.length === count)
      return told.at(-1)
    }
    const claimed = async (): Promise<unknown> => await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 10 })
    const one = await buy({ maxInFlight: 1 })
    t.equal(await heard(1), false)
    await buy({ maxInFlight: 1 })
    await heard(2)
    t.match(await claimed(), { row: { id: one.id }, isQueueEmpty: true }, 'the other waits for the tenant\'s own slot')
    t.equal(await heard(3), true)
    await buy({ tenant: 'agency' })
    t.equal(await heard(4), false)
    await ledger.recordAccepted(one.id, 1, 'a')
    t.equal(await heard(5), true, 'it keeps its slot')
    await ledger.finish(one.id, 1, 'a', successOf())
    t.equal(await heard(6), false, 'the slot is the other\'s now')
    t.match(await claimed(), { isQueueEmpty: false })
    t.match(await claimed(), { isQueueEmpty: true })
    t.match(await claimed(), { outcome: 'empty' })
    stop()
  })
}
