// The primary of Redis dies under load, and a replica that lags behind it takes its place: what was bought is bought once, unless its very admission was lost,
// and every purchase is in the books. More of them, for a night: FALGATE_FAILOVERS=300.

import t, { type Test } from 'tap'
import { at } from '../support/crowd.ts'
import { wholeJournal } from '../support/money.ts'
import { plainClient } from '../support/redis-store.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { deploy, type Deployment, type Replica } from '../support/replicas.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const failovers = Number(process.env['FALGATE_FAILOVERS'] ?? 30)

/** With fresh processes after this many, because none of a test lives for long. */
const IN_A_ROW = 10

/** How far the replica of Redis is behind. */
const LAG_MS = 400

const CALLERS = 12

/** So few at fal that what waits in the queue is known to the copy, and that it was sent is not. */
const PLACES = '3'

/** A copy sends and takes at once, so that rounds are short. */
const AT_ONCE = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1']

/** A failover takes about four seconds. */
const WITHIN_MS = 60_000 + failovers * 15_000

t.setTimeout(WITHIN_MS)

interface Totals { failovers: number, requests: number, purchases: number, lost: number, doubles: number, doublesOfLost: number, unbooked: number }

const totals: Totals = { failovers: 0, requests: 0, purchases: 0, lost: 0, doubles: 0, doublesOfLost: 0, unbooked: 0 }

interface Scene {
  readonly deployment: Deployment
  readonly replicas: readonly Replica[]
  /** The gateways' way to whatever is the primary. */
  readonly door: TcpProxy
  /** The way by which a copy hears from its primary. */
  readonly link: TcpProxy
}

for (let first = 0; first < failovers; first += IN_A_ROW) {
  const rounds = Math.min(IN_A_ROW, failovers - first)
  t.test(`failovers ${first + 1} to ${first + rounds}: nothing that Redis still knew of is bought twice, and nothing is missing in the books`, { timeout: WITHIN_MS }, async t => {
    let primary = await startRedis(t, AT_ONCE)
    const door = await startTcpProxy(t, primary.port)
    const link = await startTcpProxy(t, primary.port, { delayMs: LAG_MS })
    const deployment = await deploy(t, { redisUrl: `redis://127.0.0.1:${door.port}`, env: { LEASE_SECONDS: '5', FAL_CONCURRENCY: PLACES }, sandbox: { queueMs: 100, runMs: 300 } })
    const { startReplica } = deployment
    const replicas = await Promise.all([startReplica(), startReplica(), startReplica()])
    for (let round = first + 1; round <= first + rounds; round += 1) primary = await failOver(t, { deployment, replicas, door, link }, primary, round)
  })
}

t.test('the totals', async t => {
  t.comment(Object.entries(totals).map(([name, count]) => `${count} ${name}`).join(', '))
})

/** Callers everywhere, the primary dies in the middle, its copy takes its place, everybody asks until there is a picture. Gives the new primary. */
async function failOver (t: Test, { deployment: { sandbox, ledger }, replicas, door, link }: Scene, primary: RedisServer, round: number): Promise<RedisServer> {
  link.leadTo(primary.port)
  const copy = await startRedis(t, [...AT_ONCE, '--replicaof', '127.0.0.1', String(link.port)])
  const redis = plainClient(t, copy.url)
  await until(async () => (await redis.info('replication')).includes('master_link_status:up'))

  const before = sandbox.bill.accepted
  const prompts = Array.from({ length: CALLERS }, (_, caller) => `round ${round}, caller ${caller}`)
  const calls = prompts.map(async (prompt, caller) => { await ask(replicas, prompt, caller) })
  await sandbox.bill.untilAccepted(before + 1 + Math.floor(Math.random() * CALLERS))
  process.kill(primary.pid, 'SIGKILL')
  await redis.call('REPLICAOF', 'NO', 'ONE')
  const known = new Set((await Promise.all((await redis.keys('*:g:*')).map(async key => await redis.hget(key, 'input')))).map(promptIn))
  door.leadTo(copy.port)
  await Promise.all(calls)
  await until(async () => (await ledger.gauges().catch(() => null))?.atUpstream === 0)

  const bought = sandbox.bill.requests.slice(before)
  const journal = await wholeJournal(ledger)
  const booked = new Set(journal.map(({ requestId }) => requestId))
  const unbooked = bought.filter(({ requestId }) => !booked.has(requestId))
  const lines = new Map(journal.map(({ requestId, id }) => [requestId, id]))
  const byDigest = new Map<string, string[]>()
  for (const { requestId, bodyDigest } of bought) byDigest.set(bodyDigest, [...byDigest.get(bodyDigest) ?? [], requestId])
  const twice = [...byDigest.values()].filter(({ length }) => length > 1)
  const promptsTwice = await Promise.all(twice.map(async ids => promptIn((await ledger.getMany(ids.flatMap(id => lines.get(id) ?? [])))[0]?.input ?? null)))
  const ofKnown = promptsTwice.filter(prompt => known.has(prompt))
  totals.failovers += 1
  totals.requests += CALLERS
  totals.purchases += bought.length
  totals.lost += prompts.filter(prompt => !known.has(prompt)).length
  totals.doubles += twice.length
  totals.doublesOfLost += twice.length - ofKnown.length
  totals.unbooked += unbooked.length
  t.same(ofKnown, [], `round ${round}: what Redis still knew of is bought once`)
  t.same(unbooked, [], 'every purchase is in the books')
  t.same(await ledger.audit(), [])
  const [balance] = await ledger.balances([{ owner: 'studio', per: 'month' }])
  t.match(balance, { held: 0, spent: sandbox.bill.billedUnits * 60_000 }, 'the books hold what was billed')
  redis.disconnect()
  return copy
}

/** Until there is a picture, as a client does that has to have one: half of them by seed, half by key, and at whichever gateway. */
async function ask (replicas: readonly Replica[], prompt: string, caller: number): Promise<void> {
  const isSeeded = caller % 2 === 0
  for (let turn = caller; ; turn += 1) {
    const reply = await at(replicas, turn).generate({ prompt, ...(isSeeded ? { seed: caller } : {}) }, { headers: isSeeded ? {} : { 'idempotency-key': prompt.replaceAll(' ', '-') } })
    if (reply.status === 200) return
    if (reply.status < 500) throw new Error(reply.text)
  }
}

function promptIn (input: string | null): string {
  const given: unknown = JSON.parse(input ?? '{}')
  return typeof given === 'object' && given !== null && 'prompt' in given ? String(given.prompt) : ''
}
