// Pictures that callers send: taken by what they hold, bounded, and nothing of them stays behind.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import type { SentFile } from '../../src/generation/sent-file.ts'
import { createUploadedFiles, createInlineFiles } from '../../src/media/sent-files.ts'
import { dataOf, pixel } from '../support/pixel.ts'

interface Sent { readonly bytes: Buffer, readonly type: string, readonly ending: string }

function brought (t: Test): { readonly folder: string, readonly sent: readonly Sent[], readonly files: ReturnType<typeof createUploadedFiles> } {
  const folder = t.testdir({})
  const sent: Sent[] = []
  const files = createUploadedFiles({
    folder,
    upload: async ({ path, type, ending }) => {
      sent.push({ bytes: readFileSync(path), type, ending })
      return `https://storage.example/${sent.length}`
    }
  })
  return { folder, sent, files }
}

/** In pieces, as they come from a socket. */
function streamOf (bytes: Uint8Array): Readable {
  return Readable.from([bytes.subarray(0, 10), bytes.subarray(10)].filter(({ length }) => length > 0).map(piece => Buffer.from(piece)))
}

function cut (): Readable {
  return Readable.from((async function * () {
    yield Buffer.from(pixel())
    throw new Error('the connection is gone')
  })())
}

function taken (file: SentFile | string): SentFile {
  if (typeof file === 'string') throw new Error(file)
  return file
}

t.test('without a storage a picture stands in its address', async t => {
  const file = taken(await createInlineFiles().take(streamOf(pixel()), 1000))
  t.match(file, { address: dataOf(pixel()), bytes: pixel().length, upload: null })
})

t.test('with one it is named by what it holds, lies in a folder that nobody else reads, is brought there whole, and once', async t => {
  const { folder, sent, files } = brought(t)
  const file = taken(await files.take(streamOf(pixel('a')), 1000))
  const same = taken(await files.take(streamOf(pixel('a')), 1000))
  const other = taken(await files.take(streamOf(pixel('b')), 1000))
  t.match(file.address, createHash('sha256').update(pixel('a')).digest('hex'))
  t.equal(same.address, file.address)
  t.not(other.address, file.address)
  const { signal } = new AbortController()
  t.same([await file.upload?.(signal), await same.upload?.(signal), await other.upload?.(signal)], ['https://storage.example/1', 'https://storage.example/1', 'https://storage.example/2'])
  t.same(sent, [{ bytes: Buffer.from(pixel('a')), type: 'image/png', ending: 'png' }, { bytes: Buffer.from(pixel('b')), type: 'image/png', ending: 'png' }])
  t.equal(readdirSync(folder).length, 3)
  for (const one of [file, same, other, file]) await one.remove()
  t.same(readdirSync(folder), [])
})

t.test('what is not taken is told why, and nothing of it is left', async t => {
  const { folder, files } = brought(t)
  for (const taker of [createInlineFiles(), files]) {
    t.equal(await taker.take(streamOf(pixel('a')), pixel().length), 'too-long')
    t.equal(await taker.take(streamOf(new Uint8Array()), 1000), 'empty')
    t.equal(await taker.take(streamOf(Buffer.from('%PDF-1.7 and more of it')), 1000), 'no-picture')
    t.equal(await taker.take(streamOf(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>')), 1000), 'no-picture')
    t.equal(await taker.take(cut(), 1000), 'cut-off')
  }
  t.same(readdirSync(folder), [])
})

t.test('what begins like an archive, or with what may stand before one, is not searched for a picture', async t => {
  const { folder, files } = brought(t)
  for (const opening of ['efbbbf', '49443304000000000000', '504b0304', '1f8b08']) {
    const bytes = Buffer.concat([Buffer.from(opening, 'hex'), pixel()])
    for (const taker of [createInlineFiles(), files]) t.equal(await taker.take(Readable.from([...bytes].map(byte => Buffer.of(byte))), 1000), 'no-picture', opening)
  }
  t.same(readdirSync(folder), [])
})

t.test('a file is brought once in half a day, however often it is used meanwhile: fal keeps it for one', async t => {
  let hour = 0
  let uploads = 0
  const files = createUploadedFiles({ folder: t.testdir({}), now: () => 1 + hour * 3_600_000, upload: async () => `https://storage.example/${++uploads}` })
  for (const times of [1, 1, 1, 2, 2, 2, 3]) {
    const file = taken(await files.take(streamOf(pixel()), 1000))
    t.equal(await file.upload?.(new AbortController().signal), `https://storage.example/${times}`, `hour ${hour}`)
    hour += 5
  }
})

t.test('a folder that takes nothing is a fault here, and the caller may come again', async t => {
  const files = createUploadedFiles({ folder: `${t.testdir({})}/none`, upload: async () => '' })
  await t.rejects(files.take(streamOf(pixel()), 1000), { code: 'upload-failed', facts: { cause: { code: 'ENOENT' } } })
})
