// Redis behind TLS, with an ACL user and a password from a file: as a hosted Redis is reached.

import { execFileSync, spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { cliFile } from '../support/paths.ts'
import { answering, freePort, runCli, start } from '../support/processes.ts'
import { findServer } from '../support/redis.ts'
import { until } from '../support/until.ts'

interface TlsRedis { readonly port: number, readonly certFile: string, readonly file: (name: string) => string }

/** A Redis that speaks TLS only, with a certificate of its own for `localhost`. */
async function startTlsRedis (t: Test, users: string | null = null): Promise<TlsRedis> {
  const dir = t.testdir({})
  const file = (name: string): string => join(dir, name)
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file('key.pem'), '-out', file('cert.pem'), '-days', '1', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'], { stdio: 'ignore' })
  if (users !== null) writeFileSync(file('users.acl'), users)
  const port = await freePort()
  const args = ['--port', '0', '--tls-port', String(port), '--tls-cert-file', file('cert.pem'), '--tls-key-file', file('key.pem'), '--tls-auth-clients', 'no', '--dir', dir, '--save', '', '--logfile', 'redis.log']
  const server = spawn(findServer(), users === null ? args : [...args, '--aclfile', file('users.acl')], { stdio: 'ignore' })
  t.teardown(async () => {
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
  })
  await until(() => read(file('redis.log')).includes('Ready to accept connections'))
  return { port, certFile: file('cert.pem'), file }
}

t.test('a gateway reaches Redis over TLS, as an ACL user, with the password from its file', async t => {
  const password = 'p@ss/word with %'
  const redis = await startTlsRedis(t, `user default off\nuser falgate on #${hash('sha256', password)} ~{fg}:* &{fg}:* +@all\n`)
  writeFileSync(redis.file('password'), `${password}\n`)
  const port = String(await freePort())
  const env = { PORT: port, REDIS_URL: `rediss://falgate@localhost:${redis.port}`, REDIS_PASSWORD_FILE: redis.file('password') }
  t.match(await runCli(t, ['check'], env), { code: 0 })
  const running = start(t, [cliFile, 'serve'], { ...env, NODE_EXTRA_CA_CERTS: redis.certFile })
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/readyz`)
  const reply = await fetch(`${base}/generate`, { method: 'POST', headers: { authorization: 'Bearer fg_demo_sandbox', 'content-type': 'application/json' }, body: '{"prompt":"x","seed":1}' })
  t.equal(reply.status, 200)
  running.child.kill('SIGTERM')
  const { code, stdout, stderr } = await running.ended
  t.equal(code, 0)
  t.notMatch(stdout + stderr, /p@ss|p%40ss/)
})

t.test('a certificate that nobody vouches for is not talked to, and said without the password', async t => {
  const redis = await startTlsRedis(t)
  const port = String(await freePort())
  const running = start(t, [cliFile, 'serve'], { PORT: port, REDIS_URL: `rediss://:very-secret@localhost:${redis.port}` })
  let logged = ''
  running.child.stdout?.on('data', text => { logged += String(text) })
  await until(() => /SELF_SIGNED|self-signed/i.test(logged))
  // It serves as soon as it has heard from Redis, or of its trouble.
  await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.status === 503)
  running.child.kill('SIGTERM')
  const { stdout, stderr } = await running.ended
  t.notMatch(stdout + stderr, 'very-secret')
})

function read (file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // not written yet
  }
}
