// Minutes of mixed traffic and faults on two replicas: what they keep has to be as much at the end as it was early on. Run by hand: `npm run soak`.

import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import t from 'tap'
import { at } from '../support/crowd.ts'
import { key, parseObject, tenant } from '../support/gateway.ts'
import { moneyOf, sumOf, wholeJournal } from '../support/money.ts'
import { plainClient } from '../support/redis-store.ts'
import { deploy, USUAL_LEASE, type Replica } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { until } from '../support/until.ts'

const minutes = Number(process.env['SOAK_MINUTES'] ?? '10')
const soakMs = minutes * 60_000
t.setTimeout(soakMs + 300_000)

/** How often it is measured. */
const LOOK_EVERY_MS = 2000
/** How much more there may be in the last quarter than in the second one. The first fills caches and warms the compiler. */
const MOST_GROWTH = 1.15
/** A finished generation is forgotten after this, so that Redis comes to a level. */
const RESULT_TTL_SECONDS = 10
/** Keys that stay when every generation is forgotten, beside a token's, which stays for an hour after its end: the journal, books, and what there is once. */
const MOST_KEYS = 20
/** Each caller rests between two calls: what is kept should not depend on how fast the machine is. */
const REST_MS = 25

const STORED = { prompt: 'stored', seed: 1 }

/** What lasts on purpose and grows with all that was ever bought: the journal for 92 days, a token for an hour after its end. */
const LASTING = /\}:(j$|tok:)/
const ROW = /\}:g:/

/**
 * What is kept at one moment, of both replicas together.
 * How many generations Redis keeps follows the traffic of the last ten seconds, which no two quarters have alike: so its memory is told for each of them.
 * A key that is never let go, or a set that keeps an entry of what is gone, raises it.
 */
interface Kept { readonly atMs: number, readonly heapMib: number, readonly residentMib: number, readonly handles: number, readonly files: number, readonly redisRows: number, readonly redisBytesPerRow: number }

t.test(`${minutes} minutes of mixed traffic and faults: heap, handles and the memory of Redis are flat, and the books agree`, async t => {
  const redis = await restartableRedis(t)
  const deployment = await deploy(t, {
    redisUrl: redis.url,
    env: { ...USUAL_LEASE, RESULT_TTL_SECONDS: String(RESULT_TTL_SECONDS), BREAKER_FAILURES: '1000', WAIT_SECONDS: '20', CACHE_MEMORY_BYTES: '1048576' },
    tenants: { tenants: ['studio', 'other'].map(id => tenant(id, { maxInFlight: 100, maxQueued: 1000, rateLimit: { max: 100_000, windowSeconds: 60 }, callLimit: { max: 1_000_000, windowSeconds: 60 } })) },
    replicaTimeoutMs: soakMs + 240_000
  })
  const { sandbox, startReplica, ledger } = deployment
  const replicas = [await startReplica(), await startReplica()]
  const server = plainClient(t, redis.url)
  const beganMs = performance.now()
  const over = new AbortController()
  const answers = new Map<string, number>()
  let serial = 0
  let tokens = 0

  /** One kind of caller, who goes on and on. What it throws away is its own doing, or a connection that a fault broke. */
  async function caller (name: string, call: (replica: Replica, n: number) => Promise<number>): Promise<void> {
    while (!over.signal.aborted) {
      const n = serial++
      const status = await call(at(replicas, n), n).catch(() => 0)
      const answer = `${name} ${status}`
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
      await pause(REST_MS)
    }
  }

  const callers = [
    caller('hit', async replica => (await replica.generate(STORED)).status),
    caller('bought', async (replica, n) => (await replica.generate({ prompt: 'new', seed: n })).status),
    caller('bought', async (replica, n) => (await replica.generate({ prompt: 'new', seed: n }, { key: key('other') })).status),
    caller('joined', async (replica, n) => Math.max(...await Promise.all([1, 2, 3].map(async () => (await replica.generate({ prompt: 'joined', seed: n })).status)))),
    caller('left', async (replica, n) => (await replica.generate({ prompt: 'left', seed: n }, { signal: AbortSignal.timeout(5) })).status),
    caller('invalid', async replica => (await replica.generate({ prompt: 7 })).status),
    caller('stranger', async replica => (await replica.generate(STORED, { key: 'fg_studio_wrong' })).status),
    caller('followed', async (replica, n) => {
      const { status, headers } = await replica.generate({ prompt: 'followed', seed: n }, { headers: { prefer: 'respond-async' } })
      if (status === 202) await (await fetch(`${replica.base}${new URL(headers.get('location') ?? '', replica.base).pathname}/events`, { headers: { authorization: `Bearer ${key('studio')}` }, signal: AbortSignal.timeout(20_000) })).text()
      return status
    }),
    caller('token', async (replica, n) => {
      const given = await fetch(`${replica.base}/tokens`, { method: 'POST', headers: { authorization: `Bearer ${key('studio')}`, 'content-type': 'application/json' }, body: '{"pictures":2,"expires_in":60}' })
      const { token, id } = parseObject(await given.text())
      if (given.status !== 201) return given.status
      tokens += 1
      const { status } = await replica.generate({ prompt: 'token', seed: n }, { key: String(token) })
      await (await fetch(`${replica.base}/tokens/${String(id)}`, { method: 'DELETE', headers: { authorization: `Bearer ${key('studio')}` } })).text()
      return status
    })
  ]

  const kept: Kept[] = []
  const faults = [
    async () => { sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit', times: 5 }) },
    async () => { sandbox.faults.add({ kind: 'reset', operation: 'result', times: 5 }) },
    async () => { sandbox.faults.add({ kind: 'truncate', operation: 'stream', times: 5 }) },
    async () => { sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation', times: 5 }) },
    async () => {
      redis.hang()
      await pause(1000)
      redis.wake()
    },
    async () => {
      await redis.kill()
      await redis.start('with-file')
    },
    async () => { for (const { child } of replicas) child.kill('SIGHUP') }
  ]
  for (let round = 0; performance.now() - beganMs < soakMs; round++) {
    await pause(LOOK_EVERY_MS)
    // A look that falls into a fault says nothing.
    const look = await keptNow(replicas, server, performance.now() - beganMs).catch(() => null)
    if (look !== null) kept.push(look)
    if (round % 5 === 4) await faults[Math.floor(round / 5) % faults.length]?.()
    if (round % 15 === 14) t.comment(`${Math.round((performance.now() - beganMs) / 1000)} s: ${told(kept.at(-1))}; ${[...answers].map(([answer, times]) => `${times} × ${answer}`).join(', ')}`)
  }
  over.abort()
  await Promise.all(callers)
  await until(async () => (await ledger.gauges().catch(() => null))?.atUpstream === 0, { what: 'nothing is under way' })

  for (const part of ['heapMib', 'residentMib', 'handles', 'files', 'redisBytesPerRow'] as const) {
    const early = levelOf(kept, part, soakMs * 0.25, soakMs * 0.5)
    const late = levelOf(kept, part, soakMs * 0.75, soakMs)
    t.comment(`${part}: ${early.toFixed(1)} in the second quarter, ${late.toFixed(1)} in the last`)
    t.ok(late <= early * MOST_GROWTH, `${part} is flat`)
  }
  await until(async () => await server.dbsize() - tokens <= MOST_KEYS, { what: 'Redis has forgotten all but journal, books and tokens' })
  t.ok(serial > minutes * 600, `${serial} calls were made`)
  const booked = new Map<string | null, number>()
  for (const { requestId, amount } of await wholeJournal(ledger)) booked.set(requestId, (booked.get(requestId) ?? 0) + amount)
  const differing = sandbox.bill.requests.filter(({ requestId, units }) => (booked.get(requestId) ?? 0) !== units * 60_000)
  t.same(differing, [], 'every purchase is booked as it was billed')
  for (const { requestId } of differing) t.comment(replicas.map(({ log }) => log().split('\n').filter(line => line.includes(requestId)).join('\n')).join('\n'))
  t.match(await moneyOf(t, { ledger, sandbox }, replicas, { tenants: ['studio', 'other'] }), { held: 0 })
  t.same(await ledger.audit(), [])
})

async function keptNow (replicas: readonly Replica[], server: Redis, atMs: number): Promise<Kept> {
  const metrics = await Promise.all(replicas.map(async replica => (await replica.get('/metrics')).text))
  const sum = (name: string): number => metrics.reduce((total, text) => total + sumOf(text, name), 0)
  const mib = 1024 * 1024
  return {
    atMs,
    heapMib: sum('nodejs_heap_size_used_bytes') / mib,
    residentMib: sum('process_resident_memory_bytes') / mib,
    handles: sum('nodejs_active_handles'),
    files: sum('process_open_fds'),
    ...await passingIn(server)
  }
}

/** What Redis keeps for a while only: its generations, and the bytes of all such keys for each of them. */
async function passingIn (server: Redis): Promise<Pick<Kept, 'redisRows' | 'redisBytesPerRow'>> {
  const keys = (await server.keys('*')).filter(name => !LASTING.test(name))
  const sizes = server.pipeline()
  for (const name of keys) sizes.memory('USAGE', name, 'SAMPLES', 0)
  const found = await sizes.exec() ?? []
  const bytes = found.reduce((sum, [, size]) => sum + Number(size ?? 0), 0)
  const redisRows = keys.filter(name => ROW.test(name)).length
  return { redisRows, redisBytesPerRow: bytes / redisRows }
}

/** The lowest of a while: between two collections of garbage there is always more. */
function levelOf (kept: readonly Kept[], part: Exclude<keyof Kept, 'atMs'>, fromMs: number, toMs: number): number {
  return Math.min(...kept.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).map(one => one[part]))
}

function told (kept: Kept | undefined): string {
  return kept === undefined ? 'nothing yet' : `heap ${kept.heapMib.toFixed(0)} MiB, resident ${kept.residentMib.toFixed(0)}, handles ${kept.handles}, files ${kept.files}, Redis ${kept.redisRows} generations of ${kept.redisBytesPerRow.toFixed(0)} bytes`
}
