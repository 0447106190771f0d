// The ledger's slot moves to another node of a Redis Cluster while three gateways buy, key by key, there and back: callers hear 503 or have their picture, and
// the books are right afterwards.

import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { slotOf } from '../../src/store/redis/cluster.ts'
import { at } from '../support/crowd.ts'
import type { Reply } from '../support/gateway.ts'
import { moneyOf, sumOf } from '../support/money.ts'
import { moveSlot, startCluster } from '../support/redis-cluster.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const CALLERS = 12

/** Less than the second that a 503 asks for, so that many of them meet the move. */
const PATIENCE_MS = 50

/** What each caller asks for in turn: with and without a key, a seed, and an identical request of somebody else. */
const requests: readonly ((n: number) => { readonly body: object, readonly headers: Readonly<Record<string, string>> })[] = [
  n => ({ body: { prompt: `alone ${n}` }, headers: {} }),
  n => ({ body: { prompt: `keyed ${n}` }, headers: { 'idempotency-key': `key-${n}` } }),
  n => ({ body: { prompt: 'seeded', seed: Math.floor(n / CALLERS) }, headers: {} })
]

t.setTimeout(300_000)

t.test('while the slot moves there are 503 only, nothing is bought twice, and the books are right', async t => {
  const nodes = await startCluster(t)
  const deployment = await deploy(t, { cluster: nodes, env: { LEASE_SECONDS: '6', FAL_CONCURRENCY: '20' }, sandbox: { runMs: 100 } })
  const { sandbox, ledger, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica(), startReplica()])
  const slot = slotOf(`{${String(deployment.operatorEnv['REDIS_NAMESPACE'])}}:`)
  const told: Record<string, number> = {}
  const wanted = new Set<string>()
  const over = new AbortController()
  let asked = 0
  let answered = 0

  function count (reply: Reply): void {
    const kind = reply.status === 200 ? '200' : `${reply.status} ${String(reply.json()['code'])}`
    told[kind] = (told[kind] ?? 0) + 1
    if (reply.status === 503 && reply.headers.get('retry-after') === null) t.fail('a 503 says when to come back')
  }

  /** Goes on asking for each until it is there, as a patient client does, and looks at lists and usage meanwhile. */
  async function call (caller: number): Promise<void> {
    for (let turn = 0; !over.signal.aborted; turn += 1) {
      const n = asked++
      const { body, headers } = (requests[turn % requests.length] ?? requests[0])?.(n) ?? { body: {}, headers: {} }
      wanted.add(JSON.stringify(body))
      for (let tries = 0; ; tries += 1) {
        const reply = await at(replicas, caller + tries).generate(body, { headers })
        count(reply)
        if (reply.status === 200) break
        if (reply.status !== 503) throw new Error(`${reply.status} ${reply.text}`)
        await pause(PATIENCE_MS)
        for (const path of ['/generations?limit=20', '/usage', `/generations/${randomUUID()}`]) {
          const { status, text } = await at(replicas, caller + tries).get(path)
          if (![200, 404, 503].includes(status)) throw new Error(`${path}: ${status} ${text}`)
        }
      }
      answered += 1
    }
  }

  const calls = Promise.all(Array.from({ length: CALLERS }, async (_, caller) => { await call(caller) }))
  await until(() => answered > 60)
  // Each for longer than a lease, so that all owners look dead when it is over.
  for (let round = 0; round < 3; round += 1) {
    const before = { ...told }
    const moved = await Promise.race([moveSlot(t, nodes, { slot, pace: { forMs: 7000 } }), calls])
    t.comment(`${moved} keys moved, answers before`, before, 'and then', { ...told })
    const then = answered
    await Promise.race([until(() => answered > then + 60), calls])
  }
  over.abort()
  await calls

  await until(async () => (await ledger.gauges()).atUpstream === 0 && (await ledger.gauges()).waiting.size === 0)
  t.same(Object.keys(told).sort(), ['200', '503 store-unavailable'], JSON.stringify(told))
  t.equal(sandbox.bill.submits, wanted.size, 'everything was bought once')
  t.same(await ledger.audit(), [])
  t.match(await moneyOf(t, deployment, replicas), { held: 0, unknown: 0 })
  for (const replica of replicas) t.equal(sumOf((await replica.get('/metrics')).text, 'falgate_slots_used'), 0)
})
