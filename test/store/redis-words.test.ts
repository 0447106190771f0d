// What an operator reads whose settings lead to something else than a Redis that can be used: the setting, what is there, and what to do. `serve`, `check` and the
// commands for the books say the same.

import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { clusterAt } from '../../src/store/redis/clients.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { times } from '../support/admission.ts'
import { runHere } from '../support/cli.ts'
import { parseObject } from '../support/gateway.ts'
import { listenFor } from '../support/listen.ts'
import { cliFile } from '../support/paths.ts'
import { start } from '../support/processes.ts'
import { startCluster } from '../support/redis-cluster.ts'
import { startSentinel } from '../support/redis-sentinel.ts'
import { startTlsRedis } from '../support/redis-tls.ts'
import { redisUrl } from '../support/redis.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

/** What a Redis in protected mode says to other machines. */
const PROTECTED = '-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user.\r\n'

/** What a machine may add that is so busy that nothing answers in time. */
const LATE = /^reach-redis .*(?:timeout|timed out|ETIMEDOUT)/i

interface Case { readonly title: string, readonly url: (t: Test) => Promise<string>, readonly cluster?: 'on', readonly words: RegExp }

/** Says this to everybody who connects, and closes. */
async function saying (t: Test, text: string): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => { sockets.delete(socket) })
    socket.end(text)
  })
  return `redis://127.0.0.1:${await listenFor(t, server, sockets)}`
}

const cases: readonly Case[] = [
  {
    title: 'a Redis in protected mode',
    url: async t => await saying(t, PROTECTED),
    words: /^REDIS_URL leads to a Redis in protected mode.*password.*protected-mode no/
  },
  { title: 'TLS where redis:// was written', url: async t => `redis://localhost:${(await startTlsRedis(t)).port}`, words: /^REDIS_URL begins with redis:\/\/.* speaks TLS: write rediss:\/\// },
  { title: 'no TLS where rediss:// was written', url: async () => (await redisUrl()).replace('redis:', 'rediss:'), words: /^REDIS_URL begins with rediss:\/\/.* does not speak TLS: write redis:\/\// },
  { title: 'a certificate that nobody vouches for', url: async t => `rediss://localhost:${(await startTlsRedis(t)).port}`, words: /^REDIS_URL leads to a server whose certificate is not believed \(DEPTH_ZERO_SELF_SIGNED_CERT\).*REDIS_CA_FILE/ },
  { title: 'a web server', url: async t => await saying(t, 'HTTP/1.1 400 Bad Request\r\n\r\n'), words: /^REDIS_URL leads to something that speaks HTTP/ },
  { title: 'a single server where a cluster was meant', url: redisUrl, cluster: 'on', words: /^REDIS_CLUSTER is on.* no node of a cluster: set REDIS_CLUSTER to off/ },
  { title: 'TLS where redis:// was written, of a cluster', url: async t => `redis://localhost:${(await startTlsRedis(t)).port}`, cluster: 'on', words: /^REDIS_URL begins with redis:\/\/.* speaks TLS/ }
]

// A command waits some seconds before it gives up.
t.jobs = cases.length

for (const { title, url, cluster, words } of cases) {
  t.test(`${title} is told in words, once, by serve, check and usage`, { buffered: true }, async t => {
    const there = await url(t)
    const env = { REDIS_URL: there, ...(cluster === undefined ? {} : { REDIS_CLUSTER: cluster }) }
    const said = Promise.all([runHere(['check'], env), runHere(['usage', '--csv'], env)])
    const told: string[] = []
    const ledger = createRedisLedger({ url: cluster === undefined ? there : clusterAt(there), times, onTrouble: (operation, error) => { told.push(`${operation} ${error instanceof Error ? error.message : ''}`) } })
    t.teardown(ledger.close)
    ledger.connect().catch(() => {})
    for (const { code, stderr } of await said) {
      t.equal(code, 1)
      t.match(stderr.replace(/^falgate: /, ''), words)
    }
    const mine = told.filter(line => line.startsWith('use-redis '))
    t.match(mine[0]?.slice('use-redis '.length), words)
    t.same(new Set(told.filter(line => !LATE.test(line))).size, 1, 'and nothing else')
  })
}

t.test('what answers at first too late is told in the same words once it answers', async t => {
  const sockets = new Set<Socket>()
  let late = 3
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    const isLate = late-- > 0
    socket.on('data', data => {
      const commands = String(data).match(/^\*\d+\r$/gm)?.length ?? 1
      if (!isLate) socket.write('-ERR This instance has cluster support disabled\r\n'.repeat(commands))
    })
  })
  const url = `redis://127.0.0.1:${await listenFor(t, server, sockets)}`
  const told: string[] = []
  const ledger = createRedisLedger({ url: clusterAt(url), times, onTrouble: (operation, error) => { told.push(`${operation} ${error instanceof Error ? error.message : ''}`) } })
  t.teardown(ledger.close)
  ledger.connect().catch(() => {})
  await until(() => told.some(line => /^use-redis REDIS_CLUSTER is on.* no node of a cluster/.test(line)))
  t.ok(told.filter(line => !line.startsWith('use-redis ')).every(line => LATE.test(line)), told.join('\n'))
})

/** What a ledger tells of the kind of server that it met. */
async function kindToldAt (t: Test, url: string): Promise<string> {
  let told = ''
  const ledger = createRedisLedger({ url, times, namespace: 'fg', onFault: ({ fault, isThere, sentence }) => { if (fault === 'wrong-kind' && isThere) told = sentence } })
  t.teardown(ledger.close)
  ledger.connect().catch(() => {})
  await until(() => told !== '')
  return told
}

t.test('a Sentinel is told as one', async t => {
  const primaryPort = Number(new URL(await redisUrl()).port)
  const url = `redis://127.0.0.1:${await startSentinel(t, { name: 'main', primaryPort, quorum: 1 })}`
  t.match(await kindToldAt(t, url), /^REDIS_URL leads to a Sentinel/)
  for (const args of [['check'], ['unknown']]) t.match(await runHere(args, { REDIS_URL: url }), { code: 1, stderr: /^falgate: REDIS_URL leads to a Sentinel/ })
})

t.test('a node of a cluster where a single server was meant is told as one, whether it has the keys or not', async t => {
  for (const { host, port } of await startCluster(t)) {
    const url = `redis://${host}:${port}`
    t.match(await kindToldAt(t, url), /^REDIS_URL leads to a node of a Redis Cluster.*set REDIS_CLUSTER to on/)
    t.match(await runHere(['check'], { REDIS_URL: url }), { code: 1, stderr: /^falgate: REDIS_URL leads to a node of a Redis Cluster.*set REDIS_CLUSTER to on/ })
  }
})

t.test('what the client of Redis writes past the log is a line of the log, once', async t => {
  const url = await saying(t, PROTECTED)
  const running = start(t, [cliFile, 'serve'], { PORT: '0', NODE_ENV: 'production', FAL_KEY: 'sandbox', REDIS_URL: url })
  let logged = ''
  running.child.stdout?.on('data', text => { logged += String(text) })
  await until(() => logged.includes('protected mode') && logged.includes('Redis says that its user has no password'))
  running.child.kill('SIGINT')
  const { stdout, stderr } = await running.ended
  const lines = stdout.trimEnd().split('\n').map(parseObject)
  t.equal(lines.filter(({ library }) => library !== undefined).length, 1)
  t.equal(stderr, '')
})
