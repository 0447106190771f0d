// Sentinels that watch a primary of Redis on this machine.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from './processes.ts'
import { readSoFar } from './redis-tls.ts'
import { findServer } from './redis.ts'
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
