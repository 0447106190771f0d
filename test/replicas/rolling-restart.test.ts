// Both replicas are replaced, one after the other, while requests come in: nothing fails but what the leaving one refuses, nothing is lost or bought twice.

import t from 'tap'
import type { Reply } from '../support/gateway.ts'
import { startRedisGate } from '../support/redis-gate.ts'
import { redisUrl } from '../support/redis.ts'
import { deploy, USUAL_LEASE, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

t.test('a rolling restart under load loses nothing and buys nothing twice', async t => {
  // As many as two cores serve beside a process that starts: what is overloaded is refused for other reasons.
  const { sandbox, ledger, startReplica } = await deploy(t, { env: USUAL_LEASE, sandbox: { runMs: 200 } })
  const serving: Replica[] = await Promise.all([startReplica(), startReplica()])
  const refusals: string[] = []
  const over = new AbortController()
  let asked = 0
  let answered = 0

  /** A plain client behind a round robin: it takes the next replica when one is leaving, as load balancers do on 503. */
  async function client (number: number): Promise<void> {
    for (let n = 0; !over.signal.aborted; n++) {
      const seed = number * 100_000 + n
      asked += 1
      let reply: Reply | null = null
      for (let tries = 0; reply === null || reply.status === 503; tries++) {
        if (tries > 20) throw new Error('no replica takes the request')
        const replica = serving[(number + n + tries) % serving.length]
        reply = await replica?.generate({ prompt: 'load', seed }) ?? null
        if (reply?.status === 503) refusals.push(String(reply.json()['code']))
      }
      if (reply.status === 200) answered += 1
      else throw new Error(`${reply.status}: ${reply.text}`)
    }
  }

  const clients = Promise.all(Array.from({ length: 8 }, async (_, number) => await client(number)))
  await until(() => answered >= 50)
  for (const index of [0, 1]) {
    const leaving = serving[index]
    if (leaving === undefined) throw new Error('there is no such replica')
    const fresh = await startReplica()
    leaving.child.kill('SIGTERM')
    await until(() => leaving.log().includes('"msg":"closing"'))
    serving[index] = fresh
    t.match(await leaving.ended, { code: 0, stderr: '' })
    const before = answered
    await until(() => answered >= before + 50)
  }
  over.abort()
  await clients
  t.equal(answered, asked)
  t.same([...new Set(refusals)].filter(code => code !== 'draining'), [])
  t.equal(sandbox.bill.accepted, asked)
  t.equal(sandbox.bill.billedUnits, asked)
  t.match(await ledger.gauges(), { atUpstream: 0, unknownOpen: 0 })
  t.same(await ledger.audit(), [])
})

t.test('a leaving replica hands its generations over at once, not after their lease', async t => {
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t, { env: { LEASE_SECONDS: '600', WAIT_SECONDS: '1' } })
  const [leaving, staying] = await Promise.all([startReplica(), startReplica({ FAL_CONCURRENCY: '0' })])
  const release = sandbox.faults.holdJobs()
  await leaving.generate({ prompt: 'x', seed: 1 }, { headers: { prefer: 'respond-async' } })
  const row = await untilGeneration(({ phase }) => phase === 'running')
  t.equal(row.owner, leaving.name)
  leaving.child.kill('SIGTERM')
  t.match(await leaving.ended, { code: 0 })
  await untilGeneration(({ owner }) => owner === staying.name)
  release()
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { takeovers: 0, cost: 60_000 })
  t.equal(sandbox.bill.submits, 1)
  t.same(await ledger.audit(), [])
})

t.test('a drain waits for the answer to a submit, however short callers wait and however long fal takes', async t => {
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t, { env: { LEASE_SECONDS: '600', WAIT_SECONDS: '1' } })
  const [leaving, staying] = await Promise.all([startReplica(), startReplica({ FAL_CONCURRENCY: '0' })])
  const release = sandbox.faults.holdJobs()
  const slow = sandbox.faults.add({ kind: 'delay', operation: 'submit', delayMs: 7000 })
  await leaving.generate({ prompt: 'x', seed: 1 }, { headers: { prefer: 'respond-async' } })
  await slow.untilHit()
  leaving.child.kill('SIGTERM')
  t.match(await leaving.ended, { code: 0, stderr: '' })
  t.match(leaving.log(), /"to":"accepted"/)
  t.notMatch(leaving.log(), /"to":"unknown"/)
  await untilGeneration(({ owner }) => owner === staying.name)
  release()
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { takeovers: 0, cost: 60_000 })
  t.equal(sandbox.bill.submits, 1)
  t.same(await ledger.audit(), [])
})

t.test('a leaving replica that waits for the answer to a submit keeps its lease: nobody concludes that its outcome is unknown', async t => {
  const leaseMs = 3000
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t, { env: { LEASE_SECONDS: String(leaseMs / 1000), WAIT_SECONDS: '1' } })
  const [leaving, staying] = await Promise.all([startReplica(), startReplica({ FAL_CONCURRENCY: '0' })])
  const release = sandbox.faults.holdJobs()
  const slow = sandbox.faults.add({ kind: 'hang', operation: 'submit', accepted: true })
  await leaving.generate({ prompt: 'x', seed: 1 }, { headers: { prefer: 'respond-async' } })
  await slow.untilHit()
  leaving.child.kill('SIGTERM')
  const leftMs = ledger.now()
  await until(() => ledger.now() > leftMs + 3 * leaseMs)
  t.match(await untilGeneration(() => true), { phase: 'submitting', owner: leaving.name })
  slow.release()
  t.match(await leaving.ended, { code: 0, stderr: '' })
  await untilGeneration(({ owner }) => owner === staying.name)
  release()
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { takeovers: 0, cost: 60_000 })
  t.notMatch(staying.log(), /"to":"unknown"/)
  t.equal(sandbox.bill.submits, 1)
  t.same(await ledger.audit(), [])
})

t.test('a claim that a leaving replica hears of only at its end is given back unsent', async t => {
  const gate = await startRedisGate(t, await redisUrl())
  const { sandbox, ledger, startReplica, untilGeneration, pauseClaims } = await deploy(t, { env: { REDIS_URL: gate.url, LEASE_SECONDS: '600', WAIT_SECONDS: '20' } })
  const leaving = await startReplica()
  const release = sandbox.faults.holdJobs()
  const waiting = leaving.generate({ prompt: 'whose caller is waited for' })
  await untilGeneration(({ phase }) => phase === 'running')
  gate.refuse(['claim'])
  const resumeClaims = await pauseClaims()
  await leaving.generate({ prompt: 'x' }, { headers: { prefer: 'respond-async' } })
  await until(() => leaving.log().includes('"operation":"claim"'))
  await resumeClaims()
  leaving.child.kill('SIGTERM')
  await until(async () => (await leaving.get('/readyz')).status === 503)
  await gate.untilAnswered('sweep') // now nothing is claimed any more, but lost answers are asked for at the end
  gate.refuse([])
  release()
  t.equal((await waiting).status, 200)
  t.match(await leaving.ended, { code: 0, stderr: '' })
  t.match(await untilGeneration(() => true), { phase: 'waiting', attempt: 1 })
  t.equal(sandbox.bill.submits, 1)
  t.same(await ledger.audit(), [])
})
