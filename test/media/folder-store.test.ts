// Stored files in a folder: every byte that is asked for and no other, whatever the length; and what died processes left in the spool goes.

import { hash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import type { ByteRange, Opened } from '../../src/generation/media.ts'
import { createFolderStore } from '../../src/media/folder-store.ts'
import { openOwnSpool, openSharedSpool } from '../../src/media/spool.ts'

async function contentOf (opened: Opened): Promise<Buffer> {
  if (opened.kind !== 'opened') throw new Error(opened.kind)
  return Buffer.isBuffer(opened.content) ? opened.content : await buffer(opened.content)
}

t.test('a file is given out in whole and in parts, whether it is read at once or bit by bit', async t => {
  const store = await createFolderStore(t.testdir({}))
  for (const bytes of [1, 65_535, 65_536, 65_537, 200_000]) {
    const content = randomBytes(bytes)
    const name = `${hash('sha256', content)}.png`
    const path = join(store.spoolFolder, 'a')
    writeFileSync(path, content)
    await store.put(name, { path, bytes, type: 'image/png' }, new AbortController().signal)
    t.equal(await store.bytesOf(name), bytes)
    const parts: readonly (readonly [range: ByteRange | null, first: number, last: number])[] = [
      [null, 0, bytes - 1],
      [{ kind: 'from', first: 0, last: 0 }, 0, 0],
      [{ kind: 'from', first: bytes - 1, last: bytes + 5 }, bytes - 1, bytes - 1],
      [{ kind: 'from', first: Math.floor(bytes / 2), last: null }, Math.floor(bytes / 2), bytes - 1],
      [{ kind: 'last', bytes: bytes + 1 }, 0, bytes - 1],
      [{ kind: 'last', bytes: 1 }, bytes - 1, bytes - 1]
    ]
    for (const [range, first, last] of parts) {
      const opened = await store.open(name, range)
      t.match(opened, { kind: 'opened', bytes, first, last }, JSON.stringify(range))
      t.ok((await contentOf(opened)).equals(content.subarray(first, last + 1)), `${bytes} bytes: ${JSON.stringify(range)}`)
    }
    t.match(await store.open(name, { kind: 'from', first: bytes, last: null }), { kind: 'out-of-range', bytes })
    t.match(await store.open(name, { kind: 'last', bytes: 0 }), { kind: 'out-of-range', bytes })
  }
  t.match(await store.open(`${'0'.repeat(64)}.png`, null), { kind: 'missing' })
  await store.close()
})

t.test('a folder that is not there may have no file above it, and a name that is none leads nowhere', async t => {
  const folder = t.testdir({ file: 'x' })
  await t.rejects(createFolderStore(join(folder, 'file', 'media')), { code: 'ENOTDIR' })
  const store = await createFolderStore(folder)
  for (const name of ['../file', 'file', '', 'link-key', `${'0'.repeat(64)}.png/../../file`]) await t.rejects(store.open(name, null), /no name of a stored file/)
})

t.test('what was left over in a spool goes with the next start, and what another process is at stays', async t => {
  const folder = t.testdir({ old: 'x', young: 'y' })
  const longAgo = Date.now() / 1000 - 7200
  utimesSync(join(folder, 'old'), longAgo, longAgo)
  await openSharedSpool(folder)
  t.same(readdirSync(folder), ['young'])
})

t.test('a spool of a process that is not there any more goes with the next start', async t => {
  const above = t.testdir({ 'falgate-media-x': {}, other: {} })
  const dead = 'falgate-media-4194999-aaaaaa'
  mkdirSync(join(above, dead))
  writeFileSync(join(above, dead, 'a'), 'x')
  // As one that had the same number before, such as in a container that was started again.
  const before = `falgate-media-${process.pid}-bbbbbb`
  mkdirSync(join(above, before))
  utimesSync(join(above, before), 1, 1)
  const first = await openOwnSpool(above)
  const second = await openOwnSpool(above)
  t.same(readdirSync(above).toSorted(), ['falgate-media-x', basename(first.folder), basename(second.folder), 'other'].toSorted())
  await first.remove()
  await second.remove()
  t.same(readdirSync(above).toSorted(), ['falgate-media-x', 'other'])
})
