// Leases: who looks after a generation, how others notice that nobody does, and when a row is forgotten.

import type { Test } from 'tap'
import { successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const leaseMs = 15_000

export async function leases (t: Test, make: MakeStore): Promise<void> {
  t.test('signs of life keep a generation with its owner', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    const row = await accepted('a')
    for (let count = 0; count < 5; count += 1) {
      await advance(leaseMs - 1)
      t.same(await ledger.renew('r1', [{ row, holds: true }]), { gone: [], rolledBack: [] })
      t.same(await ledger.sweep('r2', 10), [])
    }
    t.match(await ledger.getMany([row.id]), [{ version: row.version, owner: 'r1', takeovers: 0 }], 'which changes nothing that readers see')
  })

  t.test('a generation whose owner went silent is taken over, from any phase at fal, once', async t => {
    const { ledger, buy, go, accepted, advance } = await createWorld(t, make)
    const submitting = await buy()
    await go()
    const accept = await accepted('a')
    const running = await accepted('b')
    await ledger.recordProgress(running.id, 1, 'b', { kind: 'running' })
    await advance(leaseMs - 1)
    t.same(await ledger.sweep('r2', 10), [])
    await advance(1)
    const taken = [...await ledger.sweep('r2', 2), ...await ledger.sweep('r3', 2)]
    t.same(new Set(taken.map(({ row: { id, owner, takeovers, phase, attempt } }) => `${id} ${phase} ${attempt} ${takeovers} ${owner !== 'r1'}`)), new Set([
      `${submitting.id} submitting 1 1 true`, `${accept.id} accepted 1 1 true`, `${running.id} running 1 1 true`
    ]))
    t.same(await ledger.sweep('r4', 10), [], 'its new owner has a lease of its own')
  })

  t.test('a replica that lost a generation is told so', async t => {
    const { ledger, accepted, ended, advance } = await createWorld(t, make)
    const mine = await accepted('a')
    const taken = await accepted('b')
    const over = await ended()
    await advance(leaseMs - 1)
    await ledger.renew('r1', [{ row: mine, holds: true }])
    await advance(1)
    await ledger.sweep('r2', 10)
    const facts = [mine, taken, over].map(row => ({ row, holds: true }))
    t.same(await ledger.renew('r1', facts), { gone: [taken.id, over.id], rolledBack: [] })
    t.same(await ledger.renew('r1', facts.map(({ row }) => ({ row, holds: false }))), { gone: [], rolledBack: [] }, 'what was only reported cannot be lost')
  })

  t.test('an owner that overslept gets its own back without a mark', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    const { id, version } = await accepted('a')
    await advance(leaseMs)
    t.match(await ledger.sweep('r1', 10), [{ row: { id, owner: 'r1', takeovers: 0, version } }])
    t.same(await ledger.sweep('r2', 10), [])
  })

  t.test('what is let go is taken over at once, and not held against it', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    const { id } = await accepted('a')
    await ledger.release('r2', [id])
    t.same(await ledger.sweep('r2', 10), [], 'only its owner can let go')
    await ledger.release('r1', [id, 'nobody'])
    t.match(await ledger.getMany([id]), [{ owner: null, phase: 'accepted' }])
    t.match(await ledger.sweep('r2', 10), [{ row: { id, owner: 'r2', takeovers: 0 } }])
  })

  t.test('what killed six owners is given to nobody: after five takeovers it is unknown', async t => {
    const { ledger, accepted, advance, balance } = await createWorld(t, make)
    const { id, price } = await accepted('a')
    for (let takeover = 1; takeover <= 5; takeover += 1) {
      await advance(leaseMs)
      t.match(await ledger.sweep(`victim${takeover}`, 10), [{ row: { id, takeovers: takeover } }])
    }
    await advance(leaseMs)
    t.same(await ledger.sweep('r9', 10), [])
    t.match(await ledger.getMany([id]), [{ phase: 'unknown', takeovers: 5, failure: { code: 'outcome-unknown' }, requestId: 'a' }])
    t.same(await balance(), { held: price, spent: 0 })
  })

  t.test('a sweep looks after no more than it was asked to', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    for (let count = 0; count < 5; count += 1) await accepted(`request${count}`)
    await advance(leaseMs)
    t.equal((await ledger.sweep('r2', 3)).length, 3)
    t.equal((await ledger.sweep('r2', 3)).length, 2)
  })

  t.test('an ended generation is kept for its retention, then row, names and list entry are gone', async t => {
    const { ledger, ended, advance, admit } = await createWorld(t, make, { resultTtlMs: 5000 })
    const { id } = await ended(successOf({ learnedName: 'learned' }), { cacheName: 'cache' })
    await advance(4999)
    await ledger.sweep('r1', 10)
    t.match(await ledger.lookup('cache'), { id })
    await advance(1)
    t.same(await ledger.sweep('r1', 10), [])
    t.same(await ledger.getMany([id]), [])
    t.equal(await ledger.read(id, { tenant: 'studio', subject: '' }), null)
    t.equal(await ledger.lookup('cache'), null)
    t.equal(await ledger.lookup('learned'), null)
    t.same(await ledger.list({ tenant: 'studio', subject: '' }, { limit: 5, cursor: null, status: null }), { rows: [], nextCursor: null })
    t.match(await admit({ cacheName: 'cache' }), { outcome: 'bought' })
  })

  t.test('a forgotten row does not take along a name that leads elsewhere by now', async t => {
    const { ledger, ended, advance } = await createWorld(t, make, { resultTtlMs: 5000 })
    await ended(successOf(), { cacheName: 'cache' })
    await advance(1000)
    const { id } = await ended(successOf(), { cacheName: 'cache', mode: 'refresh' })
    await advance(4000)
    await ledger.sweep('r1', 10)
    t.match(await ledger.lookup('cache'), { id })
  })

  t.test('waiting, unknown and lent generations are no leases', async t => {
    const { ledger, buy, accepted, advance } = await createWorld(t, make)
    const lost = await accepted('a')
    await ledger.recordUnknown(lost.id, 1, 'a', traceLost)
    await buy()
    await advance(leaseMs * 2 - 1) // a moment before it is asked about, which is no taking over either
    t.same(await ledger.sweep('r2', 10), [])
    t.same(await ledger.renew('r1', [{ row: lost, holds: true }]), { gone: [lost.id], rolledBack: [] })
  })
}
