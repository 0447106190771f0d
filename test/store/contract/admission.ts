// Admission: one step, asked twice answered once, free answers first, refusals without a trace.

import type { Test } from 'tap'
import { admissionOf, failureOf, longTrace, never, price, successOf, tokenOf } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

export async function admission (t: Test, make: MakeStore): Promise<void> {
  t.test('a purchase is a row that waits, with its money held and its deadline set', async t => {
    const { ledger, buy, balance, nowMs } = await createWorld(t, make)
    const row = await buy({ seed: '7', connection: { replica: 'r1', connection: 'c1' }, unitPrice: 15_000, priceRule: 'a rule', files: 4, trace: longTrace })
    t.match(row, {
      purchase: row.id,
      phase: 'waiting',
      version: 1,
      attempt: 0,
      owner: null,
      connection: { replica: 'r1', connection: 'c1' },
      seed: '7',
      price,
      unitPrice: 15_000,
      priceRule: 'a rule',
      files: 4,
      trace: longTrace,
      cost: null,
      accounts: [{ owner: 'studio', period: '2026-11' }, { owner: '*', period: '2026-11' }],
      queuePosition: 0,
      createdAtMs: nowMs(),
      waitUntilMs: nowMs() + 900_000,
      runUntilMs: null
    })
    t.same(await balance(), { held: price, spent: 0 })
    t.same(await balance('*'), { held: price, spent: 0 })
    t.same(await ledger.getMany([row.id]), [row])
  })

  t.test('an admission that starts after its deadline changes nothing', async t => {
    const { ledger, refused, advance, nowMs, balance } = await createWorld(t, make)
    const deadlineMs = nowMs() + 1000
    const given = admissionOf({ deadlineMs })
    await advance(1001)
    t.match(await refused(given), { why: 'late' })
    t.same(await balance(), { held: 0, spent: 0 })
    t.same(await ledger.getMany([given.id]), [])
  })

  t.test('a purchase whose answer was lost is told to a caller that asks again, also after the deadline', async t => {
    const { ledger, buy, advance, nowMs, balance } = await createWorld(t, make)
    const given = admissionOf({ deadlineMs: nowMs() + 1000 })
    await buy(given)
    await advance(5000)
    t.match(await ledger.admit(given), { outcome: 'bought', row: { id: given.id, version: 1 } })
    t.same(await balance(), { held: price, spent: 0 })
  })

  t.test('an admission that starts at its deadline is in time', async t => {
    const { buy, nowMs } = await createWorld(t, make)
    await buy({ deadlineMs: nowMs() })
  })

  t.test('the same admission twice buys once and shows the row as it now is', async t => {
    const { ledger, go, balance } = await createWorld(t, make)
    const given = admissionOf()
    const first = await ledger.admit(given)
    await go()
    const second = await ledger.admit(given)
    t.match(first, { outcome: 'bought', rate: { used: 1 } })
    t.match(second, { outcome: 'bought', row: { id: given.id, phase: 'submitting' }, rate: { used: 1 } })
    t.same(await balance(), { held: price, spent: 0 })
  })

  for (const free of ['joined', 'replayed', 'adopted'] as const) {
    t.test(`the same admission, ${free} before, does not buy when that row ended unbilled in between`, async t => {
      const { ledger, buy, go, admit, balance, nowMs } = await createWorld(t, make)
      const names = { joined: { cacheName: 'cache' }, replayed: { idempotency: { name: 'key', fingerprint: 'f' } }, adopted: { duplicateName: 'duplicate' } }[free]
      const { id } = await buy(names)
      const given = admissionOf({ ...names, deadlineMs: nowMs() + 1000 })
      t.match(await admit(given), { outcome: free, row: { id } })
      const { attempt } = await go()
      await ledger.finish(id, attempt, 'request', failureOf(0))
      t.match(await admit(given), { outcome: free, row: { id, phase: 'failed' } })
      t.same(await balance(), { held: 0, spent: 0 })
      t.match(await admit({ ...names }), { outcome: 'bought' }, 'another admission buys')
    })
  }

  t.test('the same admission that joined through an alias gets the same alias', async t => {
    const { ledger, buy, admit } = await createWorld(t, make)
    await buy({ cacheName: 'cache' })
    const given = admissionOf({ tenant: 'agency', cacheName: 'cache' })
    t.match(await admit(given), { outcome: 'joined', row: { id: given.id } })
    t.match(await admit(given), { outcome: 'joined', row: { id: given.id } })
    const { rows } = await ledger.list({ tenant: 'agency', subject: '' }, { limit: 10, cursor: null, status: null })
    t.equal(rows.length, 1)
  })

  t.test('free answers are given when everything else would refuse', async t => {
    const { ledger, admit, buy, ended, refused } = await createWorld(t, make)
    const key = { name: 'key', fingerprint: 'f' }
    const keyed = await ended(successOf(), { idempotency: key })
    const stored = await ended(successOf(), { cacheName: 'stored' })
    const running = await buy({ cacheName: 'running' })
    const duplicate = await buy({ duplicateName: 'duplicate' })
    await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 60_000 })
    const broke = { token: 'nobody', rate: { max: 0, windowSeconds: 60 }, maxInFlight: 0, maxQueued: 0, budgets: [{ owner: 'studio', limit: 0, per: 'month' as const }] }

    t.match(await refused(broke), { why: 'breaker' })
    t.match(await admit({ ...broke, idempotency: key }), { outcome: 'replayed', row: { id: keyed.id } })
    t.match(await admit({ ...broke, cacheName: 'stored' }), { outcome: 'hit', row: { id: stored.id } })
    t.match(await admit({ ...broke, cacheName: 'running' }), { outcome: 'joined', row: { id: running.id } })
    t.match(await admit({ ...broke, duplicateName: 'duplicate' }), { outcome: 'adopted', row: { id: duplicate.id } })
  })

  t.test('the idempotency key comes before the cache, and a reused one before everything', async t => {
    const { admit, buy, ended, refused } = await createWorld(t, make)
    await ended(successOf(), { cacheName: 'stored' })
    const { id } = await buy({ idempotency: { name: 'key', fingerprint: 'f' }, cacheName: 'other' })
    t.match(await admit({ idempotency: { name: 'key', fingerprint: 'f' }, cacheName: 'stored' }), { outcome: 'replayed', row: { id } })
    t.match(await refused({ idempotency: { name: 'key', fingerprint: 'g' }, cacheName: 'stored' }), { why: 'reused' })
  })

  t.test('refusals come in the order breaker, token, rate, line, budgets', async t => {
    const { ledger, refused, buy } = await createWorld(t, make)
    await buy()
    await ledger.mint(tokenOf({ subject: '' }))
    await ledger.breaker('*', { state: 'open', retryAfterMs: 10_000 })
    const given = { token: 'nobody', rate: { max: 1, windowSeconds: 60 }, maxInFlight: 1, maxQueued: 0, budgets: [{ owner: '*', limit: price, per: 'month' as const }] }
    t.match(await refused(given), { why: 'breaker', breaker: 'open', retryAfterSeconds: 10 })
    await ledger.breaker('*', { state: 'ok', retryAfterMs: 0 })
    t.match(await refused(given), { why: 'token', token: 'unknown' })
    t.match(await refused({ ...given, token: 'tok1' }), { why: 'rate', rate: { max: 1, used: 1 } })
    t.match(await refused({ ...given, token: null, rate: { max: 2, windowSeconds: 60 } }), { why: 'full', rate: { max: 2, used: 1 } })
    t.match(await refused({ ...given, token: null, rate: { max: 2, windowSeconds: 60 }, maxQueued: 1 }), { why: 'budget', owner: '*' })
  })

  t.test('a refusal writes nothing: no row, no money, no name, no count', async t => {
    const { ledger, refused, buy, balance } = await createWorld(t, make)
    await ledger.mint(tokenOf({ subject: '' }))
    const names = { idempotency: { name: 'key', fingerprint: 'f' }, cacheName: 'cache', token: 'tok1' }
    t.match(await refused({ ...names, rate: { max: 0, windowSeconds: 60 } }), { why: 'rate' })
    t.match(await refused({ ...names, maxInFlight: 0, maxQueued: 0 }), { why: 'full' })
    t.match(await refused({ ...names, budgets: [{ owner: 'studio', limit: 0, per: 'month' }] }), { why: 'budget' })
    t.same(await balance(), { held: 0, spent: 0 })
    t.match(await ledger.token('tok1'), { picturesLeft: 3, moneyLeft: 1_000_000 })
    t.same((await ledger.list({ tenant: 'studio', subject: '' }, { limit: 5, cursor: null, status: null })).rows, [])
    const answer = await ledger.admit(admissionOf({ ...names, idempotency: { name: 'key', fingerprint: 'another' } }))
    t.match(answer, { outcome: 'bought', rate: { used: 1 } })
    await buy({ deadlineMs: never })
  })

  t.test('what a caller was told is not bought leaves the queue unspent, unless somebody came to it since', async t => {
    const { ledger, buy, admit, row, balance } = await createWorld(t, make)
    const connection = { replica: 'r1', connection: 'c1' }
    const left = await buy({ connection })
    const joined = await buy({ connection, cacheName: 'cache', seed: '7' })
    await admit({ cacheName: 'cache', seed: '7' })
    const reattached = await buy({ connection, duplicateName: 'duplicate' })
    await ledger.left(reattached.id, connection)
    await admit({ duplicateName: 'duplicate', connection: { replica: 'r1', connection: 'c2' } })
    const delivered = await buy({ connection })
    await ledger.seen(delivered.id, connection)
    await ledger.withdraw([left, joined, reattached, delivered].map(({ id }) => ({ id, connection })))
    t.match(await row(left.id), { phase: 'failed', cost: 0, failure: { code: 'store-unavailable' } })
    for (const { id } of [joined, reattached, delivered]) t.match(await row(id), { phase: 'waiting' })
    t.same(await balance(), { held: 3 * price, spent: 0 })
    t.match(await ledger.takeOutbox(5), [{ kind: 'ended', from: 'waiting', row: { id: left.id }, booked: 0 }])
  })
}
