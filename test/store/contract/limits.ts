// Limits: rate, line, budgets and tokens, exact to the purchase and to the micro-dollar.

import type { Test } from 'tap'
import type { Budget } from '../../../src/generation/admission.ts'
import { ledgerConstants } from '../../../src/generation/ledger-constants.ts'
import { admissionOf, failureOf, price, successOf, ticketOf, tokenOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

export async function limits (t: Test, make: MakeStore): Promise<void> {
  t.test('the rate counts purchases in a window that begins with the first one', async t => {
    const { ledger, refused, admit, advance } = await createWorld(t, make)
    const rate = { max: 2, windowSeconds: 60 }
    t.match(await ledger.admit(admissionOf({ rate })), { outcome: 'bought', rate: { max: 2, windowSeconds: 60, used: 1, resetSeconds: 60 } })
    await advance(500)
    t.match(await ledger.admit(admissionOf({ rate })), { outcome: 'bought', rate: { used: 2, resetSeconds: 60 } }, 'rounded up')
    await advance(30_000)
    t.match(await refused({ rate }), { why: 'rate', rate: { used: 2, resetSeconds: 30 } })
    await advance(29_499)
    t.match(await refused({ rate }), { why: 'rate', rate: { used: 2, resetSeconds: 1 } })
    await advance(1)
    t.match(await ledger.admit(admissionOf({ rate })), { outcome: 'bought', rate: { used: 1, resetSeconds: 60 } })
    t.match(await admit({ tenant: 'agency', rate }), { outcome: 'bought' }, 'each tenant has its own window')
  })

  t.test('hits, joins, replays, reattached calls and refusals are not counted', async t => {
    const { ledger, ended, buy, admit, refused } = await createWorld(t, make)
    const key = { name: 'key', fingerprint: 'f' }
    await ended(successOf(), { cacheName: 'stored', idempotency: key })
    await buy({ cacheName: 'running' })
    await buy({ duplicateName: 'duplicate' })
    for (const given of [{ cacheName: 'stored' }, { cacheName: 'running' }, { idempotency: key }, { duplicateName: 'duplicate' }]) await admit(given)
    await refused({ maxInFlight: 0, maxQueued: 0 })
    t.match(await ledger.admit(admissionOf()), { outcome: 'bought', rate: { used: 4 } })
  })

  t.test('a tenant has at most maxInFlight + maxQueued under way; an unknown and an end give the slot back', async t => {
    const { ledger, accepted, buy, refused } = await createWorld(t, make)
    const given = { maxInFlight: 2, maxQueued: 1 }
    const first = await accepted('a', given)
    const second = await accepted('b', given)
    const third = await buy(given)
    t.match(await refused(given), { why: 'full' })
    t.match(await refused({ ...given, maxQueued: 0 }), { why: 'full' })
    await buy({ ...given, tenant: 'agency' })
    await ledger.recordUnknown(first.id, 1, 'a', traceLost)
    await buy(given)
    t.match(await refused(given), { why: 'full' })
    await ledger.finish(second.id, 1, 'b', successOf())
    await buy(given)
    await ledger.cancel(third.id, third)
    await buy(given)
    t.match(await refused(given), { why: 'full' })
  })

  t.test('held and spent never exceed a budget, to the micro-dollar', async t => {
    const { ledger, buy, accepted, refused, balance } = await createWorld(t, make)
    const of = (limit: number): { budgets: Budget[] } => ({ budgets: [{ owner: 'studio', limit, per: 'month' }] })
    t.match(await refused(of(price - 1)), { why: 'budget', owner: 'studio' })
    const { id } = await accepted('a', of(price))
    t.match(await refused(of(2 * price - 1)), { why: 'budget' })
    await ledger.finish(id, 1, 'a', successOf({ cost: 40_001 }))
    t.same(await balance(), { held: 0, spent: 40_001 })
    t.match(await refused(of(40_000 + price)), { why: 'budget' })
    await buy(of(40_001 + price))
    t.same(await balance(), { held: price, spent: 40_001 })
  })

  t.test('the company\'s budget bounds all tenants together', async t => {
    const { buy, refused, balance } = await createWorld(t, make)
    const budgetsOf = (owner: string): Budget[] => [{ owner, limit: 10 * price, per: 'month' }, { owner: '*', limit: 3 * price, per: 'month' }]
    for (const tenant of ['studio', 'agency', 'lab']) await buy({ tenant, budgets: budgetsOf(tenant) })
    t.match(await refused({ budgets: budgetsOf('studio') }), { why: 'budget', owner: '*' })
    t.same(await balance('*'), { held: 3 * price, spent: 0 })
  })

  t.test('money counts in the period of its admission, however late it is settled', async t => {
    const { ledger, setNow, accepted, balance, buy } = await createWorld(t, make)
    await setNow(Date.UTC(2026, 10, 30, 23, 59, 59, 999))
    const budgets: Budget[] = [{ owner: 'studio', limit: price, per: 'month' }, { owner: 'studio', limit: price, per: 'day' }]
    const { id, accounts } = await accepted('a', { budgets })
    t.same(accounts, [{ owner: 'studio', period: '2026-11' }, { owner: 'studio', period: '2026-11-30' }])
    await setNow(Date.UTC(2026, 11, 1))
    t.same(await balance(), { held: 0, spent: 0 })
    await buy({ budgets })
    await ledger.finish(id, 1, 'a', successOf({ cost: 50_000 }))
    t.same(await balance(), { held: price, spent: 0 }, 'December is not touched')
    t.match(await ledger.journal(0, ledger.now() + 1, 10), [{ amount: 50_000, accounts }])
  })

  t.test('a token is drawn from like a budget, and gets back what was not billed', async t => {
    const { ledger, accepted, buy, refused } = await createWorld(t, make)
    const given = { subject: 'visitor', token: 'tok1' }
    await ledger.mint(tokenOf({ picturesLeft: 2, moneyLeft: 2 * price }))
    const first = await accepted('a', given)
    t.match(await ledger.token('tok1'), { picturesLeft: 1, moneyLeft: price })
    await ledger.finish(first.id, 1, 'a', successOf({ cost: 50_000 }))
    t.match(await ledger.token('tok1'), { picturesLeft: 1, moneyLeft: price + 10_000 })
    const second = await accepted('b', given)
    t.match(await refused(given), { why: 'token', token: 'exhausted' })
    await ledger.finish(second.id, 1, 'b', failureOf(0))
    t.match(await ledger.token('tok1'), { picturesLeft: 1, moneyLeft: price + 10_000 })
    const third = await buy(given)
    await ledger.cancel(third.id, third)
    t.match(await ledger.token('tok1'), { picturesLeft: 1, moneyLeft: price + 10_000 })
  })

  t.test('a token\'s pictures are files: a purchase holds as many as it may make, and a success that made fewer gives back', async t => {
    const { ledger, accepted, buy, refused } = await createWorld(t, make)
    const given = { subject: 'visitor', token: 'tok1', files: 4 }
    await ledger.mint(tokenOf({ picturesLeft: 10 }))
    const first = await accepted('a', given)
    t.match(await ledger.token('tok1'), { picturesLeft: 6 })
    const second = await accepted('b', given)
    t.match(await ledger.token('tok1'), { picturesLeft: 2 })
    t.match(await refused({ ...given, files: 3 }), { why: 'token', token: 'exhausted' })
    t.match(await ledger.finish(first.id, 1, 'a', successOf({ files: 3 })), { files: 3 })
    t.match(await ledger.token('tok1'), { picturesLeft: 3 })
    await buy({ ...given, files: 3 })
    t.match(await ledger.finish(second.id, 1, 'b', failureOf()), { files: 4 }, 'a failure that was billed is spent in full')
    t.match(await ledger.token('tok1'), { picturesLeft: 0 })
  })

  t.test('a success is never counted with more files than were reserved, and without a word with all of them', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    const given = { subject: 'visitor', token: 'tok1', files: 2 }
    await ledger.mint(tokenOf({ picturesLeft: 4 }))
    await accepted('a', given)
    const { id } = await accepted('b', given)
    t.match(await ledger.finish(id, 1, 'b', successOf({ files: 9 })), { files: 2 })
    t.match(await ledger.token('tok1'), { picturesLeft: 0 })
  })

  t.test('a picture that is found after it was settled as billed counts as many files as it has, also at the same price', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    await ledger.mint(tokenOf({ picturesLeft: 4 }))
    const { id } = await accepted('a', { subject: 'visitor', token: 'tok1', files: 4 })
    await ledger.recordUnknown(id, 1, 'a', traceLost)
    await advance(10 * 60_000)
    await ledger.settle(id, true)
    t.match(await ledger.token('tok1'), { picturesLeft: 0 })
    await ledger.finish(id, 1, 'a', successOf({ files: 1 }))
    t.match(await ledger.token('tok1'), { picturesLeft: 3, moneyLeft: 1_000_000 - price })
  })

  t.test('a token runs out of money as well as of pictures', async t => {
    const { ledger, refused } = await createWorld(t, make)
    await ledger.mint(tokenOf({ picturesLeft: 9, moneyLeft: price - 1 }))
    t.match(await refused({ subject: 'visitor', token: 'tok1' }), { why: 'token', token: 'exhausted' })
  })

  t.test('a token buys for its own tenant and subject only, until it expires or is revoked', async t => {
    const { ledger, nowMs, advance, refused, buy } = await createWorld(t, make)
    await ledger.mint(tokenOf({ expiresAtMs: nowMs() + 1000 }))
    await ledger.mint(tokenOf({ id: 'tok2' }))
    t.match(await refused({ subject: 'another', token: 'tok1' }), { why: 'token', token: 'unknown' })
    t.match(await refused({ tenant: 'agency', subject: 'visitor', token: 'tok1' }), { why: 'token', token: 'unknown' })
    t.match(await refused({ subject: 'visitor', token: 'tok3' }), { why: 'token', token: 'unknown' })
    await buy({ subject: 'visitor', token: 'tok1' })
    await advance(1000)
    t.match(await refused({ subject: 'visitor', token: 'tok1' }), { why: 'token', token: 'expired' })

    t.equal(await ledger.revoke('tok2', 'agency'), false)
    t.equal(await ledger.revoke('tok3', 'studio'), false)
    await buy({ subject: 'visitor', token: 'tok2' })
    t.equal(await ledger.revoke('tok2', 'studio'), true)
    t.equal(await ledger.revoke('tok2', 'studio'), true)
    t.match(await refused({ subject: 'visitor', token: 'tok2' }), { why: 'token', token: 'revoked' })
    t.match(await ledger.token('tok2'), { revoked: true, picturesLeft: 2 })
  })

  t.test('minting a token twice does not fill it again', async t => {
    const { ledger, buy } = await createWorld(t, make)
    await ledger.mint(tokenOf())
    await buy({ subject: 'visitor', token: 'tok1' })
    await ledger.mint(tokenOf())
    t.match(await ledger.token('tok1'), { picturesLeft: 2 })
    t.equal(await ledger.token('tok9'), null)
  })

  t.test('a tenant has a bounded number of live tokens; one that is revoked or has ended makes room', async t => {
    const { ledger, advance, nowMs } = await createWorld(t, make)
    const soonMs = nowMs() + 1000
    for (let n = 0; n < ledgerConstants.maxTokens; n++) await ledger.mint(tokenOf({ id: `live${n}`, expiresAtMs: n === 0 ? soonMs : soonMs + 60_000 }))
    t.same(await ledger.mint(tokenOf({ id: 'late' })), { outcome: 'full' })
    t.equal(await ledger.token('late'), null)
    t.same(await ledger.mint(tokenOf({ id: 'live5' })), { outcome: 'minted' }, 'it is there')
    t.same(await ledger.mint(tokenOf({ id: 'theirs', tenant: 'agency' })), { outcome: 'minted' })
    await ledger.revoke('live7', 'studio')
    t.same(await ledger.mint(tokenOf({ id: 'second', expiresAtMs: soonMs + 60_000 })), { outcome: 'minted' })
    t.same(await ledger.mint(tokenOf({ id: 'late' })), { outcome: 'full' })
    await advance(999)
    t.same(await ledger.mint(tokenOf({ id: 'late' })), { outcome: 'full' })
    await advance(1)
    t.same(await ledger.mint(tokenOf({ id: 'late' })), { outcome: 'minted' })
  })

  t.test('the live tokens of a tenant are listed page by page, the first to end first', async t => {
    const { ledger, advance, nowMs } = await createWorld(t, make)
    const soonMs = nowMs() + 1000
    for (const [id, inMs] of Object.entries({ c: 3000, a: 1000, d: 4000, b: 2000, e: 4000 })) await ledger.mint(tokenOf({ id, expiresAtMs: soonMs + inMs, terms: `terms of ${id}` }))
    await ledger.mint(tokenOf({ id: 'theirs', tenant: 'agency' }))
    const page = async (limit: number, after: string | null) => {
      const { tokens, ...rest } = await ledger.tokens('studio', { limit, after })
      return { ids: tokens.map(({ id }) => id).join(''), ...rest }
    }
    t.same(await page(2, null), { ids: 'ab', isMore: true, isCursorUnknown: false })
    t.same(await page(2, 'b'), { ids: 'cd', isMore: true, isCursorUnknown: false })
    t.same(await page(2, 'd'), { ids: 'e', isMore: false, isCursorUnknown: false })
    t.same(await page(2, 'theirs'), { ids: '', isMore: false, isCursorUnknown: true })
    await ledger.revoke('c', 'studio')
    await advance(2000)
    t.same(await page(9, null), { ids: 'bde', isMore: false, isCursorUnknown: false })
    t.match(await ledger.tokens('studio', { limit: 1, after: null }), { tokens: [{ id: 'b', terms: 'terms of b', picturesLeft: 3, revoked: false }] })
    t.same(await ledger.tokens('nobody', { limit: 1, after: null }), { tokens: [], isMore: false, isCursorUnknown: false })
  })

  t.test('a token is known for an hour after its end', async t => {
    const { ledger, advance, nowMs } = await createWorld(t, make)
    await ledger.mint(tokenOf({ expiresAtMs: nowMs() + 1000 }))
    await advance(1000 + ledgerConstants.tokenKeptMs - 1)
    t.match(await ledger.token('tok1'), { id: 'tok1' })
    await advance(1)
    t.equal(await ledger.token('tok1'), null)
  })

  t.test('a token that is revoked is known for an hour after that, and no longer for being revoked again or late', async t => {
    const { ledger, advance, nowMs } = await createWorld(t, make)
    const endMs = nowMs() + 2 * ledgerConstants.tokenKeptMs
    for (const id of ['early', 'late']) await ledger.mint(tokenOf({ id, expiresAtMs: endMs }))
    await ledger.revoke('early', 'studio')
    await advance(ledgerConstants.tokenKeptMs - 1)
    t.equal(await ledger.revoke('early', 'studio'), true)
    t.match(await ledger.token('early'), { revoked: true })
    await advance(1)
    t.equal(await ledger.token('early'), null)
    await advance(2 * ledgerConstants.tokenKeptMs - 1)
    await ledger.revoke('late', 'studio')
    await advance(1)
    t.equal(await ledger.token('late'), null)
  })

  t.test('a ticket is given to one of those who take it, and to nobody after its end', async t => {
    const { ledger, advance, nowMs } = await createWorld(t, make)
    const ticket = ticketOf({ expiresAtMs: nowMs() + 1000 })
    await ledger.issueTicket(ticket)
    await ledger.issueTicket({ ...ticket, sha256: 'other', subject: '' })
    const takers = await Promise.all(Array.from({ length: 20 }, async () => await ledger.takeTicket('digest')))
    t.same(takers.filter(taken => taken !== null), [ticket])
    t.equal(await ledger.takeTicket('digest'), null)
    t.equal(await ledger.takeTicket('made up'), null)
    await advance(1000)
    t.equal(await ledger.takeTicket('other'), null)
  })

  t.test('of a model only one price rule buys: a new one takes the place of the one before, which is refused from then on', async t => {
    const { buy, refused, balance } = await createWorld(t, make)
    await buy({ priceRule: 'first' })
    await buy({ priceRule: 'second' })
    t.match(await refused({ priceRule: 'first' }), { why: 'prices', ledgerRule: 'second' })
    await buy({ priceRule: 'second' })
    await buy({ priceRule: 'first', model: 'fal-ai/another' })
    await buy({ priceRule: 'third' })
    for (const priceRule of ['first', 'second']) t.match(await refused({ priceRule }), { why: 'prices', ledgerRule: 'third' })
    t.same(await balance(), { held: 5 * price, spent: 0 })
  })

  t.test('an older rule comes back when it replaces the one that holds, and only then', async t => {
    const { buy, refused } = await createWorld(t, make)
    for (const priceRule of ['first', 'second', 'third']) await buy({ priceRule })
    t.match(await refused({ priceRule: 'first', replacesPriceRule: 'second' }), { why: 'prices', ledgerRule: 'third' })
    t.match(await refused({ priceRule: 'first', replacesPriceRule: 'first' }), { why: 'prices' })
    await buy({ priceRule: 'first', replacesPriceRule: 'third' })
    await buy({ priceRule: 'first', replacesPriceRule: 'third' })
    await buy({ priceRule: 'first' })
    t.match(await refused({ priceRule: 'third' }), { why: 'prices', ledgerRule: 'first' })
  })

  t.test('a rule comes to hold by a purchase: neither a refusal nor a free answer brings one', async t => {
    const { ledger, buy, admit, ended, refused } = await createWorld(t, make)
    await ended(successOf(), { priceRule: 'first', cacheName: 'stored' })
    t.match(await refused({ priceRule: 'second', rate: { max: 0, windowSeconds: 60 } }), { why: 'rate' })
    t.match(await admit({ priceRule: 'second', cacheName: 'stored' }), { outcome: 'hit' })
    await buy({ priceRule: 'first' })
    await buy({ priceRule: 'second' })
    t.match(await admit({ priceRule: 'first', cacheName: 'stored' }), { outcome: 'hit' }, 'what is free is given under any prices')
    t.match(await ledger.admitAll([admissionOf({ priceRule: 'second' }), admissionOf({ priceRule: 'first' })]), { outcome: 'refused', why: 'prices' })
  })

  t.test('the eight latest rules of a model are remembered', async t => {
    const { buy, refused } = await createWorld(t, make)
    for (let count = 1; count <= 9; count += 1) await buy({ priceRule: `rule ${count}` })
    t.match(await refused({ priceRule: 'rule 2' }), { why: 'prices', ledgerRule: 'rule 9' })
    await buy({ priceRule: 'rule 1' })
  })

  t.test('money is settled as it was reserved, whatever rule holds by then', async t => {
    const { ledger, accepted, buy, balance } = await createWorld(t, make)
    const { id } = await accepted('a', { priceRule: 'first' })
    await buy({ priceRule: 'second', price: 5 * price, unitPrice: 5 * price })
    t.match(await ledger.finish(id, 1, 'a', successOf({ cost: null })), { priceRule: 'first', unitPrice: price, cost: price })
    t.same(await balance(), { held: 5 * price, spent: price })
  })
}
