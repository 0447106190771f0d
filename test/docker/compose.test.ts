// What docker-compose.yml starts besides the image: Redis as the ledger needs it, and tenants that are sound.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { parseTenants } from '../../src/tenants/book.ts'
import { identify } from '../../src/tenants/keys.ts'
import { projectDir } from '../support/paths.ts'
import { freePort } from '../support/processes.ts'
import { findServer, untilListening } from '../support/redis.ts'

const compose = readFileSync(join(projectDir, 'docker-compose.yml'), 'utf8')

t.test('every file that compose mounts exists', async t => {
  const mounted = [...compose.matchAll(/(?:- |:-)(\.\/[\w./-]+)[:}]/g)].map(match => String(match[1]))
  t.ok(mounted.length >= 2, 'the mounts were understood')
  for (const file of mounted) t.ok(existsSync(join(projectDir, file)), file)
})

t.test('the tenants of compose are sound, and their key is the demo key', async t => {
  const read = parseTenants(readFileSync(join(projectDir, 'docker/tenants.json'), 'utf8'), { models: builtInModels })
  t.match(read.ok && identify(read.book, 'Bearer fg_demo_sandbox', 0), { tenant: { id: 'demo' } })
})

t.test('compose\'s Redis starts with its command, takes the password from the file, writes before it answers, and evicts nothing', async t => {
  const port = String(await freePort())
  const dir = t.testdir({})
  const password = join(dir, 'password')
  writeFileSync(password, 'from-a-file\n')
  const command = /- '(umask .*)'/.exec(compose)?.[1] ?? ''
  const here = command
    .replace('/etc/falgate/redis.conf', join(projectDir, 'docker/redis.conf'))
    .replace('/run/secrets/redis-password', password)
    .replaceAll('/tmp/redis.conf', join(dir, 'redis.conf'))
    .replace(/exec redis-server (.*)/, `exec ${findServer()} $1 --port ${port} --bind 127.0.0.1 --dir ${dir} --logfile redis.log`)
  const server = spawn('sh', ['-c', here], { stdio: 'ignore' })
  t.teardown(async () => {
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
  })
  await untilListening(Number(port))
  const client = new Redis({ port: Number(port), password: 'from-a-file', lazyConnect: true })
  await client.connect()
  const settings = await Promise.all(['appendonly', 'appendfsync', 'maxmemory-policy', 'requirepass'].map(async name => await client.config('GET', name)))
  t.same(settings.flat(), ['appendonly', 'yes', 'appendfsync', 'always', 'maxmemory-policy', 'noeviction', 'requirepass', 'from-a-file'])
  client.disconnect()
})
