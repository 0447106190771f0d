// Power cuts and damage: the end of the last write is cut off and said, and whatever else is damaged is told, never swallowed.

import { crc32 } from 'node:zlib'
import t from 'tap'
import { FORMAT_VERSION } from '../../../src/store/disk/log/frames.ts'
import { createFakeDisk, FOLDER, type FakeDisk } from './fake-disk.ts'
import { look, open } from './log-scene.ts'

/** Three batches that were acknowledged, and a fourth one that was not: its bytes are from `acknowledged` on. */
async function journal (): Promise<{ disk: FakeDisk, name: string, acknowledged: number, whole: Buffer }> {
  const disk = createFakeDisk()
  const { log } = await open(FOLDER, disk)
  for (const record of ['1', '2', '3']) await log.append({ records: [record], texts: [`text ${record}`] })
  const name = '000001.log'
  const acknowledged = disk.contents(name).length
  await log.append({ records: ['4', '"four"'], texts: ['text 4', 'and more'] })
  await log.close()
  return { disk, name, acknowledged, whole: disk.contents(name) }
}

t.test('a journal that is cut at any byte behind the last batch that was acknowledged holds all of those, goes on, and says what was cut off', async t => {
  const { disk, name, acknowledged, whole } = await journal()
  for (let length = acknowledged; length < whole.length; length++) {
    for (const zeros of [0, whole.length - length, 5000]) {
      const cut = disk.copy()
      cut.put(name, Buffer.concat([whole.subarray(0, length), Buffer.alloc(zeros)]))
      const first = await open(FOLDER, cut)
      const bytes = length + zeros - acknowledged
      await first.log.append({ records: ['5'], texts: [] })
      await first.log.close()
      const { records, damage } = await look(FOLDER, cut)
      const isRight = first.records.join() === '1,2,3' && records.join() === '1,2,3,5' && damage.length === 0 &&
        JSON.stringify(first.damage) === JSON.stringify(bytes === 0 ? [] : [{ file: `${FOLDER}/${name}`, offset: acknowledged, bytes, batch: 4 }])
      if (!isRight) t.fail(`cut at ${length}, ${zeros} zeros`, { first: first.records, records, damage, firstDamage: first.damage })
    }
  }
  t.ok(whole.length > acknowledged)
})

t.test('damage in the last batch is cut off and said, whichever of its bytes it is', async t => {
  const { disk, name, acknowledged, whole } = await journal()
  for (let at = acknowledged; at < whole.length; at++) {
    const damaged = disk.copy()
    damaged.put(name, flipped(whole, at))
    const { records, damage } = await look(FOLDER, damaged)
    if (records.join() !== '1,2,3' || damage.length !== 1) t.fail(`byte ${at}`, { records, damage })
  }
  t.ok(whole.length > acknowledged)
})

t.test('whichever byte of what was acknowledged before is changed, the start says in which file it is', async t => {
  const { disk, name, acknowledged, whole } = await journal()
  for (let at = 0; at < acknowledged; at++) {
    const damaged = disk.copy()
    damaged.put(name, flipped(whole, at))
    const told = await look(FOLDER, damaged).then(() => 'started', String)
    if (!/^DamageError: \/ledger\/000001\.log is damaged at byte \d+: .*`falgate ledger mend`/s.test(told)) t.fail(`byte ${at}: ${told}`)
    if (damaged.contents(name).length !== whole.length) t.fail(`byte ${at}: something was cut off`)
  }
  t.ok(acknowledged > 0)
})

/** A snapshot with kept texts, a segment that was given up with a batch behind its end, and one that goes on from it. */
async function folder (): Promise<{ disk: FakeDisk, ends: ReadonlyMap<string, number> }> {
  const disk = createFakeDisk()
  const { log } = await open(FOLDER, disk)
  const [place] = await log.append({ records: ['1'], texts: ['kept'] })
  if (place === undefined) throw new Error('no place')
  const checkpoint = await log.beginCheckpoint()
  await checkpoint.write([JSON.stringify([await checkpoint.keep(place), await checkpoint.add('added')])])
  await checkpoint.write(['"more"'])
  await checkpoint.commit()
  await log.append({ records: ['2'], texts: [] })
  const end = disk.contents('000002.log').length
  disk.fault = ({ name }) => name === 'datasync' ? 'EIO' : null
  await log.append({ records: ['"rejected"'], texts: [] }).catch(() => {})
  disk.fault = () => null
  await log.append({ records: ['3'], texts: ['text of 3'] })
  await log.append({ records: ['4'], texts: [] })
  await log.close()
  return { disk, ends: new Map([['000002.log', end]]) }
}

t.test('whichever byte of any file is changed, it is told at the start, or where the text is read that it belongs to, or lies behind the end of a segment', async t => {
  const { disk, ends } = await folder()
  t.same(disk.names(), ['000002.log', '000003.snapshot', '000004.texts', '000005.log', 'reserve'])
  const outcomes = new Map<string, number>()
  for (const name of disk.names().filter(name => name !== 'reserve')) {
    const whole = disk.contents(name)
    for (let at = 0; at < whole.length; at++) {
      const damaged = disk.copy()
      damaged.put(name, flipped(whole, at))
      const outcome = await outcomeOf(damaged)
      const isIgnored = at >= (ends.get(name) ?? Infinity)
      if (isIgnored !== (outcome === 'as before')) t.fail(`byte ${at} of ${name}: ${outcome}`)
      outcomes.set(`${name} ${outcome}`, (outcomes.get(`${name} ${outcome}`) ?? 0) + 1)
    }
  }
  t.same([...outcomes.keys()].toSorted(), [
    '000002.log as before',
    '000002.log refused',
    '000003.snapshot refused',
    '000004.texts refused',
    '000004.texts told by a text',
    '000005.log refused',
    '000005.log said'
  ])
})

async function outcomeOf (disk: FakeDisk): Promise<string> {
  const opened = await open(FOLDER, disk).catch((error: unknown) => error)
  if (!(typeof opened === 'object' && opened !== null && 'log' in opened)) return /\/ledger\/00000\d\.(log|snapshot|texts) /.test(String(opened)) ? 'refused' : String(opened)
  const { log, records, places, damage } = await open(FOLDER, disk)
  if (damage.length > 0) return 'said'
  const [kept, ...rest] = records
  if (JSON.stringify(rest) !== JSON.stringify(['"more"', '2', '3', '4'])) return `held ${records.join()}`
  try {
    const texts = await Promise.all([...JSON.parse(kept ?? ''), ...places.flat()].map(log.readText))
    return texts.join() === 'kept,added,text of 3' ? 'as before' : `read ${texts.join()}`
  } catch (error) {
    return /^Error: A text of the ledger is damaged: .* \/ledger\/000004\.texts/.test(String(error)) ? 'told by a text' : String(error)
  }
}

for (const [missing, told] of [
  ['000002.log', 'the file is missing, and what was written later goes on from it'],
  ['000003.snapshot', 'the file is missing, and what was written later goes on from it'],
  ['000004.texts', 'the file is missing, and the snapshot leads to it']
] as const) {
  t.test(`a start without ${missing.slice(-8)} of a folder says that it is missing`, async t => {
    const { disk } = await folder()
    await disk.unlink(`${FOLDER}/${missing}`)
    await t.rejects(look(FOLDER, disk), { name: 'DamageError', message: new RegExp(told) })
  })
}

t.test('a folder of a newer version is refused with a sentence', async t => {
  const { disk, name, whole } = await journal()
  const newer = Buffer.from(whole)
  newer.writeUInt16LE(FORMAT_VERSION + 1, 16)
  newer.writeUInt32LE(crc32(newer.subarray(16, 36 + newer.readUInt32LE(28))), 12)
  disk.put(name, newer)
  await t.rejects(look(FOLDER, disk), { message: `/ledger/000001.log was written by a newer version of falgate (format ${FORMAT_VERSION + 1}). Start that version on this folder, or another folder with this one.` })
})

t.test('what callers send cannot look like a batch: a text that holds a whole frame is cut off with the last write', async t => {
  const { disk, name, acknowledged, whole } = await journal()
  const { log } = await open(FOLDER, disk)
  await log.append({ records: ['5'], texts: [whole.subarray(0, acknowledged).toString('latin1'), whole.toString()] })
  await log.close()
  const longer = disk.contents(name)
  disk.put(name, longer.subarray(0, longer.length - 1))
  const { records, damage } = await look(FOLDER, disk)
  t.same(records, ['1', '2', '3', '4', '"four"'])
  t.match(damage, [{ offset: whole.length }])
})

function flipped (bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ 0x10
  return changed
}
