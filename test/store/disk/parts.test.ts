// A batch that is too long for one frame is written in parts that count as one: all of it is replayed or nothing, whatever fails and whenever the power is cut.

import t from 'tap'
import { openDiskLedger } from '../../../src/store/disk/ledger.ts'
import { admissionOf, freshId, successOf, times } from '../../support/admission.ts'
import { until } from '../../support/until.ts'
import { owner, startMs } from '../contract/world.ts'
import { createFakeDisk, FOLDER, type FakeDisk } from './fake-disk.ts'
import { look, open } from './log-scene.ts'

/** Bytes of a part: less than the long batch has, more than each of its records. */
const PART = 40

const small = { records: ['"small"'], texts: ['text'] }
const long = { records: Array.from({ length: 20 }, (_, nth) => `"record ${nth}"`), texts: ['a'.repeat(30), 'b'.repeat(30), 'c'.repeat(100)] }

/** A short batch, and a long one: its bytes are from `from` on. */
async function journal (): Promise<{ disk: FakeDisk, name: string, from: number, whole: Buffer }> {
  const disk = createFakeDisk()
  const { log } = await open(FOLDER, disk, PART)
  await log.append(small)
  const name = '000001.log'
  const from = disk.contents(name).length
  await log.append(long)
  await log.close()
  return { disk, name, from, whole: disk.contents(name) }
}

t.test('it is replayed whole, in its order, with the places of all its texts, and the journal goes on behind it', async t => {
  const disk = createFakeDisk()
  const { log } = await open(FOLDER, disk, PART)
  const places = await log.append(long)
  t.same(await Promise.all(places.map(log.readText)), long.texts)
  await log.append(small)
  await log.close()
  const found = await open(FOLDER, disk)
  t.same(found.records, [...long.records, ...small.records])
  t.same(found.damage, [])
  t.same(found.places.slice(0, -1).every(each => JSON.stringify(each) === JSON.stringify(places)), true)
  t.same(await Promise.all((found.places[0] ?? []).map(found.log.readText)), long.texts)
  await found.log.close()
})

t.test('a journal that is cut at any byte of it holds what was before, all of which goes on, and says where it was cut off', async t => {
  const { disk, name, from, whole } = await journal()
  for (let length = from; length < whole.length; length++) {
    for (const zeros of [0, whole.length - length]) {
      const cut = disk.copy()
      cut.put(name, Buffer.concat([whole.subarray(0, length), Buffer.alloc(zeros)]))
      const first = await open(FOLDER, cut, PART)
      await first.log.append(long)
      await first.log.close()
      const again = await look(FOLDER, cut)
      const expected = length + zeros === from ? [] : [{ file: `${FOLDER}/${name}`, offset: from, bytes: length + zeros - from, batch: 2 }]
      const isRight = first.records.join() === small.records.join() && JSON.stringify(first.damage) === JSON.stringify(expected) && again.records.join() === [...small.records, ...long.records].join() && again.damage.length === 0
      if (!isRight) t.fail(`cut at ${length}, ${zeros} zeros`, { records: first.records, damage: first.damage, again: again.records })
    }
  }
  t.ok(whole.length > from + 5 * PART)
})

t.test('parts that a power cut left in any order are cut off as long as the last one is not there; with it, damage to one of them is told', async t => {
  const { disk, name, from, whole } = await journal()
  const last = whole.lastIndexOf(Buffer.from('falgateLOG')) - 1
  for (let at = from; at < last; at++) {
    const damaged = disk.copy()
    const bytes = Buffer.from(whole)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    damaged.put(name, bytes.subarray(0, last))
    const { records, damage } = await look(FOLDER, damaged)
    if (records.join() !== small.records.join() || damage[0]?.offset !== from) t.fail(`byte ${at}`, { records, damage })
    damaged.put(name, bytes)
    const told = await look(FOLDER, damaged).then(() => 'started', String)
    if (!told.startsWith(`DamageError: ${FOLDER}/${name} is damaged at byte ${from}: batch 2 cannot be read`)) t.fail(`byte ${at}: ${told}`)
  }
  t.ok(last > from)
})

t.test('whichever call of the disk fails while it is written, it is rejected, nothing of it is replayed, and what is tried again is there', async t => {
  const calls = await (async () => {
    const disk = createFakeDisk()
    const { log } = await open(FOLDER, disk, PART)
    await log.append(small)
    const before = disk.calls()
    await log.append(long)
    return disk.calls() - before
  })()
  let rejected = 0
  for (const code of ['EIO', 'ENOSPC']) {
    for (let nth = 1; nth <= calls; nth++) {
      const disk = createFakeDisk()
      const { log } = await open(FOLDER, disk, PART)
      await log.append(small)
      const failing = disk.calls() + nth
      disk.fault = ({ number }) => number === failing ? code : null
      const isRejected = await log.append(long).then(() => false, () => true)
      const left = await look(FOLDER, disk.copy()).then(({ records }) => records.join(), String)
      const expected = isRejected ? small.records : [...small.records, ...long.records]
      if (left !== expected.join()) t.fail(`${code} at call ${nth}: ${left}`)
      if (!isRejected) continue
      rejected += 1
      await log.append(long)
      const { records } = await look(FOLDER, disk.copy())
      if (records.join() !== [...small.records, ...long.records].join()) t.fail(`${code} at call ${nth}, tried again: ${records.join()}`)
    }
  }
  t.equal(rejected, 2 * calls)
})

t.test('a version that does not know parts says that the file is a newer one\'s, and everything else is readable for it', async t => {
  const { whole } = await journal()
  const versions: number[] = []
  for (let at = whole.indexOf('falgateLOG'); at !== -1; at = whole.indexOf('falgateLOG', at + 1)) versions.push(whole.readUInt16LE(at + 15))
  t.same([...new Set(versions)], [1, 2])
  t.same([versions[0], versions[1], versions.at(-1)], [1, 1, 1], 'segment, short batch, and what ends the long one')
})

t.test('what a ledger has to write after a disk was away for long is written, however much it is', async t => {
  const disk = createFakeDisk()
  const states: unknown[] = []
  const openLedger = async (files: FakeDisk): ReturnType<typeof openDiskLedger> => await openDiskLedger({ folder: FOLDER, files, partBytes: 2000, times, accounts: () => [owner], wallNow: () => startMs, onDamage: () => {}, onState: state => { states.push(state) }, onCheckpointFailure: () => {} })
  const { ledger, flush } = await openLedger(disk)
  const running: string[] = []
  for (let count = 0; count < 30; count++) {
    const bought = await ledger.admit(admissionOf({ input: JSON.stringify({ prompt: `${count}` }) }), { claimId: freshId(), replica: 'r1', slots: 1000 })
    if (bought.outcome !== 'bought') throw new Error(bought.outcome)
    running.push(bought.row.id)
  }
  disk.fault = ({ name }) => name === 'write' || name === 'datasync' ? 'EIO' : null
  for (const id of running) {
    await ledger.recordAccepted(id, 1, 'request-' + id)
    await ledger.finish(id, 1, 'request-' + id, successOf({ output: JSON.stringify({ images: ['x'.repeat(500)] }) }))
  }
  t.match(states, [{ code: 'EIO' }])
  disk.fault = () => null
  await until(async () => states.at(-1) === null)
  await flush()
  const again = await openLedger(disk.copy())
  const rows = await again.ledger.getMany(running)
  t.same(rows.map(({ phase, output }) => `${phase} ${output?.length}`), running.map(() => 'succeeded 515'))
  t.same(again.ledger.audit(), [])
  t.same((await again.recount({ isMending: false })).differences, [])
})

t.test('a segment that was given up is taken over into a snapshot soon, also by the process that finds it at its start', async t => {
  const disk = createFakeDisk()
  const first = await open(FOLDER, disk)
  await first.log.append(small)
  t.notOk(first.log.wantsCheckpoint)
  disk.fault = ({ name }) => name === 'datasync' ? 'EIO' : null
  await t.rejects(first.log.append(small))
  disk.fault = () => null
  t.ok(first.log.wantsCheckpoint)
  await first.log.append(small)
  await first.log.close()

  const second = await open(FOLDER, disk)
  t.ok(second.log.wantsCheckpoint)
  const checkpoint = await second.log.beginCheckpoint()
  await checkpoint.write(['"slice"'])
  await checkpoint.commit()
  t.notOk(second.log.wantsCheckpoint)
  await second.log.close()
  const third = await open(FOLDER, disk)
  t.notOk(third.log.wantsCheckpoint)
  await third.log.close()
})
