// Crowds: many callers on many replicas for one picture, one budget, one key; and callers who repeat what they got no answer to.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createModels } from '../../src/models/models.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { at, counts, crowd, patiently } from '../support/crowd.ts'
import { tenant } from '../support/gateway.ts'
import { documentModel, modelFile } from '../support/model-files.ts'
import { moneyOf } from '../support/money.ts'
import { deploy, ownerAmong, type Deployment, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

/** A process that 300 callers reach at once, on a machine that is busy with others, may be silent for longer than the second that tests usually lease for. */
const LONG_LEASE = { LEASE_SECONDS: '10' }

/** Nothing is left behind, and all that count money agree. */
async function checkSum (t: Test, { ledger, sandbox }: Deployment, replicas: readonly Replica[], counters: 'exact' | 'at-most' = 'exact'): Promise<void> {
  await until(async () => (await ledger.gauges()).atUpstream === 0)
  t.match(await moneyOf(t, { ledger, sandbox }, replicas, { counters }), { held: 0, unknown: 0 })
  t.same(await ledger.audit(), [])
}

t.test('1,000 identical seeded requests over three replicas are one purchase and 1,000 equal answers', async t => {
  const deployment = await deploy(t, { env: LONG_LEASE })
  const { sandbox, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica(), startReplica()])
  const replies = await crowd(replicas, 1000, () => ({ prompt: 'a crowd', seed: 7 }))
  t.same(counts(replies), { 200: 1000 })
  t.equal(new Set(replies.map(reply => reply.text)).size, 1)
  t.equal(replies.filter(reply => reply.headers.get('falgate-cost-usd') === '0.06').length, 1, 'one of them paid')
  t.equal(sandbox.bill.submits, 1)
  await checkSum(t, deployment, replicas)
})

t.test('the same with the owner killed midway: one purchase, the survivors\' callers are answered, the dead one\'s when they ask again', async t => {
  const deployment = await deploy(t, { env: LONG_LEASE })
  const { sandbox, startReplica, untilGeneration } = deployment
  const replicas = await Promise.all([startReplica(), startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const body = { prompt: 'a crowd', seed: 7 }
  const calls = Array.from({ length: 1000 }, async (_, caller) => {
    const replica = at(replicas, caller)
    const reply = await patiently(async () => await replica.generate(body)).catch(() => null)
    return { replica, reply }
  })
  const { owner, others } = ownerAmong(replicas, await untilGeneration(({ phase }) => phase === 'running'))
  owner.child.kill('SIGKILL')
  await owner.ended
  release()
  const answers = await Promise.all(calls)
  const unanswered = answers.filter(({ reply }) => reply === null)
  t.ok(unanswered.every(({ replica }) => replica === owner), 'only the callers of the dead one have no answer')
  const again = await crowd(others, unanswered.length, () => body)
  const replies = [...answers.flatMap(({ reply }) => reply ?? []), ...again]
  t.same(counts(replies), { 200: 1000 })
  t.equal(new Set(replies.map(reply => reply.text)).size, 1)
  t.equal(sandbox.bill.submits, 1)
  await checkSum(t, deployment, others, 'at-most')
})

t.test('500 different requests race over two replicas for a budget of 20 pictures: 20 are bought, 480 are 402', async t => {
  const limits = { maxInFlight: 100, maxQueued: 10_000, rateLimit: { max: 100_000, windowSeconds: 60 }, callLimit: { max: 1_000_000, windowSeconds: 60 } }
  const deployment = await deploy(t, { env: LONG_LEASE, tenants: { tenants: [tenant('studio', { ...limits, budget: { usd: 1.2, per: 'month' } })] } })
  const { sandbox, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  const replies = await crowd(replicas, 500, seed => ({ prompt: 'for the last cents', seed }))
  t.same(counts(replies), { 200: 20, 'budget-exhausted': 480 })
  t.equal(sandbox.bill.submits, 20)
  t.equal(sandbox.bill.billedUnits, 20)
  await checkSum(t, deployment, replicas)
})

t.test('300 requests of many prices race over two replicas for a budget of 5 USD: it is used up, and never a cent more', async t => {
  const UNIT_PRICE = 80_000
  const options = {
    endpointId: 'acme/painter/v3',
    input: {
      type: 'object',
      required: ['prompt'],
      properties: {
        prompt: { type: 'string' },
        num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1 },
        resolution: { type: 'string', enum: ['0.5K', '1K', '2K', '4K'], default: '1K' },
        search: { type: 'boolean', default: false }
      }
    },
    price: { usd: 0.08, per: 'image', times: { resolution: { '0.5K': 0.75, '1K': 1, '2K': 1.5, '4K': 2 } }, plus: { search: { true: 0.015, false: 0 } } }
  }
  const { name, text } = modelFile(options)
  const limits = { maxInFlight: 100, maxQueued: 10_000, rateLimit: { max: 100_000, windowSeconds: 60 }, callLimit: { max: 1_000_000, windowSeconds: 60 } }
  const deployment = await deploy(t, {
    env: LONG_LEASE,
    sandbox: { models: createModels([imagen4Ultra], { added: [documentModel(options)] }) },
    tenants: { tenants: [tenant('studio', { ...limits, budget: { usd: 5, per: 'month' } })] }
  })
  const { ledger, sandbox, startReplica } = deployment
  const dir = join(t.testdirName, 'models')
  mkdirSync(dir)
  writeFileSync(join(dir, name), text)
  const env = { MODELS_DIR: dir, DEFAULT_MODEL: options.endpointId }
  const replicas = await Promise.all([startReplica(env), startReplica(env)])
  const resolutions = ['0.5K', '1K', '2K', '4K']
  const replies = await crowd(replicas, 300, caller => ({ prompt: `picture ${caller}`, num_images: caller % 4 + 1, resolution: resolutions[Math.floor(caller / 4) % 4], search: caller % 3 === 0 }))
  t.same(Object.keys(counts(replies)).sort(), ['200', 'budget-exhausted'])
  await until(async () => (await ledger.gauges()).atUpstream === 0)
  const { spent } = await moneyOf(t, deployment, replicas, { price: UNIT_PRICE })
  t.ok(spent <= 5_000_000, 'not a cent over')
  t.ok(spent > 5_000_000 - 0.06 * 1_000_000, 'the cheapest was refused when it did not fit any more')
  t.equal(sandbox.bill.submits, counts(replies)['200'])
  t.same(await ledger.audit(), [])
})

t.test('one Idempotency-Key raced 200-fold over two replicas is one purchase and 200 equal answers', async t => {
  const deployment = await deploy(t, { env: LONG_LEASE })
  const { sandbox, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  const replies = await crowd(replicas, 200, () => ({ prompt: 'x' }), { 'idempotency-key': 'order-1' })
  t.same(counts(replies), { 200: 200 })
  t.equal(new Set(replies.map(reply => reply.text)).size, 1)
  t.equal(replies.filter(reply => reply.headers.get('idempotent-replayed') !== 'true').length, 1, 'all but the first are replays')
  t.equal(sandbox.bill.submits, 1)
  await checkSum(t, deployment, replicas)
})

/** A caller without key or seed, whose connection ends after fal accepted and before anything was answered. */
async function loseAnswer (t: Test, how: 'the connection breaks' | 'its replica is killed'): Promise<void> {
  const deployment = await deploy(t)
  const { sandbox, startReplica, untilGeneration, ledger } = deployment
  const [one, other] = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const body = { prompt: 'sent once, asked twice' }
  const caller = new AbortController()
  const lost = t.rejects(one.generate(body, { signal: caller.signal }), 'no answer')
  const { id } = await untilGeneration(({ requestId }) => requestId !== null)
  if (how === 'the connection breaks') {
    caller.abort()
    await lost
  } else {
    one.child.kill('SIGKILL')
    await Promise.all([one.ended, lost])
  }
  const retry = patiently(async () => await other.generate(body))
  await until(async () => (await ledger.getMany([id]))[0]?.connection?.replica === other.name)
  release()
  const reply = await retry
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('falgate-generation'), id, 'it is the generation that was bought first')
  t.match(reply.headers.get('cache-status'), /detail=adopted/)
  t.equal(reply.headers.get('falgate-cost-usd'), '0')
  t.equal(sandbox.bill.submits, 1)
  if (how === 'the connection breaks') await checkSum(t, deployment, [one, other])
  else await checkSum(t, deployment, [other], 'at-most')

  await until(async () => (await ledger.getMany([id]))[0]?.delivered === true)
  t.equal((await other.generate(body)).status, 200)
  t.equal(sandbox.bill.submits, 2, 'once it is delivered the same request is another picture')
}

t.test('a blind retry on another replica, after the connection broke between acceptance and answer, gets the picture that was bought', async t => {
  await loseAnswer(t, 'the connection breaks')
})

t.test('a blind retry after the replica that had the caller was killed gets the picture that was bought', async t => {
  await loseAnswer(t, 'its replica is killed')
})

t.test('ten blind retries at once for one lost answer: it is handed out, and there are no more purchases than callers', async t => {
  const deployment = await deploy(t)
  const { sandbox, ledger, startReplica, untilGeneration } = deployment
  const [one, ...others] = await Promise.all([startReplica(), startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const body = { prompt: 'sent once, asked ten times' }
  const lost = t.rejects(one.generate(body), 'no answer')
  const { id } = await untilGeneration(({ phase }) => phase === 'running')
  one.child.kill('SIGKILL')
  await Promise.all([one.ended, lost])
  const retries = crowd(others, 10, () => body)
  await until(async () => (await ledger.getMany([id]))[0]?.connection?.replica !== one.name)
  release()
  const replies = await retries
  t.same(counts(replies), { 200: 10 })
  t.ok(replies.some(reply => reply.headers.get('falgate-generation') === id), 'the lost answer was handed out')
  // Where the many questions which callers are there find no answer in time, money is saved and a picture shared.
  t.equal(new Set(replies.map(reply => reply.text)).size, sandbox.bill.accepted, 'every purchase has its caller')
  t.ok(sandbox.bill.accepted <= 10)
  await checkSum(t, deployment, others, 'at-most')
})
