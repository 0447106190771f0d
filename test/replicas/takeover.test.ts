// Many replicas, one of them killed: one purchase, and the callers that are left have the picture.

import t from 'tap'
import { moneyOf } from '../support/money.ts'
import { startRedisGate } from '../support/redis-gate.ts'
import { redisUrl } from '../support/redis.ts'
import { deploy, ownerAmong, USUAL_LEASE } from '../support/replicas.ts'
import { until } from '../support/until.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

t.test('200 identical seeded requests over two replicas are one purchase and 200 equal answers', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t)
  const replicas = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const calls = Array.from({ length: 200 }, async (_, n) => await replicas[n % 2]?.generate({ prompt: 'a crowd', seed: 7 }))
  await sandbox.bill.untilAccepted(1)
  release()
  const replies = await Promise.all(calls)
  t.ok(replies.every(reply => reply?.status === 200))
  t.equal(new Set(replies.map(reply => reply?.text)).size, 1)
  t.equal(replies.filter(reply => reply?.headers.get('falgate-cost-usd') === '0.06').length, 1)
  t.equal(sandbox.bill.submits, 1)
  t.equal(sandbox.bill.billedUnits, 1)
  t.same(await ledger.audit(), [])
})

t.test('the owner is killed while the picture is made: the other follows the stored request id, and all its callers are answered', async t => {
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t)
  const replicas = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const calls = replicas.map(replica => Array.from({ length: 20 }, async () => await replica.generate({ prompt: 'x', seed: 1 }).catch(() => null)))
  const row = await untilGeneration(({ phase }) => phase === 'running')
  const { owner, others: [survivor] } = ownerAmong(replicas, row)
  owner.child.kill('SIGKILL')
  await owner.ended
  await until(async () => (await ledger.getMany([row.id]))[0]?.owner === survivor?.name)
  release()
  const answers = await Promise.all(calls[replicas.indexOf(survivor ?? owner)] ?? [])
  t.equal(answers.length, 20)
  t.ok(answers.every(reply => reply?.status === 200))
  t.equal(sandbox.bill.submits, 1)
  t.equal(sandbox.bill.billedUnits, 1)
  t.match((await ledger.getMany([row.id]))[0], { phase: 'succeeded', takeovers: 1, cost: 60_000, requestId: row.requestId })
  t.same(await ledger.audit(), [])
})

t.test('the owner is killed after acceptance and before the id is stored: unknown, and never bought again', async t => {
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t)
  const replicas = await Promise.all([startReplica(), startReplica()])
  const lost = sandbox.faults.add({ kind: 'hang', operation: 'submit', accepted: true })
  const calls = replicas.map(async replica => await replica.generate({ prompt: 'x', seed: 1 }).catch(() => null))
  await lost.untilHit()
  const row = await untilGeneration(({ phase }) => phase === 'submitting')
  const { owner, others: [survivor] } = ownerAmong(replicas, row)
  owner.child.kill('SIGKILL')
  await owner.ended
  const answers = await Promise.all(calls)
  const told = answers.find(reply => reply !== null)
  t.equal(told?.status, 502)
  t.match(told?.json(), { code: 'outcome-unknown', generation_id: row.id })
  const again = await survivor?.generate({ prompt: 'x', seed: 1 })
  t.match(again?.json(), { code: 'outcome-unknown', generation_id: row.id })
  t.equal(sandbox.bill.submits, 1)
  t.match(await ledger.unknowns(10), [{ id: row.id, phase: 'unknown' }])
  t.same(await ledger.audit(), [])
})

t.test('a slow owner, stopped beyond its lease and woken: what it knows is taken, and nothing is sent twice', async t => {
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t)
  const replicas = await Promise.all([startReplica(), startReplica()])
  const slow = sandbox.faults.add({ kind: 'hang', operation: 'submit', accepted: true })
  const call = replicas[0]?.generate({ prompt: 'x', seed: 1 })
  await slow.untilHit()
  const row = await untilGeneration(({ phase }) => phase === 'submitting')
  const { owner } = ownerAmong(replicas, row)
  owner.child.kill('SIGSTOP')
  await untilGeneration(({ phase }) => phase === 'unknown') // the other concluded that nobody knows
  slow.release() // the answer lies in the stopped process' socket
  owner.child.kill('SIGCONT')
  const ended = await untilGeneration(({ phase }) => phase === 'succeeded')
  t.equal(ended.id, row.id)
  t.equal(sandbox.bill.submits, 1)
  t.equal(sandbox.bill.billedUnits, 1)
  t.match(await ledger.unknowns(10), [])
  t.ok([200, 502].includes(Number((await call)?.status)))
  t.same(await ledger.audit(), [])
})

t.test('a claim that its owner hears of after half a lease sends nothing: the attempt is given back, and the next one buys', async t => {
  const lease = 6000
  const gate = await startRedisGate(t, await redisUrl())
  const { sandbox, ledger, startReplica, pauseClaims } = await deploy(t, { env: { LEASE_SECONDS: String(lease / 1000), REDIS_URL: gate.url } })
  const owner = await startReplica()
  const resumeClaims = await pauseClaims()
  const held = gate.holdAt('claim', 'after', '"outcome":"go"')
  const accepted = await owner.generate({ prompt: 'x', seed: 1 }, { headers: { prefer: 'respond-async' } })
  await resumeClaims()
  await held
  const { id } = accepted.json()
  const [claimed] = await ledger.getMany([String(id)])
  t.match(claimed, { phase: 'submitting', attempt: 1 })
  await until(async () => ledger.now() > Number(claimed?.createdAtMs) + lease / 2 + 100)
  t.equal(sandbox.bill.submits, 0)
  gate.resume()
  await until(async () => (await ledger.getMany([String(id)]))[0]?.phase === 'succeeded')
  t.match(await ledger.getMany([String(id)]), [{ attempt: 2, takeovers: 0 }])
  t.equal(sandbox.bill.submits, 1)
  t.same(await ledger.audit(), [])
})

t.test('a replica that takes over a submit and hears late of its answer follows it: what is accepted does not become unknown', async t => {
  const [gateOfOne, gateOfOther] = [await startRedisGate(t, await redisUrl()), await startRedisGate(t, await redisUrl())]
  const { sandbox, startReplica, untilGeneration } = await deploy(t)
  const release = sandbox.faults.holdJobs()
  const one = await startReplica({ REDIS_URL: gateOfOne.url })
  const heard = gateOfOne.holdAt('recordAccepted', 'before')
  const call = one.generate({ prompt: 'x' })
  await heard
  const concluded = gateOfOther.holdAt('recordUnknown', 'before')
  await startReplica({ REDIS_URL: gateOfOther.url })
  await concluded
  gateOfOne.resume()
  const { requestId } = await untilGeneration(({ phase }) => phase === 'running')
  const told = gateOfOther.untilAnswered('recordUnknown')
  gateOfOther.resume()
  await told
  release()
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded' || phase === 'unknown'), { phase: 'succeeded', requestId })
  t.equal((await call).status, 200)
  t.equal(sandbox.bill.accepted, 1)
})

t.test('a replica that hears late that its attempt went back into the queue leaves the next one to the replica that claimed it', async t => {
  const gate = await startRedisGate(t, await redisUrl())
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t, { env: USUAL_LEASE })
  const one = await startReplica({ REDIS_URL: gate.url })
  sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'runner_scheduling_failure', retryAfterSeconds: 0 })
  const slow = sandbox.faults.add({ kind: 'hang', operation: 'submit', accepted: true })
  const unheard = gate.holdAt('recordNotSent', 'after')
  const call = one.generate({ prompt: 'x', seed: 1 })
  await unheard
  const other = await startReplica()
  await slow.untilHit()
  const heard = gate.untilAnswered('recordNotSent')
  gate.resume()
  await heard
  await gate.untilAnswered('sweep') // whatever it would say of the row, it has said by now
  t.match(await untilGeneration(() => true), { phase: 'submitting', attempt: 2, owner: other.name })
  slow.release()
  t.equal((await call).status, 200)
  t.equal(sandbox.bill.accepted, 1)
  t.same(await ledger.audit(), [])
})

t.test('what an operator settled as not bought, while the one replica that knew better was cut off, is in the books and can be collected when it is back', async t => {
  const gate = await startRedisGate(t, await redisUrl())
  const deployment = await deploy(t)
  const { ledger, settleAt, startReplica, untilGeneration } = deployment
  const one = await startReplica({ REDIS_URL: gate.url })
  const accepted = gate.holdAt('recordAccepted', 'before')
  one.generate({ prompt: 'x' }).catch(() => {})
  await accepted
  const other = await startReplica()
  const { id } = await untilGeneration(({ phase }) => phase === 'unknown')
  t.match(await settleAt(id, false, ledger.now() + 600_000), { outcome: 'settled', row: { cost: 0 } })
  gate.resume()
  // A settlement is a booking, not an end: the picture is found, and what was booked is corrected to what fal bills.
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { cost: 60_000, costAssumed: false, output: /images/ })
  await until(() => [one, other].some(replica => replica.log().includes('billed after all')))
  await moneyOf(t, deployment, [one, other])
  t.same(await ledger.audit(), [])
})
