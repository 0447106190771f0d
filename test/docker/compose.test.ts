// What docker-compose.yml starts besides the image: Redis as the ledger needs it, and tenants that are sound.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { parseTenants } from '../../src/tenants/book.ts'
import { identify } from '../../src/tenants/keys.ts'
import { composeOf, readCompose, variableIn } from '../support/compose.ts'
import { projectDir } from '../support/paths.ts'
import { freePort } from '../support/processes.ts'
import { findServer, untilListening } from '../support/redis.ts'

const compose = readCompose()
const { gateway, redis } = compose.services

t.test('what is no YAML, or no file of Compose, is found', async t => {
  const text = readFileSync(join(projectDir, 'docker-compose.yml'), 'utf8')
  const broken: readonly (readonly [was: string, becomes: string, told: RegExp])[] = [
    ['  redis:\n    image', '   redis:\n    image', /indent|column|collection/i],
    ['    restart: unless-stopped\n\n  redis', '    restart: unless-stopped\n    restart: always\n\n  redis', /unique/],
    ['LOG_LEVEL: $', 'LOG_LEVEL: 5 #$', /LOG_LEVEL must be string/],
    ['- "8080:8080"', '- 8080', /ports\/0 must be string/],
    ['depends_on', 'depend_on', /depend_on/],
    ['    volumes:\n      - ./docker', '    volumes:\n      ./docker', /volumes must be array/]
  ]
  for (const [was, becomes, told] of broken) {
    t.ok(text.includes(was), was)
    t.throws(() => composeOf(text.replace(was, becomes)), { message: told })
  }
})

t.test('what services name of each other, of secrets and of volumes is there', async t => {
  for (const { depends_on: needed = {}, secrets = [], volumes = [] } of [gateway, redis]) {
    for (const name of Object.keys(needed)) t.ok(Object.hasOwn(compose.services, name), name)
    for (const name of secrets) t.ok(Object.hasOwn(compose.secrets, name), name)
    for (const volume of volumes.filter(volume => !/^(\.|\$)/.test(volume))) t.ok(Object.hasOwn(compose.volumes, volume.split(':')[0] ?? ''), volume)
  }
  const read = [...Object.values(gateway.environment ?? {}), ...redis.command ?? [], ...redis.healthcheck?.test ?? []].flatMap(text => [...text.matchAll(/\/run\/secrets\/([\w-]+)/g)].map(([, name]) => name))
  t.same(new Set(read), new Set([...gateway.secrets ?? [], ...redis.secrets ?? []]), 'every secret is read where it is mounted')
  t.equal(redis.healthcheck !== undefined && gateway.depends_on?.['redis']?.condition, 'service_healthy')
})

t.test('every file that compose mounts exists', async t => {
  const volumes = [...gateway.volumes ?? [], ...redis.volumes ?? []].map(volume => variableIn(volume)?.otherwise ?? volume.split(':')[0] ?? '')
  const mounted = [...volumes.filter(volume => volume.startsWith('.')), ...Object.values(compose.secrets).map(({ file }) => variableIn(file)?.otherwise ?? file)]
  t.ok(mounted.length >= 4, 'the mounts were understood')
  for (const file of mounted) t.ok(existsSync(resolve(projectDir, file)), file)
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
  const [shell, flag, command = ''] = redis.command ?? []
  t.same([shell, flag], ['sh', '-c'])
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
