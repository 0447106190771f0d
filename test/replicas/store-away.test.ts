// What happens while Redis is away, hangs, or comes back without what it knew: the table of docs/guarantees.md, line by line.

import t, { type Test } from 'tap'
import { parseObject, STUDIO_KEY, type Reply } from '../support/gateway.ts'
import { startRedisGate, type RedisGate } from '../support/redis-gate.ts'
import { plainClient } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'
import { deploy, USUAL_LEASE, type Deployment, type Replica } from '../support/replicas.ts'
import { restartableRedis, type RestartableRedis } from '../support/restartable-redis.ts'
import { until } from '../support/until.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

interface Scene extends Deployment { readonly redis: RestartableRedis, readonly gateway: Replica, readonly storedId: string }

async function open (t: Test): Promise<Scene> {
  const redis = await restartableRedis(t)
  const deployment = await deploy(t, { redisUrl: redis.url })
  const gateway = await deployment.startReplica()
  // Something in the in-process layer, and something that runs while its caller waits.
  const stored = await gateway.generate({ prompt: 'stored', seed: 1 })
  return { ...deployment, redis, gateway, storedId: String(stored.headers.get('falgate-generation')) }
}

/** The first replica has a door of its own to Redis; those that are started later reach it without. */
async function openGated (t: Test, env: Readonly<Record<string, string>> = {}): Promise<Deployment & { readonly gate: RedisGate, readonly gateway: Replica }> {
  const gate = await startRedisGate(t, await redisUrl())
  const deployment = await deploy(t, { env })
  return { ...deployment, gate, gateway: await deployment.startReplica({ REDIS_URL: gate.url }) }
}

async function isStoreDown (gateway: Replica): Promise<boolean> {
  const reply = await gateway.generate({ prompt: 'is it down', seed: 1 }, { headers: { 'falgate-cache': 'only' } })
  return reply.status === 503
}

async function falCall ({ base }: Replica, method: 'GET' | 'POST', path: string, body?: object): Promise<Response> {
  const headers = { authorization: `Key ${STUDIO_KEY}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
  return await fetch(base + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
}

/** Every line of the table that does not depend on how Redis is away. */
async function checkWhileAway (t: Test, { gateway, sandbox, storedId }: Scene): Promise<void> {
  const stored = await gateway.generate({ prompt: 'stored', seed: 1 })
  t.equal(stored.status, 200, 'cached answers go on')
  t.match(stored.headers.get('cache-status'), /hit/)
  const submits = sandbox.bill.submits
  for (const headers of [{}, { 'idempotency-key': 'k' }, { prefer: 'respond-async' }] as const) {
    const refused = await gateway.generate({ prompt: 'new', seed: 2 }, { headers })
    t.equal(refused.status, 503)
    t.equal(refused.json()['code'], 'store-unavailable')
    t.ok(refused.headers.get('retry-after'))
  }
  t.equal((await gateway.get('/generations')).status, 503)
  for (const tail of ['', '/status']) {
    const poll = await gateway.get(`/fal/queue/fal-ai/imagen4/requests/${storedId}${tail}`)
    t.equal(poll.status, 429, 'fal\'s clients go on asking for what they bought')
    t.equal(poll.json()['error_type'], 'store_unavailable')
  }
  t.equal((await falCall(gateway, 'POST', '/fal/fal-ai/imagen4/preview/ultra', { prompt: 'new', seed: 2 })).status, 503, 'and are not made to go on buying')
  t.equal((await gateway.get('/healthz')).status, 200)
  t.equal((await gateway.get('/readyz')).status, 200, 'what is stored can still be had here')
  t.equal(sandbox.bill.submits, submits, 'nothing is bought that cannot be written down')
}

/** Callers who go on asking for new and for stored pictures, whatever happens; tells what they were answered. */
function load (gateway: Replica): { readonly stop: () => Promise<ReadonlyMap<string, number>> } {
  const over = new AbortController()
  const answers = new Map<string, number>()
  const callers = Array.from({ length: 8 }, async (_, number) => {
    for (let n = 0; !over.signal.aborted; n++) {
      const reply = await gateway.generate(number < 4 ? { prompt: 'stored', seed: 1 } : { prompt: 'load', seed: number * 100_000 + n })
      const answer = reply.status === 200 ? '200' : `${reply.status} ${String(reply.json()['code'])}`
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  })
  return { stop: async () => { over.abort(); await Promise.all(callers); return answers } }
}

t.test('Redis dies and comes back under load: callers see pictures and 503s, the books agree, and the log stays small', async t => {
  const { redis, gateway, sandbox, ledger } = await open(t)
  const callers = load(gateway)
  await sandbox.bill.untilAccepted(20)
  const logBefore = gateway.log().split('\n').filter(line => line.includes('"level":"error"')).length
  for (let round = 0; round < 2; round++) {
    await redis.kill()
    await until(async () => await isStoreDown(gateway))
    await redis.start('with-file')
    const { accepted } = sandbox.bill
    await sandbox.bill.untilAccepted(accepted + 20)
  }
  const answers = await callers.stop()
  t.same([...answers.keys()].filter(answer => answer !== '200' && answer !== '503 store-unavailable'), [])
  await until(async () => (await ledger.gauges()).atUpstream === 0)
  const [balance] = await ledger.balances([{ owner: 'studio', per: 'month' }])
  t.match(balance, { held: 0, spent: sandbox.bill.billedUnits * 60_000 })
  t.equal(sandbox.bill.accepted, sandbox.bill.billedUnits)
  const digests = sandbox.bill.requests.map(({ bodyDigest }) => bodyDigest)
  t.equal(new Set(digests).size, digests.length, 'nothing was bought twice')
  t.ok(gateway.log().split('\n').filter(line => line.includes('"level":"error"')).length - logBefore < 40, 'the log grows by lines')
  t.same(await ledger.audit(), [])
})

for (const how of ['stopped', 'hung'] as const) {
  t.test(`Redis ${how}: hits go on, purchases are refused, a running generation reaches its caller and, afterwards, its row`, async t => {
    const scene = await open(t)
    const { redis, gateway, sandbox, ledger, untilGeneration } = scene
    const release = sandbox.faults.holdJobs()
    const waiting = gateway.generate({ prompt: 'running', seed: 1 })
    const { id } = await untilGeneration(({ phase }) => phase === 'running')
    if (how === 'stopped') await redis.kill()
    else redis.hang()
    await until(async () => await isStoreDown(gateway))
    const logBefore = gateway.log().length
    await checkWhileAway(t, scene)
    release()
    const answer = await waiting
    t.equal(answer.status, 200, 'the caller who waits has its picture')
    if (how === 'stopped') await redis.start('with-file')
    else redis.wake()
    await until(async () => await ledger.ping().then(() => true, () => false))
    t.match(await untilGeneration(row => row.id === id && row.phase === 'succeeded'), { cost: 60_000 })
    t.match((await gateway.get(`/generations/${id}`)).json(), { status: 'succeeded', output: { seed: 1 } })
    await until(async () => (await gateway.generate({ prompt: 'new', seed: 2 })).status === 200)
    t.equal(sandbox.bill.accepted, 3, 'what was answered 503 had bought nothing')
    t.ok(gateway.log().length - logBefore < 50_000, 'the log grows by lines')
    t.same(await ledger.audit(), [])
  })
}

t.test('Redis stopped: a status stream of fal\'s queue tells the end once the result can be fetched', async t => {
  const { redis, gateway, sandbox, untilGeneration } = await open(t)
  const release = sandbox.faults.holdJobs()
  const body = { prompt: 'running', seed: 1 }
  const waiting = gateway.generate(body)
  await untilGeneration(({ phase }) => phase === 'running')
  const { request_id: id } = parseObject(await (await falCall(gateway, 'POST', '/fal/queue/fal-ai/imagen4/preview/ultra', body)).text())
  const at = `/fal/queue/fal-ai/imagen4/requests/${String(id)}`
  const stream = await falCall(gateway, 'GET', `${at}/status/stream`)
  const collected = stream.text().then(async told => ({ told, result: await falCall(gateway, 'GET', at) }))
  await redis.kill()
  await until(async () => await isStoreDown(gateway))
  release()
  t.equal((await waiting).status, 200, 'this process knows the end')
  await redis.start('with-file')
  const { told, result } = await collected
  t.match(told, /"status":"COMPLETED".*\n\n$/)
  t.equal(result.status, 200)
  await result.text()
})

for (const [operation, fact] of [['recordAccepted', 'that fal accepted it'], ['recordProgress', 'that fal works on it']] as const) {
  for (const when of ['before', 'after'] as const) {
    t.test(`Redis goes away ${when} it hears ${fact}: the caller has its picture all the same, and the row afterwards`, async t => {
      const { sandbox, ledger, untilGeneration, gate, gateway } = await openGated(t, { WAIT_SECONDS: '20' })
      const held = gate.holdAt(operation, when)
      const release = sandbox.faults.holdJobs()
      const waiting = gateway.generate({ prompt: 'x', seed: 1 })
      await held
      t.ok(await isStoreDown(gateway))
      release()
      t.equal((await waiting).status, 200)
      t.match(await untilGeneration(() => true), { cost: null }, 'that was while Redis was away')
      gate.resume()
      t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { cost: 60_000, seed: '1' })
      t.ok((await ledger.logs((await untilGeneration(() => true)).id, 0)).lines.length > 0, 'with its log')
      t.equal(sandbox.bill.accepted, 1)
      t.same(await ledger.audit(), [])
    })
  }
}

for (const [what, operation, fault, status, phase] of [
  ['fal refuses the input', 'recordNotSent', { kind: 'answer', operation: 'submit', error: 'content_policy_violation' }, 422, 'failed'],
  ['the answer to a submit is lost', 'recordUnknown', { kind: 'reset', operation: 'submit', accepted: true }, 502, 'unknown']
] as const) {
  t.test(`Redis goes away when ${what}: the caller is told at once, and the row afterwards`, async t => {
    const { sandbox, ledger, untilGeneration, gate, gateway } = await openGated(t, { WAIT_SECONDS: '20' })
    sandbox.faults.add(fault)
    const held = gate.holdAt(operation, 'before')
    const waiting = gateway.generate({ prompt: 'x', seed: 1 })
    await held
    t.equal((await waiting).status, status)
    gate.resume()
    await untilGeneration(row => row.phase === phase)
    t.same(await ledger.audit(), [])
  })
}

t.test('Redis goes away again while a row is read again: its caller has the picture all the same', async t => {
  const { sandbox, ledger, untilGeneration, gate, gateway } = await openGated(t, { WAIT_SECONDS: '20' })
  const release = sandbox.faults.holdJobs()
  const waiting = gateway.generate({ prompt: 'x', seed: 1 })
  await untilGeneration(({ phase }) => phase === 'running')
  await gate.holdAt('renew', 'before')
  const held = gate.holdAt('getMany', 'before')
  gate.resume()
  await held
  release()
  t.equal((await waiting).status, 200)
  gate.resume()
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { cost: 60_000 })
  t.same(await ledger.audit(), [])
})

t.test('a replica that alone lost Redis still has the picture for its caller, though another one has given the generation up', async t => {
  const { sandbox, startReplica, ledger, untilGeneration, gate, gateway } = await openGated(t, { WAIT_SECONDS: '20' })
  const held = gate.holdAt('recordAccepted', 'before')
  const release = sandbox.faults.holdJobs()
  const waiting = gateway.generate({ prompt: 'x', seed: 1 })
  await held
  await startReplica()
  await untilGeneration(({ phase }) => phase === 'unknown')
  release()
  t.equal((await waiting).status, 200)
  gate.resume()
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { cost: 60_000 })
  t.equal(sandbox.bill.accepted, 1)
  t.same(await ledger.unknowns(10), [])
  t.same(await ledger.audit(), [])
})

t.test('requests that meet a hung Redis are answered 503 and have bought nothing, also when it wakes and runs them late', async t => {
  const { redis, gateway, sandbox, ledger } = await open(t)
  redis.hang()
  const replies = await Promise.all(Array.from({ length: 50 }, async (_, seed) => await gateway.generate({ prompt: 'late', seed })))
  t.ok(replies.every(reply => reply.status === 503))
  redis.wake()
  await until(async () => (await gateway.generate({ prompt: 'awake', seed: 1 })).status === 200)
  t.equal(sandbox.bill.accepted, 2)
  const { rows } = await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: null })
  t.equal(rows.length, 2)
  t.same(await ledger.audit(), [])
})

t.test('Redis restarted empty: what a replica holds is put back and said, callers get their pictures, and buying goes on', async t => {
  const { redis, gateway, sandbox, ledger, untilGeneration, storedId } = await open(t)
  const release = sandbox.faults.holdJobs()
  const calls = Array.from({ length: 5 }, async (_, seed) => await gateway.generate({ prompt: 'held', seed }))
  await sandbox.bill.untilAccepted(6)
  await until(async () => (await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: 'running' })).rows.length === 5)
  await redis.kill()
  await redis.start('empty')
  await until(async () => await ledger.ping().then(() => true, () => false))
  await until(async () => (await ledger.gauges().catch(() => null))?.atUpstream === 5)
  await until(() => /"level":"error".*back in time/.test(gateway.log()))
  await until(async () => (await gateway.get(`/generations/${storedId}`)).status === 200) // what ended a moment ago is put back, too
  release()
  for (const call of calls) t.equal((await call).status, 200)
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { cost: 60_000 })
  t.equal((await gateway.generate({ prompt: 'afterwards', seed: 1 })).status, 200)
  t.equal(sandbox.bill.accepted, 7, 'nothing was bought twice')
  t.match(await (await fetch(`${gateway.base}/metrics`)).text(), /falgate_ledger_rollbacks_total [1-9]/)
  t.same(await ledger.audit(), [])
})

for (const [leaseSeconds, when] of [[15, 'might still begin a submit'], [2, 'may begin no submit any more']] as const) {
  t.test(`Redis comes back with a copy from before fal accepted a picture, while its replica ${when}: it is put back, and not sent again`, async t => {
    const redis = await restartableRedis(t)
    const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t, { redisUrl: redis.url, env: { LEASE_SECONDS: String(leaseSeconds), WAIT_SECONDS: '20' } })
    const gateway = await startReplica()
    const release = sandbox.faults.holdJobs()
    const slow = sandbox.faults.add({ kind: 'hang', operation: 'submit', accepted: true })
    const waiting = gateway.generate({ prompt: 'x', seed: 1 })
    await slow.untilHit()
    redis.keep()
    slow.release()
    const { createdAtMs, requestId } = await untilGeneration(({ phase }) => phase === 'running')
    if (leaseSeconds === 2) await until(() => ledger.now() > createdAtMs + 1100)
    await redis.kill()
    await redis.start('kept')
    await until(async () => await ledger.ping().then(() => true, () => false))
    await untilGeneration(({ phase }) => phase === 'running')
    release()
    t.equal((await waiting).status, 200)
    t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { attempt: 1, requestId, cost: 60_000 })
    t.equal(sandbox.bill.submits, 1)
    t.same(await ledger.audit(), [])
  })
}

t.test('a row that went back in time is counted as a rollback, also when the sequence did not fall', async t => {
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t)
  const redis = plainClient(t, await redisUrl())
  const gateway = await startReplica()
  const release = sandbox.faults.holdJobs()
  const waiting = gateway.generate({ prompt: 'x', seed: 1 })
  const { id } = await untilGeneration(({ requestId }) => requestId !== null)
  const [key = ''] = await redis.keys(`*:g:${id}`)
  await redis.del(key)
  await until(() => gateway.log().includes('generations held here were put back'))
  t.notMatch(gateway.log(), 'what no living replica held is gone')
  t.match(await (await fetch(`${gateway.base}/metrics`)).text(), /falgate_ledger_rollbacks_total [1-9]/)
  release()
  t.equal((await waiting).status, 200)
  t.match(await ledger.getMany([id]), [{ phase: 'succeeded', cost: 60_000 }])
})

t.test('Redis goes away before it hears that fal accepted a picture and comes back empty when it is made: the row is put back and has it', async t => {
  const redis = await restartableRedis(t)
  const gate = await startRedisGate(t, redis.url)
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t, { redisUrl: redis.url, env: { ...USUAL_LEASE, REDIS_URL: gate.url } })
  const gateway = await startReplica()
  const held = gate.holdAt('recordAccepted', 'before')
  const waiting = gateway.generate({ prompt: 'x', seed: 1 })
  await held
  t.equal((await waiting).status, 200)
  await redis.kill()
  await redis.start('empty')
  gate.resume()
  await until(async () => await ledger.ping().then(() => true, () => false))
  await untilGeneration(({ phase }) => phase === 'succeeded')
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 60_000 }])
  t.equal(sandbox.bill.accepted, 1)
  t.same(await ledger.audit(), [])
})

t.test('a wish to cancel that another replica took, while the one that follows the generation was cut off, reaches fal when that one is back', async t => {
  const { sandbox, ledger, startReplica, untilGeneration, gate, gateway: one } = await openGated(t, USUAL_LEASE)
  const other = await startReplica({ FAL_CONCURRENCY: '0' })
  sandbox.faults.holdJobs()
  const held = gate.holdAt('recordAccepted', 'after')
  const waiting = one.generate({ prompt: 'x', seed: 1 })
  await held
  const { id } = await untilGeneration(({ requestId }) => requestId !== null)
  t.equal((await other.post(`/generations/${id}/cancel`)).status, 200)
  t.ok(await isStoreDown(one))
  gate.resume()
  await untilGeneration(({ phase }) => phase === 'cancelled')
  t.equal((await waiting).status, 409)
  t.equal(sandbox.bill.cancels, 1)
  t.same(await ledger.audit(), [])
})

t.test('a replica that leaves while Redis is away waits for it, and writes what it owes', async t => {
  const { sandbox, ledger, untilGeneration, gate, gateway: leaving } = await openGated(t, { ...USUAL_LEASE, WAIT_SECONDS: '30' })
  const held = gate.holdAt('recordAccepted', 'before')
  const waiting = leaving.generate({ prompt: 'x', seed: 1 })
  await held
  t.equal((await waiting).status, 200)
  leaving.child.kill('SIGTERM')
  await until(() => leaving.log().includes('"msg":"closing"'))
  gate.resume()
  t.match(await leaving.ended, { code: 0, stderr: '' })
  t.match(await untilGeneration(() => true), { phase: 'succeeded', cost: 60_000 })
  t.equal(sandbox.bill.accepted, 1)
  t.same(await ledger.audit(), [])
})

t.test('a replica that leaves while Redis stays away ends in time, and the others have the picture', async t => {
  const { sandbox, ledger, startReplica, untilGeneration, gate, gateway: leaving } = await openGated(t, { WAIT_SECONDS: '3' })
  const held = gate.holdAt('finish', 'before')
  const waiting = leaving.generate({ prompt: 'x', seed: 1 })
  await held
  t.equal((await waiting).status, 200)
  leaving.child.kill('SIGTERM')
  t.match(await leaving.ended, { code: 0, stderr: '' }, 'it ended by itself: a process whose time to close runs out ends with 1')
  await startReplica()
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { cost: 60_000 })
  t.equal(sandbox.bill.accepted, 1)
  t.same(await ledger.audit(), [])
})

t.test('a purchase that is withdrawn because its caller was answered 503 is not taken from a retry that was given its id', async t => {
  const { sandbox, gate, gateway } = await openGated(t)
  const held = gate.holdAt('admit', 'after')
  const first = gateway.generate({ prompt: 'x' }, { headers: { 'idempotency-key': 'k' } })
  await held
  t.equal((await first).status, 503)
  gate.refuse(['claim', 'withdraw'])
  gate.resume()
  const retry = async (): Promise<Reply> => await gateway.generate({ prompt: 'x' }, { headers: { 'idempotency-key': 'k', prefer: 'respond-async' } })
  const answer = await until(async () => {
    const reply = await retry()
    return reply.status !== 503 && reply
  })
  t.match(answer.headers.get('cache-status'), /detail=replayed/)
  const noted = gate.untilAnswered('seen')
  await retry()
  await noted
  gate.refuse([])
  t.equal((await gateway.generate({ prompt: 'x' }, { headers: { 'idempotency-key': 'k' } })).status, 200)
  t.equal(sandbox.bill.accepted, 1)
})

t.test('a process that starts before its Redis serves as soon as there is one', async t => {
  const redis = await restartableRedis(t)
  const { startReplica } = await deploy(t, { redisUrl: redis.url })
  await redis.kill()
  const starting = startReplica()
  await redis.start('empty')
  t.equal((await (await starting).generate({ prompt: 'x', seed: 1 })).status, 200)
})
