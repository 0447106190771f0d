// Stored files that nothing refers to are removed once, however many processes are at it, and never one that somebody is storing.

import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { RemovalTerms } from '../../src/generation/kept-files.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import type { Media } from '../../src/generation/media.ts'
import { createOrphanRounds, removeOrphans, type Removed } from '../../src/generation/run/remove-files.ts'
import { createFolderStore } from '../../src/media/folder-store.ts'
import type { MediaStore } from '../../src/media/media-store.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, successOf, times } from '../support/admission.ts'
import { redisStore } from '../support/redis-store.ts'
import { startMs } from '../store/contract/world.ts'

const hour = 3_600_000
const terms: RemovalTerms = { idleMs: hour, keepMs: hour, maxBytes: null }

function nameOf (nth: number): string {
  return `${String(nth).padStart(64, '0')}.png`
}

/** Announces a file and stores it. */
async function store (ledger: Ledger, { put, spoolFolder }: MediaStore, name: string): Promise<string> {
  const expected = await ledger.expectFile(name, 3, null)
  if (expected !== 'expected') return expected
  const path = join(spoolFolder, freshId())
  await writeFile(path, 'abc')
  await put(name, { path, bytes: 3, type: 'image/png' }, new AbortController().signal)
  return expected
}

/** A generation that ended with this file. */
async function endWith (ledger: Ledger, name: string): Promise<string> {
  const { id } = admissionOf()
  const media: Media = [{ at: 19, bytes: 31, file: name }]
  await ledger.admit(admissionOf({ id, deadlineMs: never }))
  await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 100 })
  await ledger.recordAccepted(id, 1, `request-${id}`)
  await ledger.finish(id, 1, `request-${id}`, successOf({ output: '{"images":[{"url":"https://v3.fal.media/files/a.png"}]}', media }))
  return id
}

async function stored (folder: string): Promise<readonly string[]> {
  return (await readdir(folder, { recursive: true })).flatMap(path => path.endsWith('.png') ? [path.slice(3)] : []).toSorted()
}

interface Scene { readonly ledger: Ledger, readonly files: MediaStore, readonly folder: string, readonly pass: (ms: number) => void }

async function scene (t: Test): Promise<Scene> {
  let nowMs = startMs
  const folder = t.testdir({})
  return { ledger: createMemoryLedger({ times, now: () => nowMs, account: { kind: 'fal', name: 'main' } }), files: await createFolderStore(folder), folder, pass: ms => { nowMs += ms } }
}

t.test('what nothing refers to goes when its time is over: the file of a process that died before the end of its generation, and that of a generation that was forgotten', async t => {
  const { ledger, files, folder, pass } = await scene(t)
  const [died, forgotten, there] = [nameOf(1), nameOf(2), nameOf(3)]
  for (const name of [died, forgotten]) await store(ledger, files, name)
  await endWith(ledger, forgotten)
  t.match(await removeOrphans(ledger, { remove: files.remove, terms }), { files: 0 })
  pass(2 * hour)
  t.match(await removeOrphans(ledger, { remove: files.remove, terms }), { files: 1, bytes: 3, failed: 0, error: null })
  t.same(await stored(folder), [forgotten])

  pass(times.resultTtlMs)
  await store(ledger, files, there)
  await endWith(ledger, there)
  await ledger.sweep('r1', 10)
  pass(2 * hour)
  t.match(await removeOrphans(ledger, { remove: files.remove, terms }), { files: 1 })
  t.same(await stored(folder), [there])
  t.match(await ledger.gauges(), { keptFiles: 1, keptBytes: 3, orphans: 0 })
})

t.test('the same bytes that come again while their file is removed wait until it is gone, and are stored again', async t => {
  const { ledger, files, folder, pass } = await scene(t)
  await store(ledger, files, nameOf(1))
  pass(2 * hour)
  let begun = (): void => {}
  let goOn = (): void => {}
  const isBegun = new Promise<void>(resolve => { begun = resolve })
  const mayGoOn = new Promise<void>(resolve => { goOn = resolve })
  const removing = removeOrphans(ledger, {
    terms,
    remove: async name => {
      begun()
      await mayGoOn
      await files.remove(name)
    }
  })
  await isBegun
  t.equal(await store(ledger, files, nameOf(1)), 'busy')
  goOn()
  await removing
  t.equal(await store(ledger, files, nameOf(1)), 'expected')
  await endWith(ledger, nameOf(1))
  t.match(await removeOrphans(ledger, { remove: files.remove, terms }), { files: 0 })
  t.same(await stored(folder), [nameOf(1)])
})

t.test('a process that dies between taking and saying so leaves its files to the next one', async t => {
  const { ledger, files, folder, pass } = await scene(t)
  for (const nth of [1, 2]) await store(ledger, files, nameOf(nth))
  pass(2 * hour)
  // Of the one it had removed the file, of the other one not.
  t.equal((await ledger.takeOrphans(10, terms)).length, 2)
  await files.remove(nameOf(1))
  t.match(await removeOrphans(ledger, { remove: files.remove, terms }), { files: 0 })
  pass(2 * 60_000)
  t.match(await removeOrphans(ledger, { remove: files.remove, terms }), { files: 2, failed: 0 })
  t.same(await stored(folder), [])
  t.match(await ledger.gauges(), { keptFiles: 0, keptBytes: 0 })
})

t.test('two processes at once remove each file once, and all of them', async t => {
  const { ledger, close, setNow } = await redisStore(times, startMs)
  t.teardown(close)
  const folder = t.testdir({})
  const files = await createFolderStore(folder)
  const names = Array.from({ length: 300 }, (_, nth) => nameOf(nth))
  for (const name of names) {
    await ledger.expectFile(name, 3, null)
    await mkdir(join(folder, name.slice(0, 2)), { recursive: true })
    await writeFile(join(folder, name.slice(0, 2), name), 'abc')
  }
  await endWith(ledger, nameOf(7))
  await setNow(startMs + 2 * hour)
  const removals: string[] = []
  const remove = async (name: string): Promise<void> => {
    removals.push(name)
    await files.remove(name)
  }
  const all = await Promise.all([removeOrphans(ledger, { remove, terms }), removeOrphans(ledger, { remove, terms })])
  t.equal(all.reduce((sum, { files }) => sum + files, 0), 299)
  t.ok(all.every(({ files }) => files > 0), 'both had some')
  t.same(removals.toSorted(), names.filter(name => name !== nameOf(7)))
  t.same(await stored(folder), [nameOf(7)])
})

t.test('a file that cannot be removed stays known, is told, and is tried again', async t => {
  const { ledger, files, folder, pass } = await scene(t)
  await store(ledger, files, nameOf(1))
  pass(2 * hour)
  let atMs = 0
  const told: unknown[] = []
  const removed: Removed[] = []
  let isBroken = true
  const { round } = createOrphanRounds({
    ledger,
    terms,
    leaving: new AbortController().signal,
    onRemoved: one => { removed.push(one) },
    onTrouble: (operation, error) => { told.push([operation, String(error)]) },
    nowMs: () => atMs,
    remove: async name => {
      if (isBroken) throw new Error('EROFS')
      await files.remove(name)
    }
  })
  await round()
  t.same(removed, [], 'not before a minute')
  atMs = 60_000
  await round()
  t.same(told, [['remove-files', 'Error: EROFS']])
  t.match(removed, [{ files: 0, failed: 1 }])
  t.same(await stored(folder), [nameOf(1)])
  isBroken = false
  pass(2 * 60_000)
  atMs = 120_000
  await round()
  t.match(removed[1], { files: 1, failed: 0 })
  t.same(await stored(folder), [])
})

t.test('after a ledger that was away nothing is removed for ten minutes, so that what waited for it is written before', async t => {
  const { ledger, files, pass } = await scene(t)
  await store(ledger, files, nameOf(1))
  pass(2 * hour)
  let atMs = 60_000
  let isAway = true
  const removed: Removed[] = []
  const { round } = createOrphanRounds({
    ledger: { ...ledger, takeOrphans: async (...given) => { if (isAway) throw new Error('away'); return await ledger.takeOrphans(...given) } },
    terms,
    remove: files.remove,
    leaving: new AbortController().signal,
    onRemoved: one => { removed.push(one) },
    onTrouble: () => {},
    nowMs: () => atMs
  })
  atMs += 60_000
  await round()
  isAway = false
  atMs += 599_999
  await round()
  t.same(removed, [])
  atMs += 1
  await round()
  t.match(removed, [{ files: 1 }])
})
