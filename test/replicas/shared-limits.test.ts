// Counts that hold over all replicas together: purchases in a window, generations at fal, what is stored.

import t from 'tap'
import { counts, crowd } from '../support/crowd.ts'
import { tenant, type Reply } from '../support/gateway.ts'
import { deploy, USUAL_LEASE } from '../support/replicas.ts'
import { until } from '../support/until.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

t.test('of 1,000 distinct requests at once over two replicas exactly 100 pass a rate limit of 100', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { env: USUAL_LEASE, tenants: { tenants: [tenant('studio', { rateLimit: { max: 100, windowSeconds: 3600 }, maxInFlight: 100, maxQueued: 10_000 })] } })
  const replicas = await Promise.all([startReplica(), startReplica()])
  const replies = await crowd(replicas, 1000, seed => ({ prompt: 'x', seed }))
  t.same(counts(replies), { 200: 100, 'rate-limited': 900 })
  t.equal(sandbox.bill.billedUnits, 100)
  t.same(await ledger.audit(), [])
})

t.test('FAL_CONCURRENCY counts the generations of all replicas together', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { env: { ...USUAL_LEASE, FAL_CONCURRENCY: '3' } })
  const replicas = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const calls = Array.from({ length: 20 }, async (_, seed) => await replicas[seed % 2]?.generate({ prompt: 'x', seed }))
  await until(async () => (await ledger.gauges()).waiting.get('studio') === 17)
  await sandbox.bill.untilAccepted(3)
  t.equal(sandbox.bill.submits, 3)
  t.equal((await ledger.gauges()).atUpstream, 3)
  release()
  t.ok((await Promise.all(calls)).every(reply => reply?.status === 200))
  t.equal(sandbox.bill.accepted, 20)
  t.same(await ledger.audit(), [])
})

t.test('what one replica bought is a hit on the other, is listed there, and is collected there by id', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: USUAL_LEASE })
  const [one, other] = await Promise.all([startReplica(), startReplica()])
  const bought = await one.generate({ prompt: 'x', seed: 1 })
  const id = String(bought.headers.get('falgate-generation'))
  const hit = await other.generate({ prompt: 'x', seed: 1 })
  t.match(hit.headers.get('cache-status'), /hit/)
  t.equal(hit.text, bought.text)
  t.match((await other.get(`/generations/${id}`)).json(), { id, status: 'succeeded' })
  t.match((await other.get('/generations')).json(), { generations: [{ id }] })
  t.equal(sandbox.bill.accepted, 1)
})

t.test('the same Idempotency-Key on two replicas at once is one purchase, replayed by both', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: USUAL_LEASE })
  const replicas = await Promise.all([startReplica(), startReplica()])
  const headers = { 'idempotency-key': 'order-1' }
  const replies = await Promise.all(Array.from({ length: 50 }, async (_, n) => await replicas[n % 2]?.generate({ prompt: 'x' }, { headers })))
  t.ok(replies.every(reply => reply?.status === 200))
  t.equal(new Set(replies.map(reply => reply?.text)).size, 1)
  t.equal(sandbox.bill.accepted, 1)
})

t.test('a retry that reaches another replica after the first connection was cut gets the picture that was bought', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: USUAL_LEASE })
  const [one, other] = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const cut = t.rejects(one.generate({ prompt: 'x' }, { signal: leaving.signal }))
  await sandbox.bill.untilAccepted(1)
  leaving.abort()
  await cut
  const retry = other.generate({ prompt: 'x' })
  release()
  t.match((await retry).headers.get('cache-status'), /detail=adopted/)
  t.equal(sandbox.bill.accepted, 1)
})

t.test('callers on two replicas who are both there and ask for the same without a seed get two pictures', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: USUAL_LEASE })
  const [one, other] = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const first = one.generate({ prompt: 'x' })
  await sandbox.bill.untilAccepted(1)
  const second = other.generate({ prompt: 'x' })
  await sandbox.bill.untilAccepted(2)
  release()
  t.not((await first).text, (await second).text)
})

t.test('however many callers are there for the same without a seed, each gets a picture of its own', async t => {
  const callers = 30
  const { sandbox, startReplica, ledger } = await deploy(t, { env: { ...USUAL_LEASE, FAL_CONCURRENCY: '2' } })
  const replicas = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const calls: Array<Promise<Reply> | undefined> = []
  for (let caller = 1; caller <= callers; caller++) {
    calls.push(replicas[caller % 2]?.generate({ prompt: 'x' }))
    await until(async () => (await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: null })).rows.length === caller)
  }
  release()
  const replies = await Promise.all(calls)
  t.ok(replies.every(reply => reply?.status === 200))
  t.equal(new Set(replies.map(reply => reply?.headers.get('falgate-generation'))).size, callers)
  t.equal(sandbox.bill.accepted, callers)
})

t.test('a caller that asks for the id only is one like others: at the same moment for the same, each gets a picture of its own', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: USUAL_LEASE })
  const replicas = await Promise.all([startReplica(), startReplica()])
  const replies = await Promise.all(Array.from({ length: 8 }, async (_, caller) =>
    await replicas[caller % 2]?.generate({ prompt: 'x' }, { headers: { prefer: 'respond-async' } })))
  t.equal(new Set(replies.map(reply => reply?.headers.get('falgate-generation'))).size, replies.length)
  await sandbox.bill.untilAccepted(replies.length)
})
