// One process has a folder at a time, and one that died is in nobody's way.

import { once } from 'node:events'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { networkOf, ownFolder, reachOwner, take } from '../../../src/store/disk/owner.ts'
import { start } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { newFolder } from './log-scene.ts'

async function sockets (folder: string): Promise<string[]> {
  return (await readdir(folder)).filter(name => name.startsWith('owner-'))
}

t.test('a second one is refused with a sentence that says who has the folder, and gets it once that one is closed', async t => {
  const folder = join(await newFolder(t), 'data')
  const first = await ownFolder(folder)
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  const refused = await ownFolder(folder).catch((error: unknown) => error)
  t.match(refused, { name: 'OwnedError', owner: { pid: process.pid } })
  t.match(String(refused), new RegExp(`The folder ${folder} is in use by process ${process.pid} on .*, since 20..-..-..T`))
  await first.close()
  const second = await ownFolder(folder)
  t.same(await sockets(folder), ['owner-2.sock'])
  await second.close()
})

t.test('of twenty that want a folder at once exactly one gets it, round after round', async t => {
  const folder = await newFolder(t)
  for (let round = 0; round < 15; round++) {
    const tried = await Promise.allSettled(Array.from({ length: 20 }, async () => await ownFolder(folder)))
    const owners = tried.flatMap(one => one.status === 'fulfilled' ? [one.value] : [])
    const others = tried.flatMap(one => one.status === 'rejected' && String(one.reason).includes('is in use by process') ? [one] : [])
    if (owners.length !== 1 || others.length !== 19) t.same(tried, [], `round ${round}`)
    for (const owner of owners) await owner.close()
  }
  t.equal((await sockets(folder)).length, 1, 'nothing is left of those that were refused')
})

t.test('an owner that was killed is no obstacle', async t => {
  const folder = await newFolder(t)
  await writeFile(join(folder, 'go'), '')
  for (let round = 1; round <= 3; round++) {
    const running = start(t, [fileURLToPath(new URL('./own-folder.js', import.meta.url)), folder, folder])
    await until(async () => (await reachOwner(folder))?.greeting?.pid === running.child.pid, { what: 'the child has the folder' })
    await t.rejects(ownFolder(folder), { name: 'OwnedError', owner: { pid: running.child.pid ?? 0 } })
    running.child.kill('SIGKILL')
    await running.ended
    t.equal(await reachOwner(folder), null)
  }
  await (await ownFolder(folder)).close()
})

t.test('who cannot be asked has the folder all the same', async t => {
  const folder = await newFolder(t)
  const silent = createServer(() => {})
  silent.listen(join(folder, 'owner-3.sock'))
  await once(silent, 'listening')
  await t.rejects(ownFolder(folder), { owner: null, message: /in use by another process, which is there but does not answer/ })
  silent.close()
})

t.test('a file that only looks like a socket, as a copy of the folder may have it, is no owner', async t => {
  const folder = await newFolder(t)
  await writeFile(join(folder, 'owner-7.sock'), '')
  const owner = await ownFolder(folder)
  t.same(await sockets(folder), ['owner-8.sock'])
  await owner.close()
})

t.test('one that comes late and links a number that is used up begins again', async t => {
  const folder = await newFolder(t)
  const first = await ownFolder(folder)
  await first.close()
  const second = await ownFolder(folder)
  // As if it had looked when there was no socket at all.
  t.equal(await take(folder, 1, () => {}), null)
  t.same(await sockets(folder), ['owner-2.sock'])
  await second.close()
})

t.test('a folder whose path is too long for a socket is owned like any other', async t => {
  const folder = join(await newFolder(t), 'a'.repeat(100), 'b'.repeat(100))
  const first = await ownFolder(folder)
  await t.rejects(ownFolder(folder), { name: 'OwnedError', owner: { pid: process.pid } })
  await first.close()
  await (await ownFolder(folder)).close()
})

t.test('whoever connects to the owner is told who it is, and then talks with it', async t => {
  const folder = await newFolder(t)
  const owner = await ownFolder(folder, socket => { socket.setEncoding('utf8').on('data', (text: string) => { socket.end(text.toUpperCase()) }) })
  const reached = await reachOwner(folder)
  t.match(reached?.greeting, { pid: process.pid, host: /./ })
  reached?.socket.write('settle')
  t.equal(await reached?.socket.setEncoding('utf8').toArray().then(parts => parts.join('')), 'SETTLE')
  const waiting = await reachOwner(folder)
  await owner.close()
  t.same(await waiting?.socket.toArray(), [], 'a connection ends with the owner')
  t.equal(await reachOwner(folder), null)
})

t.test('a folder that cannot be used is refused with a sentence that names it', async t => {
  const folder = await newFolder(t)
  await writeFile(join(folder, 'file'), '')
  await t.rejects(ownFolder(join(folder, 'file')), { message: `The folder ${join(folder, 'file')} cannot be used for the ledger: it is a file. Choose another one.` })
  await t.rejects(ownFolder(join(folder, 'file', 'below')), { message: /cannot be used for the ledger: a part of its path is a file\. Choose another one\.$/ })
  await mkdir(join(folder, 'below'))
  t.equal(await reachOwner(join(folder, 'nowhere')), null)
})

t.test('file systems of networks are known by their types', async t => {
  t.equal(networkOf(0x6969), 'NFS')
  t.equal(networkOf(-11317950), 'CIFS', 'as a number with a sign')
  t.equal(networkOf(0xef53), null, 'ext4')
  t.equal(networkOf(0x01021994), null, 'tmpfs')
  t.equal(networkOf(0x794c7630), null, 'overlayfs')
})
