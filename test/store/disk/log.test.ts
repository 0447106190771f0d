// The log on disk keeps what it acknowledged, in order, and only that.

import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openLog } from '../../../src/store/disk/log.ts'
import { look, newFolder, open } from './log-scene.ts'

t.test('what was acknowledged is found again, in order, each record with the texts of its batch', async t => {
  const folder = await newFolder(t)
  const first = await open(folder)
  t.same(await first.log.append({ records: ['1', '"zwei – 2"'], texts: [] }), [])
  const places = await first.log.append({ records: ['3'], texts: ['', 'the text of 3 – ü', 'x'.repeat(3_000_000)] })
  t.equal(places.length, 3)
  await first.log.close()

  const second = await open(folder)
  t.same(second.records, ['1', '"zwei – 2"', '3'])
  t.same(second.places, [[], [], places])
  t.same(await Promise.all(places.map(second.log.readText)), ['', 'the text of 3 – ü', 'x'.repeat(3_000_000)])
  await second.log.append({ records: ['4'], texts: [] })
  await second.log.close()
  t.same(await look(folder), { records: ['1', '"zwei – 2"', '3', '4'], places: [[], [], places, []], damage: [] })
})

t.test('only its user can read what lies there', async t => {
  const folder = join(await newFolder(t), 'a', 'b')
  const { log } = await open(folder)
  await log.append({ records: ['1'], texts: ['a prompt'] })
  await log.close()
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  for (const name of await readdir(folder)) t.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name)
})

t.test('a record that is more than one line is refused, and what comes after it is written', async t => {
  const folder = await newFolder(t)
  const { log } = await open(folder)
  await t.rejects(log.append({ records: ['1\n2'], texts: [] }), { message: 'A record has more than one line.' })
  await log.append({ records: ['3'], texts: [] })
  await log.close()
  t.same((await look(folder)).records, ['3'])
})

t.test('a record that its reader refuses stops the start, with its place', async t => {
  const folder = await newFolder(t)
  const { log } = await open(folder)
  await log.append({ records: ['1'], texts: [] })
  await log.close()
  await t.rejects(openLog({ folder, onDamage: () => {}, onRecord: () => { throw new Error('no such table') } }), { message: /000001\.log at byte \d+ cannot be read: no such table/ })
})

t.test('a folder that was removed takes nothing any more, although its open files would', async t => {
  const folder = join(await newFolder(t), 'data')
  const { log } = await open(folder)
  await log.append({ records: ['1'], texts: [] })
  await rm(folder, { recursive: true })
  await t.rejects(log.append({ records: ['2'], texts: [] }), { code: 'ENOENT' })
  t.ok(log.wantsCheckpoint)
  await log.close()
})

t.test('a folder that was put elsewhere takes nothing any more, and neither does one in its place, which is another log\'s; put back, it has all that was acknowledged', async t => {
  const folder = join(await newFolder(t), 'data')
  const { log } = await open(folder)
  await log.append({ records: ['1'], texts: [] })
  await rename(folder, `${folder}.away`)
  await t.rejects(log.append({ records: ['2'], texts: [] }), { code: 'ENOENT' })
  await mkdir(folder)
  const other = await open(folder)
  await other.log.append({ records: ['"other"'], texts: [] })
  const names = await readdir(folder)
  await t.rejects(log.append({ records: ['3'], texts: [] }), { code: 'ENOENT', message: /another one was put in its place/ })
  await t.rejects(log.beginCheckpoint(), { code: 'ENOENT' })
  t.same(await readdir(folder), names)
  await other.log.close()
  t.same((await look(folder)).records, ['"other"'])

  await rename(folder, `${folder}.other`)
  await rename(`${folder}.away`, folder)
  await log.append({ records: ['4'], texts: [] })
  await log.close()
  t.same((await look(folder)).records, ['1', '4'])
})
