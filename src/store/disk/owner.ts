// Who owns the folder: the process that listens on the socket with the highest number in it. Node has no lock on files; a socket tells a process that lives from one
// that was killed, and whose it is.
//
// A process that wants the folder looks for the highest socket, `owner-7.sock`. When somebody listens there it is refused. When nobody does, that owner is dead: it
// listens on a socket with a name of its own first, and then links it as `owner-8.sock`, which only one can. The highest one is never removed, not even at the end, and
// lower ones only by an owner. So whoever links a number that had been removed already finds a higher one when it looks again, and begins again.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, link, open, readdir, statfs, unlink } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { recordOf } from '../../generation/fields.ts'
import { makeFolder, unusable } from './log/folder.ts'
import { handOver, hasCode, realFiles } from './log/port.ts'

/** The process that has the folder. */
export interface Greeting {
  readonly pid: number
  readonly host: string
  /** When it took the folder, in ISO 8601. */
  readonly since: string
}

export interface Owner {
  /** Listens no more, and ends its connections. Another process may have the folder then, so everything in it has to be closed before. */
  readonly close: () => Promise<void>
}

/** Another process has the folder. `owner`: what it says of itself, `null` when it does not answer. */
export class OwnedError extends Error {
  override readonly name = 'OwnedError'
  readonly owner: Greeting | null

  constructor (folder: string, owner: Greeting | null) {
    const who = owner === null ? 'another process, which is there but does not answer' : `process ${owner.pid} on ${owner.host}, since ${owner.since}`
    super(`The folder ${folder} is in use by ${who}. Only one falgate can use a folder: stop that one, or give this one a folder of its own.`)
    this.owner = owner
  }
}

/** Longer than that nobody waits for an owner that was reached and says nothing. */
const GREETING_MS = 1000

/**
 * Makes this process the owner of the folder, which is made unless it is there. Whoever connects to the owner is told who it is, in one line of JSON, and then belongs
 * to `onConnection`. Rejects with an `OwnedError` when another process has it, and with a sentence when the folder cannot be used.
 */
export async function ownFolder (folder: string, onConnection: (socket: Socket) => void = socket => { socket.end() }): Promise<Owner> {
  await makeFolder(realFiles, folder)
  await refuseNetwork(folder)
  try {
    for (;;) {
      const highest = await highestIn(folder)
      if (highest > 0) {
        const reached = await reach(folder, highest)
        if (reached === 'gone') continue
        if (reached !== 'dead') {
          reached.socket.destroy()
          throw new OwnedError(folder, reached.greeting)
        }
      }
      const owner = await take(folder, highest + 1, onConnection)
      if (owner !== null) return owner
    }
  } catch (error) {
    throw error instanceof OwnedError || error instanceof PathError ? error : unusable(folder, error)
  }
}

/** The owner of the folder and a connection to it, whose greeting was read; `null` when nobody has it. Rejects when it cannot be reached for another reason. */
export async function reachOwner (folder: string): Promise<{ readonly greeting: Greeting | null, readonly socket: Socket } | null> {
  for (;;) {
    const highest = await highestIn(folder).catch(error => {
      if (hasCode(error, 'ENOENT')) return 0
      throw error
    })
    if (highest === 0) return null
    const reached = await reach(folder, highest)
    if (reached === 'dead') return null
    if (reached !== 'gone') return reached
  }
}

// ------------------------------------------------------------------------------------------------ names

function nameOf (number: number): string {
  return `owner-${number}.sock`
}

function numberIn (name: string): number {
  return Number(/^owner-(\d{1,15})\.sock$/.exec(name)?.[1] ?? 0)
}

async function highestIn (folder: string): Promise<number> {
  return (await readdir(folder)).reduce((highest, name) => Math.max(highest, numberIn(name)), 0)
}

/** Names of sockets that are not linked yet. */
const TEMPORARY = /^owner-[0-9a-f]{16}\.new$/

/** What a socket's address has room for, in bytes; 103 on macOS. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103

class PathError extends Error {}

/** Gives a path for the address of a socket in the folder. One that is too long is named through the folder's descriptor, which is open meanwhile. */
async function withSocketPath<Result> (folder: string, name: string, use: (path: string) => Promise<Result>): Promise<Result> {
  const path = join(folder, name)
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return await use(path)
  if (process.platform !== 'linux') throw new PathError(`The path of the folder ${folder} is too long for a socket in it (${Buffer.byteLength(path)} bytes, ${MAX_PATH_BYTES} are allowed). Choose a shorter one.`)
  const opened = await open(folder, 'r')
  try {
    return await use(`/proc/self/fd/${opened.fd}/${name}`)
  } finally {
    await opened.close()
  }
}

// ------------------------------------------------------------------------------------------------ the owner

/** Links a socket under this number, if nobody else has it or a higher one. `null`: somebody has, and it is to be looked again. */
export async function take (folder: string, number: number, onConnection: (socket: Socket) => void): Promise<Owner | null> {
  const greeting: Greeting = { pid: process.pid, host: hostname(), since: new Date().toISOString() }
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => { sockets.delete(socket) })
    socket.on('error', () => {}) // whoever it was is gone
    socket.write(JSON.stringify(greeting) + '\n')
    onConnection(socket)
  })
  const temporary = `owner-${randomBytes(8).toString('hex')}.new`
  await withSocketPath(folder, temporary, async path => { await listening(server, path) })
  let isOwner = false
  try {
    isOwner = await claim(folder, temporary, number)
  } finally {
    if (!isOwner) await closed(server)
  }
  if (!isOwner) return null
  for (const name of await readdir(folder)) {
    const isOld = TEMPORARY.test(name) || (numberIn(name) > 0 && numberIn(name) < number)
    if (isOld) await unlink(join(folder, name)).catch(() => {}) // it does no harm
  }
  return {
    close: async () => {
      const isClosed = closed(server)
      for (const socket of sockets) socket.destroy()
      await isClosed
    }
  }
}

async function claim (folder: string, temporary: string, number: number): Promise<boolean> {
  try {
    await chmod(join(folder, temporary), 0o600)
    await handOver(join(folder, temporary))
    await link(join(folder, temporary), join(folder, nameOf(number)))
  } catch (error) {
    // Somebody was quicker, or has the folder already and tidied up.
    if (hasCode(error, 'EEXIST') || hasCode(error, 'ENOENT')) return false
    throw error
  } finally {
    await unlink(join(folder, temporary)).catch(() => {}) // an owner tidies up
  }
  if (await highestIn(folder) === number) return true
  await unlink(join(folder, nameOf(number))).catch(() => {}) // an owner tidies up
  return false
}

async function listening (server: Server, path: string): Promise<void> {
  server.listen(path)
  await once(server, 'listening')
}

async function closed (server: Server): Promise<void> {
  await new Promise<void>(resolve => { server.close(() => { resolve() }) })
}

// ------------------------------------------------------------------------------------------------ reaching it

/** `dead`: nobody listens there. `gone`: there is no such socket any more. */
async function reach (folder: string, number: number): Promise<'dead' | 'gone' | { readonly greeting: Greeting | null, readonly socket: Socket }> {
  return await withSocketPath(folder, nameOf(number), async path => {
    const socket = connect(path)
    try {
      await once(socket, 'connect')
    } catch (error) {
      if (hasCode(error, 'ECONNREFUSED')) return 'dead'
      if (hasCode(error, 'ENOENT')) return 'gone'
      // So many want to connect that none gets through: somebody listens.
      if (hasCode(error, 'EAGAIN')) return { greeting: null, socket }
      throw error
    }
    socket.on('error', () => {}) // it is gone, which its reader hears as its end
    return { greeting: await greetingOf(socket), socket }
  })
}

/** Reads the first line and leaves the rest. `null`: there was none in time, or it is no greeting. */
async function greetingOf (socket: Socket): Promise<Greeting | null> {
  let read = Buffer.alloc(0)
  const signal = AbortSignal.timeout(GREETING_MS)
  try {
    while (!read.includes('\n')) {
      const chunk: unknown = socket.read()
      if (chunk instanceof Buffer) read = Buffer.concat([read, chunk])
      else if (socket.readableEnded || socket.destroyed) return null
      else await once(socket, 'readable', { signal })
      if (read.length > 4096) return null
    }
    const end = read.indexOf('\n')
    if (end + 1 < read.length) socket.unshift(read.subarray(end + 1))
    const { pid, host, since } = recordOf(JSON.parse(read.toString('utf8', 0, end)))
    return typeof pid === 'number' && typeof host === 'string' && typeof since === 'string' ? { pid, host, since } : null
  } catch {
    return null
  }
}

// ------------------------------------------------------------------------------------------------ file systems

/** Where another machine may have the folder, too, so that no socket tells who has it, and a sync may mean nothing. By `statfs` of Linux. */
const networks: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0x01021997, '9p'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x73757245, 'Coda'],
  [0x01161970, 'GFS2'],
  [0x7461636f, 'OCFS2'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x786f4256, 'a shared folder of VirtualBox'],
  // One cannot tell those that are local from those that are not, such as sshfs and the folders that a virtual machine shares.
  [0x65735546, 'FUSE or virtiofs']
])

/** The network file system of this type, if it is one. */
export function networkOf (type: number): string | null {
  return networks.get(type >>> 0) ?? null
}

async function refuseNetwork (folder: string): Promise<void> {
  if (process.platform !== 'linux') return
  const { type } = await statfs(folder).catch(error => { throw unusable(folder, error) })
  const network = networkOf(type)
  if (network !== null) throw new Error(`The folder ${folder} lies on a file system that other machines may use, too (${network}), where nothing keeps two of them apart. Choose a folder on a local disk; in a container, a named volume.`)
}
