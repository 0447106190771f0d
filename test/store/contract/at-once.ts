// A claim that comes along with an admission: what is bought while nobody waits goes to fal at once, nobody is overtaken, and a grant that nobody heard of was not used.

import type { Test } from 'tap'
import type { Admission, Admitted, ClaimOffer } from '../../../src/generation/admission.ts'
import type { Generation } from '../../../src/generation/generation.ts'
import { admissionOf, freshId, price, successOf } from '../../support/admission.ts'
import { createWorld, startMs, type MakeStore, type World } from './world.ts'

type Bought = Extract<Admitted, { outcome: 'bought' }>

/** Admits with a claim along, and fails unless it was bought. */
async function bring ({ ledger }: World, given: Partial<Admission> = {}, claim: Partial<ClaimOffer> = {}): Promise<Bought> {
  const answer = await ledger.admit(admissionOf(given), { claimId: freshId(), replica: 'r1', slots: 1000, ...claim })
  if (answer.outcome !== 'bought') throw new Error(`Nothing was bought: ${answer.outcome}`)
  return answer
}

/** Does it wait in the queue, and was nothing granted? */
function waits ({ row, terms }: Bought): boolean {
  return terms === null && row.phase === 'waiting' && row.attempt === 0
}

export async function atOnce (t: Test, make: MakeStore): Promise<void> {
  t.test('what is bought while nobody waits is granted its first attempt, with lease, end of run and terms', async t => {
    const world = await createWorld(t, make)
    const { row, terms, rate } = await bring(world, { reuseName: 'reuse', duplicateName: 'duplicate' }, { replica: 'r7' })
    t.match(row, { phase: 'submitting', attempt: 1, owner: 'r7', runUntilMs: startMs + 3_600_000, queuePosition: null, version: 1 })
    t.match(terms, { reuseName: 'reuse', duplicateName: 'duplicate', mode: 'normal', keyless: true })
    t.equal(rate.used, 1)
    t.same(await world.row(row.id), row)
    t.same(await world.balance(), { held: price, spent: 0 })
    t.match(await world.ledger.gauges(), { atUpstream: 1 })
    t.equal(await world.claim(), 'empty')
    await world.ledger.recordAccepted(row.id, 1, 'a')
    await world.ledger.finish(row.id, 1, 'a', successOf())
    t.match(await world.row(row.id), { phase: 'succeeded', cost: price })
    t.match(await world.ledger.gauges(), { atUpstream: 0 })
  })

  t.test('without a claim along it waits', async t => {
    const { buy, claim } = await createWorld(t, make)
    const { id, phase } = await buy()
    t.equal(phase, 'waiting')
    t.equal(await claim(), id)
  })

  t.test('nobody is overtaken: it waits behind what waits, of any tenant', async t => {
    for (const tenant of ['studio', 'agency']) {
      const world = await createWorld(t, make)
      const first = await world.buy({ tenant })
      const second = await bring(world)
      t.ok(waits(second))
      t.equal(await world.claim(), first.id)
      t.equal(await world.claim(), second.row.id)
    }
  })

  t.test('nor is what pauses before another attempt', async t => {
    const world = await createWorld(t, make)
    const first = await bring(world)
    await world.ledger.recordNotSent(first.row.id, 1, { retryAfterMs: 1000 })
    const second = await bring(world, { tenant: 'agency' })
    t.ok(waits(second))
    await world.advance(1000)
    t.ok(waits(await bring(world, { tenant: 'agency' })), 'its pause is over, and no claim brought it back yet')
  })

  t.test('it waits where no slot is free, of all, of its tenant or since fal took no more', async t => {
    const world = await createWorld(t, make)
    t.ok(waits(await bring(world, {}, { slots: 0 })))
    const limited = await createWorld(t, make)
    t.notOk(waits(await bring(limited, { maxInFlight: 1 })))
    t.ok(waits(await bring(limited, { maxInFlight: 1 })))
    t.notOk(waits(await bring(limited, { tenant: 'agency' })), 'who may not go is not overtaken')
    t.ok(waits(await bring(limited, { maxInFlight: 10 })), 'a tenant that may have more now has one that waits')
    const busy = await createWorld(t, make)
    const { row: { id } } = await bring(busy)
    await busy.ledger.recordNotSent(id, 1, { retryAfterMs: 60_000, busy: true })
    await busy.ledger.cancel(id, { tenant: 'studio', subject: '' })
    t.ok(waits(await bring(busy)))
  })

  t.test('the turns are charged as if it had stood in the queue', async t => {
    const [, ...orders] = await Promise.all([null, true, false].map(async isAtOnce => {
      if (isAtOnce === null) return []
      const world = await createWorld(t, make)
      const ends: Generation[] = []
      for (const tenant of ['studio', 'studio', 'agency']) {
        if (isAtOnce) ends.push((await bring(world, { tenant, weight: tenant === 'studio' ? 3 : 1 })).row)
        else {
          await world.buy({ tenant, weight: tenant === 'studio' ? 3 : 1 })
          ends.push(await world.go())
        }
      }
      for (const tenant of ['agency', 'studio', 'studio', 'agency']) await world.buy({ tenant, weight: tenant === 'studio' ? 3 : 1 })
      const turns = []
      for (let turn = 0; turn < 4; turn += 1) turns.push((await world.go()).tenant)
      return turns
    }))
    t.equal(orders[0]?.length, 4)
    t.same(orders[0], orders[1])
  })

  t.test('a free answer grants nothing, and a refusal writes nothing', async t => {
    const world = await createWorld(t, make)
    const cached = { seed: '7', cacheName: 'cache' }
    await bring(world, cached)
    const joined = await world.ledger.admit(admissionOf(cached), { claimId: freshId(), replica: 'r1', slots: 1000 })
    t.equal(joined.outcome, 'joined')
    const refused = await world.ledger.admit(admissionOf({ rate: { max: 1, windowSeconds: 60 } }), { claimId: freshId(), replica: 'r1', slots: 1000 })
    t.match(refused, { outcome: 'refused', why: 'rate' })
    t.match(await world.ledger.gauges(), { atUpstream: 1 })
    t.equal(await world.claim(), 'empty')
  })

  t.test('the same admission with the same claim is granted again while the attempt is submitting, with another claim never', async t => {
    const world = await createWorld(t, make)
    const admission = admissionOf()
    const claim = { claimId: freshId(), replica: 'r1', slots: 1000 }
    const first = await world.ledger.admit(admission, claim)
    t.same(await world.ledger.admit(admission, claim), first)
    t.match(await world.ledger.admit(admission, { ...claim, claimId: freshId() }), { outcome: 'bought', terms: null })
    t.match(await world.ledger.admit(admission), { outcome: 'bought', terms: null })
    await world.ledger.recordAccepted(admission.id, 1, 'a')
    t.match(await world.ledger.admit(admission, claim), { outcome: 'bought', terms: null })
    t.match(await world.ledger.gauges(), { atUpstream: 1 })
  })

  t.test('a breaker\'s probe goes at once as well, and only one', async t => {
    const world = await createWorld(t, make)
    await world.ledger.breaker('*', { state: 'open', retryAfterMs: 1000 })
    await world.advance(1000)
    const { row, terms } = await bring(world)
    t.ok(terms)
    t.match((await world.ledger.breakers()).find(({ scope }) => scope === '*'), { probe: row.id })
    t.match(await world.ledger.admit(admissionOf(), { claimId: freshId(), replica: 'r1', slots: 1000 }), { outcome: 'refused', why: 'breaker' })
    await world.ledger.recordAccepted(row.id, 1, 'a')
    t.notOk(waits(await bring(world)))
  })

  t.test('after a change of server it waits as every claim does', async t => {
    const world = await createWorld(t, make)
    await world.ledger.renew('r1', [])
    await bring(world)
    world.setServer('another')
    t.ok(waits(await bring(world)))
    t.equal(await world.claim(), 'wait')
  })

  t.test('what was granted to a claim that nobody heard of is taken back unspent', async t => {
    const world = await createWorld(t, make)
    const connection = { replica: 'r1', connection: '1' }
    const claimId = freshId()
    const { row: { id } } = await bring(world, { connection }, { claimId })
    await world.ledger.withdraw([{ id, connection }])
    await world.ledger.withdraw([{ id, connection, claimId: freshId() }])
    t.match(await world.row(id), { phase: 'submitting' }, 'only by who brought that claim')
    await world.ledger.withdraw([{ id, connection, claimId }])
    t.match(await world.row(id), { phase: 'failed', cost: 0, owner: null, failure: { code: 'store-unavailable' } })
    t.same(await world.balance(), { held: 0, spent: 0 })
    t.match(await world.ledger.gauges(), { atUpstream: 0 })
    t.match(await world.ledger.takeOutbox(10), [{ kind: 'ended', from: 'submitting', booked: 0 }])
    t.notOk(waits(await bring(world)))
  })

  t.test('or waits in the queue, for those who came to it since', async t => {
    const world = await createWorld(t, make)
    const connection = { replica: 'r1', connection: '1' }
    const claimId = freshId()
    const cached = { seed: '7', cacheName: 'cache' }
    const { row: { id } } = await bring(world, { ...cached, connection }, { claimId })
    await world.admit(cached)
    await world.ledger.withdraw([{ id, connection, claimId }])
    t.match(await world.row(id), { phase: 'waiting', owner: null, attempt: 1 })
    t.same(await world.balance(), { held: price, spent: 0 })
    await world.advance(1)
    t.match(await world.go('r2'), { id, attempt: 2, owner: 'r2' })
  })

  t.test('what was sent by that claim is not taken back', async t => {
    const world = await createWorld(t, make)
    const claimId = freshId()
    const { row: { id } } = await bring(world, {}, { claimId })
    await world.ledger.recordAccepted(id, 1, 'a')
    await world.ledger.withdraw([{ id, connection: null, claimId }])
    t.match(await world.row(id), { phase: 'accepted', requestId: 'a' })
  })

  t.test('the owner that goes silent is taken over from, like after any claim', async t => {
    const world = await createWorld(t, make)
    const { row: { id } } = await bring(world)
    await world.advance(15_000)
    t.match(await world.ledger.sweep('r2', 10), [{ row: { id, phase: 'submitting', owner: 'r2', takeovers: 1 }, terms: { keyless: true } }])
  })
}
