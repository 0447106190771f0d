// Silence: a replica without a heartbeat, and what another one may go on with before its lease runs out (rule 40).

import type { Test } from 'tap'
import { successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const leaseMs = 15_000
const silentMs = 2000

export async function silence (t: Test, make: MakeStore): Promise<void> {
  t.test('a replica that was silent for two seconds is named to the others, as long as it follows something', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    await accepted('a')
    t.same(await ledger.heartbeat('r1'), [])
    await advance(silentMs - 1)
    t.same(await ledger.heartbeat('r2'), [])
    await advance(1)
    t.same(await ledger.heartbeat('r2'), ['r1'])
    t.same(await ledger.heartbeat('r3'), ['r1'])
    await ledger.takeOver('r2', 'r1', 10)
    t.same(await ledger.heartbeat('r3'), [])
  })

  t.test('one that has a heartbeat again is not silent, and keeps what it follows', async t => {
    const { ledger, accepted, row, advance } = await createWorld(t, make)
    const { id, version } = await accepted('a')
    await ledger.heartbeat('r1')
    await advance(silentMs)
    t.same(await ledger.heartbeat('r2'), ['r1'])
    t.same(await ledger.heartbeat('r1'), [])
    t.same(await ledger.takeOver('r2', 'r1', 10), [], 'it was asked about meanwhile')
    t.match(await row(id), { owner: 'r1', version })
  })

  t.test('what fal has accepted is taken over long before its lease runs out, once, with a lease of its own', async t => {
    const { ledger, accepted, row, advance } = await createWorld(t, make)
    const accept = await accepted('a', { cacheName: 'cache' })
    const running = await accepted('b')
    await ledger.recordProgress(running.id, 1, 'b', { kind: 'running' })
    const doubted = await accepted('c')
    await ledger.recordDoubt(doubted.id, 1, 'c', 'expired')
    await ledger.heartbeat('r1')
    await advance(silentMs)
    const taken = [...await ledger.takeOver('r2', 'r1', 2), ...await ledger.takeOver('r3', 'r1', 2)]
    t.same(new Set(taken.map(({ row: { id, phase, requestId, takeovers } }) => `${id} ${phase} ${requestId} ${takeovers}`)), new Set([
      `${accept.id} accepted a 1`, `${running.id} running b 1`, `${doubted.id} accepted c 1`
    ]))
    t.same(new Set(taken.map(({ terms }) => terms.cacheName)), new Set(['cache', null]), 'with what it was admitted under')
    t.same(await ledger.takeOver('r4', 'r1', 10), [])
    await advance(leaseMs - 1)
    t.same(await ledger.sweep('r4', 10), [], 'a whole lease')
    t.match(await row(accept.id), { version: accept.version + 1 }, 'which readers are told')
  })

  t.test('a submit under way, what waits, what is unknown and what has ended are not taken over', async t => {
    const { ledger, buy, go, accepted, ended, row, advance } = await createWorld(t, make)
    const lost = await accepted('a')
    await ledger.recordUnknown(lost.id, 1, 'a', traceLost)
    const over = await ended(successOf())
    const submitting = await buy()
    await go()
    const waiting = await buy()
    await ledger.heartbeat('r1')
    await advance(silentMs)
    t.same(await ledger.heartbeat('r2'), [])
    t.same(await ledger.takeOver('r2', 'r1', 10), [])
    for (const [id, phase] of [[lost.id, 'unknown'], [over.id, 'succeeded'], [submitting.id, 'submitting'], [waiting.id, 'waiting']] as const) t.match(await row(id), { phase, takeovers: 0 })
    await ledger.recordAccepted(submitting.id, 1, 'b')
    t.match(await ledger.takeOver('r2', 'r1', 10), [{ row: { id: submitting.id } }], 'once fal is known to have it, it is')
  })

  t.test('the owner that was taken for dead hears that it is gone, and what it knows is taken all the same', async t => {
    const { ledger, accepted, row, balance, advance } = await createWorld(t, make)
    const mine = await accepted('a')
    await ledger.heartbeat('r1')
    await advance(silentMs)
    await ledger.takeOver('r2', 'r1', 10)
    await ledger.heartbeat('r1')
    t.same(await ledger.renew('r1', [{ row: mine, holds: true }]), { gone: [mine.id], rolledBack: [] })
    t.match(await ledger.finish(mine.id, 1, 'a', successOf()), { phase: 'succeeded' })
    t.match(await ledger.finish(mine.id, 1, 'a', successOf()), { from: 'succeeded', phase: 'succeeded' }, 'both may have followed it')
    t.match(await row(mine.id), { takeovers: 1, cost: mine.price })
    t.same(await balance(), { held: 0, spent: mine.price })
  })

  t.test('what was taken over twice waits for its lease: processes that only stand still cannot make it unknown', async t => {
    const { ledger, accepted, row, advance } = await createWorld(t, make)
    const { id } = await accepted('a')
    for (const [silent, heir] of [['r1', 'r2'], ['r2', 'r3']] as const) {
      await ledger.heartbeat(silent)
      await advance(silentMs)
      t.match(await ledger.takeOver(heir, silent, 10), [{ row: { id, owner: heir } }])
    }
    await ledger.heartbeat('r3')
    await advance(silentMs)
    t.same(await ledger.heartbeat('r4'), [])
    t.same(await ledger.takeOver('r4', 'r3', 10), [])
    t.match(await row(id), { owner: 'r3', takeovers: 2 })
    await advance(leaseMs - silentMs)
    t.match(await ledger.sweep('r4', 10), [{ row: { id, takeovers: 3 } }])
  })

  t.test('a replica that never had a heartbeat, as those of older versions, or that left, is never taken for silent', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    const { id } = await accepted('a')
    await advance(silentMs)
    t.same(await ledger.heartbeat('r2'), [])
    t.same(await ledger.takeOver('r2', 'r1', 10), [])
    await ledger.heartbeat('r1')
    await ledger.release('r1', [])
    await advance(silentMs)
    t.same(await ledger.heartbeat('r2'), [])
    t.same(await ledger.takeOver('r2', 'r1', 10), [])
    await ledger.release('r1', [id])
    t.match(await ledger.sweep('r2', 10), [{ row: { id, takeovers: 0 } }])
  })

  t.test('after a lease of silence only the lease counts', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    const row = await accepted('a')
    await ledger.heartbeat('r1')
    await advance(leaseMs - 1)
    await ledger.renew('r1', [{ row, holds: true }])
    await advance(2)
    t.same(await ledger.heartbeat('r2'), [])
    t.same(await ledger.takeOver('r2', 'r1', 10), [])
  })

  t.test('no more is taken over at once than was asked for', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    for (let count = 0; count < 5; count += 1) await accepted(`request${count}`)
    await ledger.heartbeat('r1')
    await advance(silentMs)
    t.equal((await ledger.takeOver('r2', 'r1', 3)).length, 3)
    t.same(await ledger.heartbeat('r2'), ['r1'])
    t.equal((await ledger.takeOver('r2', 'r1', 3)).length, 2)
  })

  t.test('while claims wait after a failover nobody is named: the replicas could not say that they are there', async t => {
    const { ledger, accepted, setServer, advance } = await createWorld(t, make)
    const row = await accepted('a')
    await ledger.heartbeat('r1')
    await ledger.renew('r1', [{ row, holds: true }])
    await advance(silentMs)
    setServer('second')
    t.same(await ledger.heartbeat('r2'), [], 'a heartbeat notices it, too')
    t.match(await ledger.claim({ claimId: 'a', deadlineMs: Number.MAX_SAFE_INTEGER, replica: 'r2', slots: 1 }), { outcome: 'wait' })
    await ledger.renew('r1', [{ row, holds: true }])
    t.same(await ledger.heartbeat('r2'), ['r1'], 'it has put back what it knows, and is silent since')
  })

  t.test('a clock that is set back makes nobody silent', async t => {
    const { ledger, accepted, nowMs, setNow, advance } = await createWorld(t, make)
    await accepted('a')
    await ledger.heartbeat('r1')
    await setNow(nowMs() - 3_600_000)
    t.same(await ledger.heartbeat('r2'), [])
    await advance(silentMs - 1)
    t.same(await ledger.heartbeat('r2'), [])
    await advance(1)
    t.same(await ledger.heartbeat('r2'), ['r1'], 'and hides nobody for longer')
  })

  t.test('whether a replica is there is asked of itself', async t => {
    const { ledger } = await createWorld(t, make)
    const stop = ledger.answerOpen('r1', () => false)
    t.equal(await ledger.askThere('r1'), 'there', 'also without a connection')
    stop()
    t.equal(await ledger.askThere('r1'), 'silent')
  })
}
