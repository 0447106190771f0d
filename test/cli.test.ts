// What the command line promises: clear faults, chosen exit codes, an orderly end.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { identify } from '../src/tenants/keys.ts'
import { builtInModels } from '../src/models/built-in.ts'
import { parseTenants } from '../src/tenants.ts'
import { cliFile } from './support/paths.ts'
import { startOldRedis } from './support/old-redis.ts'
import { answering, freePort, runCli, start, type Ended, type Env } from './support/processes.ts'
import { plainClient } from './support/redis-store.ts'
import { startRedis } from './support/redis.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

async function listenEnv (): Promise<Env & { readonly PORT: string }> {
  return { PORT: String(await freePort()), LOG_LEVEL: 'info' }
}

t.test('--version and --help answer on standard output', async t => {
  const [version, help] = await Promise.all([runCli(t, ['--version']), runCli(t, ['--help'])])
  t.match(version, { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
  t.match(help, { code: 0, stdout: /^Usage: falgate \[command\][^]*FAL_KEY[^]*NODE_ENV/, stderr: '' })
})

t.test('what is not understood ends with 2, one line and a hint', async t => {
  t.same(await runCli(t, ['frob']), { code: 2, stdout: '', stderr: 'falgate: there is no command "frob" (see falgate --help)\n' })
})

t.test('check and serve name every fault on a line of its own, without values and stack, and end with 1', async t => {
  const env = { FAL_KEY: 'the-secret-key', PORT: 'the-secret-port', LOG_LEVEL: 'loud' }
  for (const ended of await Promise.all([runCli(t, ['check'], env), runCli(t, [], env)])) {
    t.same(ended, {
      code: 1,
      stdout: '',
      stderr: 'falgate: PORT: expected a whole number from 0 to 65535\n' +
        'falgate: LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent\n' +
        'falgate: TENANTS_FILE: not set; it is required with a real fal key\n'
    })
  }
})

t.test('check reads the files that the environment names', async t => {
  const dir = t.testdir({ 'bad.json': '{"tenants":[{"id":"a"}]}', 'good.json': '{"tenants":[{"id":"a","keys":[]}]}', key: 'a:b' })
  const env = { FAL_KEY_FILE: join(dir, 'none'), TENANTS_FILE: join(dir, 'bad.json'), TLS_CERT_FILE: join(dir, 'key'), TLS_KEY_FILE: join(dir, 'none') }
  t.same(await runCli(t, ['check'], env), {
    code: 1,
    stdout: '',
    stderr: 'falgate: TENANTS_FILE: /tenants/0/keys: is missing\n' +
      'falgate: FAL_KEY_FILE: the file cannot be read (ENOENT)\n' +
      'falgate: TLS_KEY_FILE: the file cannot be read (ENOENT)\n'
  })
  t.same(await runCli(t, ['check'], { TLS_CERT_FILE: join(dir, 'key'), TLS_KEY_FILE: join(dir, 'key') }), {
    code: 1,
    stdout: '',
    stderr: 'falgate: TLS_CERT_FILE, TLS_KEY_FILE: the files do not hold a certificate and its key\n'
  })
  t.same(await runCli(t, ['check'], { FAL_KEY_FILE: join(dir, 'key'), TENANTS_FILE: join(dir, 'good.json') }), {
    code: 0,
    stdout: 'warning: tenant a has no budget\nwarning: tenant a has no key\nthe configuration is sound\n',
    stderr: ''
  })
})

t.test('check looks at the Redis that is set: what nothing could be bought with is a fault, the rest a warning, and nothing is written there', async t => {
  const sound = '\nthe configuration is sound\n'
  const evicting = await startRedis(t, ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
  const plain = await startRedis(t)
  const locked = await startRedis(t)
  await plainClient(t, locked.url).config('SET', 'requirepass', 'right-password')
  const check = async (env: Env): Promise<Ended> => await runCli(t, ['check'], env)
  t.match(await check({ REDIS_URL: evicting.url }), { code: 1, stdout: '', stderr: /^falgate: Redis .* allkeys-lru.*: set maxmemory-policy noeviction\n$/ })
  const insisted = await check({ REDIS_URL: evicting.url, REDIS_UNSAFE: 'on' })
  t.match(insisted, { code: 0, stderr: '', stdout: /^warning: .*allkeys-lru/ })
  t.match(await check({ REDIS_URL: plain.url }), { code: 0, stderr: '', stdout: /^warning: .*appendonly/ })
  t.match(await check({ REDIS_URL: `${plain.url}/99` }), { code: 1, stdout: '', stderr: /database 99/ })
  t.match(await check({ REDIS_URL: await startOldRedis(t, plain.port) }), { code: 1, stdout: '', stderr: /needs Redis 7 or newer/ })
  t.match(await check({ REDIS_URL: locked.url }), { code: 1, stdout: '', stderr: /NOAUTH/ })
  const away = await check({ REDIS_URL: 'redis://127.0.0.1:1' })
  t.match(away, { code: 0, stderr: '', stdout: /^warning: REDIS_URL: .* cannot be reached/ })
  t.ok(away.stdout.endsWith(sound))
  t.equal(await plainClient(t, plain.url).dbsize(), 0)
})

t.test('a gateway does not start with a database that Redis refuses, for the reason that check tells', async t => {
  const { url } = await startRedis(t, ['--databases', '1', '--appendonly', 'yes'])
  const redis = plainClient(t, url)
  for (const why of [/database 1: .*out of range/, /database 1: NOPERM/]) {
    const checked = await runCli(t, ['check'], { REDIS_URL: `${url}/1` })
    t.match(checked, { code: 1, stdout: '', stderr: why })
    t.match(await runCli(t, ['serve'], { ...await listenEnv(), REDIS_URL: `${url}/1` }), { code: 1, stderr: checked.stderr })
    await redis.call('ACL', 'SETUSER', 'default', '-select')
  }
  t.equal(await redis.dbsize(), 0)
})

t.test('production without a key does not start, and is told what to set', async t => {
  t.match(await runCli(t, [], { NODE_ENV: 'production' }), { code: 1, stdout: '', stderr: /^falgate: FAL_KEY: not set; .*\n$/ })
})

t.test('key prints a key, and the line by which it is recognised', async t => {
  const { code, stdout, stderr } = await runCli(t, ['key', 'studio'])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const [, key = '', line = ''] = /^ {2}(fg_\S+)\n[^]*^ {2}(\{.*\})$/m.exec(stdout) ?? []
  const read = parseTenants(`{"tenants":[{"id":"studio","keys":[${line}]}]}`, { models: builtInModels })
  t.match(read.ok && identify(read.book, `Bearer ${key}`, 0), { tenant: { id: 'studio' } })
})

t.test('serve answers, as health tells, outlives SIGHUP, and ends with 0 on SIGTERM', async t => {
  const env = await listenEnv()
  t.same(await runCli(t, ['health'], env), { code: 1, stdout: '', stderr: 'falgate: no answer (ECONNREFUSED)\n' })
  const running = start(t, [cliFile], env)
  await answering(running, `http://127.0.0.1:${env.PORT}/healthz`)
  running.child.kill('SIGHUP')
  t.same(await runCli(t, ['health'], env), { code: 0, stdout: 'the gateway lives\n', stderr: '' })
  running.child.kill('SIGTERM')
  t.match(await running.ended, { code: 0, stderr: '' })
})

t.test('an unexpected error is one line and a log line, and ends with 1', async t => {
  const env = await listenEnv()
  // A signal that means nothing to falgate stands in for a fault in its code.
  const fault = 'data:text/javascript,process.on("SIGWINCH", () => { throw new Error("planted") })'
  const running = start(t, ['--import', fault, cliFile], env)
  await answering(running, `http://127.0.0.1:${env.PORT}/healthz`)
  running.child.kill('SIGWINCH')
  t.match(await running.ended, { code: 1, stdout: /"level":"fatal".*planted/, stderr: 'falgate: unexpected error: planted\n' })
})

t.test('a port that is taken is one line and exit code 1', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? String(address?.port) : ''
  const { code, stderr } = await runCli(t, ['serve'], { PORT: port })
  t.equal(code, 1)
  t.match(stderr, /^falgate: .*EADDRINUSE.*\n$/)
})

t.test('the sandbox runs alone, whatever the rules for keys and tenants', async t => {
  const env = { ...await listenEnv(), NODE_ENV: 'production', FAL_KEY: 'real:key' }
  const running = start(t, [cliFile, 'sandbox'], env)
  await answering(running, `http://127.0.0.1:${env.PORT}/healthz`)
  running.child.kill('SIGINT')
  t.match(await running.ended, { code: 0 })
})
