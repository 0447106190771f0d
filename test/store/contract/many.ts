// Many at once: what is asked for or told of hundreds is answered for all of them, in pieces that a store may cut as it likes.

import type { Test } from 'tap'
import type { Admission, Admitted, DuplicateAnswer } from '../../../src/generation/admission.ts'
import { admissionOf, freshId, never, noTerms, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const studio = { tenant: 'studio', subject: '' }
const minute = 60_000

export async function many (t: Test, make: MakeStore): Promise<void> {
  t.test('hundreds of rows are looked at, glanced at and renewed in one call', async t => {
    const { unaudited: ledger } = await createWorld(t, make)
    const admitted = await Promise.all(Array.from({ length: 250 }, async () => await ledger.admit(admissionOf())))
    const ids = admitted.flatMap(answer => 'row' in answer ? [answer.row.id] : [])
    t.same((await ledger.getMany(ids)).map(row => row.id), ids)
    t.same((await ledger.getStatuses(ids)).map(row => row.id), ids)
    const facts = (await ledger.getMany(ids)).map(row => ({ row: { ...row, version: row.version + 1 }, terms: noTerms, holds: true }))
    t.same((await ledger.renew('r1', facts)).rolledBack, ids)
    await ledger.restore('r1', facts)
    t.same((await ledger.renew('r1', facts)), { gone: ids, rolledBack: [] })
  })

  t.test('rows with long outputs are looked at together', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const output = JSON.stringify({ text: 'x'.repeat(250_000) })
    const ids: string[] = []
    for (let count = 0; count < 12; count += 1) ids.push((await ended(successOf({ output }))).id)
    const rows = await ledger.getMany(ids)
    t.same(rows.map(row => row.id), ids)
    t.ok(rows.every(row => row.output === output))
    await ledger.restore('r1', rows.map(row => ({ row, terms: noTerms, holds: false })))
  })

  t.test('hundreds that are due are looked after in one sweep, and hundreds of events are taken', async t => {
    const { unaudited: ledger, advance, audit } = await createWorld(t, make, { queueMs: minute })
    await Promise.all(Array.from({ length: 130 }, async () => await ledger.admit(admissionOf())))
    await advance(minute)
    await ledger.sweep('r1', 120)
    t.equal((await ledger.list(studio, { limit: 100, cursor: null, status: 'queued' })).rows.length, 10)
    await ledger.sweep('r1', 1000)
    t.equal((await ledger.takeOutbox(110)).length, 110)
    const events = await ledger.takeOutbox(1000)
    t.equal(events.length, 20)
    t.notOk(events.some(each => 'row' in each && 'input' in each.row), 'without what may be long')
    t.same(await ledger.takeOutbox(1000), [])
    await advance(60 * minute)
    await ledger.sweep('r1', 1000)
    t.same((await ledger.list(studio, { limit: 100, cursor: null, status: null })).rows, [])
    t.same(await audit(), [])
  })

  t.test('hundreds of unknowns and of lines in the journal are told in order', async t => {
    const { unaudited: ledger, advance, audit, nowMs } = await createWorld(t, make)
    const lost: string[] = []
    for (let count = 0; count < 230; count += 1) {
      const id = freshId()
      await ledger.admit(admissionOf({ id }))
      await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1000 })
      await ledger.recordUnknown(id, 1, null, traceLost)
      // Several become unknown in one moment.
      if (count % 50 === 0) await advance(1)
      lost.push(id)
    }
    t.same((await ledger.unknowns(1000)).map(row => row.id), lost)
    t.same((await ledger.unknowns(205)).map(row => row.id), lost.slice(0, 205))
    t.same((await ledger.journal(0, nowMs() + 1, 1000)).map(line => line.id), lost)
    const first = await ledger.journal(0, nowMs() + 1, 205)
    t.equal(first.length, 205)
    t.same((await ledger.journal(0, nowMs() + 1, 205, first.at(-1)?.cursor)).map(line => line.id), lost.slice(205))
    const { unknownOpen } = await ledger.gauges()
    t.equal(unknownOpen, 230)
    t.match(await ledger.balances(Array.from({ length: 250 }, () => ({ owner: 'studio', per: 'month' }))), Array.from({ length: 250 }, () => ({ held: 230 * price })))
    t.same(await audit(), [])
  })

  t.test('gauges tell of all tenants that wait, and of no other', async t => {
    const { unaudited: ledger, audit } = await createWorld(t, make)
    const tenants = Array.from({ length: 450 }, (_, n) => `tenant${n}`)
    const admitted = await Promise.all(tenants.map(async tenant => await ledger.admit(admissionOf({ tenant }))))
    t.same((await ledger.gauges()).waiting, new Map(tenants.map(tenant => [tenant, 1])))
    for (const answer of admitted.slice(0, 449)) if ('row' in answer) await ledger.cancel(answer.row.id, answer.row)
    t.same((await ledger.gauges()).waiting, new Map([['tenant449', 1]]))
    t.same(await audit(), [])
  })

  t.test('a duplicate behind hundreds that nobody can reattach any more is found, with a few questions more', async t => {
    const { unaudited: ledger, advance, audit } = await createWorld(t, make)
    const ask = async (given: Partial<Admission>): Promise<{ readonly answer: Admitted, readonly rounds: number }> => {
      const admission = admissionOf({ duplicateName: 'duplicate', connection: { replica: 'r1', connection: freshId() }, ...given })
      for (let rounds = 1; ; rounds += 1) {
        const answer = await ledger.admit(admission)
        if (answer.outcome !== 'duplicates' || answer.duplicates.length > 0) return { answer, rounds }
      }
    }
    const duplicates: DuplicateAnswer[] = []
    for (let count = 0; count < 200; count += 1) {
      const id = freshId()
      const connection = { replica: 'r1', connection: id }
      t.match(await ask({ id, connection, duplicates: duplicates.slice(0, 8) }), { answer: { outcome: 'bought' } })
      duplicates.push({ id, ...connection, open: true })
    }
    for (const { id } of duplicates) {
      await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1000 })
      await ledger.recordUnknown(id, 1, null, traceLost)
    }
    const live = freshId()
    await ledger.admit(admissionOf({ id: live, duplicateName: 'duplicate', duplicates, connection: null, lastRound: true }))
    await advance(16 * minute)
    const { answer, rounds } = await ask({})
    t.match(answer, { outcome: 'adopted', row: { id: live } })
    t.ok(rounds > 1 && rounds <= 4, `${rounds} rounds`)
    t.same(await audit(), [])
  })

  t.test('a duplicate that was passed over while its outcome was unknown is one again when it is heard of', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    const given = { duplicateName: 'duplicate', connection: { replica: 'r1', connection: 'gone' } }
    const { id } = await accepted('a', given)
    await ledger.recordUnknown(id, 1, 'a', traceLost)
    await advance(16 * minute)
    const second = await ledger.admit(admissionOf({ ...given, connection: { replica: 'r1', connection: 'second' } }))
    t.match(second, { outcome: 'bought' }, 'an old unknown is not reattached')
    await ledger.recordProgress(id, 1, 'a', { kind: 'running' })
    t.match(await ledger.admit(admissionOf({ ...given, connection: { replica: 'r1', connection: 'third' } })), { outcome: 'duplicates', duplicates: [{ id }, {}] })
  })
}
