// The breaker: while it is tripped nothing is bought, and exactly one probe at a time finds out whether it may close.

import type { Test } from 'tap'
import type { Admission } from '../../../src/generation/admission.ts'
import type { BreakerReport } from '../../../src/generation/breaker-state.ts'
import type { Generation } from '../../../src/generation/generation.ts'
import { failureOf, price, successOf, traceLost, unreachable } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

const ultra = 'fal-ai/imagen4/preview/ultra'

export async function breakers (t: Test, make: MakeStore): Promise<void> {
  t.test('a report is kept with the time since when it holds', async t => {
    const { ledger, nowMs, advance } = await createWorld(t, make)
    t.same(await ledger.breakers(), [])
    const sinceMs = nowMs()
    t.same(await ledger.breaker('*', { state: 'open', retryAfterMs: 1000 }), { scope: '*', account: 'fal main', state: 'open', sinceMs, retryAtMs: sinceMs + 1000, probe: null, failures: 1 })
    await advance(500)
    t.match(await ledger.breaker('*', { state: 'open', retryAfterMs: 1000 }), { sinceMs, retryAtMs: sinceMs + 1500 })
    t.match(await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 1000 }), { state: 'account-blocked', sinceMs: sinceMs + 500 })
    t.match(await ledger.breaker('*', { state: 'ok', retryAfterMs: 0 }), { state: 'ok', retryAtMs: 0, probe: null })
    t.match(await ledger.breakers(), [{ scope: '*', state: 'ok' }])
  })

  t.test('while tripped, admissions are refused and nothing waiting is granted', async t => {
    const { ledger, buy, claim, refused, advance } = await createWorld(t, make)
    await buy()
    await ledger.breaker('*', { state: 'open', retryAfterMs: 10_000 })
    await advance(500)
    t.match(await refused(), { why: 'breaker', breaker: 'open', retryAfterSeconds: 10 }, 'rounded up')
    t.equal(await claim(), 'breaker')
  })

  t.test('after the pause exactly one waiting generation goes through', async t => {
    const { ledger, buy, claim, refused, advance } = await createWorld(t, make)
    const first = await buy()
    await buy()
    await ledger.breaker('*', { state: 'open', retryAfterMs: 10_000 })
    await advance(10_000)
    t.equal(await claim(), first.id)
    t.match(await ledger.breakers(), [{ probe: first.id }])
    t.equal(await claim(), 'breaker')
    t.match(await refused(), { why: 'breaker', retryAfterSeconds: 15 }, 'as long as the probe\'s owner may be silent')
  })

  t.test('or exactly one admission, and it goes before what waited longer', async t => {
    const { ledger, buy, claim, refused, advance } = await createWorld(t, make)
    const waiting = await buy({ tenant: 'agency' })
    await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 10_000 })
    await advance(10_000)
    const probe = await buy({ priority: 'low' })
    t.match(await refused(), { why: 'breaker', breaker: 'account-blocked' })
    t.equal(await claim(), probe.id)
    t.equal(await claim(), 'breaker')
    await ledger.breaker('*', { state: 'ok', retryAfterMs: 0 })
    t.equal(await claim(), waiting.id)
    await buy()
  })

  t.test('an admission whose tenant has no free slot is no probe: it could not be sent, and others could', async t => {
    const { ledger, buy, claim, refused } = await createWorld(t, make)
    const running = await buy({ maxInFlight: 1 })
    t.equal(await claim(), running.id)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 0 })
    t.match(await refused({ maxInFlight: 1 }), { why: 'breaker', breaker: 'open' })
    const probe = await buy({ tenant: 'agency' })
    t.equal(await claim(), probe.id)
  })

  t.test('a probe that was refused for other reasons does not take the place', async t => {
    const { ledger, buy, refused } = await createWorld(t, make)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 0 })
    t.match(await refused({ rate: { max: 0, windowSeconds: 60 } }), { why: 'rate' })
    await buy()
    t.match(await refused(), { why: 'breaker' })
  })

  t.test('a bad report while the probe is under way brings no second one', async t => {
    const { ledger, buy, claim, advance, refused } = await createWorld(t, make)
    const waiting = await buy()
    await ledger.breaker('*', { state: 'open', retryAfterMs: 0 })
    const probe = await buy({ priority: 'low' })
    t.equal(await claim(), probe.id)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 1000 })
    await advance(1000)
    t.equal(await claim(), 'breaker')
    await refused()
    await ledger.finish(probe.id, 1, 'a', failureOf(0))
    t.equal(await claim(), waiting.id)
  })

  t.test('a probe that could not be sent stays the probe and goes again after the new pause', async t => {
    const { ledger, buy, claim, advance } = await createWorld(t, make)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 0 })
    const { id } = await buy()
    t.equal(await claim(), id)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 5000 })
    await ledger.recordNotSent(id, 1, { retryAfterMs: 1000 })
    await advance(4999)
    t.equal(await claim(), 'breaker')
    await advance(1)
    t.equal(await claim(), id)
    t.equal(await claim(), 'empty')
  })

  t.test('a probe that has to pause for longer than its breaker lets another one try', async t => {
    const { ledger, buy, claim, advance } = await createWorld(t, make)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 0 })
    const { id } = await buy()
    t.equal(await claim(), id)
    await ledger.recordNotSent(id, 1, { retryAfterMs: 600_000 }, { scope: '*', state: 'open', retryAfterMs: 5000, after: 5 })
    t.match(await ledger.breakers(), [{ state: 'open', probe: null }])
    await advance(5000)
    const other = await buy()
    t.equal(await claim(), other.id)
  })

  for (const [end, what] of [['ended', 'a failed'], ['lost', 'a lost'], ['cancelled', 'a cancelled']] as const) {
    t.test(`${what} probe frees the place`, async t => {
      const { ledger, buy, claim } = await createWorld(t, make)
      await ledger.breaker('*', { state: 'open', retryAfterMs: 0 })
      const probe = await buy()
      if (end === 'cancelled') await ledger.cancel(probe.id, probe)
      else await claim()
      if (end === 'ended') await ledger.finish(probe.id, 1, 'a', failureOf(0))
      if (end === 'lost') await ledger.recordUnknown(probe.id, 1, null, traceLost)
      t.match(await ledger.breakers(), [{ state: 'open', probe: null }])
      await buy()
    })
  }

  t.test('a probe whose owner died or let go frees the place', async t => {
    const { ledger, buy, claim, advance } = await createWorld(t, make)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 0 })
    const first = await buy()
    await claim({ replica: 'dead' })
    await advance(15_000)
    t.match(await ledger.sweep('r2', 10), [{ row: { id: first.id, owner: 'r2' } }])
    const second = await buy()
    t.match(await ledger.breakers(), [{ probe: second.id }])
    await claim({ replica: 'r2' })
    await ledger.release('r2', [second.id])
    t.match(await ledger.breakers(), [{ probe: null }])
  })

  t.test('a model\'s breaker stops that model only, in the queue too', async t => {
    const { ledger, buy, claim, refused } = await createWorld(t, make)
    const retired = await buy()
    const other = await buy({ model: 'fal-ai/another' })
    await ledger.breaker(retired.model, { state: 'retired', retryAfterMs: 60_000 })
    t.match(await refused(), { why: 'breaker', breaker: 'retired', retryAfterSeconds: 60 })
    t.equal(await claim(), other.id)
    await buy({ model: 'fal-ai/another' })
  })

  t.test('what waits for a model that is gone ends at once, unspent, and holds nobody up', async t => {
    const { ledger, buy, claim, row, balance } = await createWorld(t, make)
    const waiting: Generation[] = []
    for (let count = 0; count < 40; count += 1) waiting.push(await buy())
    const other = await buy({ model: 'fal-ai/another', priority: 'low' })
    await ledger.breaker('fal-ai/imagen4/preview/ultra', { state: 'retired', retryAfterMs: 60_000 })
    t.equal(await claim(), 'empty', 'one claim closes a bounded number')
    t.equal(await claim(), other.id)
    for (const { id } of waiting) t.match(await row(id), { phase: 'failed', failure: { code: 'model-retired' }, cost: 0, attempt: 0 })
    t.equal((await balance()).spent, 0)
  })

  t.test('one of many failures trips it at the given number in a row, no matter which process tells them', async t => {
    const { ledger, buy, go, refused } = await createWorld(t, make)
    const report = { scope: '*', state: 'open', retryAfterMs: 1000, after: 3 } as const
    async function fail (): Promise<void> {
      const { id } = await buy()
      await go('r' + id)
      await ledger.recordNotSent(id, 1, { failure: unreachable }, report)
    }
    await fail()
    await fail()
    t.match(await ledger.breakers(), [{ state: 'ok', failures: 2 }])
    const works = await buy()
    await go()
    await ledger.recordAccepted(works.id, 1, 'a')
    t.match(await ledger.breakers(), [{ state: 'ok', failures: 0 }], 'what works ends the row')
    await fail()
    await fail()
    t.match(await ledger.breakers(), [{ state: 'ok', failures: 2 }])
    const { id } = await buy()
    await go()
    await ledger.recordUnknown(id, 1, null, traceLost, report)
    t.match(await ledger.breakers(), [{ state: 'open', failures: 3 }], 'a lost one counts, too')
    await refused()
  })

  t.test('evidence told twice is one failure, and about another attempt none', async t => {
    const { ledger, buy, go } = await createWorld(t, make)
    const report = { scope: '*', state: 'open', retryAfterMs: 1000, after: 2 } as const
    const { id } = await buy()
    await go()
    await ledger.recordUnknown(id, 1, null, traceLost, report)
    await ledger.recordUnknown(id, 1, null, traceLost, report)
    await ledger.recordNotSent(id, 0, { failure: unreachable }, report)
    t.match(await ledger.breakers(), [{ state: 'ok', failures: 1 }])
  })

  t.test('a failure lengthens the pause of a tripped breaker, and does not change why it is tripped', async t => {
    const { ledger, nowMs, advance } = await createWorld(t, make)
    const failure = { state: 'open', retryAfterMs: 1000, after: 5 } as const
    await ledger.breaker('*', { state: 'open', retryAfterMs: 1000 })
    await advance(600)
    t.match(await ledger.breaker('*', failure), { state: 'open', retryAtMs: nowMs() + 1000 })
    const blocked = await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 30_000 })
    t.match(await ledger.breaker('*', failure), { state: 'account-blocked', retryAtMs: blocked.retryAtMs })
    await advance(29_900)
    t.match(await ledger.breaker('*', failure), { state: 'account-blocked', retryAtMs: nowMs() + 1000, sinceMs: blocked.sinceMs })
  })

  t.test('the report of a probe holds before its place is free: nothing is granted between the two', async t => {
    const { ledger, buy, claim, advance } = await createWorld(t, make)
    const first = await buy()
    const second = await buy()
    await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 1000 })
    await advance(1000)
    t.equal(await claim(), first.id)
    await ledger.recordNotSent(first.id, 1, { failure: unreachable }, { scope: '*', state: 'account-blocked', retryAfterMs: 1000 })
    t.match(await ledger.breakers(), [{ state: 'account-blocked', probe: null }])
    t.equal(await claim(), 'breaker')
    await advance(1000)
    t.equal(await claim(), second.id)
  })

  t.test('only the probe\'s acceptance closes it: what was sent before it tripped says nothing', async t => {
    const { ledger, buy, go, claim } = await createWorld(t, make)
    const before = await buy()
    await go()
    const probe = await buy()
    const waiting = await buy()
    await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 0 })
    await ledger.breaker(probe.model, { state: 'open', retryAfterMs: 0 })
    t.equal(await claim(), probe.id)
    await ledger.recordAccepted(before.id, 1, 'a')
    t.same((await ledger.breakers()).map(({ state }) => state), ['account-blocked', 'open'])
    t.equal(await claim(), 'breaker')
    await ledger.recordAccepted(probe.id, 1, 'b')
    t.match(await ledger.breakers(), [{ state: 'ok', probe: null, failures: 0 }, { state: 'ok', probe: null }], 'all whose probe it was')
    t.equal(await claim(), waiting.id)
  })

  t.test('each change of state is told once', async t => {
    const { ledger } = await createWorld(t, make)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 1000, after: 2 })
    t.same(await ledger.takeOutbox(10), [])
    for (let count = 0; count < 5; count += 1) await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 1000 })
    await ledger.breaker('*', { state: 'ok', retryAfterMs: 0 })
    await ledger.breaker('*', { state: 'ok', retryAfterMs: 0 })
    await ledger.breaker('fal-ai/gone', { state: 'retired', retryAfterMs: 1000 })
    t.same(await ledger.takeOutbox(10), [
      { kind: 'breaker', scope: '*', from: 'ok', state: 'account-blocked' },
      { kind: 'breaker', scope: '*', from: 'account-blocked', state: 'ok' },
      { kind: 'breaker', scope: 'fal-ai/gone', from: 'ok', state: 'retired' }
    ])
    t.same(await ledger.takeOutbox(10), [])
  })

  t.test('a word for one state alone says nothing in another', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const now = { state: 'account-blocked', retryAfterMs: 0, only: 'account-blocked' } as const
    t.match(await ledger.breaker('*', now), { state: 'ok', failures: 0 })
    await buy()
    await buy()
    const open = await ledger.breaker('*', { state: 'open', retryAfterMs: 5000 })
    t.same(await ledger.breaker('*', now), open)
    const { retryAtMs } = await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 5000 })
    t.match(await ledger.breaker('*', now), { state: 'account-blocked', retryAtMs: retryAtMs - 5000 })
  })

  t.test('what the breaker stops still leaves the queue at its deadline', async t => {
    const { ledger, buy, claim, advance, row } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.breaker('*', { state: 'open', retryAfterMs: 5_000_000 })
    await advance(900_000)
    t.equal(await claim(), 'empty')
    t.match(await row(id), { phase: 'failed', cost: 0 })
  })

  t.test('a pause from a failed submit is not a report: other generations go on', async t => {
    const { ledger, buy, go, claim } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    await ledger.recordNotSent(id, 1, { failure: unreachable })
    const next = await buy()
    t.equal(await claim(), next.id)
  })

  const tenants = { scope: '*', state: 'open', retryAfterMs: 1000, after: 3, tenantFirst: true } as const

  /** Buys and claims, and meets what may be its tenant's doing. */
  function failing ({ ledger, buy, go }: World): (given?: Partial<Admission>, report?: BreakerReport) => Promise<void> {
    return async (given = {}, report = tenants) => {
      const { id } = await buy(given)
      const granted = await go()
      if (granted.id !== id) throw new Error('Another one was granted.')
      await ledger.recordNotSent(id, 1, { failure: unreachable }, report)
    }
  }

  t.test('what may be a tenant\'s doing stops that tenant at the given number in a row, and nobody else', async t => {
    const world = await createWorld(t, make)
    const { ledger, buy, claim, refused, advance } = world
    const fail = failing(world)
    await fail()
    await fail()
    t.match(await ledger.breakers(), [{ scope: '*', state: 'ok', failures: 2 }, { scope: 'tenant:studio', state: 'ok', failures: 2 }])
    await fail()
    const other = await buy({ tenant: 'agency' })
    t.match(await ledger.breakers(), [{ scope: '*', state: 'ok', failures: 3 }, { scope: 'tenant:studio', state: 'open', failures: 3 }])
    t.match(await refused(), { why: 'breaker', breaker: 'open', retryAfterSeconds: 1 })
    t.equal(await claim(), other.id)
    await ledger.recordAccepted(other.id, 1, 'a')
    t.match(await ledger.breakers(), [{ scope: '*', failures: 0 }, { scope: 'tenant:studio', state: 'open' }], 'what works for others says nothing of this one')
    await advance(1000)
    const probe = await buy()
    await refused()
    t.equal(await claim(), probe.id)
    await ledger.recordAccepted(probe.id, 1, 'b')
    t.match(await ledger.breakers(), [{ scope: '*', state: 'ok' }], 'and a tenant\'s breaker that is ok is forgotten')
    t.same((await ledger.breakers()).length, 1)
    await buy()
  })

  t.test('a tenant that is stopped keeps nobody else from being claimed, however much of it waits in front', async t => {
    const world = await createWorld(t, make)
    const { ledger, buy, claim } = world
    const broken = await buy()
    await world.go()
    for (let count = 0; count < 40; count += 1) await buy()
    const other = await buy({ tenant: 'agency' })
    await ledger.recordNotSent(broken.id, 1, { failure: unreachable }, { ...tenants, after: 1 })
    t.equal(await claim(), other.id)
    t.equal(await claim(), 'breaker')
  })

  t.test('a second tenant that meets it makes it the account\'s', async t => {
    const world = await createWorld(t, make)
    const fail = failing(world)
    for (let count = 0; count < 3; count += 1) await fail()
    t.match(await world.ledger.breakers(), [{ scope: '*', state: 'ok' }, { scope: 'tenant:studio', state: 'open' }])
    await fail({ tenant: 'agency' })
    t.match(await world.ledger.breakers(), [{ scope: '*', state: 'open' }, { scope: 'tenant:agency', state: 'ok', failures: 1 }, { scope: 'tenant:studio', state: 'open' }])
    t.match(await world.refused({ tenant: 'third' }), { why: 'breaker' })
  })

  t.test('in the same row of failures: what worked for anybody in between begins another', async t => {
    const world = await createWorld(t, make)
    const fail = failing(world)
    await fail()
    await fail()
    await world.accepted('a', { tenant: 'agency' })
    await fail({ tenant: 'third' })
    t.match(await world.ledger.breakers(), [{ scope: '*', state: 'ok', failures: 1 }, { scope: 'tenant:studio', failures: 2 }, { scope: 'tenant:third', failures: 1 }])
  })

  t.test('so does something that is nobody\'s doing', async t => {
    const world = await createWorld(t, make)
    const fail = failing(world)
    await fail()
    await fail()
    await fail({}, { scope: '*', state: 'open', retryAfterMs: 1000, after: 3 })
    t.match(await world.ledger.breakers(), [{ scope: '*', state: 'open', failures: 3 }, { scope: 'tenant:studio', state: 'ok', failures: 2 }])
  })

  t.test('the tenant\'s probe makes it the account\'s when it meets it with another input, and not with one that failed before', async t => {
    const world = await createWorld(t, make)
    const { ledger, advance } = world
    const fail = failing(world)
    for (const input of ['{"prompt":"a"}', '{"prompt":"b"}', '{"prompt":"a"}']) await fail({ input })
    t.match(await ledger.breakers(), [{ state: 'ok' }, { scope: 'tenant:studio', state: 'open' }])
    await advance(1000)
    await fail({ input: '{"prompt":"b"}' })
    t.match(await ledger.breakers(), [{ state: 'ok' }, { state: 'open', probe: null }])
    await advance(1000)
    await fail({ input: '{"prompt":"c"}' })
    t.match(await ledger.breakers(), [{ scope: '*', state: 'open' }, { scope: 'tenant:studio', state: 'open' }])
  })

  t.test('that once: a tenant that breaks everything which it sends does not stop the others for ever', async t => {
    const world = await createWorld(t, make)
    const { ledger, advance } = world
    const fail = failing(world)
    for (let count = 0; count < 3; count += 1) await fail()
    await advance(1000)
    await fail({ input: '{"prompt":"another"}' })
    t.match(await ledger.breakers(), [{ scope: '*', state: 'open' }, { state: 'open' }])
    await advance(1000)
    await world.accepted('a', { tenant: 'agency' })
    t.match(await ledger.breakers(), [{ scope: '*', state: 'ok', failures: 0 }, { scope: 'tenant:studio', state: 'open' }])
    for (const input of ['{"prompt":"x"}', '{"prompt":"y"}', '{"prompt":"z"}', '{"prompt":"!"}']) {
      await fail({ input })
      await advance(1000)
    }
    t.match(await ledger.breakers(), [{ scope: '*', state: 'ok' }, { scope: 'tenant:studio', state: 'open' }])
    await world.accepted('b')
    t.same((await ledger.breakers()).length, 1)
    for (let count = 0; count < 3; count += 1) await fail()
    await advance(1000)
    await fail({ input: '{"prompt":"another"}' })
    t.match(await ledger.breakers(), [{ scope: '*', state: 'open' }, { state: 'open' }], 'after something of its own worked it may be believed again')
  })

  t.test('a probe whose owner let go frees the place of its tenant, too', async t => {
    const world = await createWorld(t, make)
    const { ledger, buy, go, advance } = world
    const fail = failing(world)
    for (let count = 0; count < 3; count += 1) await fail()
    await advance(1000)
    const probe = await buy()
    await go('r2')
    t.match(await ledger.breakers(), [{}, { probe: probe.id }])
    await ledger.release('r2', [probe.id])
    t.match(await ledger.breakers(), [{}, { probe: null }])
  })

  t.test('no more than sixteen tenants are told apart; the oldest row that tripped nothing is forgotten', async t => {
    const world = await createWorld(t, make)
    const fail = failing(world)
    const never = { ...tenants, after: 1000 } as const
    for (let count = 10; count < 27; count += 1) {
      await fail({ tenant: `t${count}` }, never)
      await world.advance(1)
    }
    const scopes = (await world.ledger.breakers()).map(({ scope }) => scope)
    t.equal(scopes.length, 17)
    t.notOk(scopes.includes('tenant:t10'))
    t.ok(scopes.includes('tenant:t26'))
  })

  t.test('a tenant\'s breaker that changes is told', async t => {
    const world = await createWorld(t, make)
    const fail = failing(world)
    for (let count = 0; count < 3; count += 1) await fail()
    await world.advance(1000)
    await world.accepted('a')
    t.same((await world.ledger.takeOutbox(10)).filter(({ kind }) => kind === 'breaker'), [
      { kind: 'breaker', scope: 'tenant:studio', from: 'ok', state: 'open' },
      { kind: 'breaker', scope: 'tenant:studio', from: 'open', state: 'ok' }
    ])
  })

  t.test('an absurd bill leaves the price of its model unsure: nothing of it is bought until an operator speaks, and no probe goes through', async t => {
    const { ledger, buy, ended, refused, advance } = await createWorld(t, make)
    const { id } = await ended(successOf({ cost: 10 * price + 1 }))
    t.match(await ledger.breakers(), [{ scope: ultra, state: 'price-unsure', probe: null }])
    for (let tries = 0; tries < 2; tries += 1) {
      t.match(await refused(), { why: 'breaker', breaker: 'price-unsure', retryAfterSeconds: 60 })
      await advance(3_600_000)
    }
    await buy({ model: 'fal-ai/another' })
    t.match(await ledger.correct(id, price), { reopened: true })
    t.match(await ledger.breakers(), [{ scope: ultra, state: 'ok' }])
    await buy()
    t.match((await ledger.takeOutbox(10)).filter(({ kind }) => kind === 'breaker'), [{ scope: ultra, from: 'ok', state: 'price-unsure' }, { scope: ultra, from: 'price-unsure', state: 'ok' }])
  })

  t.test('what waits for a model whose price is unsure waits on, holds nobody up, and goes when it is confirmed', async t => {
    const { ledger, buy, accepted, claim, row, advance } = await createWorld(t, make)
    const absurd = await accepted('a')
    const waiting: Generation[] = []
    for (let count = 0; count < 40; count += 1) waiting.push(await buy())
    const other = await buy({ model: 'fal-ai/another', priority: 'low' })
    await ledger.finish(absurd.id, 1, 'a', successOf({ cost: Number.MAX_SAFE_INTEGER }))
    t.equal(await claim(), 'breaker', 'one claim looks at a bounded number')
    t.equal(await claim(), other.id)
    await advance(60_000)
    t.equal(await claim(), 'breaker')
    for (const { id } of waiting) t.match(await row(id), { phase: 'waiting', version: 1, attempt: 0 })
    await ledger.correct(absurd.id, null)
    await advance(10_000)
    t.same([await claim(), await claim()], waiting.slice(0, 2).map(({ id }) => id), 'in the order in which they came')
  })

  t.test('a generation that finds its model\'s price unsure is not the account\'s probe any more', async t => {
    const { ledger, buy, accepted, claim, advance } = await createWorld(t, make)
    const absurd = await accepted('a')
    await ledger.breaker('*', { state: 'open', retryAfterMs: 1000 })
    await advance(1000)
    await buy()
    await ledger.finish(absurd.id, 1, 'a', successOf({ cost: Number.MAX_SAFE_INTEGER }))
    t.equal(await claim(), 'breaker')
    t.match((await ledger.breakers())[0], { scope: '*', state: 'open', probe: null })
    await buy({ model: 'fal-ai/another' })
  })

  t.test('two bills in a row above their reservations leave the price unsure, one does not', async t => {
    const { ledger, accepted, ended, refused } = await createWorld(t, make)
    async function overrun (): Promise<string> {
      return (await ended(successOf({ cost: price + 1 }))).id
    }
    await overrun()
    await ended(failureOf(0))
    await ended(successOf({ cost: null }))
    const first = await accepted('a')
    const second = await accepted('b')
    await ledger.finish(first.id, 1, 'a', successOf({ cost: price }))
    await overrun()
    t.same(await ledger.breakers(), [], 'what was billed as expected stands between the two')
    await ledger.finish(second.id, 1, 'b', failureOf(2 * price))
    t.match(await ledger.breakers(), [{ scope: ultra, state: 'price-unsure' }])
    t.match(await refused(), { breaker: 'price-unsure' })
    await ledger.correct(first.id, null)
    await overrun()
    t.match(await ledger.breakers(), [{ state: 'ok' }], 'an operator\'s word begins another row')
  })

  t.test('a bill that grows is one overrun', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    const { id } = await accepted('a')
    for (const times of [0, 2, 3, 4]) await ledger.finish(id, 1, 'a', failureOf(times * price))
    t.same(await ledger.breakers(), [])
  })

  t.test('while a price is unsure, the breaker of its model hears nothing else', async t => {
    const { ledger, accepted, ended, refused } = await createWorld(t, make)
    const running = await accepted('a')
    await ended(successOf({ cost: Number.MAX_SAFE_INTEGER }))
    await ledger.breaker(ultra, { state: 'ok', retryAfterMs: 0 })
    await ledger.recordUnknown(running.id, 1, 'a', traceLost, { scope: ultra, state: 'retired', retryAfterMs: 1000 })
    t.match(await refused(), { breaker: 'price-unsure' })
    await ledger.breaker(ultra, { state: 'ok', retryAfterMs: 0, only: 'price-unsure' })
    t.match(await ledger.breakers(), [{ state: 'ok' }], 'for when the generation in question is forgotten')
    await ended(successOf({ cost: 2 * price }))
    t.match(await ledger.breakers(), [{ state: 'ok' }])
  })

  t.test('a model that is gone, with its probe under way, can have an unsure price as well', async t => {
    const { ledger, buy, accepted, advance } = await createWorld(t, make)
    const running = await accepted('a')
    await ledger.breaker(ultra, { state: 'retired', retryAfterMs: 1000 })
    await advance(1000)
    const probe = await buy()
    await ledger.finish(running.id, 1, 'a', successOf({ cost: Number.MAX_SAFE_INTEGER }))
    t.match(await ledger.breakers(), [{ state: 'price-unsure', probe: null }])
    await ledger.cancel(probe.id, probe)
    t.match(await ledger.breakers(), [{ state: 'price-unsure', probe: null }])
  })
}
