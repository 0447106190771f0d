// A damaged journal is mended by cutting off what cannot be relied upon: said before, kept beside, and everything before it is there afterwards.

import { readdir, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { inspectLog, mendLog } from '../../../src/store/disk/log/mend.ts'
import { look, newFolder, open } from './log-scene.ts'

/** A snapshot, a segment with two batches and another one with two. */
async function scene (t: Test): Promise<string> {
  const folder = await newFolder(t)
  const { log } = await open(folder)
  await log.append({ records: ['0'], texts: [] })
  const checkpoint = await log.beginCheckpoint()
  await checkpoint.write(['"slice"'])
  await checkpoint.commit()
  for (const record of ['1', '2']) await log.append({ records: [record], texts: [] })
  await (await log.beginCheckpoint()).abort()
  for (const record of ['3', '4']) await log.append({ records: [record, '"more"'], texts: [] })
  await log.close()
  return folder
}

async function damage (file: string, at: (bytes: Buffer) => number): Promise<Buffer> {
  const bytes = await readFile(file)
  const changed = Buffer.from(bytes)
  changed[at(bytes)] = (changed[at(bytes)] ?? 0) ^ 1
  await writeFile(file, changed)
  return changed
}

async function segments (folder: string): Promise<string[]> {
  return (await readdir(folder)).filter(name => name.endsWith('.log')).toSorted().map(name => join(folder, name))
}

const lost = async (folder: string): Promise<string[]> => {
  const records: string[] = []
  await inspectLog(folder, { onLost: record => { records.push(record) } })
  return records
}

t.test('a sound folder has nothing to mend, and stays as it is', async t => {
  const folder = await scene(t)
  t.same(await inspectLog(folder), { damage: null, canMend: true, cuts: [] })
  t.same(await mendLog(folder), [])
  t.same((await look(folder)).records, ['"slice"', '1', '2', '3', '"more"', '4', '"more"'])
})

t.test('what lies behind the damage is shown, cut off and kept beside', async t => {
  const folder = await scene(t)
  const [first = '', second = ''] = await segments(folder)
  const bytes = await damage(first, bytes => bytes.length - 1)
  const { damage: told, canMend, cuts } = await inspectLog(folder)
  t.match(told?.message, /000002\.log is damaged at byte \d+: batch 3 cannot be read/)
  t.ok(canMend)
  t.match(cuts, [{ file: first, batches: 0, records: 0 }, { file: second, offset: 0, batches: 2, records: 4 }])
  t.same(await lost(folder), ['3', '"more"', '4', '"more"'])
  const later = await readFile(second)
  t.same((await look(folder).catch(String)), `DamageError: ${told?.message}`, 'to look changes nothing')

  t.same(await mendLog(folder), cuts.map(cut => ({ ...cut, aside: `${cut.file}.damaged` })))
  t.same(await readFile(`${first}.damaged`), bytes)
  t.same(await readFile(`${second}.damaged`), later)
  t.same(await inspectLog(folder), { damage: null, canMend: true, cuts: [] })
  const { log, records, damage: none } = await open(folder)
  t.same([records, none], [['"slice"', '1'], []])
  await log.append({ records: ['5'], texts: [] })
  await log.close()
  t.same((await look(folder)).records, ['"slice"', '1', '5'])
})

for (const [title, spoil] of [
  ['whose beginning is damaged', async (file: string) => { await damage(file, () => 3) }],
  ['that is missing', unlink]
] as const) {
  t.test(`a segment ${title} right behind the snapshot is given up with the whole journal, and the snapshot stays`, async t => {
    const folder = await scene(t)
    const [first = ''] = await segments(folder)
    await spoil(first)
    t.equal((await mendLog(folder)).at(-1)?.records, 4)
    t.same((await look(folder)).records, ['"slice"'])
  })
}

t.test('a damaged snapshot cannot be mended, and is not touched', async t => {
  const folder = await scene(t)
  const file = join(folder, '000003.snapshot')
  const bytes = await damage(file, bytes => bytes.length - 1)
  t.match(await inspectLog(folder), { damage: { message: /Put a copy of the folder in its place\.$/ }, canMend: false, cuts: [] })
  await t.rejects(mendLog(folder), { message: /Put a copy of the folder in its place\.$/ })
  t.same(await readFile(file), bytes)
})
