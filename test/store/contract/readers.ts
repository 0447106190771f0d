// Readers: what they may see, page by page, and how they are woken.

import type { Test } from 'tap'
import type { Published } from '../../../src/generation/changes.ts'
import { statuses } from '../../../src/generation/phases.ts'
import { admissionOf, failureOf, price, successOf, traceLost } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const studio = { tenant: 'studio', subject: '' }

export async function readers (t: Test, make: MakeStore): Promise<void> {
  t.test('a generation is read by its own tenant and subject only', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const { id } = await buy({ subject: 'visitor' })
    t.match(await ledger.read(id, { tenant: 'studio', subject: 'visitor' }), { id, purchase: id })
    t.equal(await ledger.read(id, studio), null)
    t.equal(await ledger.read(id, { tenant: 'agency', subject: 'visitor' }), null)
    t.equal(await ledger.read('nobody', studio), null)
  })

  t.test('a row that was handed out does not change any more', async t => {
    const { ledger, buy, go } = await createWorld(t, make)
    const row = await buy()
    const copy = structuredClone(row)
    await go()
    await ledger.recordAccepted(row.id, 1, 'a')
    t.same(row, copy)
  })

  t.test('each reader has a list of its own, newest first', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const ids: string[] = []
    for (let count = 0; count < 3; count += 1) ids.unshift((await buy()).id)
    const visitor = await buy({ subject: 'visitor' })
    const page = await ledger.list(studio, { limit: 10, cursor: null, status: null })
    t.same(page.rows.map(row => row.id), ids)
    t.equal(page.nextCursor, null)
    t.match(await ledger.list({ tenant: 'studio', subject: 'visitor' }, { limit: 10, cursor: null, status: null }), { rows: [{ id: visitor.id }] })
    t.same(await ledger.list({ tenant: 'agency', subject: '' }, { limit: 10, cursor: null, status: null }), { rows: [], nextCursor: null })
  })

  t.test('pages follow each other without gap or repetition, also while newer ones arrive', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const ids: string[] = []
    for (let count = 0; count < 7; count += 1) ids.unshift((await buy()).id)
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const page: Awaited<ReturnType<typeof ledger.list>> = await ledger.list(studio, { limit: 3, cursor, status: null })
      t.ok(page.rows.length <= 3)
      seen.push(...page.rows.map(row => row.id))
      cursor = page.nextCursor
      await buy()
    } while (cursor !== null)
    t.same(seen, ids)
  })

  t.test('a list of exactly one page has no next one', async t => {
    const { ledger, buy } = await createWorld(t, make)
    await buy()
    await buy()
    t.equal((await ledger.list(studio, { limit: 2, cursor: null, status: null })).nextCursor, null)
  })

  t.test('a cursor is the last generation of its page, so it tells nothing of what others buy', async t => {
    const { ledger, buy } = await createWorld(t, make)
    const oldest = await buy()
    const middle = await buy()
    await buy()
    const page = await ledger.list(studio, { limit: 2, cursor: null, status: null })
    t.equal(page.nextCursor, middle.id)
    t.match(await ledger.list(studio, { limit: 2, cursor: middle.id, status: null }), { rows: [{ id: oldest.id }], nextCursor: null })
    t.same(await ledger.list(studio, { limit: 2, cursor: oldest.id, status: null }), { rows: [], nextCursor: null })
  })

  t.test('a cursor that is not in the reader\'s own list is told, and is no empty page', async t => {
    const { ledger, buy, ended, advance } = await createWorld(t, make, { resultTtlMs: 5000 })
    const forgotten = await ended()
    await advance(5000)
    await ledger.sweep('r1', 10)
    await buy()
    const visitors = await buy({ subject: 'visitor' })
    for (const cursor of ['x', '1', forgotten.id, visitors.id]) {
      t.same(await ledger.list(studio, { limit: 2, cursor, status: null }), { rows: [], nextCursor: null, isCursorUnknown: true })
    }
    t.match(await ledger.list({ tenant: 'nobody', subject: '' }, { limit: 2, cursor: visitors.id, status: null }), { isCursorUnknown: true })
  })

  t.test('pages go on after entries that lead nowhere any more', async t => {
    const { ledger, accepted, advance, admit } = await createWorld(t, make, { resultTtlMs: 1000 })
    const agency = { tenant: 'agency', subject: '' }
    const oldest = await accepted('oldest', agency)
    for (let count = 0; count < 12; count += 1) {
      const { id } = await accepted(`request${count}`, { cacheName: `cache${count}` })
      await admit({ ...agency, cacheName: `cache${count}` })
      await ledger.finish(id, 1, `request${count}`, successOf())
    }
    await advance(1000)
    while ((await ledger.list(studio, { limit: 1, cursor: null, status: null })).rows.length > 0) await ledger.sweep('r1', 50)
    const first = await ledger.list(agency, { limit: 1, cursor: null, status: null })
    t.match(first, { rows: [], nextCursor: String })
    t.match(await ledger.list(agency, { limit: 1, cursor: first.nextCursor, status: null }), { rows: [{ id: oldest.id }], nextCursor: null })
  })

  t.test('a list by status finds all of them, the rare one behind many others on the first page', async t => {
    const { ledger, buy, ended } = await createWorld(t, make)
    const rare = await ended()
    const lost = await buy()
    await ledger.claim({ claimId: 'c', deadlineMs: ledger.now(), replica: 'r1', slots: 10 })
    await ledger.recordUnknown(lost.id, 1, null, traceLost)
    for (let count = 0; count < 45; count += 1) await buy()
    t.match(await ledger.list(studio, { limit: 1, cursor: null, status: 'succeeded' }), { rows: [{ id: rare.id }], nextCursor: null })
    t.match((await ledger.list(studio, { limit: 50, cursor: null, status: 'unknown' })).rows, [{ id: lost.id }])
    t.equal((await ledger.list(studio, { limit: 50, cursor: null, status: 'queued' })).rows.length, 45)
  })

  t.test('a list by status follows every move, and an end that is forgotten', async t => {
    const { ledger, buy, go, advance } = await createWorld(t, make, { resultTtlMs: 1000 })
    const { id } = await buy()
    const listed = async (): Promise<string[]> => {
      const pages = await Promise.all(statuses.map(async status => ({ status, ...await ledger.list(studio, { limit: 5, cursor: null, status }) })))
      return pages.flatMap(({ status, rows }) => rows.map(row => `${status} ${row.id === id}`))
    }
    t.same(await listed(), ['queued true'])
    await go()
    t.same(await listed(), ['queued true'])
    await ledger.recordAccepted(id, 1, 'a')
    await ledger.recordProgress(id, 1, 'a', { kind: 'running' })
    t.same(await listed(), ['running true'])
    await ledger.recordUnknown(id, 1, 'a', traceLost)
    t.same(await listed(), ['unknown true'])
    await ledger.finish(id, 1, 'a', successOf())
    t.same(await listed(), ['succeeded true'])
    await advance(1000)
    await ledger.sweep('r1', 10)
    t.same(await listed(), [])
  })

  t.test('pages by status follow each other without gap or repetition, aliases among them', async t => {
    const { ledger, ended, admit } = await createWorld(t, make)
    const ids: string[] = []
    for (let count = 0; count < 4; count += 1) {
      ids.unshift((await ended()).id)
      await ended(failureOf())
      await ended(successOf(), { tenant: 'agency', cacheName: `cache${count}` })
      ids.unshift((await admit({ cacheName: `cache${count}`, needsId: true })).row.id)
    }
    for (const limit of [1, 3, 8]) {
      const seen: string[] = []
      let cursor: string | null = null
      do {
        const page: Awaited<ReturnType<typeof ledger.list>> = await ledger.list(studio, { limit, cursor, status: 'succeeded' })
        seen.push(...page.rows.map(row => row.id))
        cursor = page.nextCursor
      } while (cursor !== null)
      t.same(seen, ids)
    }
  })

  t.test('a page ends early where it would become too long, and the next one goes on', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const output = JSON.stringify({ images: [{ url: 'ü'.repeat(50_000) }] })
    const ids: string[] = []
    for (let count = 0; count < 6; count += 1) ids.unshift((await ended(successOf({ output }))).id)
    const first = await ledger.list(studio, { limit: 100, cursor: null, status: null })
    t.same(first.rows.map(row => row.id), ids.slice(0, 2))
    t.equal(first.nextCursor, ids[1])
    t.equal(first.rows[0]?.output, output)
    const second = await ledger.list(studio, { limit: 100, cursor: first.nextCursor, status: 'succeeded' })
    t.same(second.rows.map(row => row.id), ids.slice(2, 4))
    const last = await ended(successOf({ output: JSON.stringify({ text: 'x'.repeat(262_130) }) }))
    t.match(await ledger.list(studio, { limit: 100, cursor: null, status: null }), { rows: [{ id: last.id }], nextCursor: last.id }, 'one row at least')
  })

  t.test('a list shows the positions in the queue as they are now', async t => {
    const { ledger, buy, ended, go } = await createWorld(t, make)
    await ended()
    for (let count = 0; count < 3; count += 1) await buy()
    const placesOf = async (): Promise<unknown[]> => (await ledger.list(studio, { limit: 10, cursor: null, status: null })).rows.map(row => row.queuePosition)
    t.same(await placesOf(), [2, 1, 0, null])
    await go()
    t.same(await placesOf(), [1, 0, null, null])
  })

  t.test('every change of a row is told once, with its version, after the operation', async t => {
    const { ledger, buy, go, nowMs } = await createWorld(t, make)
    const told: Published[] = []
    let stop = (): void => {}
    const over = new Promise<void>(resolve => {
      stop = ledger.listen(change => {
        if (change === 'look-again') return
        told.push(change)
        if (change.phase === 'succeeded') resolve()
      })
    })
    const row = await buy()
    await go()
    await ledger.recordAccepted(row.id, 1, 'a')
    await ledger.recordProgress(row.id, 1, 'a', { kind: 'queued', position: 4 })
    await ledger.cancel(row.id, row)
    await ledger.recordProgress(row.id, 1, 'a', { kind: 'running' }, { from: 0, lines: [{ message: 'begun', timestamp: null, level: null }] })
    await ledger.finish(row.id, 1, 'a', successOf())
    await over
    const common = { id: row.id, cancelWished: false, queuePosition: null, startedAtMs: null, doubtSinceMs: null, logged: 0, isQueueEmpty: true }
    const begun = { cancelWished: true, startedAtMs: nowMs(), logged: 1 }
    t.same(told, [
      { ...common, version: 1, phase: 'waiting', queuePosition: 0, isQueueEmpty: false },
      { ...common, version: 2, phase: 'submitting' },
      { ...common, version: 3, phase: 'accepted' },
      { ...common, version: 4, phase: 'accepted', queuePosition: 4 },
      { ...common, version: 5, phase: 'accepted', queuePosition: 4, cancelWished: true },
      { ...common, ...begun, version: 6, phase: 'running' },
      { ...common, ...begun, version: 7, phase: 'succeeded' }
    ])
    stop()
    await ledger.correct(row.id, price)
    t.equal(told.length, 7, 'a listener that stopped is not told')
  })

  t.test('that an answer reached its caller is noted without a word: the version stays, and nobody is told', async t => {
    const { ledger, accepted, row } = await createWorld(t, make)
    const told: number[] = []
    const over = new Promise<void>(resolve => {
      ledger.listen(change => {
        if (change === 'look-again') return
        told.push(change.version)
        if (change.phase === 'succeeded') resolve()
      })
    })
    const { id, version } = await accepted('a')
    await ledger.seen(id, null)
    t.match(await row(id), { delivered: true, version })
    await ledger.finish(id, 1, 'a', successOf())
    await over
    t.same(told, [version - 2, version - 1, version, version + 1])
  })

  t.test('a listener that throws disturbs neither the ledger nor the others', async t => {
    const { ledger } = await createWorld(t, make)
    ledger.listen(() => { throw new Error('a faulty listener') })
    const woken = new Promise<string>(resolve => {
      ledger.listen(change => { resolve(change === 'look-again' ? '' : change.id) })
    })
    const given = admissionOf()
    t.match(await ledger.admit(given), { outcome: 'bought' })
    t.equal(await woken, given.id)
  })

  t.test('the store answers a ping, and closing twice is harmless', async t => {
    const { ledger } = await createWorld(t, make)
    await ledger.ping()
    await ledger.close()
    await ledger.close()
  })
}
