// Names: who gets an old answer, who joins, and when a name is free again.

import type { Test } from 'tap'
import { failureOf, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const hour = 3_600_000
const minute = 60_000
const key = { name: 'key', fingerprint: 'f' }

export async function names (t: Test, make: MakeStore): Promise<void> {
  t.test('an idempotency key is answered with its generation for 24 h from admission', async t => {
    const { ended, admit, advance } = await createWorld(t, make)
    const { id } = await ended(successOf(), { idempotency: key })
    await advance(24 * hour - 1)
    t.match(await admit({ idempotency: key }), { outcome: 'replayed', row: { id, phase: 'succeeded' } })
    await advance(1)
    t.match(await admit({ idempotency: key }), { outcome: 'bought' })
  })

  t.test('a replay does not prolong the key', async t => {
    const { ended, admit, advance } = await createWorld(t, make)
    await ended(successOf(), { idempotency: key })
    await advance(23 * hour)
    t.match(await admit({ idempotency: key }), { outcome: 'replayed' })
    await advance(hour)
    t.match(await admit({ idempotency: key }), { outcome: 'bought' })
  })

  t.test('a key whose generation was billed or may have been is replayed; one whose generation cost nothing is free', async t => {
    const { ledger, ended, accepted, buy, admit, advance } = await createWorld(t, make)
    const refused = await ended(failureOf(), { idempotency: { name: 'refused', fingerprint: 'f' } })
    const lost = await accepted('a', { idempotency: { name: 'lost', fingerprint: 'f' } })
    await ledger.lost(lost.id, 1, 'a', traceLost)
    await ended(failureOf(0), { idempotency: { name: 'unbilled', fingerprint: 'f' } })
    const cancelled = await buy({ idempotency: { name: 'cancelled', fingerprint: 'f' } })
    await ledger.cancel(cancelled.id, cancelled)
    await advance(23 * hour)
    t.match(await admit({ idempotency: { name: 'refused', fingerprint: 'f' } }), { outcome: 'replayed', row: { id: refused.id, phase: 'failed' } })
    t.match(await admit({ idempotency: { name: 'lost', fingerprint: 'f' } }), { outcome: 'replayed', row: { id: lost.id, phase: 'unknown' } })
    t.match(await admit({ idempotency: { name: 'unbilled', fingerprint: 'g' } }), { outcome: 'bought' })
    t.match(await admit({ idempotency: { name: 'cancelled', fingerprint: 'g' } }), { outcome: 'bought' })
  })

  t.test('a key that leads to no row any more is free', async t => {
    const { ledger, ended, admit, advance } = await createWorld(t, make, { resultTtlMs: hour })
    await ended(successOf(), { idempotency: key })
    await advance(hour)
    await ledger.sweep('r1', 10)
    t.match(await admit({ idempotency: key }), { outcome: 'bought' })
  })

  t.test('a cached success is a hit: it makes no row, costs nothing and binds no key', async t => {
    const { ledger, ended, admit, balance } = await createWorld(t, make)
    const { id, stored } = await ended(successOf(), { cacheName: 'cache' })
    t.equal(stored, true)
    t.match(await admit({ cacheName: 'cache', idempotency: key }), { outcome: 'hit', row: { id } })
    t.match(await admit({ idempotency: { ...key, fingerprint: 'g' } }), { outcome: 'bought' }, 'the key was not bound')
    t.same(await balance(), { held: price, spent: price })
    t.equal((await ledger.list({ tenant: 'studio', subject: '' }, { limit: 9, cursor: null, status: null })).rows.length, 2)
  })

  t.test('a generation under way is joined, in every phase, and remembers it', async t => {
    const { ledger, buy, go, admit, row } = await createWorld(t, make)
    const { id } = await buy({ cacheName: 'cache' })
    t.equal((await row(id)).joined, false)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'waiting', joined: true } })
    await go()
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'submitting' } })
    await ledger.sent(id, 1, 'a')
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'accepted' } })
    await ledger.progressed(id, 1, 'a', { kind: 'running' })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'running' } })
    await ledger.finish(id, 1, 'a', successOf())
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'hit', row: { id, joined: true } })
  })

  t.test('a join binds the joiner\'s key, and a purchase that ended unbilled frees both keys', async t => {
    const { ledger, buy, admit, go } = await createWorld(t, make)
    const { id } = await buy({ cacheName: 'cache', idempotency: { name: 'buyer', fingerprint: 'f' } })
    await admit({ cacheName: 'cache', idempotency: { name: 'joiner', fingerprint: 'f' } })
    t.match(await admit({ idempotency: { name: 'joiner', fingerprint: 'f' } }), { outcome: 'replayed', row: { id } })
    await go()
    await ledger.unsent(id, 1, { failure: traceLost })
    t.match(await admit({ idempotency: { name: 'joiner', fingerprint: 'f' } }), { outcome: 'bought' })
    t.match(await admit({ idempotency: { name: 'buyer', fingerprint: 'f' } }), { outcome: 'bought' })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
  })

  t.test('an unknown answers for its cache key for 15 minutes, then others may buy', async t => {
    const { ledger, accepted, admit, advance } = await createWorld(t, make)
    const { id } = await accepted('a', { cacheName: 'cache' })
    await advance(hour)
    await ledger.lost(id, 1, 'a', traceLost)
    await advance(15 * minute - 1)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'unknown', joined: false } })
    await advance(1)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
  })

  t.test('a billed refusal answers for its cache key for 15 minutes, an unbilled one not at all', async t => {
    const { ended, admit, advance } = await createWorld(t, make)
    const { id } = await ended(failureOf(), { cacheName: 'billed' })
    await ended(failureOf(0), { cacheName: 'unbilled' })
    t.match(await admit({ cacheName: 'unbilled' }), { outcome: 'bought' })
    await advance(15 * minute - 1)
    t.match(await admit({ cacheName: 'billed' }), { outcome: 'joined', row: { id } })
    await advance(1)
    t.match(await admit({ cacheName: 'billed' }), { outcome: 'bought' })
  })

  t.test('a refresh buys, and takes the cache key only when it succeeds', async t => {
    const { ledger, ended, accepted, admit } = await createWorld(t, make)
    const old = await ended(successOf(), { cacheName: 'cache' })
    const refused = await ended(failureOf(), { cacheName: 'cache', mode: 'refresh' })
    t.equal(refused.stored, false)
    const fresh = await accepted('b', { cacheName: 'cache', mode: 'refresh' })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'hit', row: { id: old.id } }, 'until then others get the old result')
    t.match(await ledger.finish(fresh.id, 1, 'b', successOf()), { stored: true })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'hit', row: { id: fresh.id } })
    t.match(await ledger.look([old.id]), [{ stored: false }])
  })

  t.test('a bypass neither reads nor takes the cache key, learned or given', async t => {
    const { ledger, ended } = await createWorld(t, make)
    await ended(successOf(), { cacheName: 'cache' })
    const { stored } = await ended(successOf({ learnedName: 'learned' }), { cacheName: 'cache', mode: 'bypass' })
    t.equal(stored, false)
    t.equal(await ledger.lookup('learned'), null)
  })

  t.test('refresh and bypass still honour the idempotency key', async t => {
    const { ended, admit } = await createWorld(t, make)
    const { id } = await ended(successOf(), { cacheName: 'cache', mode: 'refresh', idempotency: key })
    t.match(await admit({ cacheName: 'cache', mode: 'refresh', idempotency: key }), { outcome: 'replayed', row: { id } })
    t.match(await admit({ cacheName: 'cache', mode: 'bypass', idempotency: key }), { outcome: 'replayed', row: { id } })
  })

  t.test('a learned seed takes its cache key only when that is free', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const first = await ended(successOf({ learnedName: 'learned' }))
    const second = await ended(successOf({ learnedName: 'learned' }))
    t.equal(first.stored, true)
    t.equal(second.stored, false)
    t.match(await ledger.lookup('learned'), { id: first.id, seed: '42' })
  })

  t.test('a lookup finds successes only', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    t.equal(await ledger.lookup('cache'), null)
    const { id } = await accepted('a', { cacheName: 'cache' })
    t.equal(await ledger.lookup('cache'), null)
    await ledger.finish(id, 1, 'a', successOf())
    t.match(await ledger.lookup('cache'), { id, output: /images/ })
  })

  t.test('late evidence gives an unknown its cache key back unless another purchase has it', async t => {
    const { ledger, accepted, admit, advance } = await createWorld(t, make)
    const first = await accepted('a', { cacheName: 'alone' })
    const second = await accepted('b', { cacheName: 'taken' })
    await ledger.lost(first.id, 1, 'a', traceLost)
    await ledger.lost(second.id, 1, 'b', traceLost)
    await advance(16 * minute)
    const third = await admit({ cacheName: 'taken' })
    t.match(third, { outcome: 'bought' })
    t.match(await ledger.finish(first.id, 1, 'a', successOf()), { stored: true })
    t.match(await ledger.finish(second.id, 1, 'b', successOf()), { stored: false })
    t.match(await admit({ cacheName: 'alone' }), { outcome: 'hit', row: { id: first.id } })
    t.match(await admit({ cacheName: 'taken' }), { outcome: 'joined', row: { id: third.row.id } })
  })
}
