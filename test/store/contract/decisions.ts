// What people say: a reader's cancel, an operator's settlement.

import type { Test } from 'tap'
import { failureOf, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const minute = 60_000

export async function decisions (t: Test, make: MakeStore): Promise<void> {
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
    await ledger.recordAccepted(first.id, 1, 'a')
    t.match(await ledger.cancel(first.id, first), { outcome: 'asked', row: { phase: 'accepted', cancelWished: true } })
    t.match(await ledger.finish(first.id, 1, 'a', successOf()), { phase: 'succeeded', cost: price })
    t.match(await ledger.cancel(first.id, first), { outcome: 'already-finished' })
    const second = await buy()
    await go()
    await ledger.recordAccepted(second.id, 1, 'b')
    await ledger.cancel(second.id, second)
    t.match(await ledger.finish(second.id, 1, 'b', { kind: 'cancelled', cost: 0 }), { phase: 'cancelled', failure: null, cost: 0 })
    t.match(await ledger.cancel(second.id, second), { outcome: 'already-cancelled' })
  })

  t.test('what anybody ever joined is not cancelled; replaying and reattaching are not joining', async t => {
    const { ledger, buy, go, admit } = await createWorld(t, make)
    const joined = await buy({ cacheName: 'cache' })
    await admit({ cacheName: 'cache' })
    t.match(await ledger.cancel(joined.id, joined), { outcome: 'others-waiting', row: { phase: 'waiting' } })
    await go()
    t.match(await ledger.cancel(joined.id, joined), { outcome: 'others-waiting', row: { phase: 'submitting', cancelWished: false } })
    const replayed = await buy({ idempotency: { name: 'key', fingerprint: 'f' } })
    await admit({ idempotency: { name: 'key', fingerprint: 'f' } })
    t.match(await ledger.cancel(replayed.id, replayed), { outcome: 'cancelled' })
    const reattached = await buy({ duplicateName: 'duplicate' })
    await admit({ duplicateName: 'duplicate' })
    t.match(await ledger.cancel(reattached.id, reattached), { outcome: 'cancelled' })
  })

  t.test('while a cancel is under way, and after it, no name leads to the generation: a caller that asks for the same buys its own', async t => {
    const { ledger, accepted, admit } = await createWorld(t, make)
    const keyed = { name: 'key', fingerprint: 'f' }
    const cached = await accepted('a', { cacheName: 'cache', idempotency: keyed })
    const duplicate = await accepted('b', { duplicateName: 'duplicate', connection: { replica: 'r1', connection: 'c1' } })
    for (const row of [cached, duplicate]) t.match(await ledger.cancel(row.id, row), { outcome: 'asked' })
    const other = await admit({ tenant: 'agency', cacheName: 'cache' })
    t.match(other, { outcome: 'bought' })
    t.match(await admit({ idempotency: keyed }), { outcome: 'bought' })
    t.match(await admit({ duplicateName: 'duplicate', lastRound: true }), { outcome: 'bought' })
    for (const [row, requestId] of [[cached, 'a'], [duplicate, 'b']] as const) await ledger.finish(row.id, 1, requestId, { kind: 'cancelled', cost: price })
    t.match(await admit({ tenant: 'press', cacheName: 'cache' }), { outcome: 'joined', row: { purchase: other.row.id } })
  })

  t.test('a generation whose cancel was billed as assumed is nobody else\'s answer, and neither is one that became unknown', async t => {
    const { ledger, accepted, admit } = await createWorld(t, make)
    const billed = await accepted('a', { cacheName: 'billed', idempotency: { name: 'first', fingerprint: 'f' } })
    const lost = await accepted('b', { cacheName: 'lost', duplicateName: 'duplicate' })
    for (const row of [billed, lost]) await ledger.cancel(row.id, row)
    t.match(await ledger.finish(billed.id, 1, 'a', { kind: 'cancelled', cost: null }), { cost: price, costAssumed: true })
    await ledger.recordUnknown(lost.id, 1, 'b', traceLost)
    t.match(await admit({ idempotency: { name: 'first', fingerprint: 'another' } }), { outcome: 'bought' })
    for (const given of [{ cacheName: 'billed' }, { cacheName: 'lost' }, { duplicateName: 'duplicate' }]) t.match(await admit(given), { outcome: 'bought' })
  })

  t.test('one that succeeds although its cancel was wished takes names only where they are free', async t => {
    const { ledger, accepted, admit } = await createWorld(t, make)
    const alone = await accepted('a', { cacheName: 'alone', idempotency: { name: 'key', fingerprint: 'f' } })
    const taken = await accepted('b', { cacheName: 'taken' })
    const unspent = await accepted('c', { cacheName: 'unspent' })
    const old = await accepted('d', { cacheName: 'old' })
    await ledger.finish(old.id, 1, 'd', successOf())
    const refreshed = await accepted('e', { cacheName: 'old', mode: 'refresh' })
    const passing = await accepted('f', { cacheName: 'bypassed', mode: 'bypass' })
    for (const row of [alone, taken, unspent, refreshed, passing]) await ledger.cancel(row.id, row)
    const other = await admit({ cacheName: 'taken' })
    const gone = await admit({ cacheName: 'unspent' })
    await ledger.cancel(gone.row.id, gone.row)
    for (const [row, requestId] of [[alone, 'a'], [taken, 'b'], [unspent, 'c'], [refreshed, 'e'], [passing, 'f']] as const) {
      t.match(await ledger.finish(row.id, 1, requestId, successOf()), { phase: 'succeeded', stored: row === alone || row === unspent })
    }
    t.match(await admit({ cacheName: 'alone' }), { outcome: 'hit', row: { id: alone.id } })
    t.match(await admit({ idempotency: { name: 'key', fingerprint: 'f' } }), { outcome: 'replayed', row: { id: alone.id } })
    t.match(await admit({ cacheName: 'taken' }), { outcome: 'joined', row: { id: other.row.id } })
    t.match(await admit({ cacheName: 'unspent' }), { outcome: 'hit', row: { id: unspent.id } })
    t.match(await admit({ cacheName: 'old' }), { outcome: 'hit', row: { id: old.id } })
    t.equal(await ledger.lookup('bypassed'), null)
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
    await ledger.recordUnknown(lost.id, 1, 'a', traceLost)
    t.match(await ledger.cancel(lost.id, lost), { outcome: 'already-finished', row: { phase: 'unknown', cancelWished: false } })
  })

  t.test('an operator settles an unknown after ten minutes, billed or not', async t => {
    const { ledger, accepted, advance, balance, nowMs } = await createWorld(t, make)
    const first = await accepted('a')
    const second = await accepted('b')
    for (const { id, requestId } of [first, second]) await ledger.recordUnknown(id, 1, requestId, traceLost)
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
    await ledger.recordUnknown(id, 1, 'a', traceLost)
    await advance(10 * minute)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined' })
    await ledger.settle(id, false)
    t.match(await admit({ idempotency: { name: 'key', fingerprint: 'f' } }), { outcome: 'bought' })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
    t.match(await ledger.finish(id, 1, 'a', successOf({ cost: 50_000 })), { phase: 'succeeded', cost: 50_000 })
    t.same(await balance(), { held: 2 * price, spent: 50_000 })
  })

  t.test('settling as billed does not make it answer again: its cache key and body stay as free as they were', async t => {
    const { ledger, accepted, advance, admit } = await createWorld(t, make)
    const cached = await accepted('a', { cacheName: 'cache' })
    const duplicate = await accepted('b', { duplicateName: 'duplicate' })
    for (const { id, requestId } of [cached, duplicate]) await ledger.recordUnknown(id, 1, requestId, traceLost)
    await advance(60 * minute)
    for (const { id } of [cached, duplicate]) t.match(await ledger.settle(id, true), { outcome: 'settled' })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
    t.match(await admit({ duplicateName: 'duplicate', lastRound: true }), { outcome: 'bought' })
  })
}
