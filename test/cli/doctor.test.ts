// `falgate doctor`: each thing that can be wrong is made so, and is told in one sentence that says what to do.

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clockFinding } from '../../src/app/doctor/doctor.ts'
import { checks } from '../../src/app/doctor/finding.ts'
import { nodeFinding, OLDEST_NODE, openFilesFinding } from '../../src/app/doctor/machine.ts'
import { odds } from '../../src/app/doctor/settings.ts'
import { parseConfig } from '../../src/config.ts'
import { ledgerCommands } from '../../src/store/redis/script.ts'
import { playCatalogue } from '../support/catalogue.ts'
import { runHere } from '../support/cli.ts'
import { falDocumentText, plainOutput } from '../support/fal-documents.ts'
import { CENTRAL_KEY, parseObject, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { modelFile } from '../support/model-files.ts'
import { startOldRedis } from '../support/old-redis.ts'
import { cliFile, projectDir } from '../support/paths.ts'
import { codeBlocksOf, pageAt, sectionOf } from '../support/pages.ts'
import { freePort, runCli, start, type Env } from '../support/processes.ts'
import { plainClient } from '../support/redis-store.ts'
import { aclRules, startRedis } from '../support/redis.ts'
import { startSandbox, type RunningSandbox } from '../support/sandbox.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

const SECRETS = [CENTRAL_KEY, 'central-key-secret', STUDIO_KEY, 'p4ss-of-redis', 'p4ss-of-proxy']

/** All that any doctor of this file has said. */
const said: string[] = []

interface Told { readonly code: number, readonly findings: ReadonlyArray<Readonly<Record<string, unknown>>>, readonly of: (check: string) => ReadonlyArray<Readonly<Record<string, unknown>>> }

/** What a doctor says in this environment, in both forms. */
async function ask (env: Env): Promise<Told> {
  const [text, json] = [await runHere(['doctor'], env), await runHere(['doctor', '--json'], env)]
  said.push(text.stdout, text.stderr, json.stdout, json.stderr)
  return told(json)
}

function told ({ code, stdout }: { readonly code: number | null, readonly stdout: string }): Told {
  const { findings } = parseObject(stdout)
  if (!Array.isArray(findings) || code === null) throw new Error(stdout)
  return { code, findings, of: check => findings.filter(finding => finding.check === check) }
}

/** Files as an operator should keep them. */
function folderOf (t: Test): { readonly path: (name: string) => string, readonly write: (name: string, text: string, mode?: number) => string } {
  const folder = mkdtempSync(join(tmpdir(), 'falgate-doctor-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const path = (name: string): string => join(folder, name)
  const write = (name: string, text: string, mode = 0o600): string => {
    writeFileSync(path(name), text)
    chmodSync(path(name), mode)
    return path(name)
  }
  return { path, write }
}

const soundRedis = ['--appendonly', 'yes', '--maxmemory', '1gb']

interface Sound { readonly env: Env, readonly sandbox: RunningSandbox, readonly redisPort: number, readonly write: ReturnType<typeof folderOf>['write'] }

/** A gateway's environment with nothing to say about. */
async function sound (t: Test): Promise<Sound> {
  const [redis, sandbox] = [await startRedis(t, soundRedis), await startSandbox(t, { keys: [CENTRAL_KEY] })]
  const { write } = folderOf(t)
  const env = {
    NODE_ENV: 'production',
    FAL_KEY_FILE: write('fal-key', CENTRAL_KEY),
    FAL_QUEUE_URL: `${sandbox.base}/queue`,
    TENANTS_FILE: write('tenants.json', JSON.stringify({ tenants: [{ ...tenant('studio'), budget: { usd: 5, per: 'month' } }] }), 0o644),
    REDIS_URL: redis.url
  }
  return { env, sandbox, redisPort: redis.port, write }
}

t.test('where everything is in order each thing is ok, the exit code is 0, nothing is bought and nothing written', async t => {
  const { env, sandbox, redisPort } = await sound(t)
  const { code, findings } = await ask({ ...env, MEDIA_DIR: t.testdir({}), UPLOADS: 'on', FAL_REST_URL: sandbox.base })
  t.same(findings.filter(({ verdict }) => verdict !== 'ok'), [])
  t.equal(code, 0)
  t.same([...new Set(findings.map(({ check }) => check))], checks.filter(check => !check.startsWith('folder')), 'every check has a finding, in their order')
  t.equal(sandbox.bill.submits, 0)
  const redis = plainClient(t, `redis://127.0.0.1:${redisPort}`)
  t.same([await redis.keys('*'), await redis.call('FUNCTION', 'LIST')], [[], []])
})

t.test('the process of the command line ends with 1 when something is at fault, and docs/operations.md shows what it says', async t => {
  const { env, redisPort } = await sound(t)
  await plainClient(t, `redis://127.0.0.1:${redisPort}`).config('SET', 'maxmemory-policy', 'allkeys-lru')
  chmodSync(env['FAL_KEY_FILE'] ?? '', 0o644)
  const ended = await runCli(t, ['doctor'], env)
  said.push(ended.stdout, ended.stderr)
  t.match(ended, { code: 1, stderr: '' })
  const [block] = codeBlocksOf(sectionOf(pageAt('docs/operations.md'), 'On call')).filter(({ code }) => code.includes('redis-eviction'))
  // What differs from machine to machine.
  const lasting = (text: string): readonly string[] => text.trim().replace(/^ok +node .*$/m, '').replace(/127\.0\.0\.1:\d+/g, 'queue.fal.run').replaceAll(' over TLS', '').replace(/Redis 7\.\S+|Redis \d+\.\S+/g, 'Redis').replace(/[\d.,]+ (?:ms|GiB|MiB|KiB|files)/g, 'N').replace(/set to \S+;/, 'set to a zone;').split('\n')
  t.same(lasting(ended.stdout), lasting(block?.code.replace(/^falgate doctor\n/, '') ?? ''))
})

t.test('a process whose clock is wrong is told so', async t => {
  const { env } = await sound(t)
  const ahead = 'data:text/javascript,const { now } = Date; Date.now = () => now() + 90000'
  const ended = await start(t, ['--import', ahead, cliFile, 'doctor', '--json'], env).ended
  t.match(told({ ...ended }).of('clock'), [{ verdict: 'warning', sentence: /^the clock of this machine is (89|90)\.\d s ahead of that of Redis, .*time server$/ }])
  t.match(clockFinding({ aheadOfRedisMs: 100, aheadOfFalMs: -60_000 }), { verdict: 'warning', sentence: /60\.0 s behind that of fal/ })
  t.match(clockFinding({ aheadOfRedisMs: null, aheadOfFalMs: null }), { verdict: 'not-tried' })
})

t.test('what is wrong with Redis', async t => {
  const { env, redisPort } = await sound(t)
  const root = plainClient(t, `redis://127.0.0.1:${redisPort}`)
  const redis = async (args: readonly string[]): Promise<string> => (await startRedis(t, args)).url

  await t.test('it throws keys away', async t => {
    const { code, of } = await ask({ ...env, REDIS_URL: await redis([...soundRedis, '--maxmemory-policy', 'volatile-lru']) })
    t.match([code, of('redis-eviction')], [1, [{ verdict: 'fault', sentence: /volatile-lru.*set maxmemory-policy noeviction$/ }]])
    t.match((await ask({ ...env, REDIS_UNSAFE: 'on', REDIS_URL: await redis([...soundRedis, '--maxmemory-policy', 'volatile-lru']) })), { code: 0 }, 'whoever insists is warned')
  })

  await t.test('it keeps no log, and has no bound', async t => {
    const { code, of } = await ask({ ...env, REDIS_URL: await redis([]) })
    t.match([code, of('redis-persistence'), of('redis-memory')], [0, [{ verdict: 'warning', sentence: /set appendonly yes$/ }], [{ verdict: 'warning', sentence: /has no maxmemory.*set maxmemory/ }]])
  })

  await t.test('its last snapshot failed', async t => {
    const server = await startRedis(t, [...soundRedis, '--enable-protected-configs', 'yes'])
    const client = plainClient(t, server.url)
    // A folder has the place of the file.
    await client.config('SET', 'dbfilename', 'appendonlydir')
    await client.bgsave()
    await until(async () => /rdb_bgsave_in_progress:0/.test(await client.info('persistence')))
    const { of } = await ask({ ...env, REDIS_URL: server.url })
    t.match(of('redis-persistence'), [{ verdict: 'warning', sentence: /last snapshot failed.*disk$/ }])
  })

  await t.test('its memory is full, or nearly', async t => {
    const server = await startRedis(t, soundRedis)
    const client = plainClient(t, server.url)
    await client.setrange('large', 17 * 1024 * 1024, 'x')
    const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
    await client.config('SET', 'maxmemory', String(Math.round(used * 1.1)))
    t.match((await ask({ ...env, REDIS_URL: server.url })).of('redis-memory'), [{ verdict: 'warning', sentence: /when it is full nothing is bought: raise maxmemory/, measured: { max_bytes: Number } }])
    await client.config('SET', 'maxmemory', '10mb')
    const { code, of } = await ask({ ...env, REDIS_URL: server.url })
    t.match([code, of('redis-memory')], [1, [{ verdict: 'fault', sentence: /memory is full .*raise maxmemory$/ }]])
    await client.config('SET', 'maxmemory', '300mb')
    t.match((await ask({ ...env, REDIS_URL: server.url })).of('redis-memory'), [{ verdict: 'warning', sentence: /LARGE_RESULT_BYTES alone may take 256 MiB/ }])
  })

  await t.test('it is a replica, or has one', async t => {
    const primary = await startRedis(t, soundRedis)
    const replica = await startRedis(t, [...soundRedis, '--replicaof', '127.0.0.1', String(primary.port)])
    const { code, of } = await ask({ ...env, REDIS_URL: replica.url })
    t.match([code, of('redis-role')], [1, [{ verdict: 'fault', sentence: /leads to a replica.*to the primary$/ }]])
    t.match(await runHere(['check'], { ...env, REDIS_URL: replica.url }), { code: 1, stderr: /leads to a replica/ }, 'check tells the same')
    await until(async () => /slave0:.*state=online/.test(await plainClient(t, primary.url).info('replication')))
    t.match((await ask({ ...env, REDIS_URL: primary.url })).of('redis-replicas'), [{ verdict: 'ok', sentence: 'its replica keeps up', measured: { replicas: 1, replicas_behind: 0 } }])
  })

  await t.test('it is too old', async t => {
    const { code, of } = await ask({ ...env, REDIS_URL: await startOldRedis(t, redisPort) })
    t.match([code, of('redis-version')], [1, [{ verdict: 'fault', sentence: /needs Redis 7 or newer/ }]])
  })

  await t.test('it is away, or does not take the password', async t => {
    const away = await ask({ ...env, REDIS_URL: 'redis://:p4ss-of-redis@127.0.0.1:1' })
    t.match([away.code, away.of('redis')], [1, [{ verdict: 'fault', sentence: /^REDIS_URL: .*ECONNREFUSED.*Start it, or say in REDIS_URL where it is/ }]])
    t.same(away.findings.filter(({ check }) => String(check).startsWith('redis-')), [])
    const unknown = await ask({ ...env, REDIS_URL: 'redis://:p4ss-of-redis@redis.invalid' })
    t.match(unknown.of('redis'), [{ verdict: 'fault', sentence: /redis\.invalid/ }])
    const refused = await ask({ ...env, REDIS_URL: `redis://gate:p4ss-of-redis@127.0.0.1:${redisPort}` })
    t.match([refused.code, refused.of('redis')], [1, [{ verdict: 'fault', sentence: /WRONGPASS/ }]])
  })

  await t.test('it is slow', async t => {
    const proxy = await startTcpProxy(t, redisPort, { delayMs: 50 })
    const { code, of } = await ask({ ...env, REDIS_URL: `redis://127.0.0.1:${proxy.port}` })
    t.match([code, of('redis-latency')], [0, [{ verdict: 'warning', sentence: /an answer takes .* ms \(median\).*bring Redis nearer/ }]])
    t.ok(Number(Reflect.get(Object(of('redis-latency')[0]?.['measured']), 'answer_p50_ms')) >= 50)
  })

  await t.test('its user is that of docs/deployment.md, lacks a command, or may do nothing', async t => {
    await root.call('ACL', 'SETUSER', 'gate', ...aclRules({ password: 'p4ss-of-redis', namespace: 'fg' }))
    const url = `redis://gate:p4ss-of-redis@127.0.0.1:${redisPort}`
    t.match((await ask({ ...env, REDIS_URL: url })).of('redis-rights'), [{ verdict: 'ok' }], 'what start-up finds out it finds out, too')
    t.same(await root.keys('*'), [], 'and nothing of a ledger is written')
    await root.call('ACL', 'SETUSER', 'gate', '-rpush')
    t.ok(ledgerCommands().includes('RPUSH'))
    const lacking = await ask({ ...env, REDIS_URL: url })
    t.match([lacking.code, lacking.of('redis-rights')], [1, [{ verdict: 'fault', sentence: /may not run RPUSH .*allow its user \+rpush/ }]])
    await root.call('ACL', 'SETUSER', 'gate', '-fcall')
    t.match((await ask({ ...env, REDIS_URL: url })).of('redis-rights'), [{ verdict: 'fault', sentence: /may not run FCALL, FUNCTION\|LOAD/ }])
    await root.call('ACL', 'SETUSER', 'gate', '-time')
    t.match((await ask({ ...env, REDIS_URL: url })).of('redis-latency'), [{ verdict: 'not-tried', sentence: /see redis-rights$/ }], 'a refusal is not slow')
    t.match(await runHere(['check'], { ...env, REDIS_URL: url }), { code: 1, stderr: /may not run FCALL, FUNCTION\|LOAD/ }, 'check tells the same')
  })

  await t.test('the ledger in it is another account\'s', async t => {
    await root.hset('{other}:glob', 'upstream', 'fal staging')
    const { code, of } = await ask({ ...env, REDIS_NAMESPACE: 'other' })
    t.match([code, of('redis-account')], [1, [{ verdict: 'fault', sentence: /that of fal, account staging.*FAL_ACCOUNT=staging/ }]])
  })
})

t.test('what is wrong on the way to fal, and with the key', async t => {
  const { env, sandbox, write } = await sound(t)
  const away = await ask({ ...env, FAL_QUEUE_URL: 'https://queue.invalid' })
  t.match([away.code, away.of('fal'), away.of('fal-key')], [1, [{ verdict: 'fault', sentence: /^FAL_QUEUE_URL: .*queue\.invalid .*HTTPS_PROXY has to be set\.$/ }], [{ verdict: 'not-tried' }]])
  const closed = await ask({ ...env, FAL_QUEUE_URL: `http://127.0.0.1:${await freePort()}` })
  t.match(closed.of('fal'), [{ verdict: 'fault', sentence: /cannot be reached \(ECONNREFUSED\)/ }])
  const noStorage = await ask({ ...env, UPLOADS: 'on', FAL_REST_URL: `http://127.0.0.1:${await freePort()}` })
  t.match([noStorage.code, noStorage.of('fal-storage')], [0, [{ verdict: 'warning', sentence: /^FAL_REST_URL: .*cannot be reached .*upload-failed; all others go on\.$/ }]])
  const proxied = await ask({ ...env, FAL_QUEUE_URL: 'https://queue.invalid', HTTPS_PROXY: `http://gate:p4ss-of-proxy@127.0.0.1:${await freePort()}` })
  t.match([proxied.code, proxied.of('fal')], [1, [{ verdict: 'fault', sentence: /through the proxy of HTTPS_PROXY \(ECONNREFUSED\)\. Look at HTTPS_PROXY and NO_PROXY/ }]])

  const wrong = await ask({ ...env, FAL_KEY_FILE: write('wrong', 'somebody:elses-key-secret') })
  t.match([wrong.code, wrong.of('fal-key')], [1, [{ verdict: 'fault', sentence: /^FAL_KEY_FILE: .*does not know the key \(401\).*SIGHUP/ }]])
  t.notMatch(JSON.stringify(wrong.findings), /elses-key/)
  sandbox.faults.add({ kind: 'answer', operation: 'status', error: 'locked', times: 'always' })
  t.match((await ask(env)).of('fal-key'), [{ verdict: 'fault', sentence: /refuses the account \(403\).*top up or replace/ }])
  sandbox.faults.clear()
  for (const answer of ['html', 'not_found'] as const) {
    sandbox.faults.add({ kind: 'odd', operation: 'status', answer, times: 'always' })
    t.match(await ask(env), { code: 0 })
    t.match((await ask(env)).of('fal-key'), [{ verdict: 'not-tried', sentence: /says nothing of the key$/ }], answer)
    sandbox.faults.clear()
  }
  t.equal(sandbox.bill.submits, 0, 'nothing was bought to find that out')
})

t.test('models that fal publishes otherwise are named, and a catalogue that is away is told', async t => {
  const { env, write } = await sound(t)
  const models = folderOf(t)
  const catalogue = await playCatalogue(t)
  for (const endpointId of ['acme/one', 'acme/two']) {
    const { name, text } = modelFile({ endpointId })
    models.write(name, text)
    catalogue.documents.set(endpointId, falDocumentText({ type: 'object', properties: { prompt: { type: 'string' }, seed: { type: 'integer' } } }, plainOutput, { endpointId }))
  }
  const here = { ...env, ...catalogue.env, MODELS_DIR: models.path('') }
  const { code, of } = await ask(here)
  t.equal(code, 0)
  t.match(of('models'), [{ verdict: 'warning', sentence: /^acme\/(one|two): fal publishes another document .*falgate model diff acme\/(one|two) shows it/ }, { verdict: 'warning' }])
  t.match((await ask({ ...here, FAL_CATALOGUE_URL: 'http://127.0.0.1:1/documents' })).of('models'), [{ verdict: 'warning', sentence: /^FAL_CATALOGUE_URL: .*ECONNREFUSED/ }])
  models.write('broken.json', '{}')
  t.match(await ask(here), { code: 1 })
  t.ok(write !== undefined)
})

t.test('secrets that others may read and files that others may write are warned of', async t => {
  const { env, write } = await sound(t)
  chmodSync(env['FAL_KEY_FILE'] ?? '', 0o604)
  chmodSync(env['TENANTS_FILE'] ?? '', 0o666)
  const { code, of } = await ask({ ...env, REDIS_PASSWORD_FILE: write('password', 'p4ss-of-redis', 0o644) })
  t.equal(code, 0)
  t.same(of('files').map(({ sentence }) => String(sentence).split(':')[0]), ['FAL_KEY_FILE', 'REDIS_PASSWORD_FILE', 'TENANTS_FILE'])
  t.match(of('files'), [{ verdict: 'warning', sentence: /may read the file.*chmod o-r/ }, { verdict: 'warning' }, { verdict: 'warning', sentence: /may write what is there.*chmod o-w/ }])
})

t.test('faulty settings are faults, and what does not need them is looked at all the same', async t => {
  const { code, of } = await ask({ PORT: 'many', FAL_KEY: CENTRAL_KEY })
  t.equal(code, 1)
  t.match(of('settings'), [{ verdict: 'fault', sentence: /^PORT: / }, { verdict: 'fault', sentence: /^TENANTS_FILE: not set/ }])
  t.match([of('node'), of('redis'), of('fal')], [[{ verdict: 'ok' }], [{ verdict: 'not-tried' }], [{ verdict: 'not-tried' }]])
})

t.test('settings that are sound one by one and at odds are warned of, each by its name', t => {
  const oddsIn = (env: Env): readonly string[] => {
    const parsed = parseConfig(env)
    if (!parsed.ok) throw new Error(parsed.faults.join())
    return odds(parsed.config).map(sentence => /^[A-Z_]+/.exec(sentence)?.[0] ?? '')
  }
  const live = { NODE_ENV: 'production', FAL_KEY: 'a:b', TENANTS_FILE: 'f', REDIS_URL: 'redis://a.example' }
  t.same(oddsIn({}), [])
  t.same(oddsIn(live), [])
  t.same(oddsIn({ ...live, REDIS_URL: '' }), [], 'everything is kept in a folder')
  t.same(oddsIn({ ...live, REDIS_URL: '', STORE: 'memory' }), ['STORE'])
  t.same(oddsIn({ ...live, NODE_ENV: '' }), ['NODE_ENV'])
  for (const [name, value] of Object.entries({ REDIS_UNSAFE: 'on', DRAIN_DELAY_SECONDS: '0', FAL_CONCURRENCY: '0', LOG_LEVEL: 'silent', LOG_PROMPTS: 'full', TRUST_PROXY: 'on', LARGE_RESULT_BYTES: '1' })) {
    t.same(oddsIn({ ...live, [name]: value }), [name])
  }
  t.same(oddsIn({ ...live, HOST: '0.0.0.0' }), ['OPS_PORT'])
  t.same(oddsIn({ ...live, HOST: '0.0.0.0', OPS_PORT: '9464' }), [])
  t.end()
})

t.test('a Node that is too old and few open files are told', async t => {
  const { engines } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8'))
  t.equal(engines.node, `>=${OLDEST_NODE}`)
  t.match([nodeFinding('20.18.3'), nodeFinding('18.20.0')], [{ verdict: 'fault' }, { verdict: 'fault', sentence: /needs 20\.19 or newer/ }])
  t.match([nodeFinding('20.19.0'), nodeFinding('22.1.0')], [{ verdict: 'ok' }, { verdict: 'ok' }])
  const { write, path } = folderOf(t)
  const few = write('limits', 'Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 1024                 files\n')
  t.match(await openFilesFinding(few), { verdict: 'warning', sentence: /^1024 files.*ulimit -n/, measured: { open_files_limit: 1024 } })
  t.match(await openFilesFinding(path('none')), { verdict: 'not-tried' })
})

t.test('no key, password or hash of a key was in anything that was said', t => {
  const all = said.join('\n')
  t.ok(all.length > 10_000)
  t.same(SECRETS.filter(secret => all.includes(secret)), [])
  t.notMatch(all, /[0-9a-f]{64}/)
  t.end()
})
