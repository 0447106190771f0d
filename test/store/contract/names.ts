// Names: which request gets an old answer, which joins, and when a name is free again.

import type { Test } from 'tap'
import { admissionOf, failureOf, price, successOf, traceLost } from '../../support/admission.ts'
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
    await ledger.recordUnknown(lost.id, 1, 'a', traceLost)
    await ended(failureOf(0), { idempotency: { name: 'unbilled', fingerprint: 'f' } })
    const cancelled = await buy({ idempotency: { name: 'cancelled', fingerprint: 'f' } })
    await ledger.cancel(cancelled.id, cancelled)
    await advance(23 * hour)
    t.match(await admit({ idempotency: { name: 'refused', fingerprint: 'f' } }), { outcome: 'replayed', row: { id: refused.id, phase: 'failed' } })
    t.match(await admit({ idempotency: { name: 'lost', fingerprint: 'f' } }), { outcome: 'replayed', row: { id: lost.id, phase: 'unknown' } })
    t.match(await admit({ idempotency: { name: 'unbilled', fingerprint: 'g' } }), { outcome: 'bought' })
    t.match(await admit({ idempotency: { name: 'cancelled', fingerprint: 'g' } }), { outcome: 'bought' })
  })

  t.test('a key holds for 24 h however short results are kept: what it stands for is told as gone, with id and cost, and not bought again', async t => {
    const { ledger, ended, admit, gone, refused, advance, nowMs, balance } = await createWorld(t, make, { resultTtlMs: hour })
    const keyOf = (name: string): { name: string, fingerprint: string } => ({ name, fingerprint: 'f' })
    const finishedAtMs = nowMs()
    const picture = await ended(successOf({ cost: 50_000 }), { idempotency: keyOf('picture') })
    const refusal = await ended(failureOf(), { idempotency: keyOf('refusal') })
    await ended({ kind: 'cancelled', cost: price }, { idempotency: keyOf('ended by fal') })
    await advance(hour)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([picture.id]), [])
    await advance(23 * hour - 1)
    await ledger.sweep('r1', 10)
    t.same(await gone({ idempotency: keyOf('picture') }), { id: picture.id, code: 'result-expired', cost: 50_000, finishedAtMs })
    t.match(await gone({ idempotency: keyOf('refusal') }), { id: refusal.id, code: 'content-refused', cost: price })
    t.match(await gone({ idempotency: keyOf('ended by fal') }), { code: 'cancelled', cost: price })
    t.match(await refused({ idempotency: { name: 'picture', fingerprint: 'another' } }), { why: 'reused' })
    t.same(await balance(), { held: 0, spent: 50_000 + 2 * price })
    await advance(1)
    for (const name of ['picture', 'refusal', 'ended by fal']) t.match(await admit({ idempotency: { name, fingerprint: 'another' } }), { outcome: 'bought' })
  })

  t.test('a key is free when what it stood for cost nothing, or was called off, also after that is forgotten', async t => {
    const { ledger, ended, accepted, admit, advance } = await createWorld(t, make, { resultTtlMs: hour })
    await ended(failureOf(0), { idempotency: { name: 'unbilled', fingerprint: 'f' } })
    const cancelled = await accepted('a', { idempotency: { name: 'called off', fingerprint: 'f' } })
    await ledger.cancel(cancelled.id, cancelled)
    await ledger.finish(cancelled.id, 1, 'a', { kind: 'cancelled', cost: price })
    await advance(hour)
    await ledger.sweep('r1', 10)
    for (const name of ['unbilled', 'called off']) t.match(await admit({ idempotency: { name, fingerprint: 'g' } }), { outcome: 'bought' })
  })

  t.test('the key of a joiner holds for 24 h as well, and its cost was nothing', async t => {
    const { ledger, accepted, admit, gone, advance } = await createWorld(t, make, { queueMs: hour, runMs: hour, resultTtlMs: hour })
    const agency = { tenant: 'agency', subject: '' }
    const { id } = await accepted('a', { cacheName: 'cache' })
    await advance(hour / 2)
    const own = await admit({ cacheName: 'cache', idempotency: key })
    const theirs = await admit({ ...agency, cacheName: 'cache', idempotency: { ...key, name: 'theirs' } })
    t.match([own.row.id, theirs.outcome], [id, 'joined'])
    await ledger.finish(id, 1, 'a', successOf())
    await advance(24 * hour - 1)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([id]), [])
    t.match(await gone({ idempotency: key }), { id, cost: price })
    t.match(await gone({ ...agency, idempotency: { ...key, name: 'theirs' } }), { id: theirs.row.id, cost: 0 })
    await advance(1)
    for (const name of ['key', 'theirs']) t.match(await admit({ idempotency: { ...key, name } }), { outcome: 'bought' })
  })

  t.test('a cached success is a hit: it makes no row and costs nothing', async t => {
    const { ledger, ended, admit, balance } = await createWorld(t, make)
    const { id, stored } = await ended(successOf(), { cacheName: 'cache' })
    t.equal(stored, true)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'hit', row: { id } })
    t.same(await balance(), { held: 0, spent: price })
    t.equal((await ledger.list({ tenant: 'studio', subject: '' }, { limit: 9, cursor: null, status: null })).rows.length, 1)
  })

  t.test('a key that is used first on a hit is bound by it, for 24 h: another body is refused', async t => {
    const { ledger, ended, admit, refused, advance, gone } = await createWorld(t, make, { resultTtlMs: 2 * hour })
    const { id, version } = await ended(successOf(), { cacheName: 'cache' })
    await advance(hour)
    const hit = admissionOf({ cacheName: 'cache', idempotency: key })
    t.match(await ledger.admit(hit), { outcome: 'hit', row: { id, version } }, 'what is handed out is as it was')
    t.match(await ledger.admit(hit), { outcome: 'hit', row: { id } }, 'run twice, answered the same')
    t.match(await refused({ cacheName: 'another', idempotency: { ...key, fingerprint: 'g' } }), { why: 'reused' })
    t.match(await admit({ cacheName: 'cache', idempotency: key }), { outcome: 'replayed', row: { id } })
    await advance(24 * hour - 1)
    await ledger.sweep('r1', 10)
    t.match(await gone({ cacheName: 'cache', idempotency: key }), { id, cost: price })
    await advance(1)
    t.match(await admit({ cacheName: 'cache', idempotency: key }), { outcome: 'bought' })
  })

  t.test('a key bound by a hit on somebody else\'s purchase leads to an id that its holder may read', async t => {
    const { ledger, ended, admit, refused, advance, gone } = await createWorld(t, make, { queueMs: minute, runMs: minute, resultTtlMs: hour })
    const agency = { tenant: 'agency', subject: '' }
    const purchase = await ended(successOf(), { cacheName: 'cache' })
    const given = { ...agency, cacheName: 'cache', idempotency: key }
    const { outcome, row: { id } } = await admit(given)
    t.equal(outcome, 'hit')
    t.not(id, purchase.id)
    t.match(await ledger.read(id, agency), { purchase: purchase.id, output: /images/ })
    t.match(await admit(given), { outcome: 'replayed', row: { id } })
    t.match(await admit({ ...given, idempotency: { ...key, name: 'second' } }), { outcome: 'hit', row: { id } }, 'always the same id')
    t.match(await refused({ ...given, idempotency: { ...key, fingerprint: 'g' } }), { why: 'reused' })
    await advance(24 * hour - 1)
    await ledger.sweep('r1', 10)
    t.match(await gone(given), { id, cost: 0 })
  })

  t.test('a generation under way is joined, in every phase, and remembers it', async t => {
    const { ledger, buy, go, admit, row } = await createWorld(t, make)
    const { id } = await buy({ cacheName: 'cache' })
    t.equal((await row(id)).joined, false)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'waiting', joined: true } })
    await go()
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'submitting' } })
    await ledger.recordAccepted(id, 1, 'a')
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'accepted' } })
    await ledger.recordProgress(id, 1, 'a', { kind: 'running' })
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
    await ledger.recordNotSent(id, 1, { failure: traceLost })
    t.match(await admit({ idempotency: { name: 'joiner', fingerprint: 'f' } }), { outcome: 'bought' })
    t.match(await admit({ idempotency: { name: 'buyer', fingerprint: 'f' } }), { outcome: 'bought' })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
  })

  t.test('an unknown answers for its cache key for 15 minutes, then others may buy', async t => {
    const { ledger, accepted, admit, advance } = await createWorld(t, make)
    const { id } = await accepted('a', { cacheName: 'cache' })
    await advance(hour)
    await ledger.recordUnknown(id, 1, 'a', traceLost)
    await advance(15 * minute - 1)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id, phase: 'unknown', joined: false } })
    await advance(1)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
  })

  t.test('a billed refusal answers for its cache key for 15 minutes, an unbilled one not at all', async t => {
    const { ended, admit, advance, nowMs } = await createWorld(t, make)
    const { id } = await ended(failureOf(), { cacheName: 'billed' })
    await ended(failureOf(0), { cacheName: 'unbilled' })
    t.match(await admit({ cacheName: 'unbilled' }), { outcome: 'bought' })
    await advance(15 * minute - 1)
    t.match(await admit({ cacheName: 'billed' }), { outcome: 'joined', row: { id, answersUntilMs: nowMs() + 1 } }, 'and says until when')
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
    t.match(await ledger.getMany([old.id]), [{ stored: false }])
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
    await ledger.recordUnknown(first.id, 1, 'a', traceLost)
    await ledger.recordUnknown(second.id, 1, 'b', traceLost)
    await advance(16 * minute)
    const third = await admit({ cacheName: 'taken' })
    t.match(third, { outcome: 'bought' })
    t.match(await ledger.finish(first.id, 1, 'a', successOf()), { stored: true })
    t.match(await ledger.finish(second.id, 1, 'b', successOf()), { stored: false })
    t.match(await admit({ cacheName: 'alone' }), { outcome: 'hit', row: { id: first.id } })
    t.match(await admit({ cacheName: 'taken' }), { outcome: 'joined', row: { id: third.row.id } })
  })
}
