// What people say: a reader's cancel, an operator's settlement.

import type { Test } from 'tap'
import { failureOf, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const minute = 60_000

export async function verdicts (t: Test, make: MakeStore): Promise<void> {
  t.test('cancelling what waits closes it unspent, at once and for good', async t => {
    const { ledger, buy, claim, balance } = await createWorld(t, make)
    const row = await buy()
    t.match(await ledger.cancel(row.id, row), { outcome: 'cancelled', row: { phase: 'cancelled', cost: 0, attempt: 0 } })
    t.match(await ledger.cancel(row.id, row), { outcome: 'already-cancelled', row: { phase: 'cancelled' } })
    t.equal(await claim(), 'empty')
    t.same(await balance(), { held: 0, spent: 0 })
  })

  t.test('cancelling what is at fal notes the wish; it ends as fal ends it', async t => {
    const { ledger, buy, go } = await createWorld(t, make)
    const first = await buy()
    await go()
    t.match(await ledger.cancel(first.id, first), { outcome: 'asked', row: { phase: 'submitting', cancelWished: true, version: 3 } })
    t.match(await ledger.cancel(first.id, first), { outcome: 'asked', row: { version: 3 } })
    await ledger.sent(first.id, 1, 'a')
    t.match(await ledger.cancel(first.id, first), { outcome: 'asked', row: { phase: 'accepted', cancelWished: true } })
    t.match(await ledger.finish(first.id, 1, 'a', successOf()), { phase: 'succeeded', cost: price })
    t.match(await ledger.cancel(first.id, first), { outcome: 'already-finished' })
    const second = await buy()
    await go()
    await ledger.sent(second.id, 1, 'b')
    await ledger.cancel(second.id, second)
    t.match(await ledger.finish(second.id, 1, 'b', { kind: 'cancelled', cost: 0 }), { phase: 'cancelled', failure: null, cost: 0 })
    t.match(await ledger.cancel(second.id, second), { outcome: 'already-cancelled' })
  })

  t.test('what anybody ever joined is not cancelled; replaying and adopting are not joining', async t => {
    const { ledger, buy, go, admit } = await createWorld(t, make)
    const joined = await buy({ cacheName: 'cache' })
    await admit({ cacheName: 'cache' })
    t.match(await ledger.cancel(joined.id, joined), { outcome: 'others-waiting', row: { phase: 'waiting' } })
    await go()
    t.match(await ledger.cancel(joined.id, joined), { outcome: 'others-waiting', row: { phase: 'submitting', cancelWished: false } })
    const replayed = await buy({ idempotency: { name: 'key', fingerprint: 'f' } })
    await admit({ idempotency: { name: 'key', fingerprint: 'f' } })
    t.match(await ledger.cancel(replayed.id, replayed), { outcome: 'cancelled' })
    const adopted = await buy({ twinName: 'twin' })
    await admit({ twinName: 'twin' })
    t.match(await ledger.cancel(adopted.id, adopted), { outcome: 'cancelled' })
  })

  t.test('nobody cancels what is not theirs, ended or unknown', async t => {
    const { ledger, buy, ended, accepted } = await createWorld(t, make)
    const { id } = await buy()
    t.same(await ledger.cancel(id, { tenant: 'agency', subject: '' }), { outcome: 'no-such-generation' })
    t.same(await ledger.cancel(id, { tenant: 'studio', subject: 'visitor' }), { outcome: 'no-such-generation' })
    t.same(await ledger.cancel('nobody', { tenant: 'studio', subject: '' }), { outcome: 'no-such-generation' })
    await ledger.cancel(id, { tenant: 'studio', subject: '' })
    const failed = await ended(failureOf())
    t.match(await ledger.cancel(failed.id, failed), { outcome: 'already-finished' })
    const lost = await accepted('a')
    await ledger.lost(lost.id, 1, traceLost)
    t.match(await ledger.cancel(lost.id, lost), { outcome: 'already-finished', row: { phase: 'unknown', cancelWished: false } })
  })

  t.test('an operator settles an unknown after ten minutes, billed or not', async t => {
    const { ledger, accepted, advance, balance, nowMs } = await createWorld(t, make)
    const first = await accepted('a')
    const second = await accepted('b')
    for (const { id } of [first, second]) await ledger.lost(id, 1, traceLost)
    await advance(10 * minute - 1)
    t.same(await ledger.settle(first.id, true), { outcome: 'too-young' })
    await advance(1)
    t.match(await ledger.settle(first.id, true), { outcome: 'settled', row: { phase: 'failed', failure: traceLost, cost: price, costAssumed: true, finishedAtMs: nowMs() } })
    t.match(await ledger.settle(second.id, false), { outcome: 'settled', row: { phase: 'failed', cost: 0, costAssumed: false } })
    t.same(await balance(), { held: 0, spent: price })
    t.same(await ledger.settle(first.id, false), { outcome: 'not-unknown' })
    t.same(await ledger.settle('nobody', false), { outcome: 'no-such-generation' })
    t.same((await ledger.journal(0, nowMs() + 1, 10)).slice(2).map(({ kind, amount }) => [kind, amount]), [['correction', 0], ['correction', -price]])
  })

  t.test('settling unbilled frees the names; evidence that comes later is still booked', async t => {
    const { ledger, accepted, advance, admit, balance } = await createWorld(t, make)
    const { id } = await accepted('a', { cacheName: 'cache', idempotency: { name: 'key', fingerprint: 'f' } })
    await ledger.lost(id, 1, traceLost)
    await advance(10 * minute)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined' })
    await ledger.settle(id, false)
    t.match(await admit({ idempotency: { name: 'key', fingerprint: 'f' } }), { outcome: 'bought' })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
    t.match(await ledger.finish(id, 1, 'a', successOf({ cost: 50_000 })), { phase: 'failed', cost: 50_000 })
    t.same(await balance(), { held: 2 * price, spent: 50_000 })
  })

  t.test('settling as billed does not make it answer again: its cache key and body stay as free as they were', async t => {
    const { ledger, accepted, advance, admit } = await createWorld(t, make)
    const cached = await accepted('a', { cacheName: 'cache' })
    const twin = await accepted('b', { twinName: 'twin' })
    for (const { id } of [cached, twin]) await ledger.lost(id, 1, traceLost)
    await advance(60 * minute)
    for (const { id } of [cached, twin]) t.match(await ledger.settle(id, true), { outcome: 'settled' })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
    t.match(await admit({ twinName: 'twin', lastRound: true }), { outcome: 'bought' })
  })
}
