// Twins: equal requests of a tenant that wants one picture for them, and callers that say that they repeat a call.

import type { Test } from 'tap'
import type { Admission } from '../../../src/generation/admission.ts'
import { admissionOf, failureOf, never, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, present, type MakeStore } from './world.ts'

const minute = 60_000

/** A request at this connection that joins its twins. */
function twin (connection: string | null, given: Partial<Admission> = {}): Partial<Admission> {
  return { duplicateName: 'duplicate', joinsTwins: true, twinMs: minute, connection: connection === null ? null : { replica: 'r1', connection }, ...given }
}

/** The same of a tenant whose requests are each their own. */
function single (connection: string, given: Partial<Admission> = {}): Partial<Admission> {
  return twin(connection, { joinsTwins: false, ...given })
}

export async function twins (t: Test, make: MakeStore): Promise<void> {
  t.test('a twin of what is under way joins it, whether or not the first caller is there, and nobody is asked', async t => {
    const { ledger, buy, go, admit, row, balance } = await createWorld(t, make)
    const { id } = await buy(twin('c1', { startWithinMs: minute }))
    const before = await balance()
    t.match(await admit(twin('c2')), { outcome: 'joined', row: { id, phase: 'waiting', joined: true, connection: { replica: 'r1', connection: 'c2' }, startUntilMs: null } })
    await go()
    t.match(await admit(twin('c3')), { outcome: 'joined', row: { id, phase: 'submitting' } })
    t.same(await balance(), before, 'it costs nothing')
    t.match(await ledger.cancel(id, { tenant: 'studio', subject: '' }), { outcome: 'others-waiting' })
    await ledger.seen(id, { replica: 'r1', connection: 'c1' })
    t.match(await row(id), { delivered: false }, 'delivered when the last of them has it')
    await ledger.seen(id, { replica: 'r1', connection: 'c3' })
    t.match(await row(id), { delivered: true })
  })

  t.test('one whose caller certainly left is reattached, and can still be cancelled', async t => {
    const { ledger, buy, admit } = await createWorld(t, make)
    const { id } = await buy(twin('c1'))
    await ledger.left(id, { replica: 'r1', connection: 'c1' })
    t.match(await admit(twin('c2')), { outcome: 'adopted', row: { id, joined: false } })
    t.match(await ledger.cancel(id, { tenant: 'studio', subject: '' }), { outcome: 'cancelled' })
  })

  t.test('what was delivered is a twin while it is under way, and for as long after its end as it is asked for', async t => {
    const { ledger, ended, buy, go, admit, advance } = await createWorld(t, make)
    const { id } = await ended(successOf(), twin('c1'))
    await ledger.seen(id, { replica: 'r1', connection: 'c1' })
    await advance(minute - 1)
    t.match(await admit(twin('c2')), { outcome: 'joined', row: { id, phase: 'succeeded', delivered: true, connection: { replica: 'r1', connection: 'c1' } } })
    t.match(await admit(twin('c2', { twinMs: minute - 1 })), { outcome: 'bought' }, 'and no longer')
    const asked = await buy(twin(null, { duplicateName: 'asked for its id' }))
    await ledger.seen(asked.id, null)
    await go()
    t.match(await admit(twin('c3', { duplicateName: 'asked for its id' })), { outcome: 'joined', row: { id: asked.id, delivered: true, joined: true } })
  })

  t.test('a billed refusal is a twin as a picture is, an end that cost nothing never, an unknown for 15 minutes', async t => {
    const { ledger, ended, accepted, admit, advance } = await createWorld(t, make)
    const refusal = await ended(failureOf(), twin('c1', { duplicateName: 'refusal' }))
    await ledger.seen(refusal.id, null)
    const unbilled = await ended(failureOf(0), twin('c1', { duplicateName: 'unbilled' }))
    await ledger.seen(unbilled.id, null)
    const unknown = await accepted('a', twin('c1', { duplicateName: 'unknown' }))
    await ledger.recordUnknown(unknown.id, 1, 'a', traceLost)
    t.match(await admit(twin('c2', { duplicateName: 'refusal' })), { outcome: 'joined', row: { id: refusal.id } })
    t.match(await admit(twin('c2', { duplicateName: 'unbilled' })), { outcome: 'bought' })
    await advance(15 * minute - 1)
    t.match(await admit(twin('c2', { duplicateName: 'unknown' })), { outcome: 'joined', row: { id: unknown.id } })
    await advance(1)
    t.match(await admit(twin('c2', { duplicateName: 'unknown' })), { outcome: 'bought' })
    t.match(await admit(twin('c3', { duplicateName: 'refusal' })), { outcome: 'bought' })
  })

  t.test('an undelivered end that is no twin any more is reattached by the rules of every duplicate', async t => {
    const { ledger, ended, advance } = await createWorld(t, make)
    const { id } = await ended(successOf(), twin('c1'))
    await advance(minute)
    const given = admissionOf(twin('c2'))
    const asked = { id, replica: 'r1', connection: 'c1' }
    t.same(await ledger.admit(given), { outcome: 'duplicates', duplicates: [asked] })
    t.match(await ledger.admit({ ...given, duplicates: [{ ...asked, open: false }] }), { outcome: 'adopted', row: { id } })
  })

  t.test('what is called off is nobody\'s twin', async t => {
    const { ledger, buy, go, admit } = await createWorld(t, make)
    const { id } = await buy(twin('c1'))
    await go()
    await ledger.cancel(id, { tenant: 'studio', subject: '' })
    t.match(await admit(twin('c2')), { outcome: 'bought' })
  })

  t.test('another reader, another body and a key are no twins', async t => {
    const { buy, admit } = await createWorld(t, make)
    await buy(twin('c1'))
    t.match(await admit(twin('c2', { duplicateName: 'another' })), { outcome: 'bought' })
    t.match(await admit({ idempotency: { name: 'key', fingerprint: 'f' } }), { outcome: 'bought' })
  })

  t.test('a tenant that turns twins off buys, also what was delivered as a twin', async t => {
    const { ledger, buy, admit } = await createWorld(t, make)
    const { id } = await buy(twin('c1'))
    await ledger.seen(id, null)
    t.match(await admit(single('c2')), { outcome: 'bought' })
  })

  t.test('the same admission twice joins once, and gets the same answer', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const { id } = await buy(twin('c1'))
    const given = admissionOf(twin('c2'))
    t.match(await ledger.admit(given), { outcome: 'joined', row: { id } })
    t.match(await ledger.admit(given), { outcome: 'joined', row: { id } })
  })

  t.test('a caller that repeats its call is given the oldest whose caller did not repeat as often, when all are there', async t => {
    const { ledger, buy, admit } = await createWorld(t, make)
    const first = await buy(single('c1'))
    const firstOpen = { id: first.id, replica: 'r1', connection: 'c1', open: true }
    const second = await buy(single('c2', { duplicates: [firstOpen] }))
    const secondOpen = { id: second.id, replica: 'r1', connection: 'c2', open: true }
    const retry = admissionOf(single('c3', { callerRetry: 1 }))
    t.match(await ledger.admit(retry), { outcome: 'duplicates' }, 'one that is certainly gone comes first, so they are asked about')
    t.match(await ledger.admit({ ...retry, duplicates: [firstOpen, secondOpen] }), { outcome: 'adopted', row: { id: first.id, connection: { connection: 'c3' }, callerRetry: 1 } })
    const taken = { ...firstOpen, connection: 'c3' }
    t.match(await admit(single('c4', { callerRetry: 1, duplicates: [taken, secondOpen] })), { outcome: 'adopted', row: { id: second.id } }, 'each takes another one')
    const both = [taken, { ...secondOpen, connection: 'c4' }]
    t.match(await admit(single('c5', { callerRetry: 1, duplicates: both })), { outcome: 'bought' }, 'none is left that was repeated less often')
    t.match(await admit(single('c6', { callerRetry: 2, duplicates: both, lastRound: true })), { outcome: 'adopted' })
  })

  t.test('a caller that repeats its call takes the one that is certainly gone before one that is there', async t => {
    const { buy, admit } = await createWorld(t, make)
    const first = await buy(single('c1'))
    const open = { id: first.id, replica: 'r1', connection: 'c1', open: true }
    const second = await buy(single('c2', { duplicates: [open] }))
    const duplicates = [open, { id: second.id, replica: 'r1', connection: 'c2', open: false }]
    t.match(await admit(single('c3', { callerRetry: 1, duplicates })), { outcome: 'adopted', row: { id: second.id } })
  })

  t.test('a preview foresees what is joined, and changes nothing', async t => {
    const { ledger, buy, row } = await createWorld(t, make)
    const { id } = await buy(twin('c1'))
    const { would } = await ledger.preview(admissionOf(twin('c2')))
    t.match(would, { outcome: 'joined', row: { id } })
    t.match(present(await row(id)), { connection: { connection: 'c1' }, joined: false, version: 1 })
  })

  t.test('a twin that comes back from a rollback is one still, when it was delivered', async t => {
    const before = await createWorld(t, make)
    await before.buy(twin('c1'))
    const claimed = await before.ledger.claim({ claimId: 'before', deadlineMs: never, replica: 'r1', slots: 10 })
    if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
    const { row: { id }, terms } = claimed
    await before.ledger.recordAccepted(id, 1, 'lost')
    await before.ledger.seen(id, null)
    const { ledger, admit } = await createWorld(t, make)
    t.same(await ledger.restore('r1', [{ row: await before.row(id), terms, holds: true }]), { contested: 0 })
    t.match(await admit(twin('c2')), { outcome: 'joined', row: { id, delivered: true } })
  })
}
