// A full disk: what must be written still fits, because room was held back for it, and nothing of what did not fit is left behind.

import t from 'tap'
import { createFakeDisk, FOLDER, type FakeDisk } from './fake-disk.ts'
import { look, open, type Opened } from './log-scene.ts'

/** A disk that has room for two kilobytes beside a reserve of four. */
async function full (): Promise<{ disk: FakeDisk } & Opened> {
  const disk = createFakeDisk()
  const opened = await open(FOLDER, disk)
  await opened.log.append({ records: ['"before"'], texts: [] })
  disk.capacity = disk.contents('000001.log').length + 4096 + 2048
  return { disk, ...opened }
}

const large = { records: ['"too large"'], texts: ['x'.repeat(3000)] }

t.test('what does not fit is rejected and leaves nothing; then the reserve is given up, and what is tried again finds room', async t => {
  const { disk, log } = await full()
  const length = disk.contents('000001.log').length
  t.notOk(log.isFull)
  await t.rejects(log.append(large), { code: 'ENOSPC' })
  t.equal(disk.contents('000001.log').length, length)
  t.notOk(disk.names().includes('reserve'))
  t.ok(log.isFull)
  await log.append({ records: ['"evidence"'], texts: ['y'.repeat(3000)] })
  t.equal(await log.makeRoom(), false)
  t.ok(log.isFull)
  disk.capacity = 100_000
  t.equal(await log.makeRoom(), true)
  t.notOk(log.isFull)
  t.ok(disk.names().includes('reserve'))
  t.notOk(log.wantsCheckpoint, 'no file had to be given up')
  await log.close()
  t.same(await look(FOLDER, disk).then(({ records, damage }) => ({ records, damage })), { records: ['"before"', '"evidence"'], damage: [] })
})

t.test('on a disk that is full already the log is opened and says so, and the room is taken when there is some', async t => {
  const { disk, log } = await full()
  await log.close()
  await disk.unlink(`${FOLDER}/reserve`)
  disk.capacity -= 4096
  const again = await open(FOLDER, disk)
  t.same(again.records, ['"before"'])
  t.ok(again.log.isFull)
  t.equal(await again.log.makeRoom(), false)
  disk.capacity += 8192
  t.equal(await again.log.makeRoom(), true)
})

t.test('a reserve that was cut short is made anew', async t => {
  const { disk, log } = await full()
  await log.close()
  disk.put('reserve', Buffer.alloc(100))
  disk.capacity = Infinity
  await look(FOLDER, disk)
  t.equal(disk.contents('reserve').length, 4096)
  t.notOk(disk.contents('reserve').equals(Buffer.alloc(4096)), 'it is no hole')
})

t.test('a checkpoint that is being written gives way to the journal', async t => {
  const { disk, log } = await full()
  const checkpoint = await log.beginCheckpoint()
  await checkpoint.write([JSON.stringify('s'.repeat(1500))])
  await t.rejects(log.append(large), { code: 'ENOSPC' })
  await t.rejects(checkpoint.write(['1']), { code: 'ENOSPC' })
  await t.rejects(checkpoint.commit(), { code: 'ENOSPC' })
  await checkpoint.abort()
  t.same(disk.names(), ['000001.log', '000002.log'])
  await log.append(large)
  await log.close()
})

for (const [code, reason] of [
  ['EACCES', 'this user may not write there. Give the folder to the user that falgate runs as, or choose another one'],
  ['EROFS', 'its file system is read-only. Mount it writable, or choose another one'],
  ['EIO', 'the system says: EIO: open wx \'/ledger/reserve\'']
] as const) {
  t.test(`a folder where nothing can be written (${code}) is refused with a sentence`, async t => {
    const disk = createFakeDisk()
    disk.fault = ({ name }) => name === 'open wx' || name === 'open r+' ? code : null
    await t.rejects(open(FOLDER, disk), { message: `The folder /ledger cannot be used for the ledger: ${reason}.` })
  })
}

t.test('a folder that vanishes: every append says so, what was rejected is not there, and it goes on when the folder is back', async t => {
  const { disk, log } = await full()
  disk.capacity = Infinity
  disk.fault = () => 'ENOENT'
  for (let turn = 0; turn < 3; turn++) await t.rejects(log.append({ records: ['"lost"'], texts: [] }), { code: 'ENOENT' })
  t.ok(log.wantsCheckpoint)
  disk.fault = () => null
  await log.append({ records: ['"after"'], texts: [] })
  const checkpoint = await log.beginCheckpoint()
  await checkpoint.write(['"slice"'])
  await checkpoint.commit()
  t.notOk(log.wantsCheckpoint)
  await log.close()
  t.same((await look(FOLDER, disk)).records, ['"slice"'])
})
