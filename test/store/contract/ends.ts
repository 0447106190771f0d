// What is left of a generation that has ended, and for how long: what cost nothing can be made for nothing, so it is small and short-lived.

import type { Test } from 'tap'
import { failureOf, noTerms, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const studio = { tenant: 'studio', subject: '' }
const hour = 3_600_000
const minute = 60_000

function inputOf (bytes: number): string {
  return JSON.stringify({ prompt: 'ü'.repeat((bytes - 13) / 2) })
}

export async function ends (t: Test, make: MakeStore): Promise<void> {
  t.test('where addresses stand in an output is told with it, whichever way leads to it', async t => {
    const { ledger, ended, accepted, admit, row } = await createWorld(t, make)
    const bases = { bytes: 21, at: [18, 90] }
    const { id } = await ended(successOf({ bases }), { cacheName: 'named', cacheGroup: 'acme' })
    t.same((await row(id)).bases, bases)
    t.same((await ledger.read(id, studio))?.bases, bases)
    t.same((await ledger.lookup('named'))?.bases, bases)
    t.match((await ledger.list(studio, { limit: 10, cursor: null, status: null })).rows, [{ id, bases }])
    const alias = (await admit({ tenant: 'press', cacheName: 'named', cacheGroup: 'acme', needsId: true })).row
    t.not(alias.id, id)
    t.same(alias.bases, bases)
    t.match((await ledger.list({ tenant: 'press', subject: '' }, { limit: 10, cursor: null, status: null })).rows, [{ id: alias.id, bases }])

    const long = await ended(successOf({ bases, output: JSON.stringify({ images: [{ url: 'x'.repeat(300_000) }] }) }))
    t.match(await row(long.id), { output: null, bases })
    const lost = await accepted('lost')
    await ledger.recordUnknown(lost.id, 1, 'lost', traceLost)
    await ledger.finish(lost.id, 1, 'lost', successOf({ bases }))
    t.match(await row(lost.id), { phase: 'succeeded', bases }, 'of a picture that is found later')
    for (const ending of [successOf(), failureOf(), { kind: 'cancelled' as const, cost: 0 }]) t.equal((await ended(ending)).bases, null)
  })

  t.test('an end that cost nothing is kept for an hour, whatever else for as long as results are', async t => {
    const { ledger, buy, accepted, ended, go, advance } = await createWorld(t, make)
    const cancelled = await buy()
    await ledger.cancel(cancelled.id, studio)
    const refused = await buy()
    await go()
    await ledger.recordNotSent(refused.id, 1, { failure: { code: 'invalid-input', detail: 'No.' } })
    const free = await ended(failureOf(0))
    const billed = await ended(failureOf())
    const gift = await ended(successOf({ cost: 0 }))
    const lost = await accepted('lost')
    await ledger.recordUnknown(lost.id, 1, 'lost', traceLost)
    await advance(hour - 1)
    await ledger.sweep('r1', 10)
    t.equal((await ledger.getMany([cancelled.id, refused.id, free.id])).length, 3)
    await advance(1)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([cancelled.id, refused.id, free.id]), [])
    t.same((await ledger.getMany([billed.id, gift.id, lost.id])).map(row => row.id), [billed.id, gift.id, lost.id])
    t.same((await ledger.list(studio, { limit: 10, cursor: null, status: null })).rows.map(row => row.id), [lost.id, gift.id, billed.id])
  })

  t.test('where results are kept for less than an hour, it is kept no longer', async t => {
    const { ledger, ended, advance } = await createWorld(t, make, { resultTtlMs: 1000 })
    const { id } = await ended(failureOf(0))
    await advance(1000)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([id]), [])
  })

  t.test('one that turns out to be billed is kept like every other', async t => {
    const { ledger, ended, advance } = await createWorld(t, make)
    const { id, requestId } = await ended(failureOf(0))
    await advance(hour - 1)
    await ledger.finish(id, 1, requestId ?? '', failureOf())
    await advance(minute)
    await ledger.sweep('r1', 10)
    t.match(await ledger.getMany([id]), [{ id, cost: 60_000 }])
  })

  t.test('a replica that still remembers one that is forgotten is not told of a rollback', async t => {
    const { ledger, ended, advance } = await createWorld(t, make)
    const row = await ended(failureOf(0))
    const paid = await ended(failureOf())
    await advance(hour)
    await ledger.sweep('r1', 10)
    t.same(await ledger.renew('r1', [{ row, holds: false }, { row: paid, holds: false }]), { gone: [], rolledBack: [] })
    await ledger.restore('r1', [{ row, terms: noTerms, holds: false }])
    t.same(await ledger.getMany([row.id]), [])
  })

  t.test('a replica that remembers it as it was before its end is told that it is gone, for two minutes; one that knows more of it tells of a rollback', async t => {
    const { ledger, buy, advance } = await createWorld(t, make)
    const row = await buy()
    await ledger.cancel(row.id, row)
    await advance(hour)
    await ledger.sweep('r1', 10)
    t.same(await ledger.renew('r1', [{ row, holds: false }]), { gone: [], rolledBack: [] })
    t.same(await ledger.renew('r1', [{ row, holds: true }]), { gone: [row.id], rolledBack: [] })
    for (const more of [{ version: 3 }, { requestId: 'a' }]) t.match(await ledger.renew('r1', [{ row: { ...row, ...more }, holds: true }]), { rolledBack: [row.id] })
    await advance(2 * minute - 1)
    t.match(await ledger.renew('r1', [{ row, holds: false }]), { rolledBack: [] })
    await advance(1)
    t.match(await ledger.renew('r1', [{ row, holds: false }]), { rolledBack: [row.id] })
  })

  t.test('a long input leaves the row at its end, earlier when nothing was spent; its hash stays', async t => {
    const { ledger, buy, ended, accepted } = await createWorld(t, make)
    const given = (bytes: number) => ({ input: inputOf(bytes), inputSha256: 'hash' })
    t.equal(Buffer.byteLength(given(1025).input), 1025)
    const short = await buy(given(1023))
    const long = await buy(given(1025))
    t.match(long, given(1025), 'it is there while the generation is under way')
    for (const { id } of [short, long]) await ledger.cancel(id, studio)
    t.match(await ledger.getMany([short.id, long.id]), [given(1023), { input: null, inputSha256: 'hash' }])
    const kept = await ended(successOf(), given(32_767))
    const shed = await ended(successOf(), given(32_769))
    const open = await accepted('open', given(32_769))
    t.match(await ledger.getMany([kept.id, shed.id, open.id]), [given(32_767), { input: null, inputSha256: 'hash' }, given(32_769)])
    t.match(await ledger.read(shed.id, studio), { input: null, output: String })
    await ledger.recordUnknown(open.id, 1, 'open', traceLost)
    t.match(await ledger.getMany([open.id]), [given(32_769)], 'what is unknown may still be made')
    const { rows } = await ledger.list(studio, { limit: 10, cursor: null, status: null })
    t.match(rows.map(({ input, inputSha256 }) => [input?.length ?? null, inputSha256]), [[Number, 'hash'], [null, 'hash'], [Number, 'hash'], [null, 'hash'], [Number, 'hash']])
  })

  t.test('a row that is put back is as short as it was', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const { id } = await buy({ input: inputOf(2049) })
    const cancelled = await ledger.cancel(id, studio)
    if (!('row' in cancelled)) throw new Error('it was not cancelled')
    const other = { ...cancelled.row, id: id.replace(/.$/, 'x'), input: inputOf(2049) }
    await ledger.restore('r1', [{ row: other, terms: noTerms, holds: false }])
    t.match(await ledger.getMany([other.id]), [{ phase: 'cancelled', input: null }])
  })
}
