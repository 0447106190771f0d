// Rollbacks: the store went back in time, and what a replica knows is written again (rule 16).
// A store that was emptied is played by facts that another ledger made.

import type { Test } from 'tap'
import type { Fact } from '../../../src/generation/evidence.ts'
import type { Generation } from '../../../src/generation/generation.ts'
import { failureOf, longTrace, noTerms, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

/** A row as another ledger, from before the rollback, has it. */
async function before (t: Test, make: MakeStore, story: (world: World) => Promise<Generation>): Promise<Generation> {
  return story(await createWorld(t, make))
}

const held = (row: Generation): Fact => ({ row, terms: noTerms, holds: true })
const known = (row: Generation): Fact => ({ row, terms: noTerms, holds: false })

export async function rollbacks (t: Test, make: MakeStore): Promise<void> {
  t.test('a missing row is noticed, and restored with all that its owner knows', async t => {
    const row = await before(t, make, async ({ accepted }) => accepted('a', { seed: '7', unitPrice: 15_000, priceRule: 'old rule', files: 4, trace: { ...longTrace, isSampled: false, state: '' } }))
    const { ledger, balance, advance } = await createWorld(t, make)
    t.same(await ledger.renew('r1', [held(row)]), { gone: [], rolledBack: [row.id] })
    await ledger.restore('r1', [held(row)])
    t.match(await ledger.getMany([row.id]), [{ ...row, version: row.version + 1 }])
    t.same(await balance(), { held: price, spent: 0 }, 'its money is held again, in the period of its admission')
    t.match(await ledger.gauges(), { atUpstream: 1 })
    t.same(await ledger.renew('r1', [held(row)]), { gone: [], rolledBack: [] })
    await advance(14_999)
    t.same(await ledger.sweep('r2', 10), [], 'with a lease')
    await ledger.finish(row.id, 1, 'a', successOf())
    t.same(await balance(), { held: 0, spent: price })
    t.match((await ledger.list(row, { limit: 5, cursor: null, status: null })).rows, [{ id: row.id }])
  })

  t.test('restoring twice, or what is not older, changes nothing', async t => {
    const row = await before(t, make, async ({ accepted }) => accepted('a'))
    const { ledger, balance, accepted } = await createWorld(t, make)
    await ledger.restore('r1', [held(row)])
    const [first] = await ledger.getMany([row.id])
    await ledger.restore('r2', [held(row)])
    t.same(await ledger.getMany([row.id]), [first])
    t.same(await balance(), { held: price, spent: 0 })
    const present = await accepted('b')
    await ledger.restore('r2', [held(present)])
    t.same(await ledger.getMany([present.id]), [present])
  })

  t.test('every phase can be restored', async t => {
    const rows = [
      await before(t, make, async ({ buy }) => buy()),
      await before(t, make, async ({ buy, go }) => { await buy(); return go() }),
      await before(t, make, async ({ accepted, ledger, row }) => { const { id } = await accepted('a'); await ledger.recordProgress(id, 1, 'a', { kind: 'running' }); return row(id) }),
      await before(t, make, async ({ accepted, ledger, row }) => { const { id } = await accepted('b'); await ledger.recordUnknown(id, 1, 'b', traceLost); return row(id) }),
      await before(t, make, async ({ ended }) => ended(successOf({ cost: 50_000 }))),
      await before(t, make, async ({ ended }) => ended(failureOf(0)))
    ]
    const { ledger, balance, claim } = await createWorld(t, make)
    await ledger.restore('r1', rows.map(known))
    t.same((await ledger.getMany(rows.map(row => row.id))).map(row => row.phase), ['waiting', 'submitting', 'running', 'unknown', 'succeeded', 'failed'])
    t.same(await balance(), { held: 4 * price, spent: 50_000 })
    t.same((await ledger.journal(0, ledger.now() + 1, 10)).map(({ kind, amount }) => [kind, amount]), [['unknown', price], ['purchase', 50_000]])
    t.equal(await claim(), 'empty', 'the tenant\'s limits are not known: it has one slot, and two are taken')
    t.equal((await ledger.sweep('r2', 10)).length, 2, 'what nobody holds is given away at once')
  })

  t.test('an older row is noticed by version, attempt or request id, and catches up', async t => {
    const { ledger, buy, go, row, balance } = await createWorld(t, make)
    const { id } = await buy({ cacheName: 'cache' })
    const waiting = await row(id)
    const submitting: Generation = { ...waiting, phase: 'submitting', attempt: 1, owner: 'r1', runUntilMs: waiting.createdAtMs + 3_600_000 }
    t.same(await ledger.renew('r1', [held(submitting)]), { gone: [], rolledBack: [id] }, 'by attempt')
    await go('r1')
    const granted = await row(id)
    const accepted: Generation = { ...granted, phase: 'accepted', requestId: 'a' }
    t.same(await ledger.renew('r1', [held(accepted)]), { gone: [], rolledBack: [id] }, 'by request id')
    const newer: Generation = { ...accepted, version: granted.version + 5 }
    t.same(await ledger.renew('r1', [held(newer)]), { gone: [], rolledBack: [id] }, 'by version')
    await ledger.restore('r1', [held(newer)])
    t.match(await row(id), { phase: 'accepted', requestId: 'a', version: newer.version + 1, stored: true })
    t.same(await balance(), { held: price, spent: 0 })
    t.match(await ledger.gauges(), { atUpstream: 1 })
  })

  t.test('an end that the store forgot is booked again', async t => {
    const { ledger, accepted, row, balance } = await createWorld(t, make)
    const { id } = await accepted('a')
    const open = await row(id)
    const ended: Generation = { ...open, version: open.version + 1, phase: 'succeeded', owner: null, output: '{}', cost: 50_000, finishedAtMs: ledger.now() }
    await ledger.restore('r1', [known(ended)])
    t.match(await row(id), { phase: 'succeeded', cost: 50_000 })
    t.same(await balance(), { held: 0, spent: 50_000 })
  })

  t.test('another request id was a double purchase: booked once, the row stays', async t => {
    const { ledger, accepted, balance } = await createWorld(t, make)
    const row = await accepted('b')
    const fact = held({ ...row, version: row.version + 3, requestId: 'a' })
    t.same(await ledger.renew('r2', [fact]), { gone: [], rolledBack: [row.id] })
    await ledger.restore('r2', [fact])
    await ledger.restore('r2', [fact])
    t.match(await ledger.getMany([row.id]), [{ requestId: 'b', version: row.version }])
    t.same(await balance(), { held: price, spent: price })
    t.same(await ledger.renew('r2', [fact]), { gone: [], rolledBack: [] }, 'and is followed by the replica that holds it')
  })

  t.test('an ended row is never opened again', async t => {
    const { ledger, accepted, row } = await createWorld(t, make)
    const open = await accepted('a')
    await ledger.finish(open.id, 1, 'a', successOf())
    const fact = held({ ...open, version: open.version + 9 })
    t.same(await ledger.renew('r1', [fact]), { gone: [open.id], rolledBack: [] })
    await ledger.restore('r1', [fact])
    t.match(await row(open.id), { phase: 'succeeded' })
  })

  t.test('one that came back as waiting and left the queue, while its owner knows that fal accepted it, is booked at its price', async t => {
    const { ledger, accepted, buy, nowMs, balance } = await createWorld(t, make)
    const known = await accepted('a')
    const older = await buy()
    await ledger.cancel(older.id, older)
    const fact = { row: { ...known, id: older.id, purchase: older.id, requestId: 'b' }, holds: true }
    t.match(await ledger.renew('r1', [fact]), { gone: [older.id], rolledBack: [] })
    t.match(await ledger.getMany([older.id]), [{ phase: 'cancelled', requestId: 'b', cost: price, costAssumed: true }])
    await ledger.renew('r1', [fact])
    t.same(await balance(), { held: price, spent: price }, 'once')
    t.match((await ledger.takeOutbox(10)).at(-1), { kind: 'late', booked: price, row: { id: older.id } })
    t.match((await ledger.journal(0, nowMs() + 1, 10)).at(-1), { id: older.id, amount: price, requestId: 'b', assumed: true })
  })

  t.test('a row that is missing because its retention is over is not a rollback', async t => {
    const { ledger, ended, advance } = await createWorld(t, make, { resultTtlMs: 5000 })
    const row = await ended()
    await advance(5000)
    await ledger.sweep('r1', 10)
    t.same(await ledger.renew('r1', [known(row)]), { gone: [], rolledBack: [] })
    await ledger.restore('r1', [known(row)])
    t.same(await ledger.getMany([row.id]), [])
  })
}
