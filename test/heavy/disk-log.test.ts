// The log under the ledger on disk with a disk that is really full, and its folder with twenty processes that want it at once.

import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { ownFolder, reachOwner } from '../../src/store/disk/owner.ts'
import { start, type Running } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { openNumbers } from '../store/disk/numbers.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024

async function newFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'falgate-disk-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

/** A file system in memory with that much room. To mount one takes root, which these tests need elsewhere, too. */
async function smallDisk (t: Test, bytes: number): Promise<string> {
  const folder = await newFolder(t)
  await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'falgate-test', folder])
  t.teardown(async () => { await run('umount', [folder]) })
  return folder
}

t.test('a disk that is filled by others: what was acknowledged is there, what is tried again fits into the reserve, and with room it goes on', async t => {
  const folder = await smallDisk(t, 40 * MIB)
  const numbers = await openNumbers(folder)
  for (let count = 0; count < 100; count++) await numbers.append()
  await numbers.checkpoint()
  // As much as there is room for, in a file of somebody else.
  const filler = join(folder, 'filler')
  await t.rejects(writeFile(filler, Buffer.alloc(64 * MIB, 1)), { code: 'ENOSPC' })
  await t.rejects(async () => { for (;;) await numbers.append() }, { code: 'ENOSPC' })
  t.ok(numbers.log.isFull)
  const rejected = numbers.last() + 1
  t.equal(await numbers.append(), rejected, 'the same one again')
  t.equal(await numbers.log.makeRoom(), false)
  await t.rejects(async () => { for (;;) await numbers.append() }, { code: 'ENOSPC' }, 'the reserve ends, too')
  const last = numbers.last()
  await numbers.check()
  await numbers.log.close()

  const again = await openNumbers(folder)
  t.equal(again.last(), last)
  await again.check()
  t.ok(again.log.isFull)
  await rm(filler)
  t.equal(await again.log.makeRoom(), true)
  await again.append()
  await again.checkpoint()
  await again.check()
  await again.log.close()
})

t.test('of twenty processes that want a folder at once exactly one gets it, whoever was killed before', async t => {
  const folder = await newFolder(t)
  for (let round = 0; round < 5; round++) {
    const barrier = await newFolder(t)
    const said: string[] = []
    const processes: Running[] = Array.from({ length: 20 }, () => {
      const running = start(t, [fileURLToPath(new URL('../store/disk/own-folder.js', import.meta.url)), folder, barrier])
      running.child.stdout?.on('data', (text: string) => { said.push(...text.trimEnd().split('\n')) })
      return running
    })
    await until(() => said.filter(line => line === 'ready').length === 20, { what: 'all are ready' })
    await writeFile(join(barrier, 'go'), '')
    await until(() => said.length === 40, { what: 'all have tried' })
    t.same([said.filter(line => line === 'owner').length, said.filter(line => line.includes('is in use by process')).length], [1, 19], `round ${round}`)
    const owner = (await reachOwner(folder))?.greeting?.pid
    t.ok(processes.some(({ child }) => child.pid === owner))
    for (const { child } of processes) child.kill('SIGKILL')
    await Promise.all(processes.map(async ({ ended }) => await ended))
  }
  await (await ownFolder(folder)).close()
})
