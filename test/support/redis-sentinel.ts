// Sentinels that watch a primary of Redis on this machine.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from './processes.ts'
import { plainClient } from './redis-store.ts'
import { readSoFar } from './redis-tls.ts'
import { findServer, startRedis, type RedisServer } from './redis.ts'
import { until } from './until.ts'

export interface SentinelOptions {
  /** What clients call the primary. */
  readonly name: string
  /** Where it is at first. */
  readonly primaryPort: number
  /** How many Sentinels have to agree that it is away. */
  readonly quorum: number
  /** What it wants of those who ask; none by default. */
  readonly password?: string
  /** It and what it watches speak TLS only, with this certificate. */
  readonly tls?: { readonly certFile: string, readonly keyFile: string }
}

/** Starts a Sentinel, ended with the test. Gives its port. It takes a primary for away that does not answer for half a second. */
export async function startSentinel (t: Test, { name, primaryPort, quorum, password, tls }: SentinelOptions): Promise<number> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'falgate-sentinel-'))
  const file = join(folder, 'sentinel.conf')
  writeFileSync(file, [
    ...(tls === undefined ? [`port ${port}`] : ['port 0', `tls-port ${port}`, `tls-cert-file ${tls.certFile}`, `tls-key-file ${tls.keyFile}`, `tls-ca-cert-file ${tls.certFile}`, 'tls-auth-clients no', 'tls-replication yes']),
    ...(password === undefined ? [] : [`requirepass ${password}`]),
    'bind 127.0.0.1', `dir ${folder}`, 'logfile sentinel.log',
    `sentinel monitor ${name} 127.0.0.1 ${primaryPort} ${quorum}`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 5000`,
    ''
  ].join('\n'))
  const sentinel = spawn(findServer(), [file, '--sentinel'], { stdio: 'ignore' })
  t.teardown(async () => {
    const ended = once(sentinel, 'exit')
    sentinel.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  // It listens before it looks at the primary. Over TLS there is nothing that could be asked in clear.
  await until(() => readSoFar(join(folder, 'sentinel.log')).includes('+monitor master'))
  return port
}

/** A primary and a copy of it that takes its place. */
export interface WatchedPair {
  readonly primary: RedisServer
  readonly copy: RedisServer
  /** That of the Sentinel which watches them, as `main`. */
  readonly sentinelPort: number
  /** Resolves when the copy is the primary. */
  readonly untilTakenOver: () => Promise<void>
}

/** Starts the three, ended with the test. The copy has what the primary has, and the Sentinel knows of it. */
export async function startWatchedPair (t: Test): Promise<WatchedPair> {
  const primary = await startRedis(t, ['--appendonly', 'yes'])
  const copy = await startRedis(t, ['--appendonly', 'yes', '--replicaof', '127.0.0.1', String(primary.port)])
  const atCopy = plainClient(t, copy.url)
  await until(async () => (await atCopy.info('replication')).includes('master_link_status:up'))
  const sentinelPort = await startSentinel(t, { name: 'main', primaryPort: primary.port, quorum: 1 })
  const watching = plainClient(t, `redis://127.0.0.1:${sentinelPort}`)
  await until(async () => String(await watching.call('SENTINEL', 'REPLICAS', 'main')).includes(String(copy.port)))
  return {
    primary,
    copy,
    sentinelPort,
    untilTakenOver: async () => { await until(async () => (await atCopy.info('replication')).includes('role:master'), { what: 'Sentinel made the copy the primary' }) }
  }
}
