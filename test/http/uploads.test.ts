// Files of callers and the storage: what its faults mean to who sends them, and the storage of a gateway's own sandbox.

import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { createModels } from '../../src/models/models.ts'
import { makeCertificate } from '../support/fal/certificate.ts'
import { parseObject, startGateway, startWithOwnSandbox, STUDIO_KEY, tenant, type Gateway } from '../support/gateway.ts'
import { modelWith } from '../support/image-models.ts'
import { pixel } from '../support/pixel.ts'
import { until } from '../support/until.ts'

const MODEL = 'acme/single'
const models = createModels([modelWith({ image_url: { type: 'string' } }, MODEL)])

interface Reply { readonly status: number, readonly headers: Readonly<Record<string, string | string[] | undefined>>, readonly text: string }

/** Sends a picture along. */
async function edit (url: string, picture: Uint8Array<ArrayBuffer>): Promise<Reply> {
  const form = new FormData()
  for (const [name, text] of Object.entries({ prompt: 'with a hat', model: MODEL })) form.append(name, text)
  form.append('image', new Blob([picture]), 'Mrs Example on holiday.png')
  const sent = new Response(form)
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } })
  const { statusCode, headers, body } = await request(`${url}/v1/images/edits`, {
    method: 'POST',
    headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': sent.headers.get('content-type') ?? '' },
    body: Buffer.from(await sent.arrayBuffer()),
    dispatcher
  })
  const text = await body.text()
  await dispatcher.close()
  return { status: statusCode, headers, text }
}

async function start (t: Test): Promise<Gateway> {
  return await startGateway(t, { models, env: { UPLOADS: 'on' } })
}

/** How many files were brought, by what came of it. */
async function brought (url: string): Promise<Readonly<Record<string, number>>> {
  const response = await request(`${url}/metrics`, { dispatcher: new Agent({ connect: { rejectUnauthorized: false } }) })
  return Object.fromEntries([...(await response.body.text()).matchAll(/^falgate_uploads_total\{outcome="([^"]+)"\} (\d+)$/gm)].map(([, outcome = '', count]) => [outcome, Number(count)]))
}

t.test('however the storage fails, nothing is bought, the caller is told when to send it again, and then it goes well', async t => {
  const gateway = await start(t)
  const rows = [
    [{ kind: 'answer', operation: 'initiate', error: 'internal_error' }, 502, 'upload_failed'],
    [{ kind: 'answer', operation: 'initiate', error: 'locked' }, 503, 'upstream_account_blocked'],
    [{ kind: 'odd', operation: 'initiate', answer: 'html' }, 502, 'upload_failed'],
    [{ kind: 'reset', operation: 'upload' }, 502, 'upload_failed'],
    [{ kind: 'answer', operation: 'upload', error: 'runner_disconnected' }, 502, 'upload_failed']
  ] as const
  for (const [fault, status, code] of rows) {
    gateway.sandbox.faults.add(fault)
    const reply = await edit(gateway.url, pixel())
    t.equal(reply.status, status, reply.text)
    t.match(parseObject(reply.text), { error: { code } })
    t.match(reply.headers['retry-after'], /^\d+$/)
    t.notMatch(reply.text, /user is|balance|storage\/upload|Example/i)
  }
  t.equal(gateway.sandbox.bill.submits, 0)
  t.equal((await edit(gateway.url, pixel())).status, 200)
  t.same(await brought(gateway.url), { blocked: 1, failed: 4, uploaded: 1 })
})

t.test('a caller that leaves while its file is on the way buys nothing, and its file is let go of', async t => {
  const gateway = await start(t)
  const set = gateway.sandbox.faults.add({ kind: 'hang', operation: 'upload' })
  const leaving = new AbortController()
  const form = new FormData()
  for (const [name, text] of Object.entries({ prompt: 'p', model: MODEL })) form.append(name, text)
  form.append('image', new Blob([pixel()]), 'a.png')
  const left = fetch(`${gateway.url}/v1/images/edits`, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}` }, body: form, signal: leaving.signal })
  await set.untilHit()
  leaving.abort()
  await t.rejects(left, { name: 'AbortError' })
  await until(async () => (await brought(gateway.url))['given-up'] === 1)
  t.equal(gateway.sandbox.bill.submits, 0)
})

t.test('the sandbox of the gateway itself has a storage, at its own address, at PUBLIC_URL, and behind TLS', async t => {
  const { certFile, keyFile } = makeCertificate(t)
  const tls = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
  await Promise.all([{}, { PUBLIC_URL: 'https://pictures.example/falgate' }, tls, { ...tls, PUBLIC_URL: 'https://pictures.example' }].map(async env => {
    const { url } = await startWithOwnSandbox(t, { env: { ...env, UPLOADS: 'on', PORT: '0' }, models, tenants: { tenants: [tenant('studio')] } })
    const reply = await edit(url, pixel())
    t.equal(reply.status, 200, reply.text)
    t.same(await brought(url), { uploaded: 1 })
  }))
})
