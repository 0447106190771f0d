// Files of outputs: where their addresses stand is kept with the row, and what is not stored yet is given to one process after the other until it is.

import type { Test } from 'tap'
import type { Media } from '../../../src/generation/media.ts'
import { failureOf, noTerms, successOf } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const minute = 60_000
const output = '{"images":[{"url":"https://v3.fal.media/files/a.png"},{"url":"https://v3.fal.media/files/b.png"}]}'
const missing: Media = [{ at: 19, bytes: 31, file: null }, { at: 61, bytes: 31, file: null }]
const half: Media = [{ at: 19, bytes: 31, file: 'a.png' }, { at: 61, bytes: 31, file: null }]
const whole: Media = [{ at: 19, bytes: 31, file: 'a.png' }, { at: 61, bytes: 31, file: 'b.png' }]

export async function media (t: Test, make: MakeStore): Promise<void> {
  t.test('places are kept with the output, and whoever reads the row or a list of rows sees them', async t => {
    const { ledger, ended, row } = await createWorld(t, make)
    const { id, ...reader } = await ended(successOf({ output, media: whole }))
    t.match(await row(id), { output, media: whole })
    const { rows: [listed] } = await ledger.list(reader, { limit: 10, cursor: null, status: null })
    t.match(listed, { id, output, media: whole })
    t.same(await ledger.takeMissing(10), [], 'nothing is missing')
  })

  t.test('without files there are no places', async t => {
    const { ended, row } = await createWorld(t, make)
    t.equal((await row((await ended(successOf())).id)).media, null)
    t.equal((await row((await ended(failureOf(0))).id)).media, null)
  })

  t.test('what is missing is given to one caller, and to another one when that died with it', async t => {
    const { ledger, ended, advance } = await createWorld(t, make)
    const { id } = await ended(successOf({ output, media: missing }))
    t.match(await ledger.takeMissing(10), [{ id, output, media: missing }])
    t.same(await ledger.takeMissing(10), [])
    await advance(5 * minute)
    t.match(await ledger.takeMissing(10), [{ id }])
  })

  t.test('what was stored meanwhile is told, and the rest is tried again, ever more rarely', async t => {
    const { ledger, ended, advance, row } = await createWorld(t, make)
    const { id, version } = await ended(successOf({ output, media: missing }))
    await ledger.takeMissing(1)
    t.match(await ledger.keepFiles(id, missing, half), { id, media: half })
    t.ok((await row(id)).version > version, 'who follows it hears of that')
    await advance(9_999)
    t.same(await ledger.takeMissing(10), [])
    await advance(1)
    t.match(await ledger.takeMissing(10), [{ id, media: half }])
    await advance(10 * minute)
    await ledger.keepFiles(id, half, half)
    await advance(10 * minute)
    t.same(await ledger.takeMissing(10), [], 'as long as it has been missing, once more')
    await advance(10_000)
    t.match(await ledger.takeMissing(10), [{ id }])
    t.match(await ledger.keepFiles(id, half, whole), { media: whole })
    await advance(60 * minute)
    t.same(await ledger.takeMissing(10), [])
  })

  t.test('of two that stored at once the second changes nothing, and what no place is left of is none', async t => {
    const { ledger, ended, row } = await createWorld(t, make)
    const { id } = await ended(successOf({ output, media: missing }))
    await ledger.keepFiles(id, missing, whole)
    t.match(await ledger.keepFiles(id, missing, half), { media: whole })
    await ledger.keepFiles(id, whole, [])
    t.equal((await row(id)).media, null)
    t.equal(await ledger.keepFiles('01a00000-0000-7000-8000-000000000000', missing, whole), null)
  })

  t.test('a row that is forgotten is not looked after any more', async t => {
    const { ledger, ended, advance } = await createWorld(t, make)
    await ended(successOf({ output, media: missing }))
    await advance(8 * 24 * 60 * minute)
    await ledger.sweep('r1', 10)
    t.same(await ledger.takeMissing(10), [])
  })

  t.test('what the store forgot comes back with its places', async t => {
    const world = await createWorld(t, make)
    const { ledger, row } = world
    const { id } = await world.ended(successOf({ output, media: missing }))
    const told = await row(id)
    const other = await createWorld(t, make)
    await other.ledger.restore('r1', [{ row: told, terms: noTerms, holds: false }])
    t.match(await other.row(id), { media: missing })
    t.match(await other.ledger.takeMissing(10), [{ id }])
    t.ok(ledger)
  })
}
