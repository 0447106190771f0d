// Several upstream accounts in one ledger (rule 28): each generation goes to one of them, and what is known of an account stops or slows that one alone.

import type { Test } from 'tap'
import type { Claimed } from '../../../src/generation/evidence.ts'
import type { Ledger } from '../../../src/generation/ledger.ts'
import type { OwnAccount, UpstreamAccount } from '../../../src/upstream-account.ts'
import { admissionOf, failureOf, freshId, never, noTerms, successOf, traceLost, unreachable } from '../../support/admission.ts'
import { audited, createWorld, owner, present, type MakeStore, type World } from './world.ts'

const second: UpstreamAccount = { kind: 'fal', name: 'second' }
const both: readonly OwnAccount[] = [owner, second]
const blocked = { scope: '*', state: 'account-blocked', retryAfterMs: 60_000 } as const
const open = { scope: '*', state: 'open', retryAfterMs: 1000, after: 1 } as const

/** The ledger of a world as a process has it that buys with these accounts. */
async function processOf (world: World, own: readonly OwnAccount[]): Promise<Ledger> {
  return audited({ ledger: await world.beside(own), audit: world.audit })
}

async function claimOf (ledger: Ledger, slots = 1000, replica = 'r1'): Promise<Claimed> {
  return await ledger.claim({ claimId: freshId(), deadlineMs: never, replica, slots })
}

/** The account that was granted, or what the claim was answered. */
async function grantedBy (ledger: Ledger, slots = 1000, replica = 'r1'): Promise<string | null> {
  const answer = await claimOf(ledger, slots, replica)
  return answer.outcome === 'go' ? answer.row.upstream : answer.outcome
}

/** Buys one and has it granted with the account `fal second`. */
async function withSecond (world: World, replica = 'r1'): Promise<string> {
  // Only a ledger that knows it takes a process which has this one alone.
  await (await world.beside(both)).ping()
  const { id } = await world.buy()
  const answer = await claimOf(await processOf(world, [second]), 1000, replica)
  if (answer.outcome !== 'go' || answer.row.id !== id) throw new Error('Another one was granted.')
  return id
}

export async function accounts (t: Test, make: MakeStore): Promise<void> {
  t.test('a claim takes the account that has most free slots, and is busy when none has any', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, [owner, { ...second, slots: 2 }])
    for (let count = 0; count < 6; count += 1) await world.buy()
    const granted: (string | null)[] = []
    for (let count = 0; count < 6; count += 1) granted.push(await grantedBy(ledger, 3))
    t.same(granted, ['fal main', 'fal main', 'fal second', 'fal main', 'fal second', 'busy'])
    t.match(await ledger.gauges(), { atUpstream: 5, accounts: [{ upstream: 'fal main', used: 3 }, { upstream: 'fal second', used: 2 }] })
  })

  t.test('an admission that brings a claim along goes to the account that has room, and waits when none has', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const bought: (string | null)[] = []
    for (let count = 0; count < 3; count += 1) {
      const answer = await ledger.admit(admissionOf(), { claimId: freshId(), replica: 'r1', slots: 1 })
      bought.push(answer.outcome === 'bought' ? `${answer.row.phase} ${answer.row.upstream}` : answer.outcome)
    }
    t.same(bought, ['submitting fal main', 'submitting fal second', 'waiting fal main'])
  })

  t.test('an end gives its slot back to its own account', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const id = await withSecond(world)
    await ledger.recordAccepted(id, 1, 'request', 'fal second')
    t.match(await ledger.gauges(), { accounts: [{ used: 0 }, { used: 1 }] })
    await ledger.finish(id, 1, 'request', successOf(), undefined, 'fal second')
    t.match(await ledger.gauges(), { accounts: [{ used: 0 }, { used: 0 }] })
    t.match(await world.row(id), { phase: 'succeeded', upstream: 'fal second' })
  })

  t.test('what comes back unsent may go to another account', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const id = await withSecond(world)
    await ledger.recordNotSent(id, 1, { retryAfterMs: 0 })
    t.match(await ledger.gauges(), { atUpstream: 0 })
    t.match(await claimOf(await processOf(world, [owner])), { outcome: 'go', row: { id, attempt: 2, upstream: 'fal main' } })
  })

  t.test('that fal takes no more is about the account that was told so', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const ids = [await withSecond(world), await withSecond(world)]
    await ledger.recordNotSent(ids[1] ?? '', 1, { retryAfterMs: 60_000, busy: true })
    const { outcome } = await claimOf(await processOf(world, [owner]))
    t.equal(outcome, 'go', 'it does not wait for the pause where another account may take it')
    t.match(await ledger.gauges(), { accounts: [{ upstream: 'fal main', open: null }, { upstream: 'fal second', used: 1, open: 1 }] })
    for (let count = 0; count < 2; count += 1) await world.buy()
    t.equal(await grantedBy(await processOf(world, [second])), 'busy')
    t.same([await grantedBy(ledger), await grantedBy(ledger)], ['fal main', 'fal main'])
  })

  t.test('a blocked account is left out, and what it refused goes back into the queue for another one', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const id = await withSecond(world)
    t.match(await ledger.recordNotSent(id, 1, { failure: unreachable, elsewhere: true }, blocked), { phase: 'waiting', failure: null })
    t.match(await ledger.breakers(), [{ scope: 'account:second', state: 'account-blocked' }])
    for (let count = 0; count < 3; count += 1) await world.buy()
    t.same([await grantedBy(ledger), await grantedBy(ledger), await grantedBy(ledger), await grantedBy(ledger)], Array(4).fill('fal main'))
    await ledger.recordNotSent(id, 2, { failure: unreachable, elsewhere: true }, blocked)
    t.match(await world.row(id), { phase: 'failed', cost: 0 }, 'with the last account it fails')
    t.match(await ledger.admit(admissionOf()), { outcome: 'refused', why: 'breaker', breaker: 'account-blocked' })
  })

  t.test('a process that has the blocked account alone ends what was refused, and is refused', async t => {
    const world = await createWorld(t, make)
    const both1 = await processOf(world, both)
    const id = await withSecond(world)
    const alone = await processOf(world, [second])
    await alone.recordNotSent(id, 1, { failure: unreachable, elsewhere: true }, blocked)
    t.match(await world.row(id), { phase: 'failed' })
    t.match(await alone.admit(admissionOf()), { outcome: 'refused', why: 'breaker' })
    t.match(await both1.admit(admissionOf()), { outcome: 'bought' })
  })

  t.test('each account has a probe of its own, and what works with one says nothing of another', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    for (const account of both) {
      const { id } = admissionOf()
      await ledger.admit(admissionOf({ id }))
      const answer = await claimOf(await processOf(world, [account]))
      t.match(answer, { outcome: 'go', row: { id } })
      await ledger.recordNotSent(id, 1, { failure: unreachable }, open)
    }
    t.match(await ledger.breakers(), [{ scope: '*', state: 'open' }, { scope: 'account:second', state: 'open' }])
    t.match(await ledger.admit(admissionOf()), { outcome: 'refused', why: 'breaker' })
    await world.advance(1000)
    const first = await world.buy()
    t.match(await ledger.breakers(), [{ probe: first.id }, { probe: null }])
    const other = await ledger.admit(admissionOf())
    t.match(other, { outcome: 'bought' }, 'the other account has a probe, too')
    const granted = [await claimOf(ledger), await claimOf(ledger)].map(answer => answer.outcome === 'go' ? `${answer.row.id} ${answer.row.upstream}` : answer.outcome)
    t.equal(granted[0], `${first.id} fal main`)
    t.match(granted[1], /fal second$/)
    await ledger.recordAccepted(first.id, 1, 'request', 'fal main')
    t.match(await ledger.breakers(), [{ scope: '*', state: 'ok' }, { scope: 'account:second', state: 'open' }])
    t.match(await ledger.admit(admissionOf()), { outcome: 'bought' })
  })

  t.test('a probe that was not sent frees its place, since it may go to another account', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const id = await withSecond(world)
    await ledger.recordNotSent(id, 1, { retryAfterMs: 0 }, open)
    await world.advance(1000)
    t.equal(await grantedBy(await processOf(world, both)), 'fal second', 'the next one finds out whether it works again')
    await ledger.recordNotSent(id, 2, { retryAfterMs: 0 }, open)
    t.match(await ledger.breakers(), [{ scope: 'account:second', state: 'open', probe: null }])
    t.match(await claimOf(ledger), { outcome: 'go', row: { id, upstream: 'fal main' } })
  })

  t.test('failures of one tenant trip its own breaker, and the account when a second tenant meets them with it', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const tenantFirst = { ...open, after: 2, tenantFirst: true } as const
    const alone = await processOf(world, [second])
    for (const tenant of ['studio', 'agency']) {
      const { id } = await world.buy({ tenant })
      await claimOf(alone)
      await ledger.recordUnknown(id, 1, null, traceLost, tenantFirst)
    }
    t.match((await ledger.breakers()).filter(({ scope }) => !scope.startsWith('tenant:')), [{ scope: 'account:second', state: 'open' }])
  })

  t.test('a process looks after what was bought with its accounts, and leaves the rest to others', async t => {
    const world = await createWorld(t, make)
    const id = await withSecond(world)
    await world.ledger.recordAccepted(id, 1, 'request', 'fal second')
    const waiting = await world.buy()
    await world.advance(15_000)
    t.same(await world.ledger.sweep('r2', 10), [], 'its lease ran out, and this process has no key for it')
    t.match(await (await processOf(world, [second])).sweep('r3', 10), [{ row: { id, owner: 'r3', upstream: 'fal second' } }])
    t.match(await world.row(waiting.id), { phase: 'waiting' })
  })

  t.test('a renewal prolongs the lease of what is bought with any account', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const id = await withSecond(world)
    const row = present(await ledger.recordAccepted(id, 1, 'request', 'fal second'))
    await world.advance(10_000)
    await ledger.renew('r1', [{ row, holds: true }])
    await world.advance(10_000)
    t.same(await ledger.sweep('r2', 10), [])
  })

  t.test('a silent replica is taken over from by those who have the account', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    await ledger.heartbeat('r1')
    const id = await withSecond(world)
    await ledger.recordAccepted(id, 1, 'request', 'fal second')
    await world.advance(2000)
    t.same(await world.ledger.heartbeat('r2'), [])
    t.same(await world.ledger.takeOver('r2', 'r1', 10), [])
    t.same(await ledger.heartbeat('r2'), ['r1'])
    t.match(await ledger.replicas(), [{ replica: 'r2' }, { replica: 'r1', following: 1 }])
    t.match(await ledger.takeOver('r2', 'r1', 10), [{ row: { id, owner: 'r2' } }])
  })

  t.test('of the ledger\'s first account what a process cannot follow is put off, and others come to it', async t => {
    const world = await createWorld(t, make)
    const alone = await processOf(world, [second])
    await processOf(world, both).then(async ledger => { await ledger.ping(); await ledger.gauges(); await ledger.heartbeat('r1') })
    const { id } = await world.accepted('request')
    const waiting = await world.buy()
    await world.advance(15_000)
    t.same(await alone.sweep('r2', 1), [])
    await world.advance(900_000 - 15_000)
    await alone.sweep('r2', 10)
    t.match(await world.row(waiting.id), { phase: 'failed' }, 'what else is due does not stand behind it')
    await world.advance(5000)
    t.match(await world.ledger.sweep('r3', 10), [{ row: { id } }])
  })

  t.test('what nobody can follow becomes unknown when its time to run is over, with its money held', async t => {
    const world = await createWorld(t, make)
    const id = await withSecond(world)
    await world.ledger.recordAccepted(id, 1, 'request', 'fal second')
    const { runUntilMs } = await world.row(id)
    await world.setNow((runUntilMs ?? 0) + 15_000 - 1)
    await world.ledger.sweep('r2', 10)
    t.match(await world.row(id), { phase: 'accepted' })
    await world.advance(20_000)
    await world.ledger.sweep('r2', 10)
    t.match(await world.row(id), { phase: 'unknown', failure: { detail: /key of the account/ } })
    t.match(await world.ledger.takeOutbox(10), [{ kind: 'ended', row: { id } }])
    for (let minutes = 0; minutes < 80; minutes += 1) {
      await world.advance(60_000)
      t.same(await world.ledger.sweep('r2', 10), [], 'fal is not asked about it with another key')
    }
    t.match(await world.ledger.settle(id, true), { outcome: 'settled' })
  })

  t.test('a question about an unknown goes to a process that has its account', async t => {
    const world = await createWorld(t, make)
    const id = await withSecond(world)
    await world.ledger.recordAccepted(id, 1, 'request', 'fal second')
    await world.ledger.recordUnknown(id, 1, 'request', traceLost, undefined, 'fal second')
    await world.advance(30_000)
    t.same(await world.ledger.sweep('r2', 10), [])
    t.match(await (await processOf(world, [second])).sweep('r3', 10), [{ row: { id, phase: 'unknown', upstream: 'fal second' } }])
  })

  t.test('a row that takes a purchase for its own takes the account that it was made with', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    for (const tell of [
      async (id: string) => await ledger.recordAccepted(id, 1, 'r-' + id, 'fal second'),
      async (id: string) => await ledger.recordProgress(id, 1, 'r-' + id, { kind: 'running' }, undefined, 'fal second'),
      async (id: string) => await ledger.recordDoubt(id, 1, 'r-' + id, 'expired', undefined, 'fal second'),
      async (id: string) => await ledger.recordUnknown(id, 1, 'r-' + id, traceLost, undefined, 'fal second'),
      async (id: string) => await ledger.finish(id, 1, 'r-' + id, failureOf(0), undefined, 'fal second')
    ]) {
      const { id } = await world.buy()
      t.match(await tell(id), { id, requestId: 'r-' + id, upstream: 'fal second' }, 'the store forgot its claim')
    }
  })

  t.test('a row that was lost is put back with its account, which the ledger then knows', async t => {
    const world = await createWorld(t, make)
    const id = await withSecond(world)
    const row = present(await world.ledger.recordAccepted(id, 1, 'request', 'fal second'))
    const lost = { row: { ...row, id: freshId(), requestId: 'other', upstream: 'fal third' }, terms: noTerms, holds: true }
    await world.ledger.restore('r1', [lost])
    t.match(await world.row(lost.row.id), { upstream: 'fal third', phase: 'accepted' })
    t.match(await world.ledger.gauges(), { accounts: [{ upstream: 'fal main', used: 0 }, { upstream: 'fal second', used: 1 }, { upstream: 'fal third', used: 1 }] })
  })

  t.test('a second purchase with another account keeps that one, and the row takes it with the picture', async t => {
    const world = await createWorld(t, make)
    const ledger = await processOf(world, both)
    const { id } = await world.accepted('mine')
    await ledger.recordAccepted(id, 1, 'theirs', 'fal second')
    t.match(await world.row(id), { requestId: 'mine', upstream: 'fal main' })
    await ledger.finish(id, 1, 'theirs', successOf(), undefined, 'fal second')
    t.match(await world.row(id), { phase: 'succeeded', requestId: 'theirs', upstream: 'fal second' })
  })

  t.test('a process that shares one account with the ledger brings its others along, and one that has none is foreign', async t => {
    const world = await createWorld(t, make)
    const early = await world.beside([second])
    await t.rejects(early.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 }), { code: 'foreign-ledger' })
    await (await world.beside(both)).ping()
    await world.buy()
    t.match(await early.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 }), { outcome: 'go', row: { upstream: 'fal second' } })
    const stranger = await world.beside([{ kind: 'fal', name: 'third' }, { kind: 'fal', name: 'fourth' }])
    await t.rejects(stranger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 }), { code: 'foreign-ledger' })
    t.same((await world.ledger.gauges()).accounts.map(({ upstream }) => upstream), ['fal main', 'fal second'])
  })
}
