// Admission of a list: all or nothing in one step, each with its own answer, and limits exact over the whole of it.

import type { Test } from 'tap'
import type { Admission, AdmittedAll, Budget } from '../../../src/generation/admission.ts'
import type { Generation } from '../../../src/generation/generation.ts'
import { idempotencyName, duplicateName } from '../../../src/generation/key.ts'
import type { Ledger } from '../../../src/generation/ledger.ts'
import { imagen4Ultra } from '../../../src/models/imagen4-ultra.ts'
import { admissionOf, failureOf, price, successOf, tokenOf } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

interface Answer { readonly outcome: string, readonly row?: Generation }

function listOf (count: number, given: Partial<Admission> = {}): Admission[] {
  return Array.from({ length: count }, () => admissionOf(given))
}

/** What each of a list got; fails when it was refused as a whole. */
function each (answer: AdmittedAll): Answer[] {
  if (answer.outcome !== 'all') throw new Error(`The list was not admitted: ${JSON.stringify(answer)}`)
  return [...answer.got]
}

async function outcomes (ledger: Ledger, list: readonly Admission[]): Promise<string[]> {
  return each(await ledger.admitAll(list)).map(({ outcome }) => outcome)
}

async function listed (ledger: Ledger): Promise<string[]> {
  return (await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: null })).rows.map(({ id }) => id)
}

export async function lists (t: Test, make: MakeStore): Promise<void> {
  t.test('a list is bought in one step, in its order, each with its own row, input and place in rate and queue', async t => {
    const { ledger, balance, go } = await createWorld(t, make)
    const list = [admissionOf({ input: '{"prompt":"Zürich 🚲"}' }), admissionOf({ input: '' }), admissionOf({ input: '{"prompt":"\n"}' })]
    const answer = await ledger.admitAll(list)
    t.match(answer, { outcome: 'all', got: [{ outcome: 'bought', rate: { used: 1 } }, { outcome: 'bought', rate: { used: 2 } }, { outcome: 'bought', rate: { used: 3 } }] })
    t.same(each(answer).map(({ row }) => [row?.id, row?.input]), list.map(({ id, input }) => [id, input]))
    t.same(await balance(), { held: 3 * price, spent: 0 })
    t.same(await listed(ledger), list.map(({ id }) => id).reverse())
    t.same([(await go()).id, (await go()).id, (await go()).id], list.map(({ id }) => id))
  })

  t.test('a list has 1 to 10 requests, no two of them with the same id, idempotency name or duplicate name', async t => {
    const { ledger, balance } = await createWorld(t, make)
    for (const list of [[], listOf(11), listOf(2, { id: 'one' }), listOf(2, { duplicateName: 'duplicate' }), listOf(2, { idempotency: { name: 'key', fingerprint: 'f' } })]) {
      await t.rejects(ledger.admitAll(list), RangeError)
    }
    t.same(await balance(), { held: 0, spent: 0 })
    t.equal((await outcomes(ledger, listOf(10))).length, 10)
  })

  t.test('a list that would go over the rate by one is refused as a whole, without a trace', async t => {
    const { ledger, buy, balance } = await createWorld(t, make)
    await buy()
    const list = listOf(3, { rate: { max: 3, windowSeconds: 60 } }).map((admission, place) => ({ ...admission, cacheName: `cache${place}`, idempotency: { name: `key${place}`, fingerprint: 'f' } }))
    t.match(await ledger.admitAll(list), { outcome: 'refused', why: 'rate', rate: { max: 3, used: 1 } })
    t.same(await balance(), { held: price, spent: 0 })
    t.equal((await listed(ledger)).length, 1)
    t.same(await outcomes(ledger, list.slice(0, 2)), ['bought', 'bought'], 'its names are free')
  })

  t.test('a list that would go over maxInFlight + maxQueued by one is refused as a whole', async t => {
    const { ledger, buy } = await createWorld(t, make)
    await buy()
    t.match(await ledger.admitAll(listOf(3, { maxInFlight: 2, maxQueued: 1 })), { outcome: 'refused', why: 'full' })
    t.same(await outcomes(ledger, listOf(2, { maxInFlight: 2, maxQueued: 1 })), ['bought', 'bought'])
    t.match(await ledger.admitAll(listOf(1, { maxInFlight: 2, maxQueued: 1 })), { outcome: 'refused', why: 'full' })
  })

  t.test('a list is reserved within every budget or not at all, to the micro-dollar of its sum', async t => {
    const { ledger, accepted, balance } = await createWorld(t, make)
    const { id } = await accepted('a')
    await ledger.finish(id, 1, 'a', successOf({ cost: 1 }))
    const within = (limit: number): Admission[] => {
      const budgets: Budget[] = [{ owner: 'studio', limit: 1e9, per: 'month' }, { owner: '*', limit, per: 'month' }]
      return [admissionOf({ budgets }), admissionOf({ budgets, price: 3 * price })]
    }
    t.match(await ledger.admitAll(within(4 * price)), { outcome: 'refused', why: 'budget', owner: '*' })
    t.same(await balance(), { held: 0, spent: 1 })
    t.same(await outcomes(ledger, within(4 * price + 1)), ['bought', 'bought'])
    t.same(await balance('*'), { held: 4 * price, spent: 1 })
  })

  t.test('a list draws on its token as a whole: its files and its money', async t => {
    const { ledger } = await createWorld(t, make)
    await ledger.mint(tokenOf({ subject: '', picturesLeft: 5, moneyLeft: 2 * price }))
    t.match(await ledger.admitAll(listOf(2, { token: 'tok1', files: 3 })), { outcome: 'refused', why: 'token', token: 'exhausted' })
    t.match(await ledger.admitAll(listOf(3, { token: 'tok1' })), { outcome: 'refused', why: 'token', token: 'exhausted' })
    t.match(await ledger.token('tok1'), { picturesLeft: 5, moneyLeft: 2 * price })
    t.same(await outcomes(ledger, listOf(2, { token: 'tok1', files: 2 })), ['bought', 'bought'])
    t.match(await ledger.token('tok1'), { picturesLeft: 1, moneyLeft: 0 })
  })

  t.test('while a breaker is not ok only one goes through, so no list of two purchases does', async t => {
    const { ledger, advance } = await createWorld(t, make)
    await ledger.breaker('*', { state: 'open', retryAfterMs: 1000 })
    await advance(1000)
    t.match(await ledger.admitAll(listOf(2)), { outcome: 'refused', why: 'breaker', breaker: 'open' })
    t.same(await outcomes(ledger, listOf(1)), ['bought'])
  })

  t.test('each of a list has its own answer, and only what is bought counts', async t => {
    const { ledger, ended, buy, balance } = await createWorld(t, make)
    const key = { name: 'key', fingerprint: 'f' }
    const [replayed, hit, joined, reattached] = [await ended(successOf(), { idempotency: key }), await ended(successOf(), { cacheName: 'stored' }), await buy({ cacheName: 'running' }), await buy({ duplicateName: 'duplicate' })]
    const tight = { rate: { max: 5, windowSeconds: 60 }, maxInFlight: 3, maxQueued: 0, budgets: [{ owner: 'studio', limit: 5 * price, per: 'month' as const }] }
    const list = [{ idempotency: key }, { cacheName: 'stored' }, { cacheName: 'running' }, { duplicateName: 'duplicate' }, {}].map(given => admissionOf({ ...tight, ...given }))
    t.match(await ledger.admitAll(list), {
      outcome: 'all',
      got: [
        { outcome: 'replayed', row: { id: replayed.id } }, { outcome: 'hit', row: { id: hit.id } }, { outcome: 'joined', row: { id: joined.id, joined: true } },
        { outcome: 'adopted', row: { id: reattached.id } }, { outcome: 'bought', row: { id: list[4]?.id }, rate: { used: 5 } }
      ]
    })
    t.same(await balance(), { held: 3 * price, spent: 2 * price })
  })

  t.test('what is free is given when buying would be refused, and refused with the list that has to buy', async t => {
    const { ledger, buy, row } = await createWorld(t, make)
    const joined = await buy({ cacheName: 'running' })
    await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 1000 })
    t.match(await ledger.admitAll([admissionOf({ cacheName: 'running' }), admissionOf()]), { outcome: 'refused', why: 'breaker' })
    t.match(await row(joined.id), { joined: false, version: 1 })
    t.same(await outcomes(ledger, listOf(2, { cacheName: 'running' })), ['joined', 'joined'])
    t.match(await row(joined.id), { joined: true, version: 2 })
  })

  t.test('two of a list with the same cache name are one purchase', async t => {
    const { ledger, balance } = await createWorld(t, make)
    const budgets: Budget[] = [{ owner: 'studio', limit: 2 * price, per: 'month' }]
    const list = ['a', 'a', 'b', 'a'].map(cacheName => admissionOf({ cacheName, seed: '7', budgets }))
    const got = each(await ledger.admitAll(list))
    t.same(got.map(({ outcome, row }) => [outcome, row?.id]), [['bought', list[0]?.id], ['joined', list[0]?.id], ['bought', list[2]?.id], ['joined', list[0]?.id]])
    t.same(await balance(), { held: 2 * price, spent: 0 })
    t.same(await outcomes(ledger, [admissionOf({ cacheName: 'c', mode: 'refresh' }), admissionOf({ cacheName: 'c', budgets: [] })]), ['bought', 'bought'], 'a refresh has the name only when it succeeds')
  })

  t.test('one key of another request refuses the whole list', async t => {
    const { ledger, buy, balance } = await createWorld(t, make)
    await buy({ idempotency: { name: 'key', fingerprint: 'f' } })
    t.match(await ledger.admitAll([admissionOf(), admissionOf({ idempotency: { name: 'key', fingerprint: 'g' } })]), { outcome: 'refused', why: 'reused' })
    t.same(await balance(), { held: price, spent: 0 })
  })

  t.test('the duplicates of all of a list are asked for together, before anything is written', async t => {
    const { ledger, buy, row, balance } = await createWorld(t, make)
    const there = { replica: 'r1', connection: 'c1' }
    const [first, second] = [await buy({ duplicateName: 'one', connection: there }), await buy({ duplicateName: 'two', connection: { replica: 'r2', connection: 'c2' } })]
    const list = [admissionOf({ duplicateName: 'one' }), admissionOf(), admissionOf({ duplicateName: 'two' })]
    const asked = await ledger.admitAll(list)
    t.match(asked, { outcome: 'duplicates', duplicates: [{ id: first.id, ...there }, { id: second.id, replica: 'r2', connection: 'c2' }] })
    t.same(await balance(), { held: 2 * price, spent: 0 })
    if (asked.outcome !== 'duplicates') return
    const duplicates = asked.duplicates.map(duplicate => ({ ...duplicate, open: duplicate.id === first.id }))
    t.same(await outcomes(ledger, list.map(admission => ({ ...admission, duplicates }))), ['bought', 'bought', 'adopted'])
    t.match(await row(second.id), { connection: null })
  })

  t.test('the places of a list keep its requests apart, and the next such list gets each of them back', async t => {
    const { ledger, buy, balance } = await createWorld(t, make)
    const placed = (): Admission[] => Array.from({ length: 3 }, (_, place) => admissionOf({ duplicateName: duplicateName('studio', '', imagen4Ultra, '{}', place) }))
    const first = each(await ledger.admitAll(placed()))
    const again = each(await ledger.admitAll(placed()))
    t.same(again.map(({ outcome, row }) => [outcome, row?.id]), first.map(({ row }) => ['adopted', row?.id]))
    const keyed = (fingerprint: string, count: number): Admission[] => Array.from({ length: count }, (_, place) => admissionOf({ idempotency: { name: idempotencyName('studio', '', 'k', place), fingerprint } }))
    const bought = each(await ledger.admitAll(keyed('f', 2)))
    t.same(each(await ledger.admitAll(keyed('f', 2))).map(({ outcome, row }) => [outcome, row?.id]), bought.map(({ row }) => ['replayed', row?.id]))
    t.match(await ledger.admitAll(keyed('another', 3)), { outcome: 'refused', why: 'reused' })
    t.equal(idempotencyName('studio', '', 'k', 0), idempotencyName('studio', '', 'k'), 'the first one has the key\'s own name, so that it is refused for another request')
    await buy()
    t.same(await balance(), { held: 6 * price, spent: 0 })
  })

  t.test('a list that starts after the deadline of one of it changes nothing', async t => {
    const { ledger, buy, nowMs, advance, row, balance } = await createWorld(t, make)
    const { id } = await buy({ cacheName: 'cache' })
    await advance(1)
    t.match(await ledger.admitAll([admissionOf(), admissionOf({ cacheName: 'cache', deadlineMs: nowMs() - 1 })]), { outcome: 'refused', why: 'late' })
    t.match(await row(id), { joined: false })
    t.same(await balance(), { held: price, spent: 0 })
  })

  t.test('the same list once more is bought once and told the same, also after the deadline and whatever would refuse it now', async t => {
    const { ledger, buy, go, nowMs, advance, balance } = await createWorld(t, make)
    const joined = await buy({ cacheName: 'cache' })
    const list = [admissionOf({ cacheName: 'cache', deadlineMs: nowMs() + 1000 }), admissionOf({ deadlineMs: nowMs() + 1000 }), admissionOf({ deadlineMs: nowMs() + 1000 })]
    t.same(await outcomes(ledger, list), ['joined', 'bought', 'bought'])
    await go()
    await ledger.finish(joined.id, 1, 'a', failureOf(0))
    await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 1000 })
    const broke = list.map(admission => ({ ...admission, rate: { max: 0, windowSeconds: 60 } }))
    t.match(await ledger.admitAll(broke), { outcome: 'all', got: [{ outcome: 'joined', row: { id: joined.id, phase: 'failed' } }, { outcome: 'bought' }, { outcome: 'bought' }] })
    await advance(1001)
    t.same(await outcomes(ledger, list), ['refused', 'bought', 'bought'], 'nothing is bought for the one whose free answer is forgotten')
    t.same(await balance(), { held: 2 * price, spent: 0 })
  })

  t.test('what is withdrawn of a list leaves the queue unspent, one by one', async t => {
    const { ledger, balance, row } = await createWorld(t, make)
    const connection = { replica: 'r1', connection: 'c1' }
    const list = listOf(3, { connection })
    await ledger.admitAll(list)
    await ledger.seen(String(list[1]?.id), connection)
    await ledger.withdraw(list)
    t.same(await balance(), { held: price, spent: 0 })
    t.match(await row(String(list[1]?.id)), { phase: 'waiting' })
  })
}
