// `fal_webhook` at fal's doors: fal's body and fal's signature, with the keys of the gateway.

import { createPublicKey, generateKeyPairSync, hash, verify } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startGateway, tenant, type Gateway, type GatewayOptions, type Reply } from '../../support/gateway.ts'
import { startReceiver, type ReceivedHook, type Receiver } from '../../support/receiver.ts'
import { until } from '../../support/until.ts'

const QUEUE = '/fal/queue/fal-ai/imagen4/preview/ultra'

function pem (): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

interface Scene extends Gateway { readonly receiver: Receiver, readonly keyFile: string, readonly submit: (body: object, headers?: Record<string, string>) => Promise<Reply> }

async function scene (t: Test, options: GatewayOptions = {}): Promise<Scene> {
  const receiver = await startReceiver(t)
  const keyFile = join(t.testdir({ keys: pem() }), 'keys')
  const gateway = await startGateway(t, { env: { WEBHOOK_KEY_FILE: keyFile }, tenants: { tenants: [tenant('studio', { webhooks: [receiver.host] })] }, ...options })
  return { ...gateway, receiver, keyFile, submit: async (body, headers = {}) => await gateway.generate(body, { path: `${QUEUE}?fal_webhook=${encodeURIComponent(receiver.url)}`, headers }) }
}

/** The check as fal's documentation tells it, with the keys that the gateway shows. */
async function isTaken ({ get }: Gateway, { headers, raw }: ReceivedHook): Promise<boolean> {
  const named = ['request-id', 'user-id', 'timestamp', 'signature'].map(name => String(headers[`x-fal-webhook-${name}`]))
  const [requestId, userId, timestamp, signature = ''] = named
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false
  const message = Buffer.from([requestId, userId, timestamp, hash('sha256', raw, 'hex')].join('\n'), 'utf8')
  const { keys } = (await get('/fal/.well-known/jwks.json', { key: null })).json()
  return [keys].flat().some(key => verify(null, message, createPublicKey({ key: Object(key), format: 'jwk' }), Buffer.from(signature, 'hex')))
}

t.test('a request that was submitted with fal_webhook is told of in fal\'s form, which fal\'s documented check takes', async t => {
  const gateway = await scene(t)
  const { receiver, submit, get } = gateway
  const id = String((await submit({ prompt: 'x', seed: 1 })).json()['request_id'])
  const [told] = await receiver.until(1)
  if (told === undefined) throw new Error('nothing')
  t.ok(await isTaken(gateway, told))
  t.match(told.headers, { 'x-fal-webhook-request-id': id, 'x-fal-webhook-user-id': 'studio' })
  t.equal(told.raw, `{"request_id":"${id}","gateway_request_id":"${id}","status":"OK","payload":${(await get(`${QUEUE}/requests/${id}`)).text}}`)
  const sent = told.raw.replace('"OK"', '"NO"')
  t.notOk(await isTaken(gateway, { ...told, raw: sent }), 'another body')
})

t.test('the webhook names the id that the submit was told, however its answer came about', async t => {
  const { receiver, submit, get } = await scene(t)
  const ids: string[] = []
  for (const headers of [{}, {}, { 'idempotency-key': 'a' }, { 'idempotency-key': 'a' }]) {
    ids.push(String((await submit({ prompt: 'x', seed: 1 }, headers)).json()['request_id']))
    await until(async () => (await get(`${QUEUE}/requests/${ids.at(-1)}/status`)).json()['status'] === 'COMPLETED')
  }
  await until(() => ids.every(id => receiver.received.some(({ json }) => json['request_id'] === id)))
  t.pass('each was told')
})

t.test('an error is told with fal\'s status, the body of the result and the sentence that fal documents', async t => {
  const gateway = await scene(t)
  const { receiver, submit, get, sandbox } = gateway
  sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation' })
  const id = String((await submit({ prompt: 'x' })).json()['request_id'])
  const [told] = await receiver.until(1)
  const result = await get(`${QUEUE}/requests/${id}`)
  t.same(told?.json, { request_id: id, gateway_request_id: id, status: 'ERROR', error: `Invalid status code: ${result.status}`, payload: result.json() })
  t.match(told?.json, { error: 'Invalid status code: 422', payload: { detail: [{ loc: ['body'], msg: String, type: String }] } })
  t.ok(told !== undefined && await isTaken(gateway, told))
})

t.test('a payload that is too long says so in payload_error', async t => {
  const { receiver, submit, sandbox } = await scene(t)
  sandbox.faults.add({ kind: 'job', operation: 'submit', insideBytes: 300_000 })
  await submit({ prompt: 'x', sync_mode: true })
  const [told] = await receiver.until(1)
  t.match(told?.json, { status: 'OK', payload: null, payload_error: /^The output has \d+ bytes, more than a webhook carries/ })
})

t.test('the keys are shown to everybody and kept for an hour, and follow their file', async t => {
  const { get, keyFile, reload } = await scene(t)
  const shown = await get('/fal/.well-known/jwks.json', { key: null })
  t.equal(shown.status, 200)
  t.equal(shown.headers.get('cache-control'), 'public, max-age=3600')
  t.match(shown.json(), { keys: [{ kty: 'OKP', crv: 'Ed25519', x: /^[\w-]{43}$/ }] })
  t.notOk(shown.text.includes('"d"'))
  writeFileSync(keyFile, pem() + pem())
  await reload()
  const after = await get('/fal/.well-known/jwks.json', { key: null })
  t.equal([after.json()['keys']].flat().length, 2)
  writeFileSync(keyFile, 'no key')
  await reload()
  t.equal((await get('/fal/.well-known/jwks.json', { key: null })).text, after.text, 'a faulty file changes nothing')
})

t.test('without a key, at the synchronous call and to other hosts it is refused, before anything is bought', async t => {
  const { generate, receiver, sandbox } = await scene(t, { env: { FAL_KEY: 'a:b', TENANTS_FILE: 'tenants.json', STORE: 'memory' } })
  const at = async (path: string, address: string) => await generate({ prompt: 'x' }, { path: `${path}?fal_webhook=${encodeURIComponent(address)}` })
  t.match((await at(QUEUE, receiver.url)).json(), { detail: /WEBHOOK_KEY_FILE/ })
  t.equal((await at(QUEUE, receiver.url)).status, 403)
  t.match((await at('/fal/fal-ai/imagen4/preview/ultra', receiver.url)).json(), { detail: /fal_webhook is for what is submitted to the queue/ })
  for (const [address, status] of [['https://other.example/', 403], ['http://other.example/', 400], ['nothing', 400]] as const) t.equal((await at(QUEUE, address)).status, status, address)
  t.equal((await generate({ prompt: 'x' }, { path: `${QUEUE}?fal_webhook=a&fal_webhook=b` })).status, 400)
  t.equal(sandbox.bill.submits, 0)
})
