// fal's log lines: each is kept once, at its place, no matter which process tells it; bounded, and no longer than the row.

import type { Test } from 'tap'
import type { LogPiece } from '../../../src/generation/upstream.ts'
import { freshId, noTerms, successOf } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

const running = { kind: 'running' } as const

/** Lines from one place up to another, each naming its own. */
function piece (from: number, to: number, message = (place: number) => `line ${place}`): LogPiece {
  return { from, lines: Array.from({ length: to - from }, (_, n) => ({ message: message(from + n), timestamp: '2026-11-22T12:00:00Z', level: null })) }
}

async function kept ({ ledger }: World, id: string, from = 0): Promise<string[]> {
  const { from: first, lines } = await ledger.logs(id, from)
  return lines.map(({ message }, n) => `${first + n} ${message}`)
}

export async function logs (t: Test, make: MakeStore): Promise<void> {
  t.test('lines come with what was seen, and each raises the version once for all of them', async t => {
    const world = await createWorld(t, make)
    const { ledger, accepted } = world
    const { id, version, logged } = await accepted('a')
    t.equal(logged, 0)
    t.match(await ledger.recordProgress(id, 1, 'a', { kind: 'queued', position: 1 }, piece(0, 1)), { phase: 'accepted', logged: 1, version: version + 1 })
    t.match(await ledger.recordProgress(id, 1, 'a', running, piece(1, 3)), { phase: 'running', logged: 3, version: version + 2 })
    t.match(await ledger.recordProgress(id, 1, 'a', running, piece(3, 4)), { phase: 'running', logged: 4, version: version + 3 })
    t.match(await ledger.recordProgress(id, 1, 'a', running, piece(4, 4)), { version: version + 3 })
    t.match(await ledger.finish(id, 1, 'a', successOf(), piece(4, 5)), { phase: 'succeeded', logged: 5, version: version + 4 })
    t.same(await kept(world, id), ['0 line 0', '1 line 1', '2 line 2', '3 line 3', '4 line 4'])
    t.same(await kept(world, id, 3), ['3 line 3', '4 line 4'], 'only what is new')
    t.same(await ledger.logs(id, 5), { from: 5, lines: [] })
    t.same((await ledger.logs(id, 4)).lines, [{ message: 'line 4', timestamp: '2026-11-22T12:00:00Z', level: null }])
  })

  t.test('a replica that takes a generation over tells all lines again, and none is kept twice', async t => {
    const world = await createWorld(t, make)
    const { ledger, accepted } = world
    const { id } = await accepted('a')
    await ledger.recordProgress(id, 1, 'a', running, piece(0, 3))
    const { version } = await world.row(id)
    t.match(await ledger.recordProgress(id, 1, 'a', running, piece(0, 3)), { version, logged: 3 })
    t.match(await ledger.recordProgress(id, 1, 'a', running, piece(0, 5)), { version: version + 1, logged: 5 })
    t.same((await kept(world, id)).length, 5)
  })

  t.test('where lines are missing in between, the others stand at their places', async t => {
    const world = await createWorld(t, make)
    const { ledger, accepted } = world
    const { id } = await accepted('a')
    await ledger.recordProgress(id, 1, 'a', running, piece(0, 2))
    t.match(await ledger.recordProgress(id, 1, 'a', running, piece(4, 6)), { logged: 6 })
    t.same(await kept(world, id), ['4 line 4', '5 line 5'])
    t.same(await kept(world, id, 1), ['4 line 4', '5 line 5'])
  })

  t.test('the last 200 lines are kept', async t => {
    const world = await createWorld(t, make)
    const { ledger, accepted } = world
    const { id } = await accepted('a')
    for (let from = 0; from < 500; from += 125) await ledger.recordProgress(id, 1, 'a', running, piece(from, from + 125))
    const lines = await kept(world, id)
    t.equal(lines.length, 200)
    t.equal(lines[0], '300 line 300')
    t.equal(lines.at(-1), '499 line 499')
  })

  t.test('and of long lines as many as are 32 KiB', async t => {
    const world = await createWorld(t, make)
    const { ledger, accepted } = world
    const { id } = await accepted('a')
    await ledger.recordProgress(id, 1, 'a', running, piece(0, 40, () => 'ü'.repeat(1000)))
    const { from, lines } = await ledger.logs(id, 0)
    t.equal(lines.length, 16)
    t.equal(from, 24)
    t.match(await ledger.recordProgress(id, 1, 'a', running, piece(40, 41, () => 'x'.repeat(40_000))), { logged: 41 })
    t.same(await ledger.logs(id, 0), { from: 41, lines: [] })
    await ledger.recordProgress(id, 1, 'a', running, piece(41, 42))
    t.same(await kept(world, id), ['41 line 41'])
  })

  t.test('what has ended takes none, and a row none of a double', async t => {
    const world = await createWorld(t, make)
    const { ledger, accepted } = world
    const ended = await accepted('a')
    await ledger.recordProgress(ended.id, 1, 'double', running, piece(0, 1))
    await ledger.finish(ended.id, 1, 'a', successOf())
    await ledger.recordProgress(ended.id, 1, 'a', running, piece(0, 1))
    await ledger.finish(ended.id, 1, 'a', successOf(), piece(0, 1))
    t.match(await world.row(ended.id), { logged: 0 })
    t.same(await kept(world, ended.id), [])
    t.same(await ledger.logs(freshId(), 0), { from: 0, lines: [] })
  })

  t.test('they are forgotten with the row', async t => {
    const world = await createWorld(t, make, { resultTtlMs: 1000 })
    const { ledger, accepted, advance } = world
    const { id } = await accepted('a')
    await ledger.finish(id, 1, 'a', successOf(), piece(0, 3))
    await advance(999)
    t.equal((await kept(world, id)).length, 3)
    await advance(1)
    await ledger.sweep('r1', 10)
    t.same(await ledger.getMany([id]), [])
    t.same(await kept(world, id), [])
  })

  t.test('after a rollback it is known how many were told, and the next ones stand at their places', async t => {
    const world = await createWorld(t, make)
    const { ledger, accepted } = world
    const { id } = await accepted('a')
    const row = { ...await world.row(id), logged: 7, version: 40 }
    await ledger.recordProgress(id, 1, 'a', running, piece(0, 2))
    await ledger.restore('r1', [{ row, terms: noTerms, holds: true }])
    t.match(await world.row(id), { logged: 7 })
    t.same(await kept(world, id), [])
    await ledger.recordProgress(id, 1, 'a', running, piece(0, 8))
    t.same(await kept(world, id), ['7 line 7'])
  })

  t.test('a glance shows what changes about a generation, and the position in our queue as it now is', async t => {
    const { ledger, buy, go, nowMs } = await createWorld(t, make)
    const first = await buy()
    const second = await buy()
    t.same(await ledger.getStatuses([second.id, freshId(), first.id]), [
      { id: second.id, version: 1, phase: 'waiting', cancelWished: false, queuePosition: 1, startedAtMs: null, doubtSinceMs: null, logged: 0 },
      { id: first.id, version: 1, phase: 'waiting', cancelWished: false, queuePosition: 0, startedAtMs: null, doubtSinceMs: null, logged: 0 }
    ])
    await go()
    await ledger.recordAccepted(first.id, 1, 'a')
    await ledger.cancel(first.id, first)
    await ledger.recordProgress(first.id, 1, 'a', running, piece(0, 2))
    t.same(await ledger.getStatuses([first.id, second.id]), [
      { id: first.id, version: 5, phase: 'running', cancelWished: true, queuePosition: null, startedAtMs: nowMs(), doubtSinceMs: null, logged: 2 },
      { id: second.id, version: 1, phase: 'waiting', cancelWished: false, queuePosition: 0, startedAtMs: null, doubtSinceMs: null, logged: 0 }
    ])
    t.same(await ledger.getStatuses([]), [])
  })
}
