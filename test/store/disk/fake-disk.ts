// A disk in memory that loses at a power cut what was not synced, and fails when it is told to. As on Linux, what a failed sync was to write stays readable, but no later
// sync writes it.

import { basename, dirname } from 'node:path'
import type { FilePort, PortFile } from '../../../src/store/disk/log/port.ts'

type Pending = { readonly at: number, readonly bytes: Buffer } | { readonly truncate: number }

interface Inode {
  /** What a reader sees, and what a power cut leaves at least. */
  seen: Buffer
  safe: Buffer
  pending: Pending[]
}

/** One call of the port, counted from 1. */
export interface Call { readonly number: number, readonly name: string, readonly path: string }

export interface FakeDisk extends FilePort {
  /** What goes wrong: a code of the system for a call, or `null`. A write that fails writes half of its bytes. */
  fault: (call: Call) => string | null
  /** Does a write of more than 200 bytes take half of them? */
  isShort: boolean
  /** How many bytes fit on the disk. */
  capacity: number
  readonly calls: () => number
  readonly log: readonly Call[]
  /** Everything that was not synced is there, is not there, or is there in part, as `random` (below 1) says. */
  readonly powerCut: (random: () => number) => void
  readonly names: () => string[]
  readonly contents: (name: string) => Buffer
  readonly put: (name: string, bytes: Buffer) => void
  /** Another disk with the same on it. */
  readonly copy: () => FakeDisk
}

export const FOLDER = '/ledger'

export function createFakeDisk (from: ReadonlyMap<string, Buffer> = new Map()): FakeDisk {
  let seen = new Map<string, Inode>([...from].map(([name, bytes]) => [name, { seen: bytes, safe: bytes, pending: [] }]))
  let safe = new Map(seen)
  const log: Call[] = []

  function call (name: string, path: string): string | null {
    const one = { number: log.length + 1, name, path: basename(path) }
    log.push(one)
    return disk.fault(one)
  }

  function step (name: string, path: string): void {
    const code = call(name, path)
    if (code !== null) throw fail(code, name, path)
  }

  function room (): number {
    return disk.capacity - [...seen.values()].reduce((sum, { seen }) => sum + seen.length, 0)
  }

  function inodeOf (path: string, name: string): Inode {
    const inode = seen.get(basename(path))
    if (inode === undefined) throw fail('ENOENT', name, path)
    return inode
  }

  function fileOf (inode: Inode, path: string): PortFile {
    let isOpen = true
    const stepOpen = (name: string): void => {
      if (!isOpen) throw fail('EBADF', name, path)
      step(name, path)
    }
    const sync = async (name: string): Promise<void> => {
      if (!isOpen) throw fail('EBADF', name, path)
      const code = call(name, path)
      if (code === null) inode.safe = inode.seen.length === inode.safe.length && inode.pending.length === 0 ? inode.safe : applied(inode.safe, inode.pending)
      inode.pending = []
      if (code !== null) throw fail(code, name, path)
    }
    return {
      read: async (buffer, offset, length, position) => {
        stepOpen('read')
        return { bytesRead: inode.seen.copy(buffer, offset, position, Math.min(position + length, inode.seen.length)) }
      },
      write: async (buffer, offset, length, position) => {
        if (!isOpen) throw fail('EBADF', 'write', path)
        let code = call('write', path)
        const wished = code !== null || (disk.isShort && length > 200) ? Math.floor(length / 2) : length
        const bytes = Buffer.from(buffer.subarray(offset, offset + Math.max(0, Math.min(wished, room()))))
        if (bytes.length === 0) code ??= 'ENOSPC'
        if (bytes.length > 0) {
          inode.pending.push({ at: position, bytes })
          inode.seen = applied(inode.seen, [{ at: position, bytes }])
        }
        if (code !== null) throw fail(code, 'write', path)
        return { bytesWritten: bytes.length }
      },
      datasync: async () => { await sync('datasync') },
      sync: async () => { await sync('sync') },
      truncate: async bytes => {
        stepOpen('truncate')
        inode.pending.push({ truncate: bytes })
        inode.seen = applied(inode.seen, [{ truncate: bytes }])
      },
      stat: async () => {
        stepOpen('stat')
        return { size: inode.seen.length, nlink: [...seen.values()].includes(inode) ? 1 : 0 }
      },
      close: async () => {
        isOpen = false
        step('close', path)
      }
    }
  }

  function folderFile (path: string): PortFile {
    const none = async (): Promise<never> => { throw fail('EISDIR', 'use', path) }
    return {
      read: none,
      write: none,
      truncate: none,
      datasync: none,
      stat: none,
      sync: async () => {
        step('sync folder', path)
        safe = new Map(seen)
      },
      close: async () => { step('close', path) }
    }
  }

  const disk: FakeDisk = {
    fault: () => null,
    isShort: false,
    capacity: Infinity,
    calls: () => log.length,
    log,
    open: async (path, flags) => {
      step(`open ${flags}`, path)
      if (path === FOLDER) return folderFile(path)
      if (dirname(path) !== FOLDER) throw fail('ENOENT', 'open', path)
      if (flags === 'wx') {
        if (seen.has(basename(path))) throw fail('EEXIST', 'open', path)
        seen.set(basename(path), { seen: Buffer.alloc(0), safe: Buffer.alloc(0), pending: [] })
      }
      return fileOf(inodeOf(path, 'open'), path)
    },
    readdir: async path => {
      step('readdir', path)
      return [...seen.keys()]
    },
    mkdir: async path => { step('mkdir', path) },
    rename: async (from, to) => {
      step('rename', from)
      seen.set(basename(to), inodeOf(from, 'rename'))
      seen.delete(basename(from))
    },
    unlink: async path => {
      step('unlink', path)
      inodeOf(path, 'unlink')
      seen.delete(basename(path))
    },
    stat: async path => {
      step('stat', path)
      if (path !== FOLDER) inodeOf(path, 'stat')
      return { dev: 1, ino: 1 }
    },
    statfs: async path => {
      step('statfs', path)
      return { type: 0, bsize: 1, bavail: room() }
    },
    powerCut: random => {
      const names = new Set([...seen.keys(), ...safe.keys()])
      const left = new Map<string, Inode>()
      for (const name of names) {
        const inode = (random() < 0.5 ? seen : safe).get(name)
        if (inode !== undefined) left.set(name, inode)
      }
      for (const inode of new Set(left.values())) {
        inode.safe = applied(inode.safe, inode.pending.flatMap(one => inPart(one, random())))
        inode.seen = inode.safe
        inode.pending = []
      }
      seen = left
      safe = new Map(left)
    },
    names: () => [...seen.keys()].toSorted(),
    contents: name => inodeOf(name, 'contents').seen,
    put: (name, bytes) => {
      const inode = { seen: bytes, safe: bytes, pending: [] }
      seen.set(name, inode)
      safe.set(name, inode)
    },
    copy: () => createFakeDisk(new Map([...seen].map(([name, { seen }]) => [name, seen])))
  }
  return disk
}

/** A pending change as a power cut leaves it: all of it, nothing, its beginning, zeros in its place, or zeros up to its end. */
function inPart (one: Pending, random: number): Pending[] {
  if ('truncate' in one) return random < 0.5 ? [one] : []
  const length = Math.floor(one.bytes.length * (random * 5 % 1))
  switch (Math.floor(random * 5)) {
    case 0: return [one]
    case 1: return []
    case 2: return [{ at: one.at, bytes: one.bytes.subarray(0, length) }]
    case 3: return [{ at: one.at, bytes: Buffer.alloc(one.bytes.length) }]
    default: return [{ at: one.at, bytes: Buffer.concat([Buffer.alloc(length), one.bytes.subarray(length)]) }]
  }
}

function applied (bytes: Buffer, pending: readonly Pending[]): Buffer {
  let now = bytes
  for (const one of pending) {
    if ('truncate' in one) {
      now = Buffer.concat([now.subarray(0, one.truncate), Buffer.alloc(Math.max(0, one.truncate - now.length))])
    } else {
      const next = Buffer.alloc(Math.max(now.length, one.at + one.bytes.length))
      now.copy(next)
      one.bytes.copy(next, one.at)
      now = next
    }
  }
  return now
}

function fail (code: string, name: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${name} '${path}'`), { code })
}
