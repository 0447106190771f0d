// Pictures of the built-in sandbox: their addresses are those at which the caller who is answered reaches the gateway, whoever bought them.

import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { RunningApp } from '../../src/app.ts'
import { makeCertificate } from '../support/fal/certificate.ts'
import { key, startWithOwnSandbox, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { callAt, type HostReply } from '../support/host-call.ts'

const PICTURE = { prompt: 'a heron', seed: 42 }
const MODEL = 'fal-ai/imagen4/preview/ultra'
const HOST = 'pictures.example:8443'

async function start (t: Test, env: Readonly<Record<string, string>> = {}): Promise<RunningApp> {
  return await startWithOwnSandbox(t, { env, tenants: { tenants: [tenant('studio', { cacheGroup: 'house' }), tenant('press', { cacheGroup: 'house' })] } })
}

/** The addresses of pictures in an answer, wherever they stand. */
function addressesIn ({ text }: Pick<HostReply, 'text'>): readonly string[] {
  return [...text.matchAll(/"url":"([^"]*)"/g)].map(([, address = '']) => address)
}

t.test('every door gives the address at which it was asked, of a picture that another caller bought at another one', async t => {
  const app = await start(t)
  const bought = await callAt(app.url, { path: '/generate', body: PICTURE })
  t.equal(bought.status, 200)
  const [address = ''] = addressesIn(bought)
  t.match(address, `${app.url}/sandbox/files/`)
  const elsewhere = bought.text.replace(app.url, `http://${HOST}`)
  const id = String(bought.headers['falgate-generation'])

  const hit = await callAt(app.url, { path: '/generate', host: HOST, body: PICTURE })
  t.match(hit.headers['cache-status'], /^falgate; hit/)
  t.equal(hit.text, elsewhere, 'the same bytes but for that')
  t.equal(Number(hit.headers['content-length']), hit.bytes.length)
  const others = await callAt(app.url, { path: '/generate', host: HOST, body: PICTURE, key: key('press') })
  t.equal(others.text, elsewhere, 'a result of another tenant')
  t.equal((await callAt(app.url, { path: `/fal/${MODEL}`, host: HOST, body: PICTURE })).text, elsewhere)
  for (const [path, body] of [[`/generations/${id}`], ['/generations'], ['/generations', PICTURE], [`/generations/${id}/events`]] as const) {
    const reply = await callAt(app.url, { path, host: HOST, body })
    t.ok(reply.text.includes(elsewhere), `${body === undefined ? 'GET' : 'POST'} ${path}`)
    t.notMatch(reply.text, app.url, path)
  }
  const submitted = await callAt(app.url, { path: `/fal/queue/${MODEL}`, host: HOST, body: PICTURE })
  const result = await callAt(app.url, { path: `/fal/queue/fal-ai/imagen4/requests/${String(submitted.json()['request_id'])}`, host: HOST })
  t.equal(result.text, elsewhere)
  t.equal((await callAt(app.url, { path: '/generate', body: PICTURE })).text, bought.text, 'and the first caller gets its own as ever')

  const picture = await callAt(app.url, { path: new URL(address).pathname, host: HOST })
  t.same([picture.status, picture.headers['content-type']], [200, 'image/png'])
})

t.test('what a proxy says of the address counts under TRUST_PROXY only, PUBLIC_URL before both, and the host of fal\'s clients before that', async t => {
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'pictures.example' }
  const [plain, trusting, publicly] = await Promise.all([start(t), start(t, { TRUST_PROXY: 'on' }), start(t, { PUBLIC_URL: 'https://house.example/gateway', FAL_HOSTS: 'fal.example' })])
  const baseAt = async (app: RunningApp, given: { readonly host?: string, readonly path?: string } = {}): Promise<string | undefined> => {
    const reply = await callAt(app.url, { path: '/generate', body: PICTURE, headers: forwarded, ...given })
    return addressesIn(reply)[0]?.split('/files/')[0]
  }
  t.equal(await baseAt(plain), `${plain.url}/sandbox`)
  t.equal(await baseAt(trusting), 'https://pictures.example/sandbox')
  t.equal(await baseAt(publicly), 'https://house.example/gateway/sandbox')
  t.equal(await baseAt(publicly, { host: 'fal.example', path: `/${MODEL}` }), 'https://fal.example/sandbox')
  const [own] = await Promise.all([callAt(publicly.url, { path: '/generate', body: PICTURE })])
  t.equal((await callAt(publicly.url, { path: new URL(addressesIn(own)[0] ?? '').pathname.replace('/gateway', ''), host: 'fal.example' })).status, 200)
})

t.test('a host that is no host makes no answer that cannot be read', async t => {
  const app = await start(t)
  await callAt(app.url, { path: '/generate', body: PICTURE })
  for (const host of ['a"b', 'a\\b', 'a b']) {
    const reply = await callAt(app.url, { path: '/generate', host, body: PICTURE })
    if (reply.status === 200) t.match(reply.json(), { images: [{ url: /^http:\/\/.*\/sandbox\/files\// }], seed: 42 }, host)
    else t.ok(reply.status >= 400 && reply.status < 500, `${host}: ${reply.status}`)
  }
})

t.test('behind TLS pictures are at the address of the gateway, and nothing else of the sandbox is', async t => {
  const certificate = makeCertificate(t)
  const app = await start(t, { TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: certificate.keyFile })
  const ca = readFileSync(certificate.caFile, 'utf8')
  const bought = await callAt(app.url, { path: '/generate', body: PICTURE, ca })
  const [address = ''] = addressesIn(bought)
  t.match(address, `${app.url}/sandbox/files/`)
  t.match(addressesIn(await callAt(app.url, { path: '/generate', host: HOST, body: PICTURE, ca }))[0], `https://${HOST}/sandbox/files/`)
  const picture = await callAt(app.url, { path: new URL(address).pathname, ca })
  t.same([picture.status, picture.headers['content-type']], [200, 'image/png'])
  for (const path of ['/sandbox/control/faults', '/sandbox/', `/sandbox/queue/${MODEL}/requests/x`]) t.equal((await callAt(app.url, { path, ca, key: STUDIO_KEY })).status, 404, path)
})
