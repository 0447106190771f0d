// Aliases: joins across tenants or subjects, in which nobody sees anybody.

import type { Test } from 'tap'
import { failureOf, freshId, noTerms, price, successOf } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const agency = { tenant: 'agency', subject: '' }

export async function aliases (t: Test, make: MakeStore): Promise<void> {
  t.test('a joiner of another tenant or subject gets an id of its own, and the buyer pays', async t => {
    const { ledger, buy, admit, balance } = await createWorld(t, make)
    const purchase = await buy({ cacheName: 'cache', connection: { replica: 'r1', connection: 'c1' } })
    for (const reader of [agency, { tenant: 'studio', subject: 'visitor' }]) {
      const id = freshId()
      t.match(await admit({ ...reader, id, cacheName: 'cache' }), { outcome: 'joined', row: { id, purchase: purchase.id, ...reader } })
      t.match(await ledger.read(id, reader), { id, phase: 'waiting' })
    }
    t.same(await balance('agency'), { held: 0, spent: 0 })
    t.same(await balance('*'), { held: price, spent: 0 })
  })

  t.test('no id is readable by two readers, and an alias tells nothing about the buyer', async t => {
    const { ledger, buy, admit } = await createWorld(t, make)
    const purchase = await buy({ cacheName: 'cache', connection: { replica: 'r1', connection: 'c1' } })
    const { row } = await admit({ ...agency, cacheName: 'cache' })
    t.equal(await ledger.read(purchase.id, agency), null)
    t.equal(await ledger.read(row.id, purchase), null)
    t.equal(await ledger.read(row.id, { tenant: 'agency', subject: 'visitor' }), null)
    const { tenant, subject, accounts, token, connection } = row
    t.same({ tenant, subject, accounts, token, connection }, { ...agency, accounts: [], token: null, connection: null })
    t.same(await ledger.getMany([row.id]), [], 'aliases are not known to look')
  })

  t.test('an alias reads through to the end', async t => {
    const { ledger, accepted, admit } = await createWorld(t, make)
    const purchase = await accepted('a', { cacheName: 'cache' })
    const { row } = await admit({ ...agency, cacheName: 'cache' })
    await ledger.finish(purchase.id, 1, 'a', successOf())
    t.match(await ledger.read(row.id, agency), { id: row.id, phase: 'succeeded', output: /images/ })
    t.match((await ledger.list(agency, { limit: 5, cursor: null, status: 'succeeded' })).rows, [{ id: row.id }])
  })

  t.test('a key that joined across tenants is replayed with the alias, and freed when the purchase ends unbilled', async t => {
    const { ledger, accepted, admit } = await createWorld(t, make)
    const purchase = await accepted('a', { cacheName: 'cache' })
    const given = { ...agency, cacheName: 'cache', idempotency: { name: 'key', fingerprint: 'f' } }
    const { row } = await admit(given)
    t.match(await admit(given), { outcome: 'replayed', row: { id: row.id } })
    await ledger.finish(purchase.id, 1, 'a', failureOf(0))
    t.match(await admit(given), { outcome: 'bought' })
  })

  t.test('cancelling an alias only lets go of it', async t => {
    const { ledger, buy, admit, row } = await createWorld(t, make)
    const purchase = await buy({ cacheName: 'cache' })
    const alias = await admit({ ...agency, cacheName: 'cache', idempotency: { name: 'key', fingerprint: 'f' } })
    t.match(await ledger.cancel(alias.row.id, agency), { outcome: 'cancelled', row: { id: alias.row.id } })
    t.equal((await row(purchase.id)).phase, 'waiting')
    t.equal(await ledger.read(alias.row.id, agency), null)
    t.match(await ledger.cancel(alias.row.id, agency), { outcome: 'no-such-generation' })
    t.same((await ledger.list(agency, { limit: 5, cursor: null, status: null })).rows, [])
    t.match(await admit({ ...agency, idempotency: { name: 'key', fingerprint: 'g' } }), { outcome: 'bought' }, 'its key is free')
    t.match(await ledger.cancel(purchase.id, purchase), { outcome: 'others-waiting' }, 'that somebody joined is never cleared')
  })

  t.test('an alias of an ended purchase cannot be cancelled', async t => {
    const { ledger, accepted, admit } = await createWorld(t, make)
    const purchase = await accepted('a', { cacheName: 'cache' })
    const { row } = await admit({ ...agency, cacheName: 'cache' })
    await ledger.finish(purchase.id, 1, 'a', successOf())
    t.match(await ledger.cancel(row.id, agency), { outcome: 'already-finished', row: { id: row.id } })
    t.match(await ledger.read(row.id, agency), { phase: 'succeeded' })
  })

  t.test('an alias lives as long as a generation born with it could', async t => {
    const { ledger, accepted, admit, advance } = await createWorld(t, make, { queueMs: 100, runMs: 200, resultTtlMs: 1000 })
    const purchase = await accepted('a', { cacheName: 'cache' })
    const { row } = await admit({ ...agency, cacheName: 'cache' })
    await advance(1000)
    await ledger.finish(purchase.id, 1, 'a', successOf())
    await advance(299)
    t.match(await ledger.read(row.id, agency), { phase: 'succeeded' })
    await advance(1)
    t.equal(await ledger.read(row.id, agency), null)
    await ledger.sweep('r1', 10)
    t.same(await ledger.list(agency, { limit: 5, cursor: null, status: null }), { rows: [], nextCursor: null })
  })

  t.test('an alias whose purchase is put back is listed again, also when its reader looked meanwhile', async t => {
    const { ledger, accepted, advance, admit } = await createWorld(t, make, { resultTtlMs: 1000 })
    const { id } = await accepted('a', { cacheName: 'cache' })
    const { row } = await admit({ ...agency, cacheName: 'cache' })
    const [known] = await ledger.getMany([id])
    if (known === undefined) throw new Error('it is not there')
    await ledger.finish(id, 1, 'a', successOf())
    await advance(1000)
    await ledger.sweep('r1', 10)
    t.same((await ledger.list(agency, { limit: 5, cursor: null, status: null })).rows, [])
    await ledger.restore('r1', [{ row: known, terms: noTerms, holds: true }])
    t.match(await ledger.list(agency, { limit: 5, cursor: null, status: null }), { rows: [{ id: row.id }], nextCursor: null })
  })

  t.test('a list entry whose purchase is forgotten is not shown', async t => {
    const { ledger, ended, advance, buy, accepted, admit } = await createWorld(t, make, { resultTtlMs: 1000 })
    const purchase = await accepted('a', { cacheName: 'cache' })
    await admit({ ...agency, cacheName: 'cache' })
    await ledger.finish(purchase.id, 1, 'a', successOf())
    await ended()
    await advance(1000)
    await ledger.sweep('r1', 10)
    const { id } = await buy(agency)
    t.match(await ledger.list(agency, { limit: 5, cursor: null, status: null }), { rows: [{ id }], nextCursor: null })
  })

  t.test('a hit gives an id only to a caller that needs one: the reader\'s own, or always the same alias', async t => {
    const { ledger, ended, admit } = await createWorld(t, make)
    const purchase = await ended(successOf(), { cacheName: 'cache' })
    t.match(await admit({ cacheName: 'cache', needsId: true }), { outcome: 'hit', row: { id: purchase.id } })
    t.match(await admit({ ...agency, cacheName: 'cache' }), { outcome: 'hit', row: { id: purchase.id } })
    t.same((await ledger.list(agency, { limit: 5, cursor: null, status: null })).rows, [], 'a caller that needs none gets none')

    const { outcome, row } = await admit({ ...agency, cacheName: 'cache', needsId: true })
    t.match({ outcome, row }, { outcome: 'hit', row: { purchase: purchase.id, ...agency, phase: 'succeeded', output: /images/ } })
    t.not(row.id, purchase.id)
    t.match(await ledger.read(row.id, agency), { id: row.id, output: /images/ })
    t.equal(await ledger.read(row.id, purchase), null)
    t.match(await admit({ ...agency, cacheName: 'cache', needsId: true }), { outcome: 'hit', row: { id: row.id } }, 'a second hit adds nothing')
    t.match((await ledger.list(agency, { limit: 5, cursor: null, status: null })).rows, [{ id: row.id }])
    t.match(await admit({ tenant: 'agency', subject: 'visitor', cacheName: 'cache', needsId: true }), { outcome: 'hit', row: { subject: 'visitor' } })
    t.match(await ledger.cancel(row.id, agency), { outcome: 'already-finished' })
  })
}
