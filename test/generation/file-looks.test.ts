// When the files of stored results are looked at: not before they are old, once in ten minutes, once for all who ask meanwhile, and never without an end.

import t from 'tap'
import type { Admitted } from '../../src/generation/admission.ts'
import type { Generation } from '../../src/generation/generation.ts'
import { createFileLooks } from '../../src/generation/request/file-looks.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, successOf, times } from '../support/admission.ts'

const hour = 3_600_000
const minute = 60_000

/** A ledger with successes, and looks at them that the test answers. */
async function scene (isThere: () => Promise<boolean> | boolean) {
  let nowMs = 1_800_000_000_000
  const ledger = createMemoryLedger({ times, now: () => nowMs })
  const looked: string[] = []
  const dead: string[] = []
  const looks = createFileLooks({
    ledger,
    filesLastMs: hour,
    look: async ({ id }) => {
      looked.push(id)
      return await isThere()
    },
    onDead: ({ id }) => { dead.push(id) }
  })
  async function success (cacheName = 'cache'): Promise<Generation> {
    const id = freshId()
    await ledger.admit(admissionOf({ id, cacheName }), { claimId: freshId(), replica: 'r1', slots: 10 })
    const row = await ledger.finish(id, 1, `request-${id}`, successOf())
    if (row === null) throw new Error('no row')
    return row
  }
  return { ledger, looks, looked, dead, success, advance: (ms: number) => { nowMs += ms } }
}

t.test('what is not old is sure, and what is old is looked at once in ten minutes', async t => {
  const { looks, looked, success, advance } = await scene(() => true)
  const row = await success()
  const stored = { purchase: row.id, finishedAtMs: row.finishedAtMs ?? 0 }
  advance(hour)
  t.equal(looks.isSure(stored), true)
  t.equal(await looks.areThere(row), true)
  t.same(looked, [])
  advance(1)
  t.equal(looks.isSure(stored), false)
  t.same(await Promise.all([looks.areThere(row), looks.areThere(row)]), [true, true])
  t.equal(looks.isSure(stored), true)
  advance(10 * minute - 1)
  t.equal(await looks.areThere(row), true)
  t.same(looked, [row.id], 'once for all who ask meanwhile')
  advance(1)
  t.equal(looks.isSure(stored), false)
  t.equal(await looks.areThere(row), true)
  t.equal(looked.length, 2)
})

t.test('what is gone is noted before it is told, and told once', async t => {
  const { ledger, looks, dead, success, advance } = await scene(() => false)
  const row = await success()
  advance(2 * hour)
  t.same(await Promise.all([looks.areThere(row), looks.areThere(row)]), [false, false])
  t.equal(await ledger.lookup('cache'), null)
  t.same(dead, [row.id])
})

t.test('where the ledger cannot be told the caller hears of that, and the next one looks again', async t => {
  const { ledger, looked, success, advance } = await scene(() => false)
  const row = await success()
  advance(2 * hour)
  const failing = createFileLooks({ ledger: { now: ledger.now, noteDeadLinks: async () => { throw new Error('away') } }, filesLastMs: hour, look: async () => false, onDead: () => { throw new Error('nobody knows that it is dead') } })
  await t.rejects(failing.areThere(row), { message: 'away' })
  await t.rejects(failing.areThere(row), { message: 'away' })
  t.same(looked, [])
})

t.test('an admission is asked again until it is clear, and not without end', async t => {
  const { looks, success, advance } = await scene(() => true)
  const rows: Generation[] = []
  for (let n = 0; n < 10; n += 1) rows.push(await success(`cache ${n}`))
  advance(2 * hour)
  const asked: unknown[] = []
  const { admitted, foundDead } = await looks.admit(async (known): Promise<Admitted> => {
    asked.push(known)
    const row = rows[asked.length]
    if (row === undefined) throw new Error('asked without end')
    return { outcome: known.filesLastMs === null ? 'hit' : 'look', row }
  })
  t.match({ admitted, foundDead }, { admitted: { outcome: 'hit' }, foundDead: false })
  t.same(asked, [{ filesLastMs: hour, lookedAt: null }, { filesLastMs: hour, lookedAt: rows[1]?.id }, { filesLastMs: hour, lookedAt: rows[2]?.id }, { filesLastMs: null, lookedAt: rows[3]?.id }])
})

t.test('what leads nowhere any more is bought', async t => {
  const { ledger, looks, success, advance } = await scene(() => false)
  await success()
  advance(2 * hour)
  const { admitted, foundDead } = await looks.admit(async known => await ledger.admit(admissionOf({ ...known, cacheName: 'cache', deadlineMs: never })))
  t.match({ admitted, foundDead }, { admitted: { outcome: 'bought' }, foundDead: true })
})
