// fal's own clients, as published, name a webhook for what they submit: the gateway calls it in fal's form, under the id that the client was given.

import { execFile } from 'node:child_process'
import { createPublicKey, generateKeyPairSync, hash, verify } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createFalClient } from '@fal-ai/client'
import t, { type Test } from 'tap'
import { makeCertificate, type Certificate } from '../support/fal/certificate.ts'
import { pythonWithFalClient } from '../support/fal/python.ts'
import { startGateway, STUDIO_KEY, tenant, type Gateway } from '../support/gateway.ts'
import { startReceiver, type ReceivedHook, type Receiver } from '../support/receiver.ts'
import { until } from '../support/until.ts'
import { workFolder } from '../support/world.ts'

t.setTimeout(600_000)

const MODEL = 'fal-ai/imagen4/preview/ultra'
const run = promisify(execFile)

interface Scene extends Gateway { readonly receiver: Receiver, readonly folder: string }

async function scene (t: Test, certificate?: Certificate): Promise<Scene> {
  const folder = workFolder(t)
  writeFileSync(join(folder, 'keys'), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  const receiver = await startReceiver(t)
  const tls = certificate === undefined ? {} : { TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: certificate.keyFile }
  const gateway = await startGateway(t, { env: { WEBHOOK_KEY_FILE: join(folder, 'keys'), ...tls }, tenants: { tenants: [tenant('studio', { webhooks: [receiver.host] })] } })
  return { ...gateway, receiver, folder }
}

/** fal's documented check. */
function isTaken ({ headers, raw }: ReceivedHook, keys: ReadonlyArray<Record<string, string>>): boolean {
  const named = ['request-id', 'user-id', 'timestamp', 'signature'].map(name => String(headers[`x-fal-webhook-${name}`]))
  const [requestId, userId, timestamp, signature = ''] = named
  const message = Buffer.from([requestId, userId, timestamp, hash('sha256', raw, 'hex')].join('\n'), 'utf8')
  return Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300 && keys.some(key => verify(null, message, createPublicKey({ key, format: 'jwk' }), Buffer.from(signature, 'hex')))
}

t.test('fal\'s JavaScript client: webhookUrl of a submit', async t => {
  const { url, receiver, get } = await scene(t)
  const fal = createFalClient({ credentials: STUDIO_KEY, requestMiddleware: async request => ({ ...request, url: request.url.replace(/^https:\/\/queue\.fal\.run/, `${url}/fal/queue`) }) })
  const { request_id: id } = await fal.queue.submit(MODEL, { input: { prompt: 'x' }, webhookUrl: receiver.url })
  const [told] = await receiver.until(1)
  t.equal(told?.url, '/hook?team=studio')
  t.match(told?.json, { request_id: id, status: 'OK', payload: { images: [{ url: /^http/ }] } })
  const { keys } = (await get('/fal/.well-known/jwks.json', { key: null })).json()
  t.ok(told !== undefined && isTaken(told, [keys].flat().map(Object)))
  const { data } = await fal.queue.result(MODEL, { requestId: id })
  t.same(told?.json['payload'], data)
})

t.test('fal\'s Python client: webhook_url of a submit', async t => {
  const found = await pythonWithFalClient()
  if ('missing' in found) {
    t.fail(found.missing)
    return
  }
  const certificate = makeCertificate(t)
  const { url, receiver, folder } = await scene(t, certificate)
  const host = url.replace('https://', '')
  writeFileSync(join(folder, 'submit.py'), `import fal_client, sys\nprint(fal_client.submit("${MODEL}", arguments={"prompt": "x"}, webhook_url=sys.argv[1]).request_id)\n`)
  const { stdout } = await run(found.python, [join(folder, 'submit.py'), receiver.url], { env: { FAL_KEY: STUDIO_KEY, FAL_RUN_HOST: `${host}/fal`, FAL_QUEUE_RUN_HOST: `${host}/fal/queue`, SSL_CERT_FILE: certificate.caFile, PATH: '' }, timeout: 120_000 })
  await until(() => receiver.received.length > 0)
  t.match(receiver.received[0]?.json, { request_id: stdout.trim(), status: 'OK', payload: { images: [{ url: /^http/ }] } })
})
