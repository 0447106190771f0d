// A result that could not be used: the row keeps what was seen and since when, and gives its slot at fal back.

import type { Test } from 'tap'
import { failureOf, noTerms, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

export async function doubts (t: Test, make: MakeStore): Promise<void> {
  t.test('the first doubt stands in the row with its time; what says nothing changes neither, what says otherwise leaves it undecided', async t => {
    const { ledger, accepted, nowMs, advance, row } = await createWorld(t, make)
    const { id } = await accepted('a')
    const sinceMs = nowMs()
    t.match(await ledger.recordDoubt(id, 1, 'a', 'expired'), { phase: 'accepted', doubt: 'expired', doubtSinceMs: sinceMs, from: 'accepted' })
    const { version } = await row(id)
    await advance(1000)
    await ledger.recordDoubt(id, 1, 'a', 'expired')
    await ledger.recordDoubt(id, 1, 'a', 'unavailable')
    t.match(await row(id), { doubt: 'expired', doubtSinceMs: sinceMs, version }, 'told twice it changes nothing')
    t.match(await ledger.recordDoubt(id, 1, 'a', 'no-output'), { doubt: 'undecided', doubtSinceMs: sinceMs })
    t.match(await ledger.recordDoubt(id, 1, 'a', 'expired'), { doubt: 'undecided', doubtSinceMs: sinceMs })
  })

  t.test('that it cannot be had says nothing: the time is that of the first answer that does', async t => {
    const { ledger, accepted, nowMs, advance } = await createWorld(t, make)
    const { id } = await accepted('a')
    t.match(await ledger.recordDoubt(id, 1, 'a', 'unavailable'), { doubt: 'unavailable', doubtSinceMs: nowMs() })
    await advance(60_000)
    t.match(await ledger.recordDoubt(id, 1, 'a', 'cancelled'), { doubt: 'cancelled', doubtSinceMs: nowMs() })
  })

  t.test('it takes no slot: another one of its tenant is granted, and of the account', async t => {
    const { ledger, buy, claim, accepted } = await createWorld(t, make)
    const { id } = await accepted('a', { maxInFlight: 1 })
    const next = await buy({ maxInFlight: 1 })
    t.equal(await claim({ slots: 1 }), 'busy')
    await ledger.recordDoubt(id, 1, 'a', 'expired')
    t.equal((await ledger.gauges()).atUpstream, 0)
    t.equal(await claim({ slots: 1 }), next.id)
    await ledger.finish(id, 1, 'a', successOf())
    t.equal((await ledger.gauges()).atUpstream, 1)
    t.equal(await claim({ slots: 2 }), 'empty')
  })

  t.test('a process that waits for a slot is told that there is one', async t => {
    const { ledger, buy, accepted } = await createWorld(t, make)
    const { id } = await accepted('a', { maxInFlight: 1 })
    await buy({ maxInFlight: 1 })
    const told = new Promise<boolean>(resolve => {
      ledger.listen(change => { if (change !== 'look-again' && change.id === id && change.doubtSinceMs !== null) resolve(change.isQueueEmpty) })
    })
    await ledger.recordDoubt(id, 1, 'a', 'expired')
    t.equal(await told, false)
  })

  t.test('what is seen of it at fal takes the doubt away, and its slot again', async t => {
    for (const seen of [{ kind: 'running' }, { kind: 'queued', position: null }] as const) {
      const { ledger, accepted, row } = await createWorld(t, make)
      const { id } = await accepted('a')
      await ledger.recordDoubt(id, 1, 'a', 'expired')
      await ledger.recordProgress(id, 1, 'a', seen)
      t.match(await row(id), { phase: seen.kind === 'running' ? 'running' : 'accepted', doubt: null, doubtSinceMs: null })
      t.equal((await ledger.gauges()).atUpstream, 1)
    }
    const { ledger, accepted, row } = await createWorld(t, make)
    const { id } = await accepted('a')
    await ledger.recordProgress(id, 1, 'a', { kind: 'running' })
    await ledger.recordDoubt(id, 1, 'a', 'expired')
    await ledger.recordProgress(id, 1, 'a', { kind: 'running' })
    t.match(await row(id), { phase: 'running', doubt: null })
  })

  t.test('nothing of it is left at the end', async t => {
    for (const end of ['succeeded', 'failed', 'lost'] as const) {
      const { ledger, accepted, row } = await createWorld(t, make)
      const { id } = await accepted('a')
      await ledger.recordDoubt(id, 1, 'a', 'expired')
      if (end === 'lost') await ledger.recordUnknown(id, 1, 'a', traceLost)
      else await ledger.finish(id, 1, 'a', end === 'succeeded' ? successOf() : failureOf())
      t.match(await row(id), { phase: end === 'lost' ? 'unknown' : end, doubt: null, doubtSinceMs: null })
      t.equal((await ledger.gauges()).atUpstream, 0)
    }
  })

  t.test('it outlives its owner, and is taken over with its time', async t => {
    const { ledger, accepted, nowMs, advance } = await createWorld(t, make)
    const { id } = await accepted('a')
    const doubtSinceMs = nowMs()
    await ledger.recordDoubt(id, 1, 'a', 'no-output')
    await advance(15_000)
    t.match(await ledger.sweep('r2', 10), [{ row: { id, owner: 'r2', doubt: 'no-output', doubtSinceMs } }])
    await ledger.release('r2', [id])
    t.match(await ledger.sweep('r3', 10), [{ row: { id, owner: 'r3', doubt: 'no-output', doubtSinceMs } }])
  })

  t.test('it comes back with a row that the store lost', async t => {
    const { ledger, accepted, row } = await createWorld(t, make)
    const { id } = await accepted('a')
    const known = await ledger.recordDoubt(id, 1, 'a', 'expired')
    if (known === null) throw new Error('There is no such row.')
    const { from, ...fact } = known
    await ledger.restore('r1', [{ row: { ...fact, version: fact.version + 5 }, terms: noTerms, holds: true }])
    t.match(await row(id), { doubt: 'expired', doubtSinceMs: known.doubtSinceMs })
    t.equal((await ledger.gauges()).atUpstream, 0)
  })

  t.test('a doubt about another purchase or about what is not at fal changes nothing of the row', async t => {
    const { ledger, accepted, row, ended } = await createWorld(t, make)
    const { id } = await accepted('a')
    await ledger.recordDoubt(id, 1, 'b', 'expired')
    t.match(await row(id), { doubt: null })
    await ledger.recordUnknown(id, 1, 'a', traceLost)
    t.match(await ledger.recordDoubt(id, 1, 'a', 'expired'), { phase: 'unknown', doubt: null })
    const over = await ended()
    t.match(await ledger.recordDoubt(over.id, 1, String(over.requestId), 'expired'), { phase: 'succeeded', version: over.version })
    t.equal(await ledger.recordDoubt('nobody', 1, 'a', 'expired'), null)
  })

  t.test('lines of fal\'s log that come with it are kept', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    const { id } = await accepted('a')
    await ledger.recordDoubt(id, 1, 'a', 'expired', { from: 0, lines: [{ message: 'done', timestamp: null, level: null }] })
    t.match(await ledger.logs(id, 0), { from: 0, lines: [{ message: 'done' }] })
  })
}
