// Browser tokens on two replicas: what is spent is counted once for both, and an end is an end on both.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { parseObject, STUDIO_KEY } from '../support/gateway.ts'
import { documentModel, modelFile } from '../support/model-files.ts'
import { startRedisGate } from '../support/redis-gate.ts'
import { redisUrl } from '../support/redis.ts'
import { deploy, USUAL_LEASE, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const CONNECTIONS = 50

/** A model of which one call makes as many files as it is told. */
const several = {
  endpointId: 'acme/several',
  price: { usd: 0.03, per: 'image' },
  input: promptAnd({ seed: { type: 'integer' }, num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1 } })
}

async function post ({ base }: Replica, path: string, key: string, body: object): Promise<{ readonly status: number, readonly body: Readonly<Record<string, unknown>> }> {
  const response = await fetch(base + path, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return { status: response.status, body: parseObject(await response.text()) }
}

async function give (replica: Replica, wish: Readonly<Record<string, unknown>>): Promise<{ readonly token: string, readonly id: string }> {
  const { body: { token, id } } = await post(replica, '/tokens', STUDIO_KEY, wish)
  return { token: String(token), id: String(id) }
}

/** All at once, every other one at the other replica: those that were answered with pictures, and how many were told that the token is used up. */
async function race (replicas: readonly [Replica, Replica], token: string, path: string, bodyOf: (call: number) => object) {
  const replies = await Promise.all(Array.from({ length: CONNECTIONS }, async (_, call) => await post(replicas[call % 2 === 0 ? 0 : 1], path, token, bodyOf(call))))
  return {
    made: replies.filter(({ status }) => status === 200),
    refused: replies.filter(({ status, body }) => status === 402 && body['code'] === 'token-exhausted').length
  }
}

function modelsFolder (t: Test): string {
  const folder = join(t.testdirName, 'models')
  mkdirSync(folder)
  const { name, text } = modelFile(several)
  writeFileSync(join(folder, name), text)
  return folder
}

t.test('fifty connections to two replicas that race with a token for three pictures buy exactly three files', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { env: USUAL_LEASE })
  const replicas = await Promise.all([startReplica(), startReplica()])
  const { token } = await give(replicas[0], { pictures: 3 })
  const { made, refused } = await race(replicas, token, '/generate', call => ({ prompt: `wish ${call}` }))
  t.same([made.length, refused], [3, CONNECTIONS - 3])
  t.equal(sandbox.bill.accepted, 3)
  t.same(await ledger.audit(), [])
})

t.test('a call for two files takes two, so that a token for three never buys a fourth', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { env: USUAL_LEASE, sandbox: { models: createModels([imagen4Ultra], { added: [documentModel(several)] }) } })
  const env = { MODELS_DIR: modelsFolder(t) }
  const replicas = await Promise.all([startReplica(env), startReplica(env)])
  const { token, id } = await give(replicas[0], { pictures: 3 })
  const path = `/generate/${several.endpointId}`
  const { made, refused } = await race(replicas, token, path, call => ({ prompt: `wish ${call}`, num_images: 2 }))
  t.same([made.length, refused], [1, CONNECTIONS - 1])
  t.equal([made[0]?.body['images']].flat().length, 2)
  t.equal(sandbox.bill.accepted, 1)

  // One is left, and one is asked for.
  t.equal((await post(replicas[1], path, token, { prompt: 'the last' })).status, 200)
  t.match(await ledger.token(id), { picturesLeft: 0 })
  t.same(await ledger.audit(), [])
})

t.test('a token that is revoked at one replica is refused by the other, which knew it', async t => {
  const { startReplica } = await deploy(t)
  const [one, other] = await Promise.all([startReplica(), startReplica()])
  const { token, id } = await give(one, { pictures: 3 })
  t.equal((await other.get('/models', token)).status, 200)
  const revoked = await fetch(`${one.base}/tokens/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${STUDIO_KEY}` } })
  t.equal(revoked.status, 204)
  await until(async () => (await other.get('/models', token)).status !== 200)
  t.match((await other.get('/models', token)).json(), { code: 'token-revoked' })
})

t.test('a replica that cannot ask refuses a made-up token all the same, because it need not ask, and takes a live one once it can', async t => {
  const gate = await startRedisGate(t, await redisUrl())
  const { startReplica } = await deploy(t)
  const [one, gated] = await Promise.all([startReplica(), startReplica({ REDIS_URL: gate.url })])
  const { token, id } = await give(one, { pictures: 3 })
  gate.refuse(['token'])
  t.equal((await gated.get('/models', token)).status, 500, 'it has to ask')
  t.match((await gated.get('/models', `fgt_${id}_${'x'.repeat(43)}`)).json(), { code: 'key-unknown' })
  gate.refuse([])
  await until(async () => (await gated.get('/models', token)).status === 200)
  t.equal((await gated.get('/models', token)).status, 200)
})
