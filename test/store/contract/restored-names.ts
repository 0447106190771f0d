// Names of rows that come back from a rollback: what led to them leads there again, and what was bought meanwhile gives way where nothing was sent yet.
// A store that was emptied is played by facts that another ledger made.

import type { Test } from 'tap'
import type { Admission } from '../../../src/generation/admission.ts'
import type { Fact } from '../../../src/generation/evidence.ts'
import type { Generation, Terms } from '../../../src/generation/generation.ts'
import { admissionOf, failureOf, longTrace, never, noTerms, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

const keyed = { name: 'key', fingerprint: 'f' }

/** A generation that fal accepted, as a replica knows it that claimed it from another ledger. */
async function lost (t: Test, make: MakeStore, given: Partial<Admission> = {}, story: (world: World, row: Generation) => Promise<Generation> = async (_, row) => row): Promise<Fact> {
  const world = await createWorld(t, make)
  await world.buy({ cacheName: 'cache', seed: '7', ...given })
  const claimed = await world.ledger.claim({ claimId: 'before', deadlineMs: never, replica: 'r1', slots: 10 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const { row, terms } = claimed
  await world.ledger.recordAccepted(row.id, 1, 'lost')
  const known = await story(world, await world.row(row.id))
  return { row: known, terms, holds: known.owner !== null }
}

const finished = async (world: World, { id }: Generation): Promise<Generation> => {
  await world.ledger.finish(id, 1, 'lost', successOf())
  return await world.row(id)
}

export async function restoredNames (t: Test, make: MakeStore): Promise<void> {
  t.test('a claim and a takeover tell what the row was admitted under', async t => {
    const { ledger, buy, advance } = await createWorld(t, make)
    const names = { cacheName: 'cache', duplicateName: null, mode: 'refresh' as const }
    const { id } = await buy({ ...names, idempotency: keyed })
    const terms: Terms = { ...noTerms, ...names, keyless: false, idempotencyName: 'key', fingerprint: 'f' }
    const ask = { claimId: 'c', deadlineMs: never, replica: 'r1', slots: 10 }
    t.match(await ledger.claim(ask), { outcome: 'go', row: { id }, terms })
    t.match(await ledger.claim(ask), { outcome: 'go', row: { id }, terms }, 'asked again, too')
    await advance(15_000)
    t.match(await ledger.sweep('r2', 10), [{ row: { id }, terms }])
  })

  t.test('a row that comes back has its cache name, its idempotency key and its duplicates again', async t => {
    const seeded = await lost(t, make, { idempotency: keyed })
    const unseeded = await lost(t, make, { cacheName: null, seed: null, duplicateName: 'duplicate', connection: null })
    const { ledger, admit, refused, advance } = await createWorld(t, make)
    const duplicate = { ...unseeded, row: { ...unseeded.row, requestId: 'other' } }
    t.same(await ledger.restore('r1', [seeded, duplicate]), { contested: 0 })
    t.match(await admit({ tenant: 'agency', cacheName: 'cache' }), { outcome: 'joined', row: { purchase: seeded.row.id } })
    t.match(await admit({ idempotency: keyed }), { outcome: 'replayed', row: { id: seeded.row.id } })
    t.match(await refused({ idempotency: { ...keyed, fingerprint: 'g' } }), { why: 'reused' })
    t.match(await admit({ duplicateName: 'duplicate', lastRound: true }), { outcome: 'adopted', row: { id: duplicate.row.id } })
    await ledger.finish(seeded.row.id, 1, 'lost', successOf())
    t.match(await ledger.lookup('cache'), { id: seeded.row.id })
    await advance(24 * 3_600_000 - 1)
    t.match(await admit({ idempotency: keyed }), { outcome: 'replayed' })
    await advance(1)
    t.match(await admit({ idempotency: keyed }), { outcome: 'bought' }, 'for 24 h from its admission')
  })

  t.test('one that had just finished is found by its seed and its key, also by the seed that its answer named', async t => {
    const seeded = await lost(t, make, { idempotency: keyed }, finished)
    const learned = await lost(t, make, { cacheName: null, seed: null }, finished)
    const { ledger, admit } = await createWorld(t, make)
    await ledger.restore('r1', [seeded, { ...learned, row: { ...learned.row, requestId: 'other' }, terms: { ...learned.terms, learnedName: 'learned' } }])
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'hit', row: { id: seeded.row.id } })
    t.match(await admit({ idempotency: keyed }), { outcome: 'replayed', row: { id: seeded.row.id } })
    t.match(await admit({ cacheName: 'learned' }), { outcome: 'hit', row: { id: learned.row.id } })
  })

  t.test('a row that comes back is as it was admitted: names, key, mode, deadlines, unit price, price rule, files and trace', async t => {
    const one = { idempotency: keyed, mode: 'refresh', unitPrice: 30_000, priceRule: 'another', files: 2, trace: longTrace, priority: 'low', startWithinMs: 600_000, cacheGroup: 'group' } as const
    const other = { cacheName: null, seed: null, duplicateName: 'duplicate', mode: 'bypass', connection: { replica: 'r1', connection: 'c' } } as const
    for (const given of [one, other]) {
      const fact = await lost(t, make, given)
      const { ledger, row, advance } = await createWorld(t, make)
      await ledger.restore('r1', [fact])
      const { version, ...admitted } = fact.row
      t.match(await row(fact.row.id), admitted)
      await advance(15_000)
      const [taken] = await ledger.sweep('r2', 10)
      t.match(taken?.row, { ...admitted, owner: 'r2', takeovers: 1 })
      t.same(taken?.terms, fact.terms)
    }
  })

  t.test('a keyless one that comes back in the queue still waits no longer than 60 s for nobody', async t => {
    const back = async ({ ledger, row }: World, { id }: Generation): Promise<Generation> => { await ledger.recordNotSent(id, 1, { retryAfterMs: 0 }); return await row(id) }
    for (const [given, leftMs] of [[{}, 60_000], [{ idempotency: keyed }, 900_000]] as const) {
      const connection = { replica: 'r1', connection: 'c' }
      const world = await createWorld(t, make)
      const { id } = await world.buy({ connection, ...given })
      const claimed = await world.ledger.claim({ claimId: 'before', deadlineMs: never, replica: 'r1', slots: 10 })
      if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
      const fact = { row: await back(world, claimed.row), terms: claimed.terms, holds: false }
      const { ledger, row, nowMs } = await createWorld(t, make)
      await ledger.restore('r1', [fact])
      await ledger.left(id, connection)
      t.match(await row(id), { phase: 'waiting', connection: null, waitUntilMs: nowMs() + leftMs })
    }
  })

  t.test('an older copy that catches up has its names, too: the seed that its answer named, and what a refresh takes when it succeeds', async t => {
    const learned = await lost(t, make, { cacheName: null, seed: null }, finished)
    const refreshed = await lost(t, make, { mode: 'refresh' }, finished)
    const { ledger, buy, ended } = await createWorld(t, make)
    await ended(successOf(), { cacheName: 'cache' })
    await buy({ id: learned.row.id })
    await buy({ id: refreshed.row.id, cacheName: 'cache', seed: '7', mode: 'refresh' })
    const facts = [{ ...learned, terms: { ...learned.terms, learnedName: 'learned' } }, { ...refreshed, row: { ...refreshed.row, requestId: 'other' } }]
    t.same(await ledger.restore('r1', facts), { contested: 0 })
    t.match(await ledger.lookup('learned'), { id: learned.row.id })
    t.match(await ledger.lookup('cache'), { id: refreshed.row.id })
  })

  for (const [what, given] of [['its seed', {}], ['its idempotency key', { cacheName: null, seed: null, idempotency: keyed }]] as const) {
    t.test(`what was admitted under ${what} meanwhile and still waits becomes an alias of the one that comes back: nothing is bought, and everything is given back`, async t => {
      const fact = await lost(t, make, given)
      const { ledger, admit, balance, claim, row } = await createWorld(t, make)
      await ledger.mint({ id: 'tok1', tenant: 'studio', subject: 'visitor', secretSha256: 'x', origins: [], expiresAtMs: never, terms: '', revoked: false, picturesLeft: 3, moneyLeft: 1_000_000 })
      const again: Partial<Admission> = { cacheName: 'cache', seed: '7', rate: { max: 1, windowSeconds: 60 }, ...given, ...('idempotency' in given ? {} : { subject: 'visitor', token: 'tok1' }) }
      const { row: waiting, outcome } = await admit(again)
      t.equal(outcome, 'bought')
      const told = new Promise<unknown>(resolve => { ledger.listen(change => { if (change !== 'look-again' && change.id === waiting.id && change.version > waiting.version) resolve(change) }) })
      t.same(await ledger.restore('r1', [fact]), { contested: 0 })
      t.match(await told, { id: waiting.id, phase: 'accepted' }, 'a caller that waits for it is told')
      t.same(await balance(), { held: price, spent: 0 })
      t.match(await ledger.gauges(), { atUpstream: 1 })
      t.equal((await ledger.gauges()).waiting.get('studio') ?? 0, 0)
      t.equal(await claim(), 'empty')
      if (again.token === 'tok1') t.match(await ledger.token('tok1'), { picturesLeft: 3 })
      t.match(await row(fact.row.id), { joined: true })
      const reader = { tenant: 'studio', subject: waiting.subject }
      t.match(await ledger.read(waiting.id, reader), { id: waiting.id, purchase: fact.row.id, phase: 'accepted', subject: waiting.subject, accounts: [] })
      t.match(await ledger.getMany([waiting.id]), [{ id: waiting.id, purchase: fact.row.id, phase: 'accepted' }], 'those who look for it find the other')
      t.match(await ledger.getStatuses([waiting.id]), [{ id: waiting.id, phase: 'accepted' }])
      t.match((await ledger.list(reader, { limit: 5, cursor: null, status: null })).rows.map(({ id }) => id).includes(waiting.id), true)
      t.ok(((await ledger.getStatuses([waiting.id]))[0]?.version ?? 0) > waiting.version)
      await ledger.recordProgress(fact.row.id, 1, 'lost', { kind: 'running' }, { from: 0, lines: [{ message: 'made', timestamp: null, level: null }] })
      t.match(await ledger.logs(waiting.id, 0), { lines: [{ message: 'made' }] })
      await ledger.finish(fact.row.id, 1, 'lost', successOf())
      t.match(await ledger.getMany([waiting.id]), [{ id: waiting.id, phase: 'succeeded', output: /images/ }])
      t.same(await balance(), { held: 0, spent: price })
      t.match(await admit({ ...again, id: waiting.id }), { outcome: 'joined', row: { id: waiting.id } }, 'asked once more for that admission')
      t.match(await admit({ cacheName: 'another', rate: { max: 1, windowSeconds: 60 } }), { outcome: 'bought' }, 'and its rate was given back')
    })
  }

  t.test('a caller that had joined the one that gives way reads the other through it', async t => {
    const fact = await lost(t, make)
    const { ledger, admit, buy } = await createWorld(t, make)
    const waiting = await buy({ cacheName: 'cache', seed: '7' })
    const joiner = await admit({ tenant: 'agency', cacheName: 'cache', idempotency: { name: 'theirs', fingerprint: 'f' } })
    await ledger.restore('r1', [fact])
    await ledger.finish(fact.row.id, 1, 'lost', successOf())
    t.match(await ledger.read(joiner.row.id, { tenant: 'agency', subject: '' }), { id: joiner.row.id, purchase: fact.row.id, phase: 'succeeded' })
    t.match(await ledger.read(waiting.id, { tenant: 'studio', subject: '' }), { phase: 'succeeded' })
    t.match(await admit({ tenant: 'agency', idempotency: { name: 'theirs', fingerprint: 'f' } }), { outcome: 'replayed', row: { id: joiner.row.id } })
  })

  t.test('the key of the one that gives way holds for 24 h, however short results are kept', async t => {
    const fact = await lost(t, make)
    const { ledger, buy, gone, admit, advance } = await createWorld(t, make, { resultTtlMs: 60_000 })
    const { id } = await buy({ cacheName: 'cache', seed: '7', idempotency: keyed })
    await ledger.restore('r1', [fact])
    t.match(await admit({ idempotency: keyed }), { outcome: 'replayed', row: { id, purchase: fact.row.id } })
    await ledger.finish(fact.row.id, 1, 'lost', successOf())
    await advance(60_000)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([id]), [])
    await advance(24 * 3_600_000 - 60_001)
    t.match(await gone({ idempotency: keyed }), { id, code: 'result-expired', cost: 0 })
    await advance(1)
    t.match(await admit({ idempotency: keyed }), { outcome: 'bought' })
  })

  t.test('what was granted an attempt meanwhile keeps the name, and that is counted', async t => {
    const fact = await lost(t, make, { idempotency: keyed })
    for (const story of ['submitting', 'paused', 'finished'] as const) {
      const { ledger, buy, go, admit, row } = await createWorld(t, make)
      const other = await buy({ cacheName: 'cache', seed: '7', idempotency: keyed })
      await go()
      if (story === 'paused') await ledger.recordNotSent(other.id, 1, { retryAfterMs: 60_000 })
      if (story === 'finished') await ledger.finish(other.id, 1, 'another', successOf())
      t.same(await ledger.restore('r1', [fact]), { contested: 2 }, story)
      t.match(await row(fact.row.id), { phase: 'accepted' })
      t.match(await admit({ cacheName: 'cache' }), { row: { purchase: other.id } })
      t.match(await admit({ idempotency: keyed }), { outcome: 'replayed', row: { id: other.id } })
    }
  })

  t.test('the same key with another body is another request: it waits on, and keeps the key', async t => {
    const fact = await lost(t, make, { idempotency: keyed })
    const { ledger, buy, claim } = await createWorld(t, make)
    const { id } = await buy({ idempotency: { ...keyed, fingerprint: 'g' } })
    t.same(await ledger.restore('r1', [fact]), { contested: 1 })
    t.equal(await claim(), id)
  })

  t.test('what answers for no name takes none: an unbilled end, what is called off, a bypass, a refresh that has not succeeded', async t => {
    const facts = [
      await lost(t, make, {}, async ({ ledger, row }, { id }) => { await ledger.finish(id, 1, 'lost', failureOf(0)); return await row(id) }),
      await lost(t, make, {}, async ({ ledger, row }, { id, tenant, subject }) => { await ledger.cancel(id, { tenant, subject }); return await row(id) }),
      await lost(t, make, { mode: 'bypass' }),
      await lost(t, make, { mode: 'refresh' })
    ]
    for (const fact of facts) {
      const { ledger, buy, admit, claim } = await createWorld(t, make)
      const { id } = await buy({ cacheName: 'cache', seed: '7' })
      t.same(await ledger.restore('r1', [fact]), { contested: 0 })
      t.match(await admit({ cacheName: 'cache' }), { outcome: 'joined', row: { id } })
      t.equal(await claim(), id, fact.row.phase)
    }
  })

  t.test('a refresh that had succeeded takes its name from what was there before it, and not from what came later', async t => {
    const fact = await lost(t, make, { mode: 'refresh' }, finished)
    const { ledger, ended } = await createWorld(t, make)
    const older = await ended(successOf(), { cacheName: 'cache' })
    await ledger.restore('r1', [{ ...fact, row: { ...fact.row, createdAtMs: older.createdAtMs + 1 } }])
    t.match(await ledger.lookup('cache'), { id: fact.row.id })
    const other = await createWorld(t, make)
    await other.advance(2)
    const newer = await other.ended(successOf(), { cacheName: 'cache' })
    await other.ledger.restore('r1', [fact])
    t.match(await other.ledger.lookup('cache'), { id: newer.id })
  })

  t.test('an unknown answers for its names as it did: what waits gives way, and nothing is bought a second time', async t => {
    const fact = await lost(t, make, {}, async ({ ledger, row }, { id }) => { await ledger.recordUnknown(id, 1, 'lost', traceLost); return await row(id) })
    const { ledger, buy, claim, balance, admit, advance } = await createWorld(t, make)
    const waiting = await buy({ cacheName: 'cache', seed: '7' })
    await ledger.restore('r1', [fact])
    t.match(await ledger.getMany([waiting.id]), [{ phase: 'unknown' }])
    t.equal(await claim(), 'empty')
    t.same(await balance(), { held: price, spent: 0 })
    await advance(15 * 60_000)
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
  })

  t.test('what gave way is withdrawn, cancelled and left like any alias', async t => {
    const fact = await lost(t, make)
    const { ledger, buy, row } = await createWorld(t, make)
    const waiting = await buy({ cacheName: 'cache', seed: '7', connection: { replica: 'r1', connection: 'c' } })
    await ledger.restore('r1', [fact])
    await ledger.withdraw([{ id: waiting.id, connection: { replica: 'r1', connection: 'c' } }])
    await ledger.left(waiting.id, { replica: 'r1', connection: 'c' })
    t.match(await ledger.cancel(waiting.id, waiting), { outcome: 'cancelled' })
    t.equal(await ledger.read(waiting.id, waiting), null)
    t.match(await row(fact.row.id), { phase: 'accepted', cancelWished: false })
  })

  t.test('many rows with large results are put back in several calls', async t => {
    const world = await createWorld(t, make)
    const rows = Array.from({ length: 120 }, (_, n) => n)
    const { row } = await lost(t, make, {}, finished)
    const facts = rows.map(n => {
      const id = admissionOf().id
      return { row: { ...row, id, purchase: id, requestId: `many-${n}`, output: JSON.stringify({ text: 'x'.repeat(30_000) }) }, terms: { ...noTerms, cacheName: `cache-${n}` }, holds: false }
    })
    t.same(await world.ledger.restore('r1', facts), { contested: 0 })
    for (const n of [0, 60, 119]) t.match(await world.ledger.lookup(`cache-${n}`), { requestId: `many-${n}` })
  })
}
