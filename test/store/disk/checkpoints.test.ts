// Checkpoints: what the slices say and what was appended since is found again, texts lie where they were said to, and files that nothing leads to go.

import { readdir } from 'node:fs/promises'
import t from 'tap'
import { look, newFolder, open } from './log-scene.ts'

async function files (folder: string): Promise<string[]> {
  return (await readdir(folder)).filter(name => name !== 'reserve').toSorted()
}

t.test('a start finds the slices of the last checkpoint, and then what was appended since it began', async t => {
  const folder = await newFolder(t)
  const { log } = await open(folder)
  await log.append({ records: ['"before"'], texts: [] })
  const checkpoint = await log.beginCheckpoint()
  await log.append({ records: ['"during"'], texts: [] })
  await checkpoint.write(['"slice 1"', '"slice 1, too"'])
  await checkpoint.write([])
  await checkpoint.write(['"slice 2"'])
  await checkpoint.commit()
  await log.append({ records: ['"after"'], texts: [] })
  t.ok(log.snapshotBytes > 0)
  t.ok(log.bytesSinceCheckpoint > 0)
  await log.close()
  t.same((await look(folder)).records, ['"slice 1"', '"slice 1, too"', '"slice 2"', '"during"', '"after"'])
  t.same(await files(folder), ['000002.log', '000003.snapshot'])
})

t.test('texts that are kept or added can be read at their places, before and after another start', async t => {
  const folder = await newFolder(t)
  const { log } = await open(folder)
  const [kept, dropped] = await log.append({ records: ['1'], texts: ['kept', 'dropped'] })
  if (kept === undefined || dropped === undefined) throw new Error('no places')
  const first = await log.beginCheckpoint()
  const [during] = await log.append({ records: ['2'], texts: ['during'] })
  if (during === undefined) throw new Error('no place')
  const places = [await first.keep(kept), await first.add('added'), await first.keep(during)]
  t.same(places[2], during, 'its segment stays')
  const reading = log.readText(dropped)
  await first.write([JSON.stringify(places)])
  await first.commit()
  t.equal(await reading, 'dropped', 'a read that began before is served')
  await t.rejects(log.readText(dropped), 'its file is gone')
  t.same(await Promise.all(places.map(log.readText)), ['kept', 'added', 'during'])

  const second = await log.beginCheckpoint()
  const moved = [await second.keep(places[1] ?? kept), await second.keep(during)]
  await second.write([JSON.stringify(moved)])
  await second.commit()
  t.same(await Promise.all(moved.map(log.readText)), ['added', 'during'])
  await log.close()

  const again = await open(folder)
  t.same(again.records, [JSON.stringify(moved)])
  t.same(await Promise.all(moved.map(again.log.readText)), ['added', 'during'])
  t.equal((await files(folder)).filter(name => name.endsWith('.texts')).length, 1, 'small files of texts become one')
  const third = await again.log.beginCheckpoint()
  await third.commit()
  t.same((await files(folder)).filter(name => name.endsWith('.texts')), [], 'nothing leads to them')
  await again.log.close()
})

t.test('a long file of texts stays as long as half of it is led to, and is copied then', async t => {
  const folder = await newFolder(t)
  const { log } = await open(folder)
  const text = (name: string): string => name.repeat(3_000_000)
  let checkpoint = await log.beginCheckpoint()
  const places = [await checkpoint.add(text('a')), await checkpoint.add(text('b')), await checkpoint.add(text('c'))]
  await checkpoint.commit()
  checkpoint = await log.beginCheckpoint()
  const kept = await checkpoint.keep(places[1] ?? { file: 0, offset: 0, bytes: 0 })
  await checkpoint.commit()
  t.same(kept, places[1], 'how much of it is led to is known by the next one')
  checkpoint = await log.beginCheckpoint()
  const moved = await checkpoint.keep(kept)
  await checkpoint.commit()
  t.not(moved.file, kept.file)
  t.equal(await log.readText(moved), text('b'))
  t.equal((await files(folder)).filter(name => name.endsWith('.texts')).length, 1)
  await log.close()
})

t.test('one that is aborted leaves nothing, and the next one goes its way', async t => {
  const folder = await newFolder(t)
  const { log } = await open(folder)
  await log.append({ records: ['1'], texts: [] })
  const first = await log.beginCheckpoint()
  await first.write(['"slice"'])
  await first.add('text')
  await t.rejects(log.beginCheckpoint(), { message: 'A checkpoint of the ledger is being made already.' })
  await first.abort()
  await t.rejects(first.commit(), { message: 'This checkpoint is over.' })
  t.same(await files(folder), ['000001.log', '000002.log'])
  const second = await log.beginCheckpoint()
  await second.write(['"slice"'])
  await second.commit()
  await log.close()
  t.same((await look(folder)).records, ['"slice"'])
})
