// A generation that its reader has forgotten for good: nothing leads to it, nobody puts it back, and what it cost and its keys stay.

import type { Test } from 'tap'
import type { Published } from '../../../src/generation/changes.ts'
import { admissionOf, failureOf, freshId, noTerms, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const minute = 60_000
const day = 24 * 60 * minute
const studio = { tenant: 'studio', subject: '' }
const agency = { tenant: 'agency', subject: '' }
const named = { cacheName: 'cache', reuseName: 'reuse', seed: '7' } as const
const keyOf = (name: string) => ({ idempotency: { name, fingerprint: 'print' } })
const erased = { outcome: 'erased' }

export async function erasing (t: Test, make: MakeStore): Promise<void> {
  t.test('what was asked, what came of it and its log are gone under every name, and what it cost stays booked', async t => {
    const { ledger, ended, balance, admit } = await createWorld(t, make)
    const { id, requestId } = await ended(successOf({ learnedName: 'learned' }), { ...named, ...keyOf('key') })
    const before = [await balance(), (await ledger.journal(0, 8e12, 10)).map(({ amount }) => amount)]
    t.same(await ledger.erase(id, studio), erased)
    t.equal(await ledger.read(id, studio), null)
    t.same(await ledger.getMany([id]), [])
    t.same(await ledger.logs(id, 0), { from: 0, lines: [] })
    t.same((await ledger.list(studio, { limit: 10, cursor: null, status: null })).rows, [])
    for (const name of ['cache', 'learned', 'reuse']) t.equal(await ledger.lookup(name), null, name)
    t.same([await balance(), (await ledger.journal(0, 8e12, 10)).map(({ amount }) => amount)], before)
    t.match(await admit(named), { outcome: 'bought' })
    t.ok(requestId)
  })

  t.test('a webhook that nobody was told of goes with it, also while one is being sent', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const { id } = await ended(successOf(), { hook: { id: 'hook_1', url: 'https://hooks.example/', form: 'native', base: 'https://gateway.example' } })
    const taken = await ledger.takeHooks(10, [])
    t.equal(taken.length, 1)
    t.same(await ledger.erase(id, studio), erased)
    for (const due of taken) t.equal(await ledger.hookTried(due, { kind: 'again', pauseMs: 1, error: 'http-500' }), false)
    t.same(await ledger.takeHooks(10, []), [])
    t.same(await ledger.hooks({ tenant: null, stuck: false, limit: 10 }), [])
  })

  t.test('its key stays bound for its time and buys nothing, a second wish answers the same, and nobody else is told anything', async t => {
    const { ledger, ended, gone, advance, admit } = await createWorld(t, make)
    const { id, finishedAtMs } = await ended(successOf(), { ...named, ...keyOf('key') })
    t.same(await ledger.erase(id, agency), { outcome: 'no-such-generation' })
    t.same(await ledger.erase(id, { tenant: 'studio', subject: 'visitor' }), { outcome: 'no-such-generation' })
    await ledger.erase(id, studio)
    t.same(await gone({ ...named, ...keyOf('key') }), { id, code: 'generation-deleted', cost: price, finishedAtMs })
    t.same(await ledger.erase(id, studio), erased)
    t.same(await ledger.erase(id, agency), { outcome: 'no-such-generation' })
    t.same(await ledger.erase(freshId(), studio), { outcome: 'no-such-generation' })
    await advance(day + 1)
    t.same(await ledger.erase(id, studio), { outcome: 'no-such-generation' })
    t.match(await admit({ ...named, ...keyOf('key') }), { outcome: 'bought' })
  })

  t.test('an admission that arrives once more after its picture was deleted buys nothing, whatever it got before', async t => {
    const { ledger, go } = await createWorld(t, make)
    const purchase = admissionOf(named)
    const joined = admissionOf({ ...named, ...agency })
    t.match(await ledger.admit(purchase), { outcome: 'bought' })
    t.match(await ledger.admit(joined), { outcome: 'joined' })
    await go()
    await ledger.recordAccepted(purchase.id, 1, 'its')
    await ledger.finish(purchase.id, 1, 'its', successOf())
    const finishedAtMs = (await ledger.read(purchase.id, studio))?.finishedAtMs
    t.same(await ledger.erase(joined.id, agency), erased)
    t.same(await ledger.admit(joined), { outcome: 'gone', end: { id: joined.id, code: 'generation-deleted', cost: 0, finishedAtMs } })
    t.same(await ledger.erase(purchase.id, studio), erased)
    t.same(await ledger.admit(purchase), { outcome: 'gone', end: { id: purchase.id, code: 'generation-deleted', cost: price, finishedAtMs } })
    t.match(await ledger.admitAll([purchase, admissionOf()]), { outcome: 'all', got: [{ outcome: 'gone' }, { outcome: 'refused', why: 'late' }] })
    t.equal((await ledger.gauges()).waiting.size, 0)
  })

  t.test('only what has ended for good: nothing that waits, runs or is unknown, and nothing that may still be found or billed', async t => {
    const { ledger, buy, go, advance, accepted, row } = await createWorld(t, make)
    const waiting = await buy()
    t.same(await ledger.erase(waiting.id, studio), { outcome: 'not-ended', phase: 'waiting' })
    await go()
    t.same(await ledger.erase(waiting.id, studio), { outcome: 'not-ended', phase: 'submitting' })
    await ledger.recordAccepted(waiting.id, 1, 'its')
    t.same(await ledger.erase(waiting.id, studio), { outcome: 'not-ended', phase: 'accepted' })
    await ledger.recordUnknown(waiting.id, 1, 'its', traceLost)
    t.same(await ledger.erase(waiting.id, studio), { outcome: 'not-ended', phase: 'unknown' })
    await advance(10 * minute)
    await ledger.settle(waiting.id, true)
    t.same(await ledger.erase(waiting.id, studio), { outcome: 'not-ended', phase: 'failed' }, 'fal is still asked')
    const doubled = await accepted('one')
    await ledger.recordAccepted(doubled.id, 1, 'two')
    await ledger.finish(doubled.id, 1, 'one', successOf())
    t.same(await ledger.erase(doubled.id, studio), { outcome: 'not-ended', phase: 'succeeded' }, 'its second purchase is still made')
    t.match(await row(doubled.id), { phase: 'succeeded' })
    await ledger.finish(doubled.id, 1, 'two', successOf())
    t.same(await ledger.erase(doubled.id, studio), erased)
  })

  t.test('failures and what was cancelled are deleted in the same way', async t => {
    const { ledger, ended, buy } = await createWorld(t, make)
    for (const { id } of [await ended(failureOf()), await ended(failureOf(0))]) t.same(await ledger.erase(id, studio), erased)
    const { id } = await buy()
    await ledger.cancel(id, studio)
    t.same(await ledger.erase(id, studio), erased)
    t.same((await ledger.list(studio, { limit: 10, cursor: null, status: null })).rows, [])
    t.same(await ledger.failures(10, null), [])
  })

  t.test('no replica that knows it puts it back, and what fal says of it later changes nothing', async t => {
    const { ledger, ended, row, balance } = await createWorld(t, make)
    const { id } = await ended(successOf(), named)
    const known = await row(id)
    await ledger.erase(id, studio)
    const spent = await balance()
    for (const fact of [known, { ...known, version: known.version + 5 }, { ...known, requestId: 'another' }, { ...known, phase: 'running' as const, finishedAtMs: null, cost: null, output: null }]) {
      t.match(await ledger.renew('r1', [{ row: fact, holds: false }]), { rolledBack: [] })
      await ledger.restore('r1', [{ row: fact, terms: { ...noTerms, cacheName: 'cache' }, holds: false }])
    }
    t.equal(await ledger.finish(id, 1, String(known.requestId), successOf({ cost: 2 * price })), null)
    t.equal(await ledger.recordAccepted(id, 1, 'late'), null)
    await ledger.noteDeadLinks(id)
    t.equal(await ledger.keepFiles(id, [], []), null)
    t.same(await ledger.getMany([id]), [])
    t.same(await balance(), spent)
  })

  t.test('who has something of it in memory is told', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const { id, version } = await ended(successOf(), named)
    let hear = (_change: Published): void => {}
    const heard = new Promise<Published>(resolve => { hear = resolve })
    const unlisten = ledger.listen(change => { if (change !== 'look-again' && change.id === id && change.isErased === true) hear(change) })
    await ledger.erase(id, studio)
    t.match(await heard, { id, version: version + 1, isErased: true })
    unlisten()
  })

  t.test('through an alias it lets go of that alone, and the key that is bound to it stays so', async t => {
    const { ledger, ended, admit, gone } = await createWorld(t, make)
    const { id } = await ended(successOf(), named)
    const { row: { id: alias } } = await admit({ ...named, ...agency, ...keyOf('theirs'), needsId: true })
    t.not(alias, id)
    t.same(await ledger.erase(alias, studio), { outcome: 'no-such-generation' })
    t.same(await ledger.erase(alias, agency), erased)
    t.same(await ledger.erase(alias, agency), erased, 'again')
    t.equal(await ledger.read(alias, agency), null)
    t.same((await ledger.list(agency, { limit: 10, cursor: null, status: null })).rows, [])
    t.match(await gone({ ...named, ...agency, ...keyOf('theirs') }), { id: alias, code: 'generation-deleted', cost: 0 })
    t.match(await ledger.read(id, studio), { id, phase: 'succeeded' })
    t.match(await admit(named), { outcome: 'hit', row: { id } })
  })

  t.test('what its buyer deletes is gone for those who joined or hit it, too', async t => {
    const { ledger, ended, admit, gone } = await createWorld(t, make)
    const { id } = await ended(successOf(), named)
    const { row: { id: alias } } = await admit({ ...named, ...agency, ...keyOf('theirs') })
    await ledger.erase(id, studio)
    t.equal(await ledger.read(alias, agency), null)
    t.match(await gone({ ...named, ...agency, ...keyOf('theirs') }), { id: alias, code: 'generation-deleted', cost: 0 })
  })

  t.test('a large output goes from where it lies aside', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const { id } = await ended(successOf({ output: JSON.stringify({ images: [{ url: 'data:,' + 'x'.repeat(300_000) }] }) }))
    t.ok((await ledger.gauges()).asideBytes > 300_000)
    await ledger.erase(id, studio)
    t.equal((await ledger.gauges()).asideBytes, 0)
    t.equal(await ledger.aside(id), null)
  })

  t.test('its files are referred to no more', async t => {
    const { ledger, ended } = await createWorld(t, make)
    await ledger.expectFile('a.png', 10, null)
    const { id } = await ended(successOf({ media: [{ at: 19, bytes: 10, file: 'a.png' }] }))
    t.match(await ledger.keptFiles(null), { files: [{ name: 'a.png', references: 1 }] })
    await ledger.erase(id, studio)
    t.match(await ledger.keptFiles(null), { files: [{ name: 'a.png', references: 0 }] })
    t.match(await ledger.admit(admissionOf()), { outcome: 'bought' })
  })
}
