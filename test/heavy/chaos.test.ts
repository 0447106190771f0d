// The chaos gate: Redis misbehaves in every way it has while two replicas are under load. Hits go on as if nothing were, the log and the memory stay small, and no
// purchase is without its line in the journal. The figures of each run are printed.

import t, { type Test } from 'tap'
import { redisAt } from '../../src/store/redis/clients.ts'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { times } from '../support/admission.ts'
import { at } from '../support/crowd.ts'
import { configOf } from '../support/gateway.ts'
import { moneyOf, sumOf, wholeJournal } from '../support/money.ts'
import { startWatchedPair } from '../support/redis-sentinel.ts'
import { deploy, USUAL_LEASE, type Deployment, type Replica } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

/** Ceilings. A hit that waited for Redis would take as long as a call may, a second; what is logged for each failed call would be thousands of lines. */
const MOST_P99_MS = 500
/** On a machine that is slow by itself: so many times what hits took before. */
const MOST_SLOWER = 5
const MOST_TROUBLE_LINES = 40
const MOST_GROWTH_MIB = 64

const HITTERS = 4
const BUYERS = 4
const STORED = { prompt: 'stored', seed: 1 }

/** What happened while the load was in one phase. */
interface Phase { readonly hitsMs: number[], readonly answers: Map<string, number> }

interface Load {
  /** Counts from now on apart. */
  readonly next: () => Phase
  readonly stop: () => Promise<void>
}

interface Chaos {
  readonly name: string
  /** How the replicas reach Redis, and the fault. */
  readonly open: (t: Test) => Promise<Scene>
  /** Purchases are refused while it lasts. */
  readonly stopsPurchases: boolean
  /** All that the journal knew is there afterwards. */
  readonly keepsJournal: boolean
}

interface Scene {
  readonly deployment: Deployment
  readonly replicaEnv: Readonly<Record<string, string>>
  readonly begin: () => Promise<void>
  readonly end: () => Promise<void>
  /** A window into the ledger that is left. */
  readonly ledgerAfter: (t: Test) => Promise<RedisLedger>
}

const kinds: readonly Chaos[] = [
  {
    name: 'stopped',
    stopsPurchases: true,
    keepsJournal: true,
    open: async t => await single(t, redis => ({ begin: redis.kill, end: async () => { await redis.start('with-file') } }))
  },
  {
    name: 'hung',
    stopsPurchases: true,
    keepsJournal: true,
    open: async t => await single(t, redis => ({ begin: async () => { redis.hang() }, end: async () => { redis.wake() } }))
  },
  {
    name: 'restarted with its file',
    stopsPurchases: false,
    keepsJournal: true,
    open: async t => await single(t, redis => ({ begin: async () => { await redis.kill(); await redis.start('with-file') }, end: async () => {} }))
  },
  {
    name: 'restarted empty',
    stopsPurchases: false,
    keepsJournal: false,
    open: async t => await single(t, redis => ({ begin: async () => { await redis.kill(); await redis.start('empty') }, end: async () => {} }))
  },
  { name: 'slow: 20 ms a command', stopsPurchases: false, keepsJournal: true, open: slow },
  { name: 'failed over by Sentinel', stopsPurchases: true, keepsJournal: true, open: failover }
]

for (const kind of kinds) {
  t.test(`Redis ${kind.name} under load: hits go on, nothing is bought that no journal has, log and memory stay small`, async t => {
    const scene = await kind.open(t)
    const { deployment: { sandbox, startReplica } } = scene
    const replicas = [await startReplica(scene.replicaEnv), await startReplica(scene.replicaEnv)]
    for (const replica of replicas) t.equal((await replica.generate(STORED)).status, 200)

    const load = startLoad(replicas)
    const before = load.next()
    await until(() => before.hitsMs.length >= 500 && bought(before) >= 50, { what: 'the load runs' })
    const atFirst = await Promise.all(replicas.map(residentMib))
    const linesBefore = replicas.map(troubleLines)

    const during = load.next()
    await scene.begin()
    const acceptedThen = sandbox.bill.accepted
    await until(() => during.hitsMs.length >= 500 && (kind.stopsPurchases ? refused(during) >= 8 : bought(during) >= 50), { what: `the fault was met: ${told(during)}` })
    await scene.end()
    const after = load.next()
    await until(() => after.hitsMs.length >= 200 && bought(after) >= 50, { what: 'pictures are bought again' })
    await load.stop()

    const ledger = await scene.ledgerAfter(t)
    await until(async () => (await ledger.gauges().catch(() => null))?.atUpstream === 0, { what: 'nothing is under way' })
    const growth = await Promise.all(replicas.map(async (replica, index) => await residentMib(replica) - (atFirst[index] ?? 0)))
    const lines = replicas.map((replica, index) => troubleLines(replica) - (linesBefore[index] ?? 0))
    t.comment(`hits p99 ${p99(before)} ms before, ${p99(during)} during (${during.hitsMs.length}), ${p99(after)} after; answers during: ${told(during)}; lines of trouble ${lines.join(', ')}; memory +${growth.map(mib => mib.toFixed(0)).join(', +')} MiB`)

    for (const { answers } of [before, during, after]) {
      t.same([...answers.keys()].filter(answer => !['hit 200', 'bought 200', 'bought 503 store-unavailable'].includes(answer)), [], 'hits are answered, and purchases are made or refused')
    }
    t.ok(p99(during) <= Math.max(MOST_P99_MS, MOST_SLOWER * p99(before)), 'hits do not wait for Redis')
    for (const count of lines) t.ok(count <= MOST_TROUBLE_LINES, 'the log grows by lines')
    for (const mib of growth) t.ok(mib <= MOST_GROWTH_MIB, 'memory stays small')

    const inJournal = new Set((await wholeJournal(ledger)).map(({ requestId }) => requestId))
    const accepted = kind.keepsJournal ? sandbox.bill.requests : sandbox.bill.requests.slice(acceptedThen)
    t.ok(accepted.length >= 50)
    t.same(accepted.filter(({ requestId }) => !inJournal.has(requestId)), [], 'no purchase without a line in the journal')
    const digests = sandbox.bill.requests.map(({ bodyDigest }) => bodyDigest)
    t.equal(new Set(digests).size, digests.length, 'nothing was bought twice')
    if (kind.keepsJournal) t.match(await moneyOf(t, { ledger, sandbox }, replicas), { held: 0, unknown: 0 })
    t.same(await ledger.audit(), [])
  })
}

/** Callers that go on asking, some for what is stored and some for new pictures, whatever happens. */
function startLoad (replicas: readonly Replica[]): Load {
  let phase = emptyPhase()
  const over = new AbortController()

  async function hit (caller: number): Promise<void> {
    while (!over.signal.aborted) {
      const { hitsMs, answers } = phase
      const sentMs = performance.now()
      const { status } = await at(replicas, caller).generate(STORED)
      hitsMs.push(performance.now() - sentMs)
      count(answers, `hit ${status}`)
    }
  }

  async function buy (caller: number): Promise<void> {
    for (let n = 0; !over.signal.aborted; n++) {
      const { answers } = phase
      const reply = await at(replicas, caller).generate({ prompt: 'new', seed: caller * 1_000_000 + n })
      count(answers, reply.status === 200 ? 'bought 200' : `bought ${reply.status} ${String(reply.json()['code'])}`)
    }
  }

  const callers = [...Array.from({ length: HITTERS }, async (_, caller) => { await hit(caller) }), ...Array.from({ length: BUYERS }, async (_, caller) => { await buy(caller) })]
  return {
    next: () => {
      phase = emptyPhase()
      return phase
    },
    stop: async () => {
      over.abort()
      await Promise.all(callers)
    }
  }
}

function emptyPhase (): Phase {
  return { hitsMs: [], answers: new Map() }
}

function count (answers: Map<string, number>, answer: string): void {
  answers.set(answer, (answers.get(answer) ?? 0) + 1)
}

function bought ({ answers }: Phase): number {
  return answers.get('bought 200') ?? 0
}

function refused ({ answers }: Phase): number {
  return answers.get('bought 503 store-unavailable') ?? 0
}

function told ({ answers }: Phase): string {
  return [...answers].map(([answer, times]) => `${times} × ${answer}`).join(', ')
}

function p99 ({ hitsMs }: Phase): number {
  return Math.round((hitsMs.toSorted((one, other) => one - other)[Math.floor(hitsMs.length * 0.99)] ?? NaN) * 10) / 10
}

/** Lines that are no request and no generation's. */
function troubleLines ({ log }: Replica): number {
  return log().split('\n').filter(line => line.startsWith('{') && !/"msg":"(request|generation)"/.test(line)).length
}

async function residentMib (replica: Replica): Promise<number> {
  return sumOf((await replica.get('/metrics')).text, 'process_resident_memory_bytes') / 1024 / 1024
}

/** Two replicas at a server that is set up as the documents say. */
async function single (t: Test, faultOf: (redis: Awaited<ReturnType<typeof restartableRedis>>) => Pick<Scene, 'begin' | 'end'>): Promise<Scene> {
  const redis = await restartableRedis(t)
  const deployment = await deploy(t, { redisUrl: redis.url, env: USUAL_LEASE })
  return { deployment, replicaEnv: {}, ledgerAfter: async () => await Promise.resolve(deployment.ledger), ...faultOf(redis) }
}

/** What Redis says arrives 20 ms later. */
async function slow (t: Test): Promise<Scene> {
  const redis = await restartableRedis(t)
  const proxy = await startTcpProxy(t, Number(new URL(redis.url).port))
  const deployment = await deploy(t, { redisUrl: redis.url, env: USUAL_LEASE })
  return {
    deployment,
    replicaEnv: { REDIS_URL: `redis://127.0.0.1:${proxy.port}` },
    ledgerAfter: async () => await Promise.resolve(deployment.ledger),
    begin: async () => { proxy.setDelay(20) },
    end: async () => { proxy.setDelay(0) }
  }
}

/** A primary with a copy of itself, watched by a Sentinel. The primary dies, and the copy takes its place. */
async function failover (t: Test): Promise<Scene> {
  const { primary, sentinelPort, untilTakenOver } = await startWatchedPair(t)
  const deployment = await deploy(t, { redisUrl: primary.url, env: USUAL_LEASE })
  const replicaEnv = { REDIS_URL: 'redis://main', REDIS_SENTINELS: `127.0.0.1:${sentinelPort}` }
  return {
    deployment,
    replicaEnv,
    begin: primary.stop,
    end: untilTakenOver,
    ledgerAfter: async t => {
      const { redis } = configOf(replicaEnv)
      const { REDIS_NAMESPACE: namespace = '' } = deployment.operatorEnv
      if (redis === null) throw new Error('there is no Redis')
      const ledger = createRedisLedger({ url: redisAt({ url: replicaEnv.REDIS_URL, ca: null }, redis), namespace, times })
      t.teardown(ledger.close)
      await ledger.connect()
      return ledger
    }
  }
}
