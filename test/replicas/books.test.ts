// Replicas with different models: what one bought the other serves, collects when the buyer dies, and never buys.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createModels } from '../../src/models/models.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { STUDIO_KEY } from '../support/gateway.ts'
import { documentModel, modelFile } from '../support/model-files.ts'
import { deploy, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const options = { endpointId: 'acme/painter/v2', price: { usd: 0.06, per: 'call' } }
const MODEL = options.endpointId

async function submit ({ base }: Replica): Promise<Response> {
  return await fetch(`${base}/fal/queue/${MODEL}`, { method: 'POST', headers: { authorization: `Key ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: '{"prompt":"a fair"}' })
}

t.test('a replica without the model follows, serves and collects what another bought of it, and takes no call of its own', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { sandbox: { models: createModels([imagen4Ultra], { added: [documentModel(options)] }) } })
  const [having, empty] = [join(t.testdirName, 'having'), join(t.testdirName, 'empty')]
  mkdirSync(having)
  mkdirSync(empty)
  const { name, text } = modelFile(options)
  writeFileSync(join(having, name), text)
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

t.test('a model that is removed while it runs ends as it should, and a faulty file leaves the book as it was', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { sandbox: { models: createModels([imagen4Ultra], { added: [documentModel(options)] }) } })
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
