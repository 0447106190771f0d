// Replicas with different models: what one bought the other serves, collects when the buyer dies, and never buys.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createModels } from '../../src/models/models.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import type { Faults } from '../../src/sandbox/faults.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { STUDIO_KEY } from '../support/gateway.ts'
import { documentModel, modelFile } from '../support/model-files.ts'
import { startRedisGate, type RedisGate } from '../support/redis-gate.ts'
import { redisUrl } from '../support/redis.ts'
import { deploy, USUAL_LEASE, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const options = {
  endpointId: 'acme/painter/v2',
  price: { usd: 0.06, per: 'call' },
  input: promptAnd({ seed: { type: 'integer' } })
}
const MODEL = options.endpointId

async function post ({ base }: Replica, path: string, body: object): Promise<Response> {
  return await fetch(base + path, { method: 'POST', headers: { authorization: `Key ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
}

async function submit (replica: Replica, prompt = 'a fair'): Promise<Response> {
  return await post(replica, `/fal/queue/${MODEL}`, { prompt })
}

/** Two folders: one has the file of the model, and one is empty. */
function folders (t: Test): { readonly having: string, readonly empty: string } {
  const [having, empty] = [join(t.testdirName, 'having'), join(t.testdirName, 'empty')]
  mkdirSync(having)
  mkdirSync(empty)
  const { name, text } = modelFile(options)
  writeFileSync(join(having, name), text)
  return { having, empty }
}

/** What plays the model. */
const sandboxOfModel = { models: createModels([imagen4Ultra], { added: [documentModel(options)] }) }

t.test('a replica without the model follows, serves and collects what another bought of it, and takes no call of its own', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { sandbox: sandboxOfModel })
  const { having, empty } = folders(t)
  // Alone at first: any replica takes what waits, also one without the model.
  const buyer = await startReplica({ MODELS_DIR: having })

  const done = String(Object(await (await submit(buyer)).json()).request_id)
  await until(async () => (await ledger.getMany([done]))[0]?.phase === 'succeeded')
  const release = sandbox.faults.holdJobs()
  const running = String(Object(await (await submit(buyer)).json()).request_id)
  await until(async () => (await ledger.getMany([running]))[0]?.phase === 'running')

  const other = await startReplica({ MODELS_DIR: empty })
  const paths = [`/fal/queue/acme/painter/requests/${done}`, `/fal/queue/${MODEL}/requests/${done}`, `/generations/${done}`]
  for (const path of paths) {
    const [one, two] = [await buyer.get(path), await other.get(path)]
    t.equal(two.status, 200, path)
    t.equal(two.text, one.text, path)
  }
  t.equal((await submit(other)).status, 404)
  t.equal((await other.get(`/models/${MODEL}`)).status, 404)

  buyer.child.kill('SIGKILL')
  await buyer.ended
  await until(async () => (await ledger.getMany([running]))[0]?.owner === other.name)
  release()
  await until(async () => (await other.get(`/fal/queue/acme/painter/requests/${running}/status`)).json()['status'] === 'COMPLETED')
  t.match((await other.get(`/fal/queue/acme/painter/requests/${running}`)).json(), { images: [{ url: /^http/ }] })
  t.match(await ledger.getMany([running]), [{ phase: 'succeeded', takeovers: 1, cost: 60_000 }])
  t.same([sandbox.bill.accepted, sandbox.bill.billedUnits], [2, 2])
  t.same(await ledger.audit(), [])
})

t.test('callers at both at once: what waits of the model is bought by either, each input once, and only the replica that has the model admits it', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { sandbox: { ...sandboxOfModel, queueMs: 20, runMs: 50 }, env: { ...USUAL_LEASE, FAL_CONCURRENCY: '3' } })
  const { having, empty } = folders(t)
  const [buyer, other] = await Promise.all([startReplica({ MODELS_DIR: having }), startReplica({ MODELS_DIR: empty })])
  const inputs = Array.from({ length: 8 }, (_, seed) => ({ prompt: 'a fair', seed }))
  const calls = [...inputs, ...inputs].map(async (input): Promise<readonly [reply: string, refused: number]> => {
    const [mine, theirs, usual] = await Promise.all([post(buyer, `/generate/${MODEL}`, input), post(other, `/generate/${MODEL}`, input), post(other, '/generate', input)])
    t.equal(usual.status, 200)
    t.equal(mine.status, 200)
    return [await mine.text(), theirs.status]
  })
  const answers = await Promise.all(calls)
  t.same(new Set(answers.map(([, refused]) => refused)), new Set([404]))
  t.equal(new Set(answers.map(([text]) => text)).size, inputs.length, 'callers with the same input have the same picture')
  t.same([sandbox.bill.accepted, sandbox.bill.billedUnits], [16, 16], 'eight of the model and eight of the other, each once')
  t.same(await ledger.audit(), [])
})

t.test('what waits when the replica that admitted it is killed is bought once by one without the model', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { sandbox: sandboxOfModel, env: { FAL_CONCURRENCY: '1' } })
  const { having, empty } = folders(t)
  const [buyer, other] = await Promise.all([startReplica({ MODELS_DIR: having }), startReplica({ MODELS_DIR: empty })])
  const release = sandbox.faults.holdJobs()
  const ids: string[] = []
  for (const prompt of ['a fair', 'a market', 'a harbour']) ids.push(String(Object(await (await submit(buyer, prompt)).json()).request_id))
  await sandbox.bill.untilAccepted(1)
  await until(async () => (await ledger.getMany(ids)).some(row => row?.phase === 'running'))
  buyer.child.kill('SIGKILL')
  await buyer.ended
  t.same((await ledger.getMany(ids)).map(row => row?.phase).toSorted(), ['running', 'waiting', 'waiting'])
  release()
  for (const id of ids) {
    await until(async () => (await other.get(`/fal/queue/acme/painter/requests/${id}/status`)).json()['status'] === 'COMPLETED')
    t.match((await other.get(`/fal/queue/${MODEL}/requests/${id}`)).json(), { images: [{ url: /^http/ }] })
  }
  t.match(await ledger.getMany(ids), ids.map(() => ({ phase: 'succeeded', attempt: 1, cost: 60_000 })))
  t.same([sandbox.bill.submits, sandbox.bill.accepted, sandbox.bill.billedUnits], [3, 3, 3])
  t.same(await ledger.audit(), [])
})

/** Where a buyer dies between its claim and what it learns of fal's acceptance, and whether fal has taken the purchase by then. */
const deaths = [
  { says: 'after its claim, before its submit', purchases: 0, stand: async (gate: RedisGate) => { await gate.holdAt('claim', 'after', '"outcome":"go"') } },
  { says: 'while fal has its submit and has not answered', purchases: 1, stand: async (_gate: RedisGate, faults: Faults) => { await faults.add({ kind: 'hang', operation: 'submit', accepted: true }).untilHit() } },
  { says: 'after fal answered, before the id is stored', purchases: 1, stand: async (gate: RedisGate) => { await gate.holdAt('recordAccepted', 'before') } }
] as const

for (const { says, purchases, stand } of deaths) {
  t.test(`a buyer that is killed ${says} leaves an unknown to a replica without the model: its money is held, and nothing is bought twice`, async t => {
    const redis = await redisUrl()
    const { sandbox, ledger, startReplica, settleAt, untilGeneration, pauseClaims } = await deploy(t, { sandbox: sandboxOfModel, redisUrl: redis })
    const { having, empty } = folders(t)
    const input = { prompt: 'a fair', seed: 7 }
    const moneyNow = async (): Promise<unknown> => (await ledger.balances([{ owner: 'studio', per: 'month' }]))[0]
    const gate = await startRedisGate(t, redis)
    // Alone at first: any replica takes what waits, also one without the model.
    const buyer = await startReplica({ MODELS_DIR: having, REDIS_URL: gate.url })
    // A picture that was ready would be told from what the buyer knows, without the ledger.
    const release = sandbox.faults.holdJobs()
    const resumeClaims = await pauseClaims()
    const stopped = stand(gate, sandbox.faults)
    const first = post(buyer, `/generate/${MODEL}`, input).catch(() => null)
    await untilGeneration(({ phase }) => phase === 'waiting')
    await resumeClaims()
    await stopped
    const other = await startReplica({ MODELS_DIR: empty })
    buyer.child.kill('SIGKILL')
    await buyer.ended
    release()
    t.not((await first)?.status, 200, 'nobody has a picture')

    const { id } = await untilGeneration(({ phase }) => phase === 'unknown')
    t.match((await other.get(`/generations/${id}`)).json(), { model: MODEL, status: 'unknown', cost_usd: null })
    t.match(await moneyNow(), { held: 60_000, spent: 0 })
    t.match(await ledger.unknowns(10), [{ id, price: 60_000 }])

    // The same call again, at one that has the model, and at both at once: nobody knows, and nobody buys.
    const next = await startReplica({ MODELS_DIR: having })
    for (const reply of await Promise.all([post(next, `/generate/${MODEL}`, input), post(next, `/generate/${MODEL}`, input)])) {
      t.equal(reply.status, 502)
      t.match(await reply.json(), { code: 'outcome-unknown', generation_id: id })
    }
    t.equal((await post(other, `/generate/${MODEL}`, input)).status, 404)
    t.equal(sandbox.bill.accepted, purchases)

    // An operator has looked at fal's bill.
    t.match(await settleAt(id, purchases === 1, ledger.now() + 3_600_000), { outcome: 'settled' })
    t.match(await moneyNow(), { held: 0, spent: purchases * 60_000 })
    t.equal(sandbox.bill.accepted, purchases)
    t.same(await ledger.audit(), [])
  })
}

t.test('a model that is removed while it runs ends as it should, and a faulty file leaves the book as it was', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { sandbox: sandboxOfModel })
  const dir = join(t.testdirName, 'models')
  mkdirSync(dir)
  const { name, text } = modelFile(options)
  writeFileSync(join(dir, name), text)
  const replica = await startReplica({ MODELS_DIR: dir })
  writeFileSync(join(dir, name), '{')
  replica.child.kill('SIGHUP')
  await until(() => replica.log().includes('the file is not valid JSON'))
  const release = sandbox.faults.holdJobs()
  const accepted = await submit(replica)
  t.equal(accepted.status, 200, 'the old book stays')
  const id = String(Object(await accepted.json()).request_id)
  await until(async () => (await ledger.getMany([id]))[0]?.phase === 'running')
  rmSync(join(dir, name))
  replica.child.kill('SIGHUP')
  await until(async () => (await replica.get(`/models/${MODEL}`)).status === 404)
  release()
  await until(async () => (await replica.get(`/fal/queue/acme/painter/requests/${id}/status`)).json()['status'] === 'COMPLETED')
  t.match((await replica.get(`/fal/queue/acme/painter/requests/${id}`)).json(), { images: [{ url: /^http/ }] })
  t.match((await replica.get(`/generations/${id}`)).json(), { model: MODEL, status: 'succeeded', cost_usd: 0.06 })
  t.equal((await submit(replica)).status, 404)
  t.same(await ledger.audit(), [])
})
