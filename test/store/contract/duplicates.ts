// Reattaching: retries of callers who are gone are free, and two callers who are there get two pictures.

import type { Test } from 'tap'
import type { Connection } from '../../../src/generation/generation.ts'
import { admissionOf, failureOf, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, present, type MakeStore } from './world.ts'

const minute = 60_000

function at (connection: string, replica = 'r1'): { duplicateName: string, connection: Connection } {
  return { duplicateName: 'duplicate', connection: { replica, connection } }
}

export async function duplicates (t: Test, make: MakeStore): Promise<void> {
  t.test('a duplicate whose caller left is reattached at once, and its waiting time given back', async t => {
    const { ledger, buy, admit, row, advance } = await createWorld(t, make)
    const { id, waitUntilMs } = await buy(at('c1'))
    await advance(1000)
    await ledger.left(id, { replica: 'r1', connection: 'c1' })
    t.match(await row(id), { connection: null })
    t.ok((await row(id)).waitUntilMs < waitUntilMs)
    t.match(await admit(at('c2')), { outcome: 'adopted', row: { id, connection: { replica: 'r1', connection: 'c2' }, waitUntilMs, joined: false } })
  })

  t.test('a duplicate whose caller may be there is asked about first; open: two pictures', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const { id } = await buy(at('c1'))
    const given = admissionOf(at('c2', 'r2'))
    t.same(await ledger.admit(given), { outcome: 'duplicates', duplicates: [{ id, replica: 'r1', connection: 'c1' }] })
    t.match(await ledger.admit({ ...given, duplicates: [{ id, replica: 'r1', connection: 'c1', open: true }] }), { outcome: 'bought' })
  })

  t.test('closed: the duplicate is reattached, and the next one does not get it', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const { id } = await buy(at('c1'))
    const closed = { id, replica: 'r1', connection: 'c1', open: false }
    t.match(await ledger.admit(admissionOf({ ...at('c2'), duplicates: [closed] })), { outcome: 'adopted', row: { id } })
    const next = admissionOf({ ...at('c3'), duplicates: [closed] })
    t.match(await ledger.admit(next), { outcome: 'duplicates', duplicates: [{ id, connection: 'c2' }] }, 'its connection has changed since the question')
    t.match(await ledger.admit({ ...next, duplicates: [{ ...closed, connection: 'c2', open: true }] }), { outcome: 'bought' })
  })

  t.test('in the last round a duplicate that was not asked about counts as left', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const { id } = await buy(at('c1'))
    const younger = await buy({ ...at('c9'), duplicates: [{ id, replica: 'r1', connection: 'c1', open: true }] })
    t.match(await ledger.admit(admissionOf({ ...at('c2'), lastRound: true })), { outcome: 'adopted', row: { id } }, 'the oldest of them')
    await ledger.seen(younger.id, null)
    const open = { id, replica: 'r1', connection: 'c2', open: true }
    t.match(await ledger.admit(admissionOf({ ...at('c3'), lastRound: true, duplicates: [open] })), { outcome: 'bought' }, 'one found open does not')
  })

  t.test('an unknown is never delivered: a caller that was told of it and asks again gets it again', async t => {
    const { ledger, buy, go, admit, row } = await createWorld(t, make)
    const { id } = await buy(at('c1'))
    const { attempt } = await go()
    await ledger.recordUnknown(id, attempt, null, traceLost)
    await ledger.seen(id, { replica: 'r1', connection: 'c1' })
    await ledger.seen(id, null)
    t.match(await row(id), { delivered: false })
    t.match(await admit({ ...at('c2'), duplicates: [{ id, replica: 'r1', connection: 'c1', open: false }] }), { outcome: 'adopted', row: { id, phase: 'unknown' } })
  })

  t.test('the asker\'s own connection waits for nothing else', async t => {
    const { buy, admit } = await createWorld(t, make)
    const { id } = await buy(at('c1'))
    t.match(await admit(at('c1')), { outcome: 'adopted', row: { id } })
  })

  t.test('an admission without a connection reattaches too, and the duplicate stays reattachable until its id was delivered', async t => {
    const { ledger, buy, admit } = await createWorld(t, make)
    const { id } = await buy({ duplicateName: 'duplicate' })
    t.match(await admit({ duplicateName: 'duplicate' }), { outcome: 'adopted', row: { id, connection: null } })
    t.match(await admit(at('c1')), { outcome: 'adopted', row: { id } })
    await ledger.seen(id, null)
    t.match(await admit(at('c2')), { outcome: 'bought' })
  })

  t.test('what was delivered is not reattached', async t => {
    const { ledger, buy, admit } = await createWorld(t, make)
    const { id } = await buy(at('c1'))
    await ledger.seen(id, { replica: 'r1', connection: 'c1' })
    t.match(await admit(at('c2')), { outcome: 'bought' })
  })

  t.test('an ended duplicate is reattachable for ten minutes, a billed refusal too, an unbilled failure never', async t => {
    const { ended, admit, advance } = await createWorld(t, make)
    const picture = await ended(successOf(), { duplicateName: 'picture' })
    const refusal = await ended(failureOf(), { duplicateName: 'refusal' })
    await ended(failureOf(0), { duplicateName: 'unbilled' })
    t.match(await admit({ duplicateName: 'unbilled' }), { outcome: 'bought' })
    await advance(10 * minute - 1)
    t.match(await admit({ duplicateName: 'picture' }), { outcome: 'adopted', row: { id: picture.id, phase: 'succeeded' } })
    t.match(await admit({ duplicateName: 'refusal' }), { outcome: 'adopted', row: { id: refusal.id, phase: 'failed' } })
    await advance(1)
    t.match(await admit({ duplicateName: 'picture' }), { outcome: 'bought' })
    t.match(await admit({ duplicateName: 'refusal' }), { outcome: 'bought' })
  })

  t.test('an unknown is reattached for 15 minutes; evidence that it runs makes it reattachable again', async t => {
    const { ledger, accepted, admit, advance } = await createWorld(t, make)
    const { id } = await accepted('a', { duplicateName: 'duplicate' })
    await ledger.recordUnknown(id, 1, 'a', traceLost)
    await advance(15 * minute - 1)
    t.match(await admit({ duplicateName: 'duplicate' }), { outcome: 'adopted', row: { id, phase: 'unknown' } })
    await advance(1)
    const bought = await admit({ ...at('c1'), duplicateName: 'duplicate' })
    t.match(bought, { outcome: 'bought' })
    await ledger.recordProgress(id, 1, 'a', { kind: 'running' })
    t.match(await admit({ duplicateName: 'duplicate' }), { outcome: 'adopted', row: { id, phase: 'running' } })
  })

  t.test('keyed requests, and requests with another body, are nobody\'s duplicates', async t => {
    const { buy, admit } = await createWorld(t, make)
    await buy({ duplicateName: 'duplicate' })
    t.match(await admit({ idempotency: { name: 'key', fingerprint: 'f' } }), { outcome: 'bought' })
    t.match(await admit({ duplicateName: 'another' }), { outcome: 'bought' })
  })

  t.test('the oldest comes first, and one certainly left before those to be asked about', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const open = { open: true, replica: 'r1' }
    const first = await buy(at('c1'))
    const second = await buy({ ...at('c2'), duplicates: [{ ...open, id: first.id, connection: 'c1' }] })
    await ledger.left(second.id, { replica: 'r1', connection: 'c2' })
    t.match(await ledger.admit(admissionOf(at('c3'))), { outcome: 'adopted', row: { id: second.id } })
  })

  t.test('60 live callers get 60 pictures in two admissions each, naming at most 8 duplicates', async t => {
    const { ledger, balance } = await createWorld(t, make)
    let rounds = 0 // of admissions, all callers together
    for (let caller = 0; caller < 60; caller += 1) {
      const given = admissionOf(at(`c${caller}`, `r${caller % 3}`))
      let answer = await ledger.admit(given)
      rounds += 1
      while (answer.outcome === 'duplicates' && rounds < 200) {
        t.ok(answer.duplicates.length <= 8)
        answer = await ledger.admit({ ...given, duplicates: answer.duplicates.map(duplicate => ({ ...duplicate, open: true })) })
        rounds += 1
      }
      t.equal(answer.outcome, 'bought')
    }
    t.equal(rounds, 119)
    t.same(await balance(), { held: 60 * price, spent: 0 })
  })

  t.test('60 callers who are gone leave 60 generations to 60 retries', async t => {
    const { ledger, buy, admit, balance } = await createWorld(t, make)
    const ids = new Set<string>()
    for (let caller = 0; caller < 60; caller += 1) {
      const { id } = await buy({ ...at(`c${caller}`), duplicateName: `duplicate${caller}` })
      await ledger.left(id, { replica: 'r1', connection: `c${caller}` })
      const reattached = await admit({ ...at(`d${caller}`), duplicateName: `duplicate${caller}` })
      t.equal(reattached.outcome, 'adopted')
      ids.add(reattached.row.id)
    }
    t.equal(ids.size, 60)
    t.same(await balance(), { held: 60 * price, spent: 0 })
  })

  t.test('only the connection written there can see or leave', async t => {
    const { ledger, buy, row } = await createWorld(t, make)
    const { id, version } = await buy(at('c1'))
    for (const connection of [{ replica: 'r1', connection: 'c2' }, { replica: 'r2', connection: 'c1' }]) {
      await ledger.seen(id, connection)
      await ledger.left(id, connection)
    }
    t.equal((await row(id)).version, version)
    await ledger.seen(id, { replica: 'r1', connection: 'c1' })
    t.equal((await row(id)).delivered, true)
    await ledger.left(id, { replica: 'r1', connection: 'c1' })
    t.match(await row(id), { connection: { connection: 'c1' }, waitUntilMs: present(await row(id)).createdAtMs + 900_000 }, 'a caller that was answered may leave')
  })

  t.test('a caller that leaves shortens the wait of a keyless generation to 60 s, never of a keyed one or one at fal', async t => {
    const { ledger, buy, go, row, nowMs, advance } = await createWorld(t, make)
    const connection = { replica: 'r1', connection: 'c1' }
    const first = await buy({ connection })
    await go()
    await ledger.left(first.id, connection)
    t.match(await row(first.id), { connection: null, waitUntilMs: first.waitUntilMs })
    const keyless = await buy({ connection })
    const keyed = await buy({ connection, idempotency: { name: 'key', fingerprint: 'f' } })
    await advance(5000)
    await ledger.left(keyless.id, connection)
    await ledger.left(keyed.id, connection)
    t.match(await row(keyless.id), { connection: null, waitUntilMs: nowMs() + 60_000 })
    t.match(await row(keyed.id), { connection: null, waitUntilMs: keyed.waitUntilMs })
    await advance(60_000)
    await ledger.sweep('r1', 10)
    t.match(await row(keyless.id), { phase: 'failed', cost: 0 })
  })

  t.test('a caller that leaves takes no time from a generation that others joined, before or after', async t => {
    const { ledger, buy, go, admit, row, advance } = await createWorld(t, make)
    const connection = { replica: 'r1', connection: 'c1' }
    const before = await buy({ connection, cacheName: 'before' })
    await admit({ cacheName: 'before' })
    const after = await buy({ connection, cacheName: 'after' })
    for (const { id } of [before, after]) await ledger.left(id, connection)
    await advance(59_000)
    await admit({ cacheName: 'after', tenant: 'agency' })
    for (const { id, waitUntilMs } of [before, after]) t.match(await row(id), { connection: null, joined: true, waitUntilMs })
    await advance(60_000)
    await ledger.sweep('r1', 10)
    for (const { id } of [before, after]) t.match(await row(id), { phase: 'waiting' })
    await go()
    await go()
  })

  t.test('the time that leaving took is given back also to what comes back to the queue later', async t => {
    const { ledger, buy, go, admit, row } = await createWorld(t, make)
    const first = await buy({ connection: { replica: 'r1', connection: 'c1' }, cacheName: 'cache' })
    await ledger.left(first.id, { replica: 'r1', connection: 'c1' })
    await go()
    await admit({ cacheName: 'cache' })
    const second = await buy(at('c2'))
    await ledger.left(second.id, { replica: 'r1', connection: 'c2' })
    await go()
    t.match(await admit(at('c3')), { outcome: 'adopted', row: { id: second.id } })
    for (const { id, waitUntilMs } of [first, second]) {
      await ledger.recordNotSent(id, 1, { retryAfterMs: 0 })
      t.match(await row(id), { phase: 'waiting', waitUntilMs })
    }
  })

  t.test('a replica is asked which connections are open; no answer means none', async t => {
    const { ledger } = await createWorld(t, make)
    const stop = ledger.answerOpen('r1', connection => connection === 'c1')
    t.same(await ledger.askOpen('r1', ['c1', 'c2']), new Set(['c1']))
    t.same(await ledger.askOpen('r2', ['c1']), new Set())
    stop()
    t.same(await ledger.askOpen('r1', ['c1']), new Set())
  })
}
