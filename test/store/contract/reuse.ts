// Reuse: any stored picture of an input will do, whatever its seed; otherwise one is bought, and others that ask in the same way join.

import type { Test } from 'tap'
import type { Admission } from '../../../src/generation/admission.ts'
import type { Fact } from '../../../src/generation/evidence.ts'
import type { Generation } from '../../../src/generation/generation.ts'
import { admissionOf, failureOf, never, noTerms, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

const minute = 60_000

/** A request of the input that everything here is about. */
const plain = { reuseName: 'reuse' } as const
const seeded = { ...plain, cacheName: 'cache', seed: '7' } as const
const asked = { ...plain, cacheName: 'reuse' } as const

/** Longer than what a row has room for. */
const largeOutput = JSON.stringify({ images: [{ url: 'data:,' + 'x'.repeat(300_000) }] })

export async function reuse (t: Test, make: MakeStore): Promise<void> {
  t.test('every success that is stored answers a request for reuse, however it was asked for', async t => {
    for (const given of [plain, seeded, { ...plain, mode: 'refresh' }, { ...seeded, mode: 'refresh' }, asked, { ...plain, duplicateName: 'duplicate' }] as const) {
      const { ended, admit, ledger } = await createWorld(t, make)
      const { id, stored } = await ended(successOf(), given)
      t.equal(stored, true)
      t.match(await admit(asked), { outcome: 'hit', row: { id, stored: true } })
      t.match(await admit({ ...asked, tenant: 'agency', needsId: true }), { outcome: 'hit', row: { purchase: id, tenant: 'agency' } })
      t.match(await ledger.lookup('reuse'), { id, output: /images/ })
    }
  })

  t.test('nothing else does: a bypass, what is too long to be stored, a failure, what still runs', async t => {
    const { ledger, ended, accepted, admit } = await createWorld(t, make)
    t.match(await ended(successOf(), { ...plain, mode: 'bypass' }), { stored: false })
    t.match(await ended(successOf({ output: largeOutput }), plain), { stored: false })
    await ended(failureOf(), plain)
    const lost = await accepted('lost', plain)
    await ledger.recordUnknown(lost.id, 1, 'lost', traceLost)
    await accepted('running', plain)
    await accepted('seeded', seeded)
    t.equal(await ledger.lookup('reuse'), null)
    t.match(await admit(asked), { outcome: 'bought' })
  })

  t.test('while such a purchase waits or runs all that ask for reuse join it, and nobody else', async t => {
    const { admit, buy, go, ledger, balance } = await createWorld(t, make)
    const { id, stored } = await buy(asked)
    t.equal(stored, true)
    t.match(await admit(asked), { outcome: 'joined', row: { id } })
    await go()
    t.match(await admit({ ...asked, tenant: 'agency' }), { outcome: 'joined', row: { purchase: id, tenant: 'agency' } })
    t.equal(await ledger.lookup('reuse'), null)
    t.match(await admit(plain), { outcome: 'bought' })
    t.match(await admit(seeded), { outcome: 'bought' })
    t.same(await balance('agency'), { held: 0, spent: 0 })
  })

  t.test('it neither reattaches nor is reattached', async t => {
    const { admit, buy } = await createWorld(t, make)
    const first = await buy({ ...plain, duplicateName: 'duplicate' })
    const { outcome, row: { id } } = await admit(asked)
    t.equal(outcome, 'bought')
    t.match(await admit({ ...plain, duplicateName: 'duplicate' }), { outcome: 'adopted', row: { id: first.id } })
    t.not(first.id, id)
  })

  t.test('in a list the second of the same reuse joins the first', async t => {
    const { ledger } = await createWorld(t, make)
    const list = [admissionOf(asked), admissionOf(plain), admissionOf(asked)]
    const answer = await ledger.admitAll(list)
    t.match(answer, { outcome: 'all', got: [{ outcome: 'bought' }, { outcome: 'bought' }, { outcome: 'joined', row: { id: list[0]?.id } }] })
  })

  t.test('the newest success has the name, and the older one keeps that of its seed', async t => {
    const { ledger, ended, row, advance } = await createWorld(t, make)
    const first = await ended(successOf({ learnedName: 'learned' }), asked)
    const second = await ended(successOf(), plain)
    t.match(await ledger.lookup('reuse'), { id: second.id })
    t.match(await ledger.lookup('learned'), { id: first.id })
    t.match(await row(first.id), { stored: true })
    await advance(1)
    const third = await ended(successOf({ learnedName: 'learned' }), seeded)
    t.match(await ledger.lookup('reuse'), { id: third.id })
    t.match(await row(second.id), { stored: false }, 'nothing leads to it any more but its id')
  })

  t.test('a success takes the name from a purchase for reuse under way, which takes it when it succeeds itself', async t => {
    const { ledger, accepted, ended, admit } = await createWorld(t, make)
    const running = await accepted('running', asked)
    const other = await ended(successOf(), plain)
    t.match(await admit(asked), { outcome: 'hit', row: { id: other.id } })
    t.match(await ledger.finish(running.id, 1, 'running', successOf()), { stored: true })
    t.match(await admit(asked), { outcome: 'hit', row: { id: running.id } })
  })

  t.test('a purchase for reuse that failed unbilled frees the name; one that was billed, or may have been, answers for 15 minutes', async t => {
    for (const story of ['unbilled', 'billed', 'unknown'] as const) {
      const { ledger, accepted, admit, advance } = await createWorld(t, make)
      const { id } = await accepted('a', asked)
      if (story === 'unknown') await ledger.recordUnknown(id, 1, 'a', traceLost)
      else await ledger.finish(id, 1, 'a', failureOf(story === 'billed' ? price : 0))
      if (story !== 'unbilled') {
        await advance(15 * minute - 1)
        t.match(await admit(asked), { outcome: 'joined', row: { id } }, story)
        await advance(1)
      }
      t.match(await admit(asked), { outcome: 'bought' }, story)
    }
  })

  t.test('late evidence makes an unknown the newest success', async t => {
    const { ledger, accepted, ended, admit, advance } = await createWorld(t, make)
    const late = await accepted('late', asked)
    await ledger.recordUnknown(late.id, 1, 'late', traceLost)
    await advance(16 * minute)
    await ended(successOf(), asked)
    t.match(await ledger.finish(late.id, 1, 'late', successOf()), { stored: true })
    t.match(await admit(asked), { outcome: 'hit', row: { id: late.id } })
  })

  t.test('so does an output that is found after an operator had settled it', async t => {
    const { ledger, accepted, admit, advance } = await createWorld(t, make)
    const { id } = await accepted('found', plain)
    await ledger.recordUnknown(id, 1, 'found', traceLost)
    await advance(11 * minute)
    t.match(await ledger.settle(id, false), { outcome: 'settled' })
    await ledger.finish(id, 1, 'found', successOf())
    t.match(await admit(asked), { outcome: 'hit', row: { id } })
  })

  t.test('nobody joins a purchase that is called off; if it succeeds it takes the name only where that is free', async t => {
    for (const isFree of [true, false]) {
      const { ledger, accepted, ended, admit } = await createWorld(t, make)
      const off = await accepted('off', asked)
      await ledger.cancel(off.id, off)
      const other = isFree ? null : await ended(successOf(), asked)
      t.match(await ledger.finish(off.id, 1, 'off', successOf()), { stored: isFree })
      t.match(await admit(asked), { outcome: 'hit', row: { id: (other ?? off).id } })
    }
  })

  t.test('a refresh leaves the name to the old success until it succeeds', async t => {
    const { ledger, accepted, ended, admit } = await createWorld(t, make)
    const old = await ended(successOf(), plain)
    const fresh = await accepted('fresh', { ...plain, mode: 'refresh' })
    t.match(await admit(asked), { outcome: 'hit', row: { id: old.id } })
    await ledger.finish(fresh.id, 1, 'fresh', successOf())
    t.match(await admit(asked), { outcome: 'hit', row: { id: fresh.id } })
  })

  t.test('a hit binds the caller\'s key', async t => {
    const { ended, admit } = await createWorld(t, make)
    const { id } = await ended(successOf(), plain)
    const idempotency = { name: 'key', fingerprint: 'f' }
    t.match(await admit({ ...asked, idempotency }), { outcome: 'hit', row: { id } })
    await ended(successOf(), plain)
    t.match(await admit({ ...asked, idempotency }), { outcome: 'replayed', row: { id } })
  })

  t.test('the name goes with the newest success, and not with an older one', async t => {
    const { ledger, ended, admit, advance } = await createWorld(t, make, { resultTtlMs: 10 * minute })
    await ended(successOf(), plain)
    await advance(5 * minute)
    const newest = await ended(successOf(), seeded)
    await advance(6 * minute)
    await ledger.sweep('r1', 10)
    t.match(await admit(asked), { outcome: 'hit', row: { id: newest.id } })
    await advance(5 * minute)
    await ledger.sweep('r1', 10)
    t.equal(await ledger.lookup('reuse'), null)
    t.match(await admit(asked), { outcome: 'bought' })
  })

  await t.test('after a rollback', async t => restored(t, make))
}

/** A generation that fal accepted, as a replica knows it that claimed it from another ledger. */
async function lost (t: Test, make: MakeStore, given: Partial<Admission>, story: (world: World, row: Generation) => Promise<unknown> = async () => {}): Promise<Fact> {
  const world = await createWorld(t, make)
  await world.buy(given)
  const claimed = await world.ledger.claim({ claimId: 'before', deadlineMs: never, replica: 'r1', slots: 10 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const { row: { id }, terms } = claimed
  await world.ledger.recordAccepted(id, 1, 'lost')
  await story(world, await world.row(id))
  const row = await world.row(id)
  return { row, terms, holds: row.owner !== null }
}

const finished = async ({ ledger }: World, { id }: Generation): Promise<void> => { await ledger.finish(id, 1, 'lost', successOf()) }
const calledOff = async (world: World, row: Generation): Promise<void> => {
  await world.ledger.cancel(row.id, row)
  await finished(world, row)
}

async function restored (t: Test, make: MakeStore): Promise<void> {
  t.test('a success answers requests for reuse again, and a purchase for reuse is joined again', async t => {
    for (const given of [plain, seeded, asked, { ...plain, mode: 'refresh' }] as const) {
      const fact = await lost(t, make, given, finished)
      t.match(fact.terms, { reuseName: 'reuse' })
      const { ledger, admit } = await createWorld(t, make)
      t.same(await ledger.restore('r1', [fact]), { contested: 0 })
      t.match(await admit(asked), { outcome: 'hit', row: { id: fact.row.id } })
    }
    const fact = await lost(t, make, asked)
    const { ledger, admit } = await createWorld(t, make)
    t.same(await ledger.restore('r1', [fact]), { contested: 0 })
    t.match(await admit(asked), { outcome: 'joined', row: { id: fact.row.id } })
  })

  t.test('what holds no name gets none: what runs and was not asked for with reuse, a bypass, a success too long to be stored', async t => {
    const facts = [
      await lost(t, make, plain),
      await lost(t, make, { ...plain, mode: 'bypass' }, finished),
      await lost(t, make, plain, async ({ ledger }, { id }) => { await ledger.finish(id, 1, 'lost', successOf({ output: largeOutput })) })
    ]
    for (const fact of facts) {
      const { ledger, admit } = await createWorld(t, make)
      t.same(await ledger.restore('r1', [fact]), { contested: 0 })
      t.match(await admit(asked), { outcome: 'bought' })
    }
  })

  t.test('what was asked for with reuse meanwhile and still waits becomes an alias of it, and nothing is bought', async t => {
    for (const fact of [await lost(t, make, plain, finished), await lost(t, make, asked)]) {
      const { ledger, buy, claim, balance } = await createWorld(t, make)
      const waiting = await buy(asked)
      t.same(await ledger.restore('r1', [fact]), { contested: 0 })
      t.match(await ledger.getMany([waiting.id]), [{ id: waiting.id, purchase: fact.row.id, phase: fact.row.phase }])
      t.equal(await claim(), 'empty')
      t.equal((await balance()).held, fact.row.phase === 'succeeded' ? 0 : price)
    }
  })

  t.test('what was granted an attempt meanwhile goes on: it leaves the name to a success, and keeps it before a purchase under way, which is counted', async t => {
    for (const [given, story, contested] of [[plain, finished, 0], [asked, undefined, 1]] as const) {
      const fact = await lost(t, make, given, story)
      const { ledger, accepted, admit } = await createWorld(t, make)
      const other = await accepted('other', asked)
      t.same(await ledger.restore('r1', [fact]), { contested })
      t.match(await admit(asked), contested === 0 ? { outcome: 'hit', row: { id: fact.row.id } } : { outcome: 'joined', row: { id: other.id } })
      await ledger.finish(other.id, 1, 'other', successOf())
      t.match(await admit(asked), { outcome: 'hit', row: { id: other.id } })
    }
  })

  t.test('of two successes the newest has the name, and that is no conflict', async t => {
    const fact = await lost(t, make, asked, finished)
    const older = { ...fact, row: { ...fact.row, finishedAtMs: (fact.row.finishedAtMs ?? 0) - 1 } }
    const newer = { ...fact, row: { ...fact.row, finishedAtMs: (fact.row.finishedAtMs ?? 0) + 1 } }
    for (const [fact, isNewest] of [[older, false], [newer, true]] as const) {
      const { ledger, ended } = await createWorld(t, make)
      const other = await ended(successOf(), plain)
      t.same(await ledger.restore('r1', [fact]), { contested: 0 })
      t.match(await ledger.lookup('reuse'), { id: isNewest ? fact.row.id : other.id })
    }
  })

  t.test('a purchase for reuse under way leaves the name to a success, and that is no conflict', async t => {
    const fact = await lost(t, make, asked)
    const { ledger, ended, admit } = await createWorld(t, make)
    const { id } = await ended(successOf(), plain)
    t.same(await ledger.restore('r1', [fact]), { contested: 0 })
    t.match(await admit(asked), { outcome: 'hit', row: { id } })
    await ledger.finish(fact.row.id, 1, 'lost', successOf())
    t.match(await admit(asked), { outcome: 'hit', row: { id: fact.row.id } })
  })

  t.test('a success that was called off takes the name only where it is free', async t => {
    const fact = await lost(t, make, asked, calledOff)
    const { ledger, buy, admit } = await createWorld(t, make)
    const { id } = await buy(asked)
    t.same(await ledger.restore('r1', [fact]), { contested: 0 })
    t.match(await admit(asked), { outcome: 'joined', row: { id } })
    const other = await createWorld(t, make)
    await other.ledger.restore('r1', [fact])
    t.match(await other.admit(asked), { outcome: 'hit', row: { id: fact.row.id } })
  })

  t.test('an older copy that catches up takes its name', async t => {
    const fact = await lost(t, make, plain, finished)
    const { ledger, buy, admit } = await createWorld(t, make)
    await buy({ id: fact.row.id, ...plain })
    t.same(await ledger.restore('r1', [{ ...fact, terms: noTerms }]), { contested: 0 })
    t.match(await admit(asked), { outcome: 'hit', row: { id: fact.row.id } }, 'that it was admitted under, whatever the replica says of it')
  })
}
