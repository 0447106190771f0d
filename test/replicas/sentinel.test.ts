// A primary that Sentinels watch, and a real failover while pictures are bought: meanwhile there is 503 and nothing else, and afterwards nothing was bought twice.

import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startApp, type RunningApp } from '../../src/app.ts'
import type { RedisAccess } from '../../src/config.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { redisAt } from '../../src/store/redis/clients.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { times } from '../support/admission.ts'
import { runHere } from '../support/cli.ts'
import { bookOf, CENTRAL_KEY, configOf, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { listenFor } from '../support/listen.ts'
import { freePort } from '../support/processes.ts'
import { startSentinel, startWatchedPair } from '../support/redis-sentinel.ts'
import { plainClient } from '../support/redis-store.ts'
import { startTlsRedis } from '../support/redis-tls.ts'
import { startRedis } from '../support/redis.ts'
import { startSandbox, type RunningSandbox } from '../support/sandbox.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

const CALLERS = 4

async function openGateway (t: Test, sandbox: RunningSandbox, env: Readonly<Record<string, string>>): Promise<RunningApp> {
  const app = await startApp({
    config: { ...configOf({ ...env, FAL_CONCURRENCY: '20', LEASE_SECONDS: '5' }), falQueueUrl: `${sandbox.base}/queue` },
    models: builtInModels,
    tenants: bookOf({ tenants: [tenant('studio', { rateLimit: { max: 100_000, windowSeconds: 60 }, callLimit: { max: 1_000_000, windowSeconds: 60 } })] }),
    falKeys: [{ name: 'main', key: CENTRAL_KEY, slots: null }],
    redisUrl: env['REDIS_URL'] ?? null,
    version: '0.0.0-test'
  })
  t.teardown(app.close)
  return app
}

/** How these variables say that Redis is reached. */
function redisIn (env: Readonly<Record<string, string>>): RedisAccess {
  const { redis } = configOf(env)
  if (redis === null) throw new Error('there is no Redis in these variables')
  return redis
}

t.test('a failover of Sentinel under load is 503 for a while, and nothing is bought twice or lost', async t => {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const { primary, sentinelPort, untilTakenOver } = await startWatchedPair(t)

  // Nobody listens at the first one: the others are asked.
  const env = { REDIS_URL: 'redis://main', REDIS_NAMESPACE: 'fg', REDIS_SENTINELS: `127.0.0.1:${await freePort()},127.0.0.1:${sentinelPort}` }
  t.match(await runHere(['check'], env), { code: 0 })
  const { url } = await openGateway(t, sandbox, env)

  const over = new AbortController()
  const answers = new Map<string, number>()
  let asked = 0
  let served = 0
  /** Goes on with each request until it has its picture, under one key. */
  async function call (): Promise<void> {
    while (!over.signal.aborted) {
      const n = asked++
      for (let isServed = false; !isServed;) {
        const response = await fetch(`${url}/generate`, {
          method: 'POST',
          headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json', 'idempotency-key': `key-${n}` },
          body: JSON.stringify({ prompt: 'failover', seed: n })
        })
        const body: unknown = await response.json()
        isServed = response.status === 200
        const answer = isServed ? '200' : `${response.status} ${String(Reflect.get(Object(body), 'code'))}`
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
      }
      served += 1
    }
  }
  const calls = Promise.all(Array.from({ length: CALLERS }, call))
  await until(() => served > 20)
  await primary.stop()
  await untilTakenOver()
  const then = served
  await until(() => served > then + 20)
  over.abort()
  await calls

  t.ok(answers.has('503 store-unavailable'), 'the failover was met')
  t.same([...answers.keys()].filter(answer => answer !== '200' && answer !== '503 store-unavailable'), [], JSON.stringify([...answers]))
  const digests = sandbox.bill.requests.map(({ bodyDigest }) => bodyDigest)
  t.equal(new Set(digests).size, digests.length, 'nothing was bought twice')
  t.equal(sandbox.bill.accepted, asked, 'and everything once')
  const ledger = createRedisLedger({ url: redisAt({ url: env.REDIS_URL, ca: null }, redisIn(env)), namespace: 'fg', times })
  t.teardown(ledger.close)
  await ledger.connect()
  await until(async () => (await ledger.gauges()).atUpstream === 0)
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: asked * 60_000 }])
  t.same(await ledger.audit(), [])
})

t.test('Sentinels with a password of their own are asked with it; a wrong one and none are said in words, and it is shown nowhere', async t => {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const primary = await startRedis(t, ['--appendonly', 'yes'])
  const sentinel = await startSentinel(t, { name: 'main', primaryPort: primary.port, quorum: 1, password: 'a@b/c' })
  const envWith = (front: string, name = 'main'): Readonly<Record<string, string>> => ({ REDIS_URL: `redis://${name}`, REDIS_SENTINELS: `${front}127.0.0.1:${sentinel}` })

  t.match(await runHere(['check'], envWith('redis://:a%40b%2Fc@')), { code: 0 })
  const { url } = await openGateway(t, sandbox, envWith('redis://default:a%40b%2Fc@'))
  const bought = await fetch(`${url}/generate`, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: '{"prompt":"a heron"}' })
  t.equal(bought.status, 200)

  const refused = [
    [envWith('redis://:another-secret@'), /^falgate: REDIS_SENTINELS: the Sentinels do not take the password/],
    [envWith(''), /^falgate: REDIS_SENTINELS: the Sentinels want a password of their own: write redis:\/\/:password@/],
    [envWith('rediss://:another-secret@'), /^falgate: REDIS_SENTINELS begins with rediss:\/\/, and the server there does not speak TLS/],
    [envWith('redis://:a%40b%2Fc@', 'unknown'), /^falgate: REDIS_URL, REDIS_SENTINELS: the Sentinels know no primary by the name/]
  ] as const
  await Promise.all(refused.flatMap(([env, words]) => [['check'], ['usage', '--csv']].map(async args => {
    const said = await runHere(args, env)
    t.match(said, { code: 1, stderr: words })
    t.notMatch(said.stdout + said.stderr, /another-secret|a@b|a%40b/)
  })))
})

t.test('Sentinels behind TLS are asked over TLS, and the certificate that REDIS_CA_FILE names vouches for them and for the primary', async t => {
  const primary = await startTlsRedis(t)
  const sentinel = await startSentinel(t, { name: 'main', primaryPort: primary.port, quorum: 1, tls: primary })
  const env = { REDIS_URL: 'rediss://main', REDIS_SENTINELS: `rediss://127.0.0.1:${sentinel}`, REDIS_CA_FILE: primary.certFile }
  t.match(await runHere(['check'], env), { code: 0 })
  t.match(await runHere(['usage', '--csv'], env), { code: 0 })
  t.match(await runHere(['check'], { ...env, REDIS_CA_FILE: '' }), { code: 1, stderr: /^falgate: REDIS_SENTINELS leads to a server whose certificate is not believed.*REDIS_CA_FILE/ })
  t.match(await runHere(['check'], { ...env, REDIS_SENTINELS: `127.0.0.1:${sentinel}` }), { code: 1, stderr: /^falgate: REDIS_SENTINELS does not begin with rediss:\/\/, and the server there speaks TLS/ })
})

/** The words of each command in what a client sent. */
function commandsIn (data: Buffer): readonly string[] {
  return String(data).split(/^\*\d+\r\n/m).filter(text => text !== '').map(text => text.replace(/^\$\d+\r\n/gm, '').replaceAll('\r\n', ' ').trim().toLowerCase())
}

t.test('a failover that is told while the Sentinels are being asked does not end the connection for good', async t => {
  const primary = await startRedis(t, ['--appendonly', 'yes'])
  const told = `*2\r\n$9\r\n127.0.0.1\r\n$${String(primary.port).length}\r\n${primary.port}\r\n`
  const sockets = new Set<Socket>()
  const listening = new Set<Socket>()
  let isHeld = false
  let held = 0
  const sentinel = await listenFor(t, createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', data => {
      for (const command of commandsIn(data)) {
        if (command.startsWith('subscribe')) {
          listening.add(socket)
          socket.write('*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n')
        } else if (command.startsWith('hello')) socket.write('-NOPROTO unsupported protocol version\r\n')
        else if (!command.startsWith('sentinel')) socket.write('+OK\r\n')
        else if (!command.includes('get-master-addr-by-name')) socket.write('*0\r\n')
        else if (isHeld) {
          // Those who listen are told first, and the question is answered when they have heard it.
          held += 1
          for (const listener of listening) listener.write('*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$4\r\nmain\r\n')
          setTimeout(() => { socket.write(told) }, 50)
        } else socket.write(told)
      }
    })
  }), sockets)
  const ledger = createRedisLedger({ url: redisAt({ url: 'redis://main', ca: null }, redisIn({ REDIS_URL: 'redis://main', REDIS_SENTINELS: `127.0.0.1:${sentinel}` })), namespace: 'fg', times })
  t.teardown(ledger.close)
  await ledger.connect()
  // Commands and messages have a connection each.
  await until(() => listening.size === 2)
  isHeld = true
  await plainClient(t, primary.url).call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await until(() => held > 0)
  isHeld = false
  await until(async () => await ledger.gauges().then(() => true, () => false))
  t.same(await ledger.audit(), [])
})

t.test('a Sentinel that takes connections and never answers is passed over', async t => {
  const primary = await startRedis(t, ['--appendonly', 'yes'])
  const sentinel = await startSentinel(t, { name: 'main', primaryPort: primary.port, quorum: 1 })
  const sockets = new Set<Socket>()
  const silent = await listenFor(t, createServer(socket => { sockets.add(socket.on('error', () => {})) }), sockets)
  const ledger = createRedisLedger({ url: redisAt({ url: 'redis://main', ca: null }, redisIn({ REDIS_URL: 'redis://main', REDIS_SENTINELS: `127.0.0.1:${silent},127.0.0.1:${sentinel}` })), namespace: 'fg', times })
  t.teardown(ledger.close)
  ledger.connect().catch(() => {})
  await until(async () => await ledger.gauges().then(() => true, () => false))
  t.equal(sockets.size > 0, true, 'it was asked')
})
