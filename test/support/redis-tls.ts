// A Redis that speaks TLS only, as a hosted one does.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from './processes.ts'
import { findServer } from './redis.ts'
import { until } from './until.ts'

export interface TlsRedis { readonly port: number, readonly certFile: string, readonly keyFile: string, readonly file: (name: string) => string }

/** A Redis that speaks TLS only, with a certificate of its own for `localhost` and its address. */
export async function startTlsRedis (t: Test, users: string | null = null): Promise<TlsRedis> {
  const dir = mkdtempSync(join(tmpdir(), 'falgate-tls-'))
  const file = (name: string): string => join(dir, name)
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file('key.pem'), '-out', file('cert.pem'), '-days', '1', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'ignore' })
  if (users !== null) writeFileSync(file('users.acl'), users)
  const port = await freePort()
  const args = ['--port', '0', '--tls-port', String(port), '--tls-cert-file', file('cert.pem'), '--tls-key-file', file('key.pem'), '--tls-auth-clients', 'no', '--dir', dir, '--save', '', '--logfile', 'redis.log']
  const server = spawn(findServer(), users === null ? args : [...args, '--aclfile', file('users.acl')], { stdio: 'ignore' })
  t.teardown(async () => {
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
    rmSync(dir, { recursive: true, force: true })
  })
  await until(() => readSoFar(file('redis.log')).includes('Ready to accept connections'))
  return { port, certFile: file('cert.pem'), keyFile: file('key.pem'), file }
}

/** What a file holds by now. */
export function readSoFar (file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // not written yet
  }
}
