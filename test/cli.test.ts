// What the command line promises: clear faults, chosen exit codes, an orderly end.

import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { runHere } from './support/cli.ts'
import { DOCUMENT_ID, falDocumentText } from './support/fal-documents.ts'
import { startOldRedis } from './support/old-redis.ts'
import { cliFile } from './support/paths.ts'
import { answering, freePort, runCli, start, type Ended, type Env } from './support/processes.ts'
import { plainClient } from './support/redis-store.ts'
import { startRedis } from './support/redis.ts'
import { until } from './support/until.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

async function listenEnv (): Promise<Env & { readonly PORT: string }> {
  return { PORT: String(await freePort()), LOG_LEVEL: 'info' }
}

t.test('--version and --help answer on standard output, and a mistake on standard error with 2', async t => {
  const [version, help, mistake] = await Promise.all([runCli(t, ['--version']), runCli(t, ['--help']), runCli(t, ['frob'])])
  t.match(mistake, { code: 2, stdout: '', stderr: /^falgate: there is no command "frob".*\n$/ })
  t.match(version, { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
  t.match(help, { code: 0, stdout: /^Usage: falgate \[command\][^]*FAL_KEY[^]*NODE_ENV/, stderr: '' })
})

t.test('check looks at the Redis that is set: what nothing could be bought with is a fault, the rest a warning, and nothing is written there', async t => {
  const sound = '\nthe configuration is sound\n'
  const evicting = await startRedis(t, ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
  const plain = await startRedis(t)
  const locked = await startRedis(t)
  await plainClient(t, locked.url).config('SET', 'requirepass', 'right-password')
  const check = async (env: Env): Promise<Ended> => await runHere(['check'], env)
  t.match(await check({ REDIS_URL: evicting.url }), { code: 1, stdout: '', stderr: /^falgate: Redis .* allkeys-lru.*: set maxmemory-policy noeviction\n$/ })
  const insisted = await check({ REDIS_URL: evicting.url, REDIS_UNSAFE: 'on' })
  t.match(insisted, { code: 0, stderr: '', stdout: /^warning: .*allkeys-lru/ })
  t.ok(insisted.stdout.endsWith(sound))
  t.match(await check({ REDIS_URL: plain.url }), { code: 0, stderr: '', stdout: /^warning: .*appendonly/ })
  t.match(await check({ REDIS_URL: `${plain.url}/99` }), { code: 1, stdout: '', stderr: /database 99/ })
  t.match(await check({ REDIS_URL: await startOldRedis(t, plain.port) }), { code: 1, stdout: '', stderr: /needs Redis 7 or newer/ })
  t.match(await check({ REDIS_URL: locked.url }), { code: 1, stdout: '', stderr: /NOAUTH/ })
  t.match(await check({ REDIS_URL: 'redis://127.0.0.1:1' }), { code: 1, stdout: '', stderr: /^falgate: REDIS_URL: .* cannot be reached/ })
  t.equal(await plainClient(t, plain.url).dbsize(), 0)
})

t.test('a gateway does not start with a database that Redis refuses, for the reason that check tells', async t => {
  const { url } = await startRedis(t, ['--databases', '1', '--appendonly', 'yes'])
  const redis = plainClient(t, url)
  for (const why of [/database 1: .*out of range/, /database 1: NOPERM/]) {
    const checked = await runHere(['check'], { REDIS_URL: `${url}/1` })
    t.match(checked, { code: 1, stdout: '', stderr: why })
    t.match(await runCli(t, ['serve'], { ...await listenEnv(), REDIS_URL: `${url}/1` }), { code: 1, stderr: checked.stderr })
    await redis.call('ACL', 'SETUSER', 'default', '-select')
  }
  t.equal(await redis.dbsize(), 0)
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

t.test('a model that is added and priced beside a running gateway is bought there, and once it is removed no more', async t => {
  const env = { ...await listenEnv(), MODELS_DIR: t.testdir() }
  const running = start(t, [cliFile], env)
  const base = `http://127.0.0.1:${env.PORT}`
  await answering(running, `${base}/healthz`)
  const document = join(t.testdirName, '..', 'document-of-a-model.json')
  writeFileSync(document, falDocumentText())
  t.teardown(() => { rmSync(document) })
  const ask = async (): Promise<number> => (await fetch(`${base}/generate/${DOCUMENT_ID}`, {
    method: 'POST', headers: { authorization: 'Bearer fg_demo_sandbox', 'content-type': 'application/json' }, body: '{"prompt":"a fair"}'
  })).status
  /** Reads the folder again, and asks until that is done. */
  const becomes = async (status: number): Promise<void> => {
    running.child.kill('SIGHUP')
    await until(async () => await ask() === status)
  }
  t.equal(await ask(), 404)
  t.match(await runHere(['model', 'add', DOCUMENT_ID, '--from', document, '--usd', '0.05', '--per', 'image'], env), { code: 0 })
  await becomes(200)
  t.match(await runHere(['model', 'remove', DOCUMENT_ID], env), { code: 0 })
  await becomes(404)
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
  t.match(stderr, /^falgate: .*EADDRINUSE.*set PORT.*\n$/)
})

t.test('pictures of the sandbox alone are where PUBLIC_URL says, for those who do not reach it as the gateway does', async t => {
  const env = { ...await listenEnv(), PUBLIC_URL: 'https://pictures.example/drawn/' }
  const running = start(t, [cliFile, 'sandbox'], env)
  await answering(running, `http://127.0.0.1:${env.PORT}/healthz`)
  const answer = await fetch(`http://127.0.0.1:${env.PORT}/run/fal-ai/imagen4/preview/ultra`, { method: 'POST', headers: { authorization: 'Key any' }, body: '{"prompt":"a fair"}' })
  t.match(await answer.text(), /"url":"https:\/\/pictures\.example\/drawn\/files\//)
})

t.test('the sandbox runs alone, whatever the rules for keys and tenants', async t => {
  const env = { ...await listenEnv(), NODE_ENV: 'production', FAL_KEY: 'real:key' }
  const running = start(t, [cliFile, 'sandbox'], env)
  await answering(running, `http://127.0.0.1:${env.PORT}/healthz`)
  running.child.kill('SIGINT')
  t.match(await running.ended, { code: 0 })
})
