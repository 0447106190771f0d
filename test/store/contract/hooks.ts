// Webhooks: noted with whatever an admission is given, due when the generation has ended, and told at least once, one event after the other.

import type { Test } from 'tap'
import type { WantedHook } from '../../../src/generation/hook.ts'
import type { DueHook } from '../../../src/generation/hooks.ts'
import { ledgerConstants } from '../../../src/generation/ledger-constants.ts'
import { admissionOf, failureOf, freshId, never, successOf, traceLost, unreachable } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

const minute = 60_000
const delivered = { kind: 'delivered' } as const

let hooks = 0

function hookOf (given: Partial<WantedHook> = {}): WantedHook {
  hooks += 1
  return { id: `hook_${hooks}`, url: 'https://hooks.example/done?secret=1', form: 'native', base: 'https://gateway.example', ...given }
}

/** The only delivery that is due. */
async function due (ledger: World['ledger']): Promise<DueHook> {
  const taken = await ledger.takeHooks(10, [])
  const [one] = taken
  if (one === undefined || taken.length > 1) throw new Error(`${taken.length} deliveries are due.`)
  return one
}

export async function hooksGroup (t: Test, make: MakeStore): Promise<void> {
  t.test('a webhook is due when its generation has ended, and given to one caller with the generation as it is then', async t => {
    const { ledger, accepted, nowMs } = await createWorld(t, make)
    const hook = hookOf()
    const { id, attempt } = await accepted('r1', { hook, subject: 'visitor' })
    t.same(await ledger.takeHooks(10, []), [], 'not before')
    await ledger.finish(id, attempt, 'r1', successOf())
    t.match(await due(ledger), {
      ...hook, generation: id, purchase: id, tenant: 'studio', subject: 'visitor', event: 1, tries: 0, error: null, untilMs: nowMs() + ledgerConstants.hookLeaseMs, row: { id, phase: 'succeeded', input: '{"prompt":"a red bicycle"}' }
    })
    t.same(await ledger.takeHooks(10, []), [], 'one caller alone has it')
  })

  for (const [what, end] of [
    ['failed at fal', async ({ ledger }, id) => { await ledger.finish(id, 1, 'r1', failureOf()) }],
    ['was cancelled there', async ({ ledger }, id) => { await ledger.finish(id, 1, 'r1', { kind: 'cancelled', cost: 0 }) }],
    ['was never accepted', async ({ ledger }, id) => { await ledger.recordNotSent(id, 1, { failure: unreachable }) }],
    ['is unknown', async ({ ledger }, id) => { await ledger.recordUnknown(id, 1, null, traceLost) }]
  ] as readonly (readonly [string, (world: World, id: string) => Promise<void>])[]) {
    t.test(`it is due, too, when the generation ${what}`, async t => {
      const world = await createWorld(t, make)
      const { id } = await world.buy({ hook: hookOf() })
      await world.go()
      await end(world, id)
      t.match(await due(world.ledger), { generation: id, event: 1 })
    })
  }

  t.test('it is due when the generation leaves the queue unspent, cancelled or past its deadline', async t => {
    const { ledger, buy, advance } = await createWorld(t, make)
    const cancelled = await buy({ hook: hookOf() })
    await ledger.cancel(cancelled.id, { tenant: 'studio', subject: '' })
    t.match(await due(ledger), { generation: cancelled.id, row: { phase: 'cancelled' } })
    const late = await buy({ hook: hookOf() })
    await advance(16 * minute)
    await ledger.sweep('r1', 10)
    t.match((await ledger.takeHooks(10, [])).filter(({ generation }) => generation === late.id), [{ row: { phase: 'failed' } }])
  })

  t.test('what died with its holder is given to the next one as another try, and what was delivered is not given again', async t => {
    const { ledger, ended, advance } = await createWorld(t, make)
    await ended(successOf(), { hook: hookOf() })
    const first = await due(ledger)
    await advance(ledgerConstants.hookLeaseMs - 1)
    t.same(await ledger.takeHooks(10, []), [])
    await advance(1)
    const second = await due(ledger)
    t.match(second, { id: first.id, event: 1, tries: 1, error: 'gone' })
    t.equal(await ledger.hookTried(second, delivered), true)
    t.equal(await ledger.hookTried(second, delivered), false, 'told twice it is taken once')
    await advance(10 * minute)
    t.same(await ledger.takeHooks(10, []), [])
  })

  t.test('a try that failed is made again after its pause, and one that was given up is not', async t => {
    const { ledger, ended, advance } = await createWorld(t, make)
    await ended(successOf(), { hook: hookOf() })
    t.equal(await ledger.hookTried(await due(ledger), { kind: 'again', pauseMs: 5000, error: '500' }), true)
    await advance(4999)
    t.same(await ledger.takeHooks(10, []), [])
    await advance(1)
    const second = await due(ledger)
    t.match(second, { event: 1, tries: 1, error: '500' })
    await ledger.hookTried(second, { kind: 'given-up', error: 'timeout' })
    await advance(60 * minute)
    t.same(await ledger.takeHooks(10, []), [])
  })

  t.test('only its holder says that a delivery failed, and everybody that it was made', async t => {
    const { ledger, ended, advance } = await createWorld(t, make)
    await ended(successOf(), { hook: hookOf() })
    const late = await due(ledger)
    await advance(ledgerConstants.hookLeaseMs)
    const holder = await due(ledger)
    t.equal(await ledger.hookTried(late, { kind: 'given-up', error: 'late' }), false)
    t.equal(await ledger.hookTried(late, { kind: 'again', pauseMs: 0, error: 'late' }), false)
    t.same(await ledger.takeHooks(10, []), [], 'it is still its holder\'s')
    t.equal(await ledger.hookTried(late, delivered), true)
    t.equal(await ledger.hookTried(holder, { kind: 'again', pauseMs: 0, error: '500' }), false)
    t.equal(await ledger.hookTried({ ...holder, purchase: freshId() }, delivered), false)
    t.equal(await ledger.hookTried({ ...holder, id: 'another' }, delivered), false)
  })

  t.test('an unknown is told, and what becomes of it is another event that follows when the first is no more under way', async t => {
    const { ledger, buy, go, advance } = await createWorld(t, make)
    const { id } = await buy({ hook: hookOf() })
    await go()
    await ledger.recordUnknown(id, 1, null, traceLost)
    const first = await due(ledger)
    t.match(first, { event: 1, row: { phase: 'unknown' } })
    await ledger.finish(id, 1, 'r1', successOf())
    t.same(await ledger.takeHooks(10, []), [], 'the first is under way')
    t.equal(await ledger.hookTried(first, { kind: 'again', pauseMs: 30 * minute, error: '500' }), true)
    const second = await due(ledger)
    t.match(second, { id: first.id, event: 2, tries: 0, row: { phase: 'succeeded' } }, 'nobody waits for the pause of what is overtaken')
    t.equal(await ledger.hookTried(first, delivered), false, 'about an event before')
    await ledger.hookTried(second, delivered)
    await advance(60 * minute)
    t.same(await ledger.takeHooks(10, []), [])
  })

  t.test('of an unknown that is something else before anybody was told, the end is the first event', async t => {
    const { ledger, buy, go } = await createWorld(t, make)
    const { id } = await buy({ hook: hookOf() })
    await go()
    await ledger.recordUnknown(id, 1, null, traceLost)
    await ledger.recordProgress(id, 1, 'r1', { kind: 'running' })
    t.same(await ledger.takeHooks(10, []), [], 'it runs after all')
    await ledger.finish(id, 1, 'r1', successOf())
    t.match(await due(ledger), { event: 1, row: { phase: 'succeeded' } })
  })

  t.test('what an operator settles is told, and an output that is found later, too', async t => {
    const { ledger, buy, go, advance } = await createWorld(t, make)
    const { id } = await buy({ hook: hookOf() })
    await go()
    await ledger.recordUnknown(id, 1, null, traceLost)
    await ledger.hookTried(await due(ledger), delivered)
    await advance(11 * minute)
    await ledger.settle(id, true)
    const settled = await due(ledger)
    t.match(settled, { event: 2, row: { phase: 'failed' } })
    await ledger.hookTried(settled, delivered)
    await ledger.finish(id, 1, 'r1', successOf())
    t.match(await due(ledger), { event: 3, row: { phase: 'succeeded' } })
  })

  t.test('of what is stored it is due at once, and told again to a caller that asks later', async t => {
    const { ledger, ended, admit } = await createWorld(t, make)
    const { id } = await ended(successOf(), { cacheName: 'stored' })
    t.match(await admit({ cacheName: 'stored', hook: hookOf() }), { outcome: 'hit', row: { id } })
    const first = await due(ledger)
    await admit({ cacheName: 'stored', hook: hookOf() })
    t.same(await ledger.takeHooks(10, []), [], 'one that is under way serves both')
    await ledger.hookTried(first, delivered)
    await admit({ cacheName: 'stored', hook: hookOf() })
    const second = await due(ledger)
    t.match(second, { generation: id, event: 1 })
    t.not(second.id, first.id, 'it is another message')
  })

  t.test('a hit on what somebody else bought has an id to be told of, which costs its reader nothing and shows nothing of the buyer', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const { id } = await ended(successOf(), { cacheName: 'stored' })
    const hook = hookOf()
    await ledger.admit(admissionOf({ tenant: 'print', cacheName: 'stored', hook }))
    const told = await due(ledger)
    t.match(told, { tenant: 'print', purchase: id, row: { tenant: 'print', accounts: [] } })
    t.not(told.generation, id)
    t.equal(told.row.id, told.generation)
    t.match(await ledger.read(told.generation, { tenant: 'print', subject: '' }), { phase: 'succeeded' })
  })

  t.test('each of those who wait together is told under the id that it knows', async t => {
    const { ledger, buy, go, admit } = await createWorld(t, make)
    const { id } = await buy({ cacheName: 'wanted', hook: hookOf() })
    const joined = await admit({ tenant: 'print', cacheName: 'wanted', hook: hookOf() })
    await admit({ cacheName: 'wanted', hook: hookOf({ form: 'fal' }) })
    const { attempt } = await go()
    await ledger.finish(id, attempt, 'r1', successOf())
    const taken = await ledger.takeHooks(10, [])
    t.same(taken.map(({ tenant, generation, form }) => [tenant, generation, form]).sort(), [['print', joined.row.id, 'native'], ['studio', id, 'fal'], ['studio', id, 'native']])
  })

  t.test('the same reader, address and form again is one webhook, by a key, by joining and by reattaching', async t => {
    const { ledger, buy, go, admit } = await createWorld(t, make)
    const { id } = await buy({ cacheName: 'wanted', idempotency: { name: 'key', fingerprint: 'f' }, hook: hookOf() })
    t.equal((await admit({ idempotency: { name: 'key', fingerprint: 'f' }, hook: hookOf() })).outcome, 'replayed')
    t.equal((await admit({ cacheName: 'wanted', hook: hookOf() })).outcome, 'joined')
    const { attempt } = await go()
    await ledger.finish(id, attempt, 'r1', successOf())
    await ledger.hookTried(await due(ledger), delivered)
    t.equal((await admit({ idempotency: { name: 'key', fingerprint: 'f' }, hook: hookOf() })).outcome, 'replayed')
    t.same(await ledger.takeHooks(10, []), [], 'a repetition is told of nothing twice')
  })

  t.test('a retry that is given the generation of its first call is told of it, also when the first call had no webhook', async t => {
    const { ledger, buy, go, admit } = await createWorld(t, make)
    const { id } = await buy({ duplicateName: 'same' })
    t.match(await admit({ duplicateName: 'same', lastRound: true, hook: hookOf() }), { outcome: 'adopted', row: { id } })
    await go()
    await ledger.finish(id, 1, 'r1', successOf())
    t.match(await due(ledger), { generation: id })
  })

  t.test('an admission that is asked for twice notes its webhook once', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const { id } = await ended(successOf(), { cacheName: 'stored' })
    const admission = admissionOf({ cacheName: 'stored', hook: hookOf() })
    await ledger.admit(admission)
    await ledger.hookTried(await due(ledger), delivered)
    t.match(await ledger.admit(admission), { outcome: 'hit', row: { id } })
    t.same(await ledger.takeHooks(10, []), [])
  })

  t.test('one of a list is told of its own', async t => {
    const { ledger } = await createWorld(t, make)
    const [one, other] = [admissionOf({ hook: hookOf() }), admissionOf({ hook: hookOf() })]
    t.match(await ledger.admitAll([one, other]), { outcome: 'all' })
    for (const { id } of [one, other]) await ledger.cancel(id, { tenant: 'studio', subject: '' })
    t.same((await ledger.takeHooks(10, [])).map(({ id, generation }) => [id, generation]).sort(), [one, other].map(({ id, hook }) => [hook?.id, id]).sort())
  })

  t.test('an admission that is taken back takes its webhook along, whatever it was given', async t => {
    const { ledger, ended, buy } = await createWorld(t, make)
    await ended(successOf(), { cacheName: 'stored' })
    const hit = admissionOf({ cacheName: 'stored', hook: hookOf() })
    const bought = admissionOf({ hook: hookOf() })
    const waiting = await buy({ cacheName: 'wanted' })
    const joined = admissionOf({ cacheName: 'wanted', hook: hookOf() })
    for (const admission of [hit, bought, joined]) await ledger.admit(admission)
    await ledger.withdraw([hit, bought, joined].map(({ id, connection, hook }) => ({ id, connection, ...(hook === null ? {} : { hookId: hook.id }) })))
    await ledger.cancel(waiting.id, { tenant: 'studio', subject: '' })
    t.same(await ledger.takeHooks(10, []), [])
  })

  t.test('what is taken back leaves the webhook to another call that asked for the same', async t => {
    const { ledger, admit, go } = await createWorld(t, make)
    const lost = admissionOf({ cacheName: 'wanted', hook: hookOf() })
    await ledger.admit(lost)
    await admit({ cacheName: 'wanted', hook: hookOf() })
    await ledger.withdraw([{ id: lost.id, connection: null, hookId: lost.hook?.id ?? '' }])
    await go()
    await ledger.finish(lost.id, 1, 'r1', successOf())
    t.match(await due(ledger), { generation: lost.id })
  })

  t.test('a generation has at most eight that are not told, and what is told makes room; nothing is bought or noted beyond', async t => {
    const { ledger, buy, admit, refused, go } = await createWorld(t, make)
    const hookAt = (number: number): WantedHook => hookOf({ url: `https://hooks.example/${number}` })
    const { id } = await buy({ cacheName: 'wanted', hook: hookAt(0) })
    for (let number = 1; number < ledgerConstants.maxHooks; number += 1) await admit({ cacheName: 'wanted', hook: hookAt(number) })
    t.match(await refused({ cacheName: 'wanted', hook: hookAt(8) }), { why: 'hooks' })
    t.equal((await admit({ cacheName: 'wanted', hook: hookAt(3) })).outcome, 'joined', 'a repetition is none more')
    t.match(await ledger.preview(admissionOf({ cacheName: 'wanted', hook: hookAt(8) })), { would: { outcome: 'refused', why: 'hooks' } })
    await go()
    await ledger.finish(id, 1, 'r1', successOf())
    for (const told of await ledger.takeHooks(10, [])) await ledger.hookTried(told, delivered)
    for (let number = 10; number < 18; number += 1) t.equal((await admit({ cacheName: 'wanted', hook: hookAt(number) })).outcome, 'hit')
    t.match(await refused({ cacheName: 'wanted', hook: hookAt(18) }), { why: 'hooks' })
  })

  t.test('a tenant has open webhooks of at most a thousand generations; others have their own', async t => {
    const { unaudited, audit, refused, admit } = await createWorld(t, make)
    const rate = { max: 10_000, windowSeconds: 60 }
    let first = ''
    for (let count = 0; count < ledgerConstants.maxHookedGenerations; count += 10) {
      const ten = Array.from({ length: 10 }, () => admissionOf({ hook: hookOf(), rate, price: 1, maxQueued: 10_000 }))
      first ||= ten[0]?.id ?? ''
      t.match(await unaudited.admitAll(ten), { outcome: 'all' })
    }
    t.match(await unaudited.admit(admissionOf({ hook: hookOf(), rate, maxQueued: 10_000 })), { outcome: 'refused', why: 'hooks' })
    t.match(await unaudited.admit(admissionOf({ rate, maxQueued: 10_000 })), { outcome: 'bought' }, 'without a webhook it may buy')
    t.match(await unaudited.admit(admissionOf({ tenant: 'print', hook: hookOf() })), { outcome: 'bought' })
    await unaudited.cancel(first, { tenant: 'studio', subject: '' })
    const [told] = await unaudited.takeHooks(1, [])
    if (told === undefined) throw new Error('Nothing is due.')
    await unaudited.hookTried(told, delivered)
    t.match(await unaudited.admit(admissionOf({ hook: hookOf(), rate, maxQueued: 10_000 })), { outcome: 'bought' }, 'there is room for one again')
    t.same(await audit(), [])
    t.ok(refused)
    t.ok(admit)
  })

  t.test('tenants take turns, of each the oldest first and at most eight, and none of those that are left out', async t => {
    const { ledger, buy, advance } = await createWorld(t, make)
    const reader = (tenant: string) => ({ tenant, subject: '' })
    for (let number = 0; number < 10; number += 1) {
      await advance(10)
      const { id } = await buy({ tenant: 'a', hook: hookOf({ url: `https://a.example/${number}` }) })
      await ledger.cancel(id, reader('a'))
    }
    for (const tenant of ['b', 'c']) {
      const { id } = await buy({ tenant, hook: hookOf() })
      await ledger.cancel(id, reader(tenant))
    }
    const three = await ledger.takeHooks(3, ['c'])
    t.same(three.map(({ tenant, url }) => [tenant, url]), [['a', 'https://a.example/0'], ['b', 'https://hooks.example/done?secret=1'], ['a', 'https://a.example/1']])
    t.equal((await ledger.takeHooks(100, ['c'])).length, 8, 'eight of a tenant at once')
    t.same((await ledger.takeHooks(100, [])).map(({ tenant }) => tenant), ['c'])
  })

  t.test('a generation is kept for who is not told yet, a day at most', async t => {
    const { ledger, ended, advance } = await createWorld(t, make, { resultTtlMs: minute })
    const { id } = await ended(successOf(), { hook: hookOf() })
    const { id: told } = await ended(successOf(), { hook: hookOf() })
    for (const hook of await ledger.takeHooks(10, [])) await ledger.hookTried(hook, hook.generation === told ? delivered : { kind: 'again', pauseMs: 120 * minute, error: '500' })
    await advance(60 * minute)
    await ledger.sweep('r1', 10)
    t.same((await ledger.getMany([id, told])).map(row => row.id), [id])
    await advance(60 * minute)
    await ledger.hookTried(await due(ledger), delivered)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([id]), [])
    const { id: forgotten } = await ended(successOf(), { hook: hookOf() })
    await advance(ledgerConstants.hookKeptMs)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([forgotten]), [])
    t.same(await ledger.takeHooks(10, []), [])
  })

  t.test('operators see what is not told, what was given up, and only the host of an address', async t => {
    const { ledger, ended, buy, nowMs, advance } = await createWorld(t, make)
    const { id } = await ended(successOf(), { hook: hookOf() })
    const sinceMs = nowMs()
    await advance(1000)
    t.match(await ledger.gauges(), { hooksDue: 1, hooksOldestMs: sinceMs, hooksGivenUp: 0 })
    const waiting = await buy({ tenant: 'print', hook: hookOf({ url: 'https://print.example:8443/x' }) })
    const all = { tenant: null, stuck: false, limit: 10 }
    t.match(await ledger.hooks(all), [
      { generation: id, tenant: 'studio', host: 'hooks.example', state: 'due', sinceMs, nextAtMs: sinceMs, tries: 0 },
      { generation: waiting.id, tenant: 'print', host: 'print.example:8443', state: 'waiting', sinceMs: null, nextAtMs: null }
    ])
    t.notMatch(JSON.stringify(await ledger.hooks(all)), /secret/)
    t.same((await ledger.hooks({ ...all, tenant: 'print' })).map(({ tenant }) => tenant), ['print'])
    t.same(await ledger.hooks({ ...all, stuck: true }), [])
    const taken = await due(ledger)
    t.match(await ledger.hooks(all), [{ state: 'sending', nextAtMs: taken.untilMs }, { state: 'waiting' }])
    await ledger.hookTried(taken, { kind: 'again', pauseMs: 5000, error: '503' })
    t.match(await ledger.hooks({ ...all, stuck: true }), [{ generation: id, state: 'due', tries: 1, error: '503', nextAtMs: nowMs() + 5000 }])
    await advance(5000)
    await ledger.hookTried(await due(ledger), { kind: 'given-up', error: 'timeout' })
    t.match(await ledger.hooks({ ...all, stuck: true }), [{ generation: id, state: 'given-up', tries: 2, error: 'timeout', nextAtMs: null }])
    t.match(await ledger.gauges(), { hooksDue: 0, hooksOldestMs: null, hooksGivenUp: 1 })
    t.equal((await ledger.hooks({ ...all, limit: 1 })).length, 1)
  })

  t.test('an operator has sent again what was given up or delivered, as the same message, and nothing of what has not ended', async t => {
    const { ledger, ended, buy, nowMs, advance } = await createWorld(t, make)
    const { id } = await ended(successOf(), { hook: hookOf() })
    const first = await due(ledger)
    t.same(await ledger.sendHooksAgain(id), { outcome: 'due', hooks: 1 })
    t.same(await ledger.takeHooks(10, []), [], 'it is under way')
    await ledger.hookTried(first, { kind: 'given-up', error: '500' })
    await advance(60 * minute)
    t.same(await ledger.sendHooksAgain(id), { outcome: 'due', hooks: 1 })
    t.match(await ledger.gauges(), { hooksDue: 1, hooksOldestMs: nowMs(), hooksGivenUp: 0 })
    const second = await due(ledger)
    t.match(second, { id: first.id, event: first.event, tries: 0 })
    await ledger.hookTried(second, delivered)
    await ledger.sendHooksAgain(id)
    t.match(await due(ledger), { id: first.id, event: first.event })
    t.same(await ledger.sendHooksAgain(freshId()), { outcome: 'no-such-hook' })
    t.same(await ledger.sendHooksAgain((await ended(successOf())).id), { outcome: 'no-such-hook' })
    t.same(await ledger.sendHooksAgain((await buy({ hook: hookOf() })).id), { outcome: 'not-ended' })
  })

  t.test('after a rollback its owner puts back whom it was claimed for', async t => {
    const world = await createWorld(t, make)
    await world.ledger.admit(admissionOf({ id: 'picture', hook: hookOf() }))
    const claimed = await world.ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 10 })
    if (claimed.outcome !== 'go') throw new Error('Nothing was granted.')
    const { row, terms } = claimed
    t.equal(terms.hooks.length, 1)
    const after = await createWorld(t, make)
    await after.ledger.restore('r1', [{ row, terms, holds: true }])
    await after.ledger.finish('picture', 1, 'r1', successOf())
    t.match(await due(after.ledger), { generation: 'picture', event: 1 })
  })

  t.test('what gives way to a row that came back is told under its own id', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const other = await createWorld(t, make)
    const lost = await other.buy({ cacheName: 'wanted' })
    const claimed = await other.ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 10 })
    if (claimed.outcome !== 'go') throw new Error('Nothing was granted.')
    const waits = await buy({ cacheName: 'wanted', hook: hookOf() })
    await ledger.restore('r1', [{ row: claimed.row, terms: claimed.terms, holds: true }])
    await ledger.finish(lost.id, 1, 'r1', successOf())
    t.match(await due(ledger), { generation: waits.id, purchase: lost.id, row: { id: waits.id } })
  })
}
