// Redis behind TLS, with an ACL user and a password from a file: as a hosted Redis is reached.

import { hash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import t from 'tap'
import { cliFile } from '../support/paths.ts'
import { answering, freePort, runCli, start } from '../support/processes.ts'
import { startTlsRedis } from '../support/redis-tls.ts'
import { until } from '../support/until.ts'

t.test('a gateway reaches Redis over TLS, as an ACL user, with the password from its file', async t => {
  const password = 'p@ss/word with %'
  const redis = await startTlsRedis(t, `user default off\nuser falgate on #${hash('sha256', password)} ~{fg}:* &{fg}:* +@all\n`)
  writeFileSync(redis.file('password'), `${password}\n`)
  const port = String(await freePort())
  const env = { PORT: port, REDIS_URL: `rediss://falgate@localhost:${redis.port}`, REDIS_PASSWORD_FILE: redis.file('password') }
  t.match(await runCli(t, ['check'], env), { code: 1, stderr: /certificate is not believed/ })
  const trusting = { ...env, NODE_EXTRA_CA_CERTS: redis.certFile }
  t.match(await runCli(t, ['check'], trusting), { code: 0 })
  const running = start(t, [cliFile, 'serve'], trusting)
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

t.test('REDIS_CA_FILE names who vouches for Redis, and its password is read again when its file changes', async t => {
  const redis = await startTlsRedis(t, 'user default on nopass ~* &* +@all\nuser falgate on >old-password ~{fg}:* &{fg}:* +@all\n')
  writeFileSync(redis.file('password'), 'old-password\n')
  const port = String(await freePort())
  const env = { PORT: port, NODE_ENV: 'production', FAL_KEY: 'sandbox', REDIS_URL: `rediss://falgate@localhost:${redis.port}`, REDIS_PASSWORD_FILE: redis.file('password'), REDIS_CA_FILE: redis.certFile }
  t.match(await runCli(t, ['check'], env), { code: 0 })
  t.match(await runCli(t, ['usage', '--csv'], env), { code: 0 })
  t.match(await runCli(t, ['check'], { ...env, REDIS_CA_FILE: redis.file('password') }), { code: 1, stderr: 'falgate: REDIS_CA_FILE: the file does not hold a certificate (PEM)\n' })
  const running = start(t, [cliFile, 'serve'], env)
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/readyz`)
  const buy = async (seed: number): Promise<number> => {
    const reply = await fetch(`${base}/generate`, { method: 'POST', headers: { authorization: 'Bearer fg_demo_sandbox', 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'x', seed }) })
    await reply.text()
    return reply.status
  }
  t.equal(await buy(1), 200)

  const root = new Redis({ host: 'localhost', port: redis.port, tls: { ca: readFileSync(redis.certFile) } })
  t.teardown(() => { root.disconnect() })
  await root.call('ACL', 'SETUSER', 'falgate', '<old-password', '>new-password')
  writeFileSync(redis.file('password'), 'new-password\n')
  await root.call('CLIENT', 'KILL', 'USER', 'falgate')
  await until(async () => await buy(2) === 200)
  running.child.kill('SIGINT')
  const { stdout, stderr } = await running.ended
  t.match(stdout, /access to Redis read again/)
  t.notMatch(stdout + stderr, /(old|new)-password/)
})
