// A Redis that a test stops, hangs, and starts again, with its file or without.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from './processes.ts'
import { findServer, untilListening } from './redis.ts'

export interface RestartableRedis {
  readonly url: string
  /** Ends it as a power cut would. */
  readonly kill: () => Promise<void>
  /** Sets aside what its file holds now. */
  readonly keep: () => void
  /** Starts it again on the same port: with what its file holds, with what was kept of it (a copy that lags behind, or a backup), or empty. */
  readonly start: (content: 'with-file' | 'kept' | 'empty') => Promise<void>
  /** It stays connected and answers nothing. */
  readonly hang: () => void
  readonly wake: () => void
}

/** Set up as `docker/redis.conf` does: every write is on disk before it is answered. */
export async function restartableRedis (t: Test): Promise<RestartableRedis> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'falgate-redis-'))
  let server: ChildProcess | null = null

  const file = join(folder, 'appendonlydir')
  const kept = join(folder, 'kept')

  async function start (content: 'with-file' | 'kept' | 'empty'): Promise<void> {
    if (content !== 'with-file') rmSync(file, { recursive: true, force: true })
    if (content === 'kept') cpSync(kept, file, { recursive: true })
    server = spawn(findServer(), ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction', '--dir', folder, '--logfile', 'redis.log'], { stdio: 'ignore' })
    await untilListening(port)
  }

  async function kill (): Promise<void> {
    if (server === null) return
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
    server = null
  }

  t.teardown(async () => {
    await kill()
    rmSync(folder, { recursive: true, force: true })
  })
  await start('empty')
  return {
    url: `redis://127.0.0.1:${port}`,
    kill,
    keep: () => { cpSync(file, kept, { recursive: true }) },
    start,
    hang: () => { server?.kill('SIGSTOP') },
    wake: () => { server?.kill('SIGCONT') }
  }
}
