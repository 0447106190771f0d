// Files of a stored result may be gone where they were: an old one is looked at before it is handed out, and one whose links are dead leads nowhere.

import type { Test } from 'tap'
import { admissionOf, failureOf, price, successOf } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const hour = 3_600_000
const seeded = { cacheName: 'cache', reuseName: 'reuse', seed: '7' } as const
const looking = { filesLastMs: hour } as const
const keyed = { idempotency: { name: 'key', fingerprint: 'print' } } as const

export async function deadLinks (t: Test, make: MakeStore): Promise<void> {
  t.test('a success that is older than its files last for sure is looked at first, whatever name leads to it, and nothing is written', async t => {
    const { ledger, ended, admit, advance, row } = await createWorld(t, make)
    const { id, output } = await ended(successOf(), seeded)
    t.match(await admit({ ...seeded, ...looking }), { outcome: 'hit', row: { id } })
    await advance(hour)
    t.match(await admit({ ...seeded, ...looking }), { outcome: 'hit' }, 'not before')
    await advance(1)
    const before = await row(id)
    t.match(await admit({ ...seeded, ...looking }), { outcome: 'look', row: { id, output, phase: 'succeeded' } })
    t.match(await admit({ reuseName: 'reuse', cacheName: 'reuse', ...looking }), { outcome: 'look', row: { id } })
    t.match(await admit({ ...seeded, ...looking, tenant: 'agency', needsId: true, ...keyed }), { outcome: 'look', row: { id } })
    t.same(await row(id), before)
    t.match(await ledger.preview(admissionOf({ ...seeded, ...looking })), { would: { outcome: 'look', row: { id } } })
    t.match(await ledger.admitAll([admissionOf(), admissionOf({ ...seeded, ...looking })]), { outcome: 'look', row: { id } }, 'one of a list stops the list')
    t.match(await admit(seeded), { outcome: 'hit' }, 'who does not ask for it is not told')
    t.match(await admit({ ...seeded, ...looking, lookedAt: id }), { outcome: 'hit', row: { id } }, 'who has looked is given it')
    t.match(await admit({ ...seeded, ...looking, lookedAt: 'another' }), { outcome: 'look', row: { id } })
  })

  t.test('to one whose links are dead no cache name leads: the first caller buys, and the others join that', async t => {
    const { ledger, ended, admit, advance, row, balance } = await createWorld(t, make)
    const { id, version } = await ended(successOf({ learnedName: 'learned' }), seeded)
    await advance(2 * hour)
    await ledger.noteDeadLinks(id)
    t.match(await row(id), { phase: 'succeeded', stored: false, version: version + 1 }, 'who has it in memory hears of it')
    for (const name of ['cache', 'learned', 'reuse']) t.equal(await ledger.lookup(name), null, name)
    const { outcome, row: { id: fresh } } = await admit({ ...seeded, ...looking })
    t.equal(outcome, 'bought')
    t.match(await admit({ ...seeded, ...looking }), { outcome: 'joined', row: { id: fresh } })
    t.match(await admit({ ...seeded, ...looking, tenant: 'agency' }), { outcome: 'joined', row: { purchase: fresh } })
    await ledger.claim({ claimId: 'claim', deadlineMs: 8_000_000_000_000, replica: 'r1', slots: 10 })
    await ledger.finish(fresh, 1, 'fresh', successOf())
    for (const name of ['cache', 'reuse']) t.match(await ledger.lookup(name), { id: fresh, stored: true }, name)
    t.same(await balance(), { held: 0, spent: 2 * price })
  })

  t.test('noting it twice, late or of something else changes nothing', async t => {
    const { ledger, ended, buy, row } = await createWorld(t, make)
    const { id } = await ended(successOf(), seeded)
    await ledger.noteDeadLinks(id)
    const once = await row(id)
    await ledger.noteDeadLinks(id)
    t.same(await row(id), once)
    const failed = await ended(failureOf())
    const waiting = await buy()
    for (const { id } of [failed, waiting]) {
      const before = await row(id)
      await ledger.noteDeadLinks(id)
      t.same(await row(id), before)
    }
    await ledger.noteDeadLinks('01a00000-0000-7000-8000-000000000000')
  })

  t.test('a key does not buy again: it leads to what there is, by its id, too', async t => {
    const { ledger, ended, admit, advance } = await createWorld(t, make)
    const { id, ...reader } = await ended(successOf(), { ...seeded, ...keyed })
    await advance(2 * hour)
    await ledger.noteDeadLinks(id)
    t.match(await admit({ ...seeded, ...keyed, ...looking }), { outcome: 'replayed', row: { id, output: /images/ } })
    t.match(await ledger.read(id, reader), { id, phase: 'succeeded' })
    t.match(await admit({ ...seeded, ...looking, idempotency: { name: 'another', fingerprint: 'print' } }), { outcome: 'bought' })
  })

  t.test('it is forgotten like every other one', async t => {
    const { ledger, ended, admit, advance } = await createWorld(t, make)
    const { id } = await ended(successOf(), seeded)
    await ledger.noteDeadLinks(id)
    t.match(await admit(seeded), { outcome: 'bought' })
    await advance(8 * 24 * hour)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([id]), [])
  })
}
