// The published key and the sandbox's switches, as strangers meet them: a page that lets its own name point at this machine, and a tenant of the public port.

import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startApp, type RunningApp } from '../../src/app.ts'
import { parseConfig } from '../../src/config.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { demoTenants } from '../../src/tenants/book.ts'
import { bookOf, configOf, parseObject, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { cliFile } from '../support/paths.ts'
import { answering, freePort, start } from '../support/processes.ts'

const DEMO_KEY = 'fg_demo_sandbox'

/** The gateway with its own sandbox, as a start without a key makes it. */
async function startDemo (t: Test, env: Readonly<Record<string, string>> = {}, tenants = demoTenants(builtInModels)): Promise<RunningApp> {
  const app = await startApp({ config: configOf(env), models: builtInModels, tenants, falKeys: null, redisUrl: null, version: '0.0.0-test' })
  t.teardown(async () => { await app.close() })
  return app
}

interface Asked { readonly host?: string, readonly method?: string, readonly key?: string, readonly body?: string, readonly headers?: Readonly<Record<string, string>> }

/** A call under any host name. */
async function ask ({ url }: Pick<RunningApp, 'url'>, path: string, { host = 'localhost', method = 'GET', key = DEMO_KEY, body, headers = {} }: Asked = {}): Promise<{ readonly status: number, readonly body: string }> {
  const sent = request(url + path, { method, headers: { host, authorization: `Key ${key}`, ...headers } })
  sent.end(body)
  const [answer] = await once(sent, 'response')
  return { status: answer.statusCode, body: await text(answer) }
}

t.test('with the demo key the gateway answers to localhost, to addresses and to its own names, and to no other', async t => {
  const app = await startDemo(t, { PUBLIC_URL: 'https://Falgate.example/base', FAL_HOSTS: 'fal.example' })
  for (const host of ['localhost', 'LOCALHOST:8080', 'localhost.', '127.0.0.1:1', '[::1]:8080', '192.168.1.9', 'falgate.example', 'FALGATE.example:443']) {
    t.equal((await ask(app, '/usage', { host })).status, 200, host)
  }
  t.equal((await ask(app, '/fal-ai/imagen4/preview/ultra', { host: 'fal.example' })).status, 405, 'a name of FAL_HOSTS')
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'falgate.example.evil', 'gateway']) {
    for (const path of ['/usage', '/', '/openapi.json', '/nothing', '/metrics', '/sandbox/', '/sandbox/queue/x']) {
      const refused = await ask(app, path, { host })
      t.match([refused.status, parseObject(refused.body)], [421, { code: 'wrong-host', detail: /PUBLIC_URL/ }], host + path)
    }
  }
  const forged = { 'x-forwarded-host': 'localhost' }
  t.equal((await ask(app, '/usage', { host: 'evil.example', headers: forged })).status, 421)
  const trusting = await startDemo(t, { TRUST_PROXY: 'on' })
  t.equal((await ask(trusting, '/usage', { host: 'evil.example', headers: forged })).status, 421, 'a page chooses every header but Host')
  const inFalsWords = await ask(app, '/fal/fal-ai/imagen4/preview/ultra', { host: 'evil.example', method: 'POST', body: '{}' })
  t.match([inFalsWords.status, parseObject(inFalsWords.body)], [421, { detail: String }])
})

t.test('a gateway with tenants of its own answers to every name', async t => {
  const app = await startDemo(t, {}, bookOf({ tenants: [tenant('studio')] }))
  t.equal((await ask(app, '/usage', { host: 'any.example', key: STUDIO_KEY })).status, 200)
})

t.test('the sandbox inside a gateway has no control: faults, holds and bill are no addresses', async t => {
  const app = await startDemo(t)
  for (const path of ['faults', 'hold', 'bill']) {
    for (const method of ['GET', 'PUT', 'DELETE']) t.equal((await ask(app, `/sandbox/control/${path}`, { method })).status, 404, `${method} ${path}`)
  }
  t.equal(app.sandboxControl, null)
  t.notMatch((await ask(app, '/sandbox/')).body, /control/)
})

t.test('the sandbox inside a gateway works for that gateway alone: who knows the id of a job reads no result of it, and only pictures are for everybody', async t => {
  const app = await startDemo(t, { SANDBOX_CONTROL: 'on' })
  const { status, body } = await ask(app, '/generate', { method: 'POST', body: '{"prompt":"a heron"}', headers: { 'content-type': 'application/json' } })
  t.equal(status, 200)
  const control = app.sandboxControl?.key ?? ''
  const [, id = ''] = /"requestId":"([^"]+)"/.exec((await ask(app, '/sandbox/control/bill', { key: control })).body) ?? []
  const job = `/sandbox/queue/fal-ai/imagen4/requests/${id}`
  for (const key of [DEMO_KEY, 'sandbox', control, 'any:key']) {
    for (const path of [job, `${job}/status`, `${job}/status/stream`]) t.equal((await ask(app, path, { key })).status, 401, `${path} ${key}`)
    t.equal((await ask(app, `${job}/cancel`, { key, method: 'PUT' })).status, 401)
    for (const door of ['queue', 'run']) t.equal((await ask(app, `/sandbox/${door}/fal-ai/imagen4/preview/ultra`, { key, method: 'POST', body: '{"prompt":"a heron"}' })).status, 401, `${door} ${key}`)
  }
  t.match(parseObject((await ask(app, '/sandbox/control/bill', { key: control })).body), { accepted: 1 })
  const [picture = ''] = /\/sandbox\/files\/[^"]+/.exec(body) ?? []
  t.equal((await ask(app, picture, { key: '' })).status, 200)
  t.match((await ask(app, '/sandbox/')).body, /`falgate sandbox` serves one that takes any/)
})

t.test('with SANDBOX_CONTROL=on it is opened by the key that the start prints, and by no other', async t => {
  const port = String(await freePort())
  const running = start(t, [cliFile], { PORT: port, SANDBOX_CONTROL: 'on', NODE_ENV: 'production', FAL_KEY: 'sandbox' })
  const url = `http://127.0.0.1:${port}`
  let said = ''
  running.child.stderr?.on('data', (chunk: string) => { said += chunk })
  await answering(running, `${url}/readyz`)
  const [, base = '', key = ''] = /(http:\S+\/control) with "Authorization: Key (\S{32})"/.exec(said) ?? []
  t.equal(base, `${url}/sandbox/control`)
  for (const wrong of ['any', DEMO_KEY, `${key}x`, '']) t.equal((await ask({ url }, '/sandbox/control/bill', { key: wrong })).status, 401, 'another key')
  t.equal((await ask({ url }, '/sandbox/control/faults', { method: 'PUT', key, body: '{"kind":"answer","operation":"submit","error":"locked"}' })).status, 200)
  t.match(parseObject((await ask({ url }, '/sandbox/control/bill', { key })).body), { accepted: 0 })
  running.child.kill('SIGINT')
  t.notMatch((await running.ended).stdout, key, 'the log knows nothing of it')
})

t.test('control of a sandbox that is not there is a warning', async t => {
  t.match(parseConfig({ SANDBOX_CONTROL: 'on', FAL_KEY: 'a:b', TENANTS_FILE: 'x' }), { ok: true, warnings: [/^SANDBOX_CONTROL: has no effect/] })
})
