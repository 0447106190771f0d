// Evidence: taken from any process, the first wins, it names the attempt, and it ends an unknown.

import type { Test } from 'tap'
import type { Generation } from '../../../src/generation/generation.ts'
import type { Ledger } from '../../../src/generation/ledger.ts'
import type { Phase } from '../../../src/generation/phases.ts'
import { failureOf, price, successOf, traceLost, unreachable } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

export async function evidence (t: Test, make: MakeStore): Promise<void> {
  t.test('the usual story: granted, accepted, queued, running, succeeded', async t => {
    const { ledger, buy, go, advance, nowMs } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    t.match(await ledger.recordAccepted(id, 1, 'a'), { phase: 'accepted', requestId: 'a', version: 3, owner: 'r1', startedAtMs: null })
    t.match(await ledger.recordProgress(id, 1, 'a', { kind: 'queued', position: 2 }), { phase: 'accepted', queuePosition: 2, version: 4 })
    t.match(await ledger.recordProgress(id, 1, 'a', { kind: 'queued', position: 2 }), { version: 4 }, 'nothing new changes nothing')
    await advance(1000)
    t.match(await ledger.recordProgress(id, 1, 'a', { kind: 'running' }), { phase: 'running', queuePosition: null, startedAtMs: nowMs(), version: 5 })
    t.match(await ledger.recordProgress(id, 1, 'a', { kind: 'running' }), { version: 5 })
    t.match(await ledger.recordProgress(id, 1, 'a', { kind: 'queued', position: 1 }), { phase: 'running', version: 5 }, 'nobody goes back into fal\'s queue')
    await advance(1000)
    t.match(await ledger.finish(id, 1, 'a', successOf()), {
      phase: 'succeeded', owner: null, output: /images/, seed: '42', failure: null, cost: price, costAssumed: false, finishedAtMs: nowMs(), version: 6
    })
  })

  t.test('evidence about a generation that does not exist gives null', async t => {
    const { ledger } = await createWorld(t, make)
    t.equal(await ledger.recordAccepted('nobody', 1, 'a'), null)
    t.equal(await ledger.recordNotSent('nobody', 1, { retryAfterMs: 0 }), null)
    t.equal(await ledger.recordUnknown('nobody', 1, null, traceLost), null)
    t.equal(await ledger.recordProgress('nobody', 1, 'a', { kind: 'running' }), null)
    t.equal(await ledger.finish('nobody', 1, 'a', successOf()), null)
  })

  t.test('evidence about an older attempt changes nothing, unless it names a purchase', async t => {
    const { ledger, buy, go } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    await ledger.recordNotSent(id, 1, { retryAfterMs: 0 })
    const { version } = await go()
    t.match(await ledger.recordNotSent(id, 1, { failure: unreachable }), { phase: 'submitting', attempt: 2, version, requestId: null })
    t.match(await ledger.recordUnknown(id, 1, null, traceLost), { phase: 'submitting', version })
    t.match(await ledger.recordAccepted(id, 1, 'a'), { phase: 'accepted', attempt: 2, requestId: 'a' })
    t.match(await ledger.recordNotSent(id, 2, { retryAfterMs: 0 }), { phase: 'accepted' }, 'and then it is not sent again')
  })

  t.test('a row tells since when it waits again, until its next attempt and beyond; before its first it has waited since its admission', async t => {
    const { ledger, buy, go, advance, nowMs } = await createWorld(t, make)
    const { id, waitsSinceMs } = await buy()
    t.equal(waitsSinceMs, null)
    await advance(1000)
    t.equal((await go()).waitsSinceMs, null)
    await advance(1000)
    const backAtMs = nowMs()
    t.match(await ledger.recordNotSent(id, 1, { retryAfterMs: 500 }), { phase: 'waiting', waitsSinceMs: backAtMs })
    await advance(1000)
    t.match(await go(), { attempt: 2, waitsSinceMs: backAtMs })
    await advance(1000)
    t.match(await ledger.recordNotSent(id, 2, { retryAfterMs: 0 }), { waitsSinceMs: nowMs() }, 'each time anew')
    await advance(1000)
    t.match(await ledger.cancel(id, { tenant: 'studio', subject: '' }), { row: { phase: 'cancelled', waitsSinceMs: nowMs() - 1000 } })
  })

  t.test('a row that knows of no purchase takes the one that any evidence names, from wherever it stands', async t => {
    const tellings: ReadonlyArray<readonly [Phase, (ledger: Ledger, id: string, requestId: string) => Promise<Generation | null>]> = [
      ['accepted', async (ledger, id, requestId) => await ledger.recordAccepted(id, 1, requestId)],
      ['accepted', async (ledger, id, requestId) => await ledger.recordProgress(id, 1, requestId, { kind: 'queued', position: 2 })],
      ['running', async (ledger, id, requestId) => await ledger.recordProgress(id, 1, requestId, { kind: 'running' })],
      ['accepted', async (ledger, id, requestId) => await ledger.recordDoubt(id, 1, requestId, 'expired')],
      ['unknown', async (ledger, id, requestId) => await ledger.recordUnknown(id, 1, requestId, traceLost)],
      ['succeeded', async (ledger, id, requestId) => await ledger.finish(id, 1, requestId, successOf())]
    ]
    for (const [phase, tell] of tellings) {
      const { ledger, buy, go, claim, row } = await createWorld(t, make)
      const submitting = await buy()
      await go()
      const paused = await buy()
      await go()
      await ledger.recordNotSent(paused.id, 1, { retryAfterMs: 0 })
      const unknown = await buy()
      t.equal(await claim(), paused.id)
      await ledger.recordNotSent(paused.id, 2, { retryAfterMs: 60_000 })
      await go()
      await ledger.recordUnknown(unknown.id, 1, null, traceLost)
      const waiting = await buy()
      for (const { id } of [submitting, paused, unknown, waiting]) {
        t.match(await tell(ledger, id, 'request-' + id), { phase, requestId: 'request-' + id }, (await row(id)).phase)
      }
      t.equal(await claim(), 'empty', 'none of them is sent again')
    }
  })

  t.test('the first evidence about an attempt wins', async t => {
    const { ledger, buy, go, accepted } = await createWorld(t, make)
    const first = await accepted('a')
    t.match(await ledger.recordNotSent(first.id, 1, { retryAfterMs: 0 }), { phase: 'accepted' })
    t.match(await ledger.recordNotSent(first.id, 1, { failure: unreachable }), { phase: 'accepted' })
    t.match(await ledger.recordAccepted(first.id, 1, 'a'), { phase: 'accepted', version: 3 }, 'the same again changes nothing')
    const second = await buy()
    await go()
    await ledger.recordNotSent(second.id, 1, { retryAfterMs: 0 })
    t.match(await ledger.recordUnknown(second.id, 1, null, traceLost), { phase: 'waiting', requestId: null })
  })

  t.test('evidence needs no lease: a late owner\'s word about the attempt is taken', async t => {
    const { ledger, buy, go, advance } = await createWorld(t, make)
    const { id } = await buy()
    await go('slow')
    await advance(20_000)
    t.match(await ledger.sweep('r2', 10), [{ row: { id, phase: 'submitting', owner: 'r2' } }])
    t.match(await ledger.recordAccepted(id, 1, 'a'), { phase: 'accepted', requestId: 'a', owner: 'r2' })
  })

  t.test('what certainly was not sent waits again or ends unspent', async t => {
    const { ledger, buy, go, balance } = await createWorld(t, make)
    const first = await buy()
    await go()
    t.match(await ledger.recordNotSent(first.id, 1, { retryAfterMs: 60_000 }), { phase: 'waiting', attempt: 1, owner: null })
    t.same(await balance(), { held: price, spent: 0 })
    const second = await buy()
    await go()
    t.match(await ledger.recordNotSent(second.id, 1, { failure: unreachable }), { phase: 'failed', failure: unreachable, cost: 0, costAssumed: false, owner: null })
    t.same(await balance(), { held: price, spent: 0 })
  })

  t.test('what went out and was not answered is unknown: money held, no slot, nobody\'s to sweep', async t => {
    const { ledger, buy, go, balance, advance } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    t.match(await ledger.recordUnknown(id, 1, null, traceLost), { phase: 'unknown', failure: traceLost, owner: null, cost: null, finishedAtMs: null })
    t.match(await ledger.recordUnknown(id, 1, null, unreachable), { failure: traceLost }, 'the first wins')
    t.same(await balance(), { held: price, spent: 0 })
    t.match(await ledger.gauges(), { atUpstream: 0, unknownOpen: 1 })
    await advance(100 * 86_400_000)
    t.same(await ledger.sweep('r2', 10), [])
    t.match(await ledger.unknowns(10), [{ id, phase: 'unknown' }], 'it does not expire before it is settled')
  })

  t.test('a generation followed at fal becomes unknown when its trace is lost, and keeps its request id', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    const { id } = await accepted('a')
    await ledger.recordProgress(id, 1, 'a', { kind: 'running' })
    t.match(await ledger.recordUnknown(id, 1, 'a', traceLost), { phase: 'unknown', requestId: 'a' })
    t.match(await ledger.recordNotSent(id, 1, { retryAfterMs: 0 }), { phase: 'unknown', requestId: 'a' }, 'what has one was sent')
  })

  t.test('a submit that one process takes for lost goes on when another one heard the answer', async t => {
    const { ledger, buy, go, accepted } = await createWorld(t, make)
    const heard = await accepted('a')
    t.match(await ledger.recordUnknown(heard.id, 1, null, traceLost), { from: 'accepted', phase: 'accepted', requestId: 'a' })
    await ledger.recordProgress(heard.id, 1, 'a', { kind: 'running' })
    t.match(await ledger.recordUnknown(heard.id, 1, null, traceLost), { phase: 'running' })
    t.match(await ledger.recordUnknown(heard.id, 2, null, traceLost), { phase: 'running', requestId: 'a' }, 'of another attempt, too')
    const { id } = await buy()
    await go()
    t.match(await ledger.recordUnknown(id, 1, null, traceLost), { phase: 'unknown', failure: traceLost })
  })

  t.test('evidence turns unknown back: accepted, seen, not sent, or ended', async t => {
    const { ledger, buy, go, balance, accepted } = await createWorld(t, make)
    const ids: string[] = []
    for (let count = 0; count < 5; count += 1) {
      const { id } = await buy()
      await go()
      await ledger.recordUnknown(id, 1, null, traceLost)
      ids.push(id)
    }
    const [sent = '', waiting = '', failed = '', finished = '', refused = ''] = ids
    t.match(await ledger.recordAccepted(sent, 1, 'a'), { phase: 'accepted', requestId: 'a', failure: null, owner: null })
    t.match(await ledger.sweep('r2', 10), [{ row: { id: sent, owner: 'r2', takeovers: 0 } }], 'nobody looks after it, so it is given away at once')
    t.match(await ledger.recordNotSent(waiting, 1, { retryAfterMs: 60_000 }), { phase: 'waiting', failure: null })
    t.match(await ledger.recordNotSent(failed, 1, { failure: unreachable }), { phase: 'failed', cost: 0 })
    t.match(await ledger.finish(finished, 1, 'b', successOf({ cost: 50_000 })), { phase: 'succeeded', cost: 50_000, requestId: 'b' })
    t.match(await ledger.finish(refused, 1, 'c', failureOf(0)), { phase: 'failed', cost: 0 })
    t.same(await balance(), { held: 2 * price, spent: 50_000 })

    const seen = await accepted('d')
    await ledger.recordUnknown(seen.id, 1, 'd', traceLost)
    t.match(await ledger.recordProgress(seen.id, 1, 'd', { kind: 'queued', position: 3 }), { phase: 'accepted', queuePosition: 3, failure: null })
    await ledger.recordUnknown(seen.id, 1, 'd', traceLost)
    t.match(await ledger.recordProgress(seen.id, 1, 'd', { kind: 'running' }), { phase: 'running', failure: null })
  })

  t.test('the first end wins', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const { id, requestId, version } = await ended(successOf({ output: '{"first":true}' }))
    t.match(await ledger.finish(id, 1, requestId ?? '', successOf({ output: '{"second":true}' })), { output: '{"first":true}', version })
    t.match(await ledger.finish(id, 1, requestId ?? '', failureOf(price)), { phase: 'succeeded', version })
    t.match(await ledger.recordUnknown(id, 1, null, traceLost), { phase: 'succeeded', version })
    t.match(await ledger.recordUnknown(id, 1, requestId, traceLost), { phase: 'succeeded', version })
    t.match(await ledger.recordAccepted(id, 1, requestId ?? ''), { phase: 'succeeded', version })
    t.match(await ledger.recordProgress(id, 1, requestId ?? '', { kind: 'running' }), { phase: 'succeeded', version })
  })

  t.test('a request id that comes after the end is written down', async t => {
    const { ledger, buy, go, advance, balance } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    await ledger.recordUnknown(id, 1, null, traceLost)
    await advance(600_000)
    await ledger.settle(id, true)
    t.match(await ledger.recordAccepted(id, 1, 'a'), { phase: 'failed', requestId: 'a', cost: price })
    t.same(await balance(), { held: 0, spent: price })
  })

  t.test('what an operator settled as not bought and fal turns out to have accepted is booked at its price, once, and told', async t => {
    const { ledger, buy, go, advance, balance, nowMs } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    await ledger.recordUnknown(id, 1, null, traceLost)
    await advance(600_000)
    await ledger.settle(id, false)
    await ledger.takeOutbox(10)
    t.match(await ledger.recordAccepted(id, 1, 'a'), { from: 'failed', phase: 'failed', requestId: 'a', cost: price, costAssumed: true })
    t.match(await ledger.recordAccepted(id, 1, 'a'), { cost: price })
    t.same(await balance(), { held: 0, spent: price })
    t.match(await ledger.takeOutbox(10), [{ kind: 'late', from: 'failed', booked: price, row: { id } }])
    t.match(await ledger.journal(0, nowMs() + 1, 10), [{ kind: 'unknown', amount: price }, { kind: 'correction', amount: -price }, { kind: 'correction', amount: price, requestId: 'a', assumed: true }])
  })

  t.test('a generation whose cancel was wished does not go back into the queue', async t => {
    const { ledger, buy, go, claim, balance } = await createWorld(t, make)
    const row = await buy()
    await go()
    t.match(await ledger.cancel(row.id, row), { outcome: 'asked' })
    t.match(await ledger.recordNotSent(row.id, 1, { retryAfterMs: 0 }), { phase: 'cancelled', cost: 0 })
    t.equal(await claim(), 'empty')
    t.same(await balance(), { held: 0, spent: 0 })
  })

  t.test('evidence about a newer attempt proves a rollback and is taken', async t => {
    const { ledger, buy, go, claim, nowMs } = await createWorld(t, make)
    const first = await buy()
    t.match(await ledger.recordAccepted(first.id, 1, 'a'), { phase: 'accepted', attempt: 1, requestId: 'a', runUntilMs: nowMs() + 3_600_000 })
    const second = await buy()
    t.match(await ledger.finish(second.id, 2, 'b', successOf()), { phase: 'succeeded', attempt: 2, cost: price })
    const third = await buy()
    t.match(await ledger.recordUnknown(third.id, 1, null, traceLost), { phase: 'unknown', attempt: 1 })
    const fourth = await buy()
    await go()
    t.match(await ledger.recordAccepted(fourth.id, 2, 'd'), { phase: 'accepted', attempt: 2 })
    t.equal(await claim(), 'empty', 'none of them is sent again')
  })
}
