// The canary gate: marked keys, tokens, passwords and prompts go through every route, every error of fal, a dead Redis and a crash, at the most talkative level of the
// log. Whatever leaves the process is searched for the marks, and so is what Redis keeps.

import { generateKeyPairSync } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { errorAnswers, oddAnswers } from '../../src/sandbox/answers.ts'
import type { Fault } from '../../src/sandbox/fault-schema.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { times } from '../support/admission.ts'
import { key, parseObject, tenant } from '../support/gateway.ts'
import { listenFor } from '../support/listen.ts'
import { cliFile, projectDir } from '../support/paths.ts'
import { answering, freePort, runCli, start } from '../support/processes.ts'
import { plainClient } from '../support/redis-store.ts'
import { startEgress } from '../support/receiver.ts'
import { startRedis } from '../support/redis.ts'
import { startSandbox } from '../support/sandbox.ts'
import { spanFile } from '../support/spans.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

const FAL_KEY = 'canary-fal-id:canary-fal-secret'
const REDIS_PASSWORD = 'canary-redis-password'
const PROMPT = 'canary prompt of a heron'
const PROMPT_OF_OTHER = 'canary prompt of a finch'
const WRONG_SECRET = 'canary-wrong-secret'
const BUCKET_SECRET = 'canary-bucket-secret'
const LINK_KEY = 'canary-link-key-of-enough-characters'
const TENANT_SECRET = 'secret-of-canary'
const HOOK_SECRET = Buffer.from('canary-hook-secret-of-bytes').toString('base64')
/** What stands behind the host of a webhook's address. */
const HOOK_PATH = 'canary-hook-path'
const HOOK_QUERY = 'canary-hook-query'

/** Something that left the process, and the prompts that it may show: those of the caller who is answered. */
interface Said { readonly where: string, readonly text: string, readonly mayShow: readonly string[] }

/** What breaks a call, and the file that throws it into the process: an error that carries a request's headers, as those of libraries do. */
const CRASH = 'process.on(\'SIGUSR2\', () => { throw Object.assign(new Error(\'lost the connection of Key \' + process.env.CANARY_KEY), { headers: { authorization: \'Key \' + process.env.CANARY_KEY } }) })'

/** An S3 that takes files, and breaks when one is asked for: what it was asked with is in its answer. */
async function startBucket (t: Test): Promise<{ readonly port: number, readonly asked: () => number }> {
  let asked = 0
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const isFile = /\/[0-9a-f]{64}\./.test(request.url ?? '')
      if (isFile && request.method === 'GET') asked += 1
      response.writeHead(!isFile || request.method === 'PUT' ? 200 : request.method === 'HEAD' ? 404 : 500).end(JSON.stringify(request.headers))
    })
  })
  return { port: await listenFor(t, server, new Set()), asked: () => asked }
}

t.test('nothing that leaves the process holds a key, a token, a password or a prompt of somebody else, and Redis keeps no key', async t => {
  const folder = t.testdir({ 'redis-password': REDIS_PASSWORD, 'fal-key': FAL_KEY, 'link-key': LINK_KEY, 'hook-secrets': `whsec_${HOOK_SECRET}`, 'hook-keys': generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 'crash.mjs': CRASH, redis: {} })
  const redis = await startRedis(t, ['--appendonly', 'yes', '--dir', join(folder, 'redis')])
  await plainClient(t, redis.url).config('SET', 'requirepass', REDIS_PASSWORD)
  const sandbox = await startSandbox(t, { keys: [FAL_KEY] })
  const tenantsFile = join(folder, 'tenants.json')
  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('canary', { rateLimit: { max: 10_000, windowSeconds: 60 }, callLimit: { max: 10_000, windowSeconds: 60 }, webhooks: ['hooks.example'], webhookSecretFile: 'hook-secrets' }), tenant('other')] }))
  const bucket = await startBucket(t)
  const egress = await startEgress(t, {})
  const namespace = 'canary'
  const port = String(await freePort())
  const env = {
    REDIS_URL: redis.url,
    REDIS_NAMESPACE: namespace,
    REDIS_PASSWORD_FILE: join(folder, 'redis-password'),
    FAL_KEY_FILE: join(folder, 'fal-key'),
    FAL_QUEUE_URL: `${sandbox.base}/queue`,
    TENANTS_FILE: tenantsFile,
    WEBHOOK_KEY_FILE: join(folder, 'hook-keys'),
    HTTPS_PROXY: egress.url,
    MEDIA_URL: `s3://pictures?endpoint=http://127.0.0.1:${bucket.port}`,
    MEDIA_KEY_FILE: join(folder, 'link-key'),
    AWS_ACCESS_KEY_ID: 'canary-bucket-id',
    AWS_SECRET_ACCESS_KEY: BUCKET_SECRET
  }
  const recorded = spanFile(t)
  const running = start(t, [...recorded.node, '--import', join(folder, 'crash.mjs'), cliFile, 'serve'], {
    ...env, ...recorded.env, PORT: port, LOG_LEVEL: 'trace', WAIT_SECONDS: '3', BREAKER_FAILURES: '1000', CANARY_KEY: FAL_KEY, DRAIN_DELAY_SECONDS: '0'
  }, { timeoutMs: 240_000 })
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/readyz`)

  const said: Said[] = []
  async function call (method: string, path: string, credential: string | null, body?: string, extra: Readonly<Record<string, string>> = {}): Promise<{ readonly status: number, readonly text: string, readonly headers: Headers }> {
    const response = await fetch(base + path, {
      method,
      headers: { ...(credential === null ? {} : { authorization: `Bearer ${credential}` }), ...(body === undefined ? {} : { 'content-type': 'application/json' }), cookie: `session=${WRONG_SECRET}`, ...extra },
      redirect: 'manual',
      ...(body === undefined ? {} : { body })
    })
    const text = await response.text()
    said.push({ where: `${method} ${path} ${response.status}`, text: JSON.stringify([...response.headers]) + text, mayShow: promptsOf(credential, body) })
    return { status: response.status, text, headers: response.headers }
  }

  /** What a caller wrote itself it may read: in what it owns, and in what is said of the body that it sent. */
  function promptsOf (credential: string | null, body = ''): readonly string[] {
    if (credential === key('canary') || credential === token) return [PROMPT]
    if (credential === key('other')) return [PROMPT_OF_OTHER]
    return [PROMPT].filter(prompt => body.includes(prompt))
  }

  // A token: shown once, to who asked for it.
  const given = await fetch(`${base}/tokens`, { method: 'POST', headers: { authorization: `Bearer ${key('canary')}`, 'content-type': 'application/json' }, body: '{"pictures":100}' })
  t.equal(given.status, 201)
  const { token: shown } = parseObject(await given.text())
  const token = String(shown)

  const input = (seed: number): string => JSON.stringify({ prompt: PROMPT, seed })
  const first = await call('POST', '/generate', key('canary'), input(1))
  t.equal(first.status, 200)
  const id = String(first.headers.get('falgate-generation'))
  t.equal((await call('POST', '/generate', token, input(2))).status, 200)
  const [, link = ''] = /"url":"http:\/\/[^/]+(\/media\/[^"]+)"/.exec(first.text) ?? []
  t.equal((await call('GET', link, null)).status, 503)
  t.equal(bucket.asked(), 1, 'the bucket answered with what it was asked with')

  // Webhooks to a host that is not reached, and to those that may not be called: neither what stands behind the host nor the secrets are told.
  const hookAddress = `https://hooks.example/${HOOK_PATH}?key=${HOOK_QUERY}`
  t.equal((await call('POST', '/generate', key('canary'), input(1), { 'falgate-webhook': hookAddress })).status, 200)
  t.equal((await call('POST', `/fal/queue/fal-ai/imagen4/preview/ultra?fal_webhook=${encodeURIComponent(hookAddress)}`, key('canary'), input(1))).status, 200)
  for (const address of [hookAddress.replace('hooks', 'other'), hookAddress.replace('https', 'http'), hookAddress.replace('//', '//user:word@')]) await call('POST', '/generate', key('canary'), input(1), { 'falgate-webhook': address })
  await call('GET', '/fal/.well-known/jwks.json', null)
  await until(() => egress.asked.length >= 2)

  await t.test('through every route of the document, with every kind of credential, and with bodies that are none', async () => {
    const { paths } = parseObject(readFileSync(join(projectDir, 'openapi/openapi.json'), 'utf8'))
    const bodiesWith = (prompt: string): readonly string[] => [JSON.stringify({ prompt, seed: 3 }), `{"prompt":"${prompt}`, JSON.stringify({ prompt: [prompt], seed: prompt, [prompt]: 1 }), JSON.stringify({ prompt, num_images: 99 })]
    for (const [path, methods] of Object.entries(Object(paths))) {
      for (const method of Object.keys(Object(methods)).filter(name => name !== 'parameters')) {
        // The token itself is not taken away while others use it.
        const filled = path.replaceAll('{endpoint_id}', 'fal-ai/imagen4/preview/ultra').replaceAll('{id}', path.startsWith('/tokens') ? 'none' : id)
        for (const credential of [key('canary'), token, key('other'), `fg_canary_${WRONG_SECRET}`, null]) {
          for (const body of method === 'post' ? bodiesWith(credential === key('other') ? PROMPT_OF_OTHER : PROMPT) : [undefined]) await call(method.toUpperCase(), filled, credential, body)
        }
      }
    }
    for (const path of ['/metrics', '/healthz', '/readyz', '/openapi.json', '/docs/json', '/docs', '/', `/generations/${encodeURIComponent(PROMPT)}`, `/${WRONG_SECRET}`, `/generations?limit=${WRONG_SECRET}`, `/usage?api_key=${token}`, `/generations?key=${key('canary')}`]) {
      for (const credential of [key('canary'), null]) await call('GET', path, credential)
    }
  })

  const ledger = createRedisLedger({ url: redis.url.replace('redis://', `redis://:${REDIS_PASSWORD}@`), namespace, times })
  t.teardown(ledger.close)
  await ledger.connect()

  await t.test('through everything that fal may answer', async () => {
    const faults: readonly Fault[] = [
      ...Object.keys(errorAnswers).map((error): Fault => ({ kind: 'answer', operation: 'submit', error: named(errorAnswers, error) })),
      ...Object.keys(oddAnswers).map((answer): Fault => ({ kind: 'odd', operation: 'submit', answer: named(oddAnswers, answer) })),
      ...Object.keys(errorAnswers).map((error): Fault => ({ kind: 'answer', operation: 'result', error: named(errorAnswers, error) })),
      { kind: 'reset', operation: 'submit' }, { kind: 'reset', operation: 'submit', accepted: true }, { kind: 'reset', operation: 'status' }, { kind: 'truncate', operation: 'stream' }
    ]
    for (const [index, fault] of faults.entries()) {
      sandbox.faults.add(fault)
      await call('POST', '/generate', key('canary'), input(100 + index))
      sandbox.faults.clear()
      // What stops purchases is tried again at once, so that the next one is sent.
      for (const { scope, state } of await ledger.breakers()) if (state !== 'ok') await ledger.breaker(scope, { state, retryAfterMs: 0, only: state })
    }
    t.ok(sandbox.bill.submits >= faults.length / 2, `${sandbox.bill.submits} of ${faults.length} were sent`)
  })

  await t.test('in what operators read', async () => {
    for (const args of [['usage'], ['unknown'], ['check'], ['doctor'], ['doctor', '--json'], ['top', '--once'], ['top', '--once', '--json'], ['ledger', 'recount']]) {
      const { stdout, stderr } = await runCli(t, args, env)
      said.push({ where: `falgate ${args.join(' ')}`, text: stdout + stderr, mayShow: [] })
    }
    const wrong = await runCli(t, ['check'], { ...env, REDIS_PASSWORD_FILE: join(folder, 'fal-key') })
    said.push({ where: 'falgate check with another password', text: wrong.stdout + wrong.stderr, mayShow: [] })
  })

  await t.test('in what Redis keeps: prompts and results, and no key', async t => {
    const kept = readdirSync(join(folder, 'redis', 'appendonlydir')).map(name => readFileSync(join(folder, 'redis', 'appendonlydir', name), 'latin1')).join('')
    t.ok(kept.includes(PROMPT), 'the ledger was found')
    for (const mark of ['canary-fal', REDIS_PASSWORD, TENANT_SECRET, WRONG_SECRET, BUCKET_SECRET, LINK_KEY, HOOK_SECRET, secretOf(token)]) t.notOk(kept.includes(mark), mark)
  })

  await redis.stop()
  for (const credential of [key('canary'), token]) {
    for (const [method, path, body] of [['POST', '/generate', input(9)], ['GET', `/generations/${id}`], ['GET', '/usage'], ['GET', '/readyz']] as const) await call(method, path, credential, body)
  }
  await until(async () => (await call('GET', '/generations', key('canary'))).status === 503)

  running.child.kill('SIGUSR2')
  const { code, stdout, stderr } = await running.ended
  t.equal(code, 1)
  t.match(stdout, /"level":"fatal".*unexpected error/)
  said.push({ where: 'standard output', text: stdout, mayShow: [] }, { where: 'standard error', text: stderr, mayShow: [] }, { where: 'spans', text: recorded.text(), mayShow: [] })
  const failed = new Set(recorded.spans().flatMap(({ name, attributes }) => attributes['error.type'] === undefined ? [] : [name]))
  for (const part of ['admission', 'submit', 'result', 'settlement']) t.ok(failed.has(`falgate.${part}`), `spans of ${part} tell of failures`)

  t.match(stdout, /"host":"hooks.example".*"reason":"PROXY_502".*webhook not delivered/)
  const secrets = ['canary-fal', REDIS_PASSWORD, TENANT_SECRET, WRONG_SECRET, BUCKET_SECRET, LINK_KEY, HOOK_SECRET, HOOK_PATH, HOOK_QUERY, 'PRIVATE KEY', secretOf(token)]
  for (const { where, text, mayShow } of said) {
    const prompts = [PROMPT, PROMPT_OF_OTHER].filter(prompt => !mayShow.includes(prompt)).flatMap(prompt => [prompt, encodeURIComponent(prompt)])
    t.same([...secrets, ...prompts].filter(mark => text.includes(mark)), [], where)
  }
  t.ok(said.length > 300, `${said.length} texts were searched`)
  for (const prompt of [PROMPT, PROMPT_OF_OTHER]) t.ok(said.some(({ text, mayShow }) => mayShow.includes(prompt) && text.includes(prompt)), 'their owners are shown their prompts')
})

function secretOf (credential: string): string {
  return credential.split('_').slice(2).join('_')
}

function named<Table extends object> (table: Table, name: string): keyof Table & string {
  if (!isIn(table, name)) throw new Error(name)
  return name
}

function isIn<Table extends object> (table: Table, name: string): name is keyof Table & string {
  return name in table
}
