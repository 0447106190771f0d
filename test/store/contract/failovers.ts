// Failovers: another server keeps the ledger, and may have lost what the first one was told last. Nothing is claimed until the replicas have put back what they
// know, and never for longer than a lease.

import type { Test } from 'tap'
import type { Generation } from '../../../src/generation/generation.ts'
import { noTerms } from '../../support/admission.ts'
import { createWorld, startMs, type MakeStore } from './world.ts'

const leaseMs = 15_000

export async function failovers (t: Test, make: MakeStore): Promise<void> {
  t.test('under another server nothing is claimed for a lease, counted from the first claim there', async t => {
    const { ledger, buy, claim, setServer, advance } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.renew('r1', [])
    t.equal(await claim({ slots: 0 }), 'busy')
    setServer('second')
    await advance(60_000)
    const held = { outcome: 'wait', untilMs: startMs + 60_000 + leaseMs }
    t.match(await ledger.claim({ claimId: 'a', deadlineMs: startMs + 3_600_000, replica: 'r2', slots: 1 }), held)
    await advance(leaseMs - 1)
    t.match(await ledger.claim({ claimId: 'b', deadlineMs: startMs + 3_600_000, replica: 'r2', slots: 1 }), held, 'claiming again does not lengthen it')
    await advance(1)
    t.equal(await claim(), id)
  })

  t.test('it is over as soon as all have renewed that had renewed in the last lease before', async t => {
    const { ledger, buy, claim, setServer, advance } = await createWorld(t, make)
    await ledger.renew('gone for long', [])
    await advance(1)
    const { id } = await buy()
    await ledger.renew('r1', [])
    await advance(leaseMs - 1)
    await ledger.renew('r2', [])
    setServer('second')
    await advance(600_000)
    t.equal(await claim({ replica: 'r1' }), 'wait')
    await ledger.renew('r1', [])
    await ledger.renew('r3', [])
    t.equal(await claim({ replica: 'r1' }), 'wait', 'r2 was there')
    await ledger.renew('r2', [])
    t.equal(await claim({ replica: 'r1' }), id)
  })

  t.test('a replica that tells of some of what it holds has not renewed, though all of that is there', async t => {
    const { ledger, buy, go, claim, setServer } = await createWorld(t, make)
    await buy()
    const row = await go()
    const { id } = await buy()
    await ledger.renew('r1', [])
    setServer('second')
    t.same(await ledger.renew('r1', [{ row, holds: true }], true), { gone: [], rolledBack: [] })
    t.equal(await claim(), 'wait', 'what else it holds may be lost')
    await ledger.renew('r1', [{ row, holds: true }])
    t.equal(await claim(), id)
  })

  t.test('a replica that still has to put something back has not renewed', async t => {
    const { ledger, buy, claim, setServer, advance } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.renew('r1', [])
    setServer('second')
    t.equal(await claim(), 'wait')
    const waiting = await ledger.getMany([id])
    const facts = waiting.map((row: Generation) => ({ row: { ...row, phase: 'submitting' as const, attempt: 1, version: 2, owner: 'r1', runUntilMs: startMs + 3_600_000 }, holds: true, terms: noTerms }))
    t.same(await ledger.renew('r1', facts), { gone: [], rolledBack: [id] })
    await advance(1000)
    t.equal(await claim(), 'wait')
    await ledger.restore('r1', facts)
    t.equal(await claim(), 'wait')
    t.match(await ledger.renew('r1', facts), { rolledBack: [] })
    t.equal(await claim(), 'empty', 'what was lost is there again before anything is claimed')
  })

  t.test('the same server stops nothing, whatever it was told', async t => {
    const { ledger, buy, claim } = await createWorld(t, make)
    for (let count = 0; count < 3; count += 1) {
      const { id } = await buy()
      await ledger.renew('r1', [])
      t.equal(await claim(), id)
    }
  })

  t.test('a renewal notices the other server as well', async t => {
    const { ledger, buy, claim, setServer, advance } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.renew('r1', [])
    await ledger.renew('r2', [])
    setServer('second')
    await ledger.renew('r2', [])
    await advance(leaseMs - 1)
    t.equal(await claim(), 'wait')
    await advance(1)
    t.equal(await claim(), id)
  })

  t.test('an empty ledger has no wait', async t => {
    const { ledger, buy, claim, setServer } = await createWorld(t, make)
    await ledger.renew('r1', [])
    t.equal(await claim(), 'empty')
    setServer('second')
    const { id } = await buy()
    setServer('second')
    t.equal(await claim(), 'wait', 'but one that somebody has bought from meanwhile does')
    await ledger.renew('r1', [])
    t.equal(await claim(), id)
  })

  t.test('while it is empty it takes the other server for its own', async t => {
    const { ledger, buy, claim, setServer } = await createWorld(t, make)
    await ledger.renew('r1', [])
    setServer('second')
    t.equal(await claim(), 'empty')
    const { id } = await buy()
    t.equal(await claim(), id)
  })

  t.test('nobody waits for replicas that have left, nor where none had renewed', async t => {
    const { ledger, buy, claim, setServer } = await createWorld(t, make)
    const first = await buy()
    const second = await buy()
    t.equal(await claim(), first.id)
    await ledger.renew('r1', [])
    await ledger.release('r1', [first.id])
    setServer('second')
    t.equal(await claim(), second.id)
  })

  t.test('a replica that leaves before it has put back what it knows is waited for', async t => {
    const { ledger, buy, claim, setServer, advance } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.renew('r1', [])
    setServer('second')
    t.equal(await claim(), 'wait')
    await ledger.release('r1', [])
    t.equal(await claim(), 'wait')
    await advance(leaseMs)
    t.equal(await claim(), id)
  })

  t.test('another failover during the wait begins a new one, for those who are still missed too', async t => {
    const { ledger, buy, claim, setServer, advance } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.renew('r1', [])
    await ledger.renew('r2', [])
    setServer('second')
    t.equal(await claim(), 'wait')
    await ledger.renew('r1', [])
    await advance(leaseMs - 1)
    setServer('third')
    t.equal(await claim(), 'wait')
    await advance(leaseMs - 1)
    t.equal(await claim(), 'wait')
    await ledger.renew('r1', [])
    t.equal(await claim(), 'wait', 'r2 was not heard of since the first')
    await ledger.renew('r2', [])
    t.equal(await claim(), id)
  })

  t.test('a claim that comes too late for its deadline notices nothing, and one that was granted stays granted', async t => {
    const { ledger, buy, claim, setServer } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.renew('r1', [])
    t.equal(await claim({ claimId: 'mine' }), id)
    setServer('second')
    t.equal(await claim({ deadlineMs: startMs - 1 }), 'late')
    setServer('first')
    t.equal(await claim(), 'empty')
    setServer('second')
    t.equal(await claim(), 'wait')
    t.equal(await claim({ claimId: 'mine' }), id)
  })

  t.test('a clock that is set back does not lengthen the wait', async t => {
    const { ledger, buy, claim, setServer, setNow } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.renew('r1', [])
    setServer('second')
    t.equal(await claim(), 'wait')
    await setNow(startMs - 3_600_000)
    t.equal(await claim(), 'wait')
    await setNow(startMs - 3_600_000 + leaseMs)
    t.equal(await claim(), id)
  })

  t.test('the clock of the other server does not tell which replicas were there', async t => {
    const { ledger, buy, claim, setServer, setNow } = await createWorld(t, make)
    const { id } = await buy()
    await ledger.renew('r1', [])
    setServer('second')
    await setNow(startMs - 3_600_000)
    t.equal(await claim(), 'wait')
    await ledger.renew('r1', [])
    t.equal(await claim(), id)
  })
}
