// Stored files, counted by reference: what a generation has in its output stays, what nothing refers to goes after a while, and nobody removes what somebody is storing.

import type { Test } from 'tap'
import type { KeptFile, RemovalTerms } from '../../../src/generation/kept-files.ts'
import type { Ledger } from '../../../src/generation/ledger.ts'
import type { Media } from '../../../src/generation/media.ts'
import { successOf } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const hour = 3_600_000
const day = 24 * hour
const terms: RemovalTerms = { idleMs: 2 * hour, keepMs: day, maxBytes: null }
const output = '{"images":[{"url":"https://v3.fal.media/files/a.png"},{"url":"https://v3.fal.media/files/b.png"}]}'

function places (...files: readonly (string | null)[]): Media {
  return files.map((file, n) => ({ at: 19 + 42 * n, bytes: 31, file }))
}

/** All of them, by their names. */
async function filesOf (ledger: Ledger): Promise<readonly KeptFile[]> {
  const found: KeptFile[] = []
  for (let after: string | null = null, isMore = true; isMore;) {
    const page = await ledger.keptFiles(after)
    found.push(...page.files)
    after = page.next
    isMore = after !== null
  }
  return found.toSorted((one, other) => one.name < other.name ? -1 : 1)
}

export async function kept (t: Test, make: MakeStore): Promise<void> {
  t.test('as long as a generation refers to a file it is no orphan, however many others have let go of it', async t => {
    const { ledger, ended, advance, nowMs } = await createWorld(t, make)
    t.equal(await ledger.expectFile('a.png', 70, null), 'expected')
    t.match(await filesOf(ledger), [{ name: 'a.png', bytes: 70, references: 0, sinceMs: nowMs(), orphanSinceMs: nowMs() }])
    await ended(successOf({ output, media: places('a.png', 'a.png') }))
    t.match(await filesOf(ledger), [{ bytes: 70, references: 1, orphanSinceMs: null }], 'twice in one output is one reference')
    await advance(5 * day)
    await ended(successOf({ output, media: places('a.png') }))
    t.match(await filesOf(ledger), [{ references: 2 }])
    await advance(3 * day)
    await ledger.sweep('r1', 10)
    t.match(await filesOf(ledger), [{ references: 1, orphanSinceMs: null }], 'the first is forgotten')
    await advance(5 * day)
    t.same(await ledger.takeOrphans(10, terms), [])
    await ledger.sweep('r1', 10)
    t.match(await filesOf(ledger), [{ references: 0, orphanSinceMs: nowMs() }])
    t.match(await ledger.gauges(), { keptFiles: 1, keptBytes: 70, orphans: 1 })
  })

  t.test('a place that changes lets go of the file that it had, and takes up the other one', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const { id } = await ended(successOf({ output, media: places('a.png', null) }))
    await ledger.keepFiles(id, places('a.png', null), places('a.png', 'b.png'))
    t.match(await filesOf(ledger), [{ name: 'a.png', references: 1 }, { name: 'b.png', references: 1 }])
    await ledger.keepFiles(id, places('a.png', 'b.png'), places('b.png'))
    t.match(await filesOf(ledger), [{ name: 'a.png', references: 0 }, { name: 'b.png', references: 1 }])
  })

  t.test('orphans are given out when their time is over, the longest first, each to one caller; what its caller dies with is given to the next', async t => {
    const { ledger, advance, nowMs } = await createWorld(t, make)
    for (const name of ['b.png', 'a.png', 'c.png']) {
      await ledger.expectFile(name, 10, null)
      await advance(hour)
    }
    await advance(terms.idleMs + day - 2 * hour - 1)
    const first = await ledger.takeOrphans(10, terms)
    t.same(first, [{ name: 'b.png', bytes: 10, untilMs: nowMs() + 2 * 60_000 }])
    await advance(1)
    const lost = await ledger.takeOrphans(10, terms)
    t.match(lost, [{ name: 'a.png', bytes: 10 }])
    t.same(await ledger.takeOrphans(10, terms), [])
    t.same(await ledger.filesGone(first), [])
    await advance(2 * 60_000)
    const again = await ledger.takeOrphans(10, terms)
    t.match(again, [{ name: 'a.png', bytes: 10 }])
    await ledger.filesGone(lost)
    t.equal(await ledger.expectFile('a.png', 10, null), 'busy', 'who had it before is late: the other one may still be at it')
    await ledger.filesGone(again)
    t.match(await filesOf(ledger), [{ name: 'c.png' }])
    t.match(await ledger.gauges(), { keptFiles: 1, keptBytes: 10, orphans: 1 })
  })

  t.test('a file that is announced again is safe from then on, and one that is just being removed has to wait', async t => {
    const { ledger, advance, ended } = await createWorld(t, make)
    await ledger.expectFile('a.png', 10, null)
    await advance(30 * day)
    await ledger.expectFile('a.png', 10, null)
    t.same(await ledger.takeOrphans(10, { ...terms, keepMs: 0 }), [])
    await advance(terms.idleMs)
    const taken = await ledger.takeOrphans(10, { ...terms, keepMs: 0 })
    t.match(taken, [{ name: 'a.png', bytes: 10 }])
    t.equal(await ledger.expectFile('a.png', 10, null), 'busy')
    await advance(2 * 60_000)
    t.equal(await ledger.expectFile('a.png', 10, null), 'expected', 'the process that was to remove it is gone')
    t.same(await ledger.filesGone(taken), [], 'or says so too late')
    await ended(successOf({ output, media: places('a.png') }))
    t.match(await filesOf(ledger), [{ name: 'a.png', references: 1 }])
  })

  t.test('what is referred to while it is removed is told to who removed it, and not forgotten', async t => {
    const { ledger, advance, ended } = await createWorld(t, make)
    await ledger.expectFile('a.png', 10, null)
    await advance(terms.idleMs)
    const taken = await ledger.takeOrphans(10, { ...terms, keepMs: 0 })
    await ended(successOf({ output, media: places('a.png') }))
    t.same(await ledger.filesGone(taken), ['a.png'])
    t.match(await filesOf(ledger), [{ references: 1, orphanSinceMs: null }])
  })

  t.test('there is no room for a new file above the bound, and always for one that is there', async t => {
    const { ledger, ended } = await createWorld(t, make)
    t.equal(await ledger.expectFile('a.png', 60, 100), 'expected')
    t.equal(await ledger.expectFile('b.png', 41, 100), 'full')
    t.equal(await ledger.expectFile('b.png', 40, 100), 'expected')
    t.equal(await ledger.expectFile('a.png', 60, 10), 'expected')
    await ended(successOf({ output, media: places('a.png', 'b.png') }))
    t.match(await ledger.gauges(), { keptFiles: 2, keptBytes: 100, orphans: 0 })
  })

  t.test('in crowded room orphans go before their days are over, the longest first and no more than needed, and none while somebody may have a link', async t => {
    const { ledger, advance, ended } = await createWorld(t, make)
    for (const name of ['a.png', 'b.png', 'c.png', 'd.png']) {
      await ledger.expectFile(name, 25, null)
      await advance(1000)
    }
    await ended(successOf({ output, media: places('a.png') }))
    const crowded = { ...terms, maxBytes: 100 }
    t.same(await ledger.takeOrphans(10, crowded), [])
    await advance(terms.idleMs)
    const taken = await ledger.takeOrphans(10, crowded)
    t.match(taken, [{ name: 'b.png', bytes: 25 }])
    t.equal(taken.length, 1)
    await ledger.filesGone(taken)
    t.same(await ledger.takeOrphans(10, crowded), [], 'less than nine tenths are used')
  })

  t.test('what an operator took out is not stored again, is removed again in an hour, and stays known', async t => {
    const { ledger, advance, ended } = await createWorld(t, make)
    await ledger.expectFile('a.png', 10, null)
    const { id } = await ended(successOf({ output, media: places('a.png') }))
    await ledger.withdrawFiles(['a.png', 'never-met.png'])
    t.equal(await ledger.expectFile('a.png', 10, null), 'withdrawn')
    t.same(await ledger.takeOrphans(10, terms), [])
    await advance(hour)
    const taken = await ledger.takeOrphans(10, terms)
    t.match(taken, [{ name: 'a.png', bytes: 10 }, { name: 'never-met.png', bytes: 0 }])
    t.same(await ledger.filesGone(taken), [])
    t.match(await filesOf(ledger), [{ name: 'a.png', bytes: 0, references: 1, isWithdrawn: true }, { name: 'never-met.png', references: 0, isWithdrawn: true }])
    await ledger.keepFiles(id, places('a.png'), [])
    await advance(60 * day)
    t.same(await ledger.takeOrphans(10, terms), [])
    t.equal(await ledger.expectFile('a.png', 10, null), 'withdrawn')
  })

  t.test('a file that is found and not known is named, and with a word becomes an orphan of its age; of one that is known the length is noted', async t => {
    const { ledger, ended } = await createWorld(t, make)
    await ended(successOf({ output, media: places('a.png') }))
    const found = [{ name: 'a.png', bytes: 10, ageMs: day }, { name: 'b.png', bytes: 20, ageMs: 2 * day }]
    t.same(await ledger.meetFiles(found, false), ['b.png'])
    t.match(await filesOf(ledger), [{ name: 'a.png', bytes: 10 }])
    t.same(await ledger.meetFiles(found, true), ['b.png'])
    t.same(await ledger.meetFiles(found, true), [])
    t.match(await ledger.takeOrphans(10, terms), [{ name: 'b.png', bytes: 20 }])
  })

  t.test('every file is on some page, also of many', async t => {
    const { unaudited, audit } = await createWorld(t, make)
    const names = Array.from({ length: 1203 }, (_, n) => `${n}.png`)
    await unaudited.meetFiles(names.map(name => ({ name, bytes: 1, ageMs: 1000 })), true)
    t.same((await filesOf(unaudited)).map(({ name }) => name), names.toSorted())
    t.equal((await unaudited.takeOrphans(1000, { idleMs: 0, keepMs: 0, maxBytes: null })).length, 1000)
    t.same(await audit(), [])
  })
}
