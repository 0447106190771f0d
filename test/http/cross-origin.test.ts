// Web pages: preflights by the tenants' origins, and a key that lists origins is used from those only.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { bookOf, key, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { openapiFile } from '../support/openapi.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const page = 'https://studio.example'

t.test('a page of a listed origin may call and read what the gateway says', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] }), tenant('press')] } })
  const preflight = await fetch(`${gateway.url}/generate`, { method: 'OPTIONS', headers: { origin: page, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization, idempotency-key' } })
  t.equal(preflight.status, 204)
  t.equal(preflight.headers.get('access-control-allow-origin'), page)
  t.match(preflight.headers.get('access-control-allow-headers'), /authorization.*idempotency-key/)
  t.match(preflight.headers.get('vary'), /Origin/i)
  const reply = await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { origin: page } })
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('access-control-allow-origin'), page)
  t.match(reply.headers.get('access-control-expose-headers'), /falgate-generation.*cache-status/)
  t.match(reply.headers.get('vary'), /Origin/i)
})

/** What browsers show every page, and what is for browsers, caches and connections. */
const notOurs = /^(access-control-.*|cache-control|connection|content-.*|date|keep-alive|transfer-encoding|vary|x-content-type-options)$/

const namesIn = (list: string | null): readonly string[] => (list ?? '').toLowerCase().split(/, */)

t.test('a page of a listed origin may read every header that the gateway documents or sends', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] })] } })
  const from = { origin: page, 'idempotency-key': 'k' }
  const replies = [
    await gateway.generate({ prompt: 'x', seed: 1 }, { headers: from }),
    await gateway.generate({ prompt: 'x', seed: 1 }, { headers: from }),
    await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { origin: page } }),
    await gateway.generate({ prompt: 'y' }, { headers: { origin: page, prefer: 'respond-async' } }),
    await gateway.generate({ prompt: 'y', seed: 2 }, { headers: { origin: page, 'falgate-cache': 'only' } }),
    await gateway.generate({ prompt: 'y', seed: 2 }, { headers: { origin: page }, key: 'fg_unknown' }),
    await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { origin: page }, path: '/fal/fal-ai/imagen4/preview/ultra' })
  ]
  t.same(replies.map(({ status }) => status), [200, 200, 200, 202, 504, 401, 200])
  const readable = namesIn(replies[0]?.headers.get('access-control-expose-headers') ?? null)
  const operations = Object.values<object>(JSON.parse(readFileSync(openapiFile, 'utf8')).paths).flatMap(item => Object.values<{ responses: Record<string, { headers?: object }> }>({ ...item }))
  const documented = new Set(operations.flatMap(({ responses }) => Object.values(responses)).flatMap(({ headers = {} }) => Object.keys(headers)))
  t.ok(documented.size > 10, 'they were found')
  t.same([...documented].filter(name => !readable.includes(name.toLowerCase())), [])
  for (const reply of replies) t.same([...reply.headers.keys()].filter(name => !notOurs.test(name) && !readable.includes(name)), [], String(reply.status))
})

t.test('a page of a listed origin may send every header that the gateway documents, and those of traces', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] })] } })
  const preflight = await fetch(`${gateway.url}/generate`, { method: 'OPTIONS', headers: { origin: page, 'access-control-request-method': 'POST' } })
  const allowed = namesIn(preflight.headers.get('access-control-allow-headers'))
  const operations = Object.values<object>(JSON.parse(readFileSync(openapiFile, 'utf8')).paths).flatMap(item => Object.values<{ parameters?: ReadonlyArray<{ in: string, name: string }> }>({ ...item }))
  const documented = new Set(operations.flatMap(({ parameters = [] }) => parameters.flatMap(({ in: place, name }) => place === 'header' ? [name] : [])))
  t.ok(documented.size > 4, 'they were found')
  t.same([...documented].filter(name => !allowed.includes(name.toLowerCase())), [])
  for (const name of ['traceparent', 'tracestate']) t.ok(allowed.includes(name), `${name}, as what traces pages adds it`)
})

t.test('a page of another origin is refused with and without a preflight', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] }), tenant('press')] } })
  const preflight = await fetch(`${gateway.url}/generate`, { method: 'OPTIONS', headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' } })
  t.equal(preflight.headers.get('access-control-allow-origin'), null)
  t.equal(preflight.status, 403)
  t.match(await preflight.json(), { code: 'origin-not-allowed', detail: 'No tenant lists "https://evil.example" in its origins, so that browsers keep the pages of that origin from calling.' })
  const reply = await gateway.generate({ prompt: 'x' }, { headers: { origin: 'https://evil.example' } })
  t.equal(reply.status, 403)
  t.match(reply.json(), { code: 'origin-not-allowed', detail: 'The tenant of this key does not list "https://evil.example" in its origins.' })
  t.equal((await gateway.generate({ prompt: 'x' }, { key: key('press'), headers: { origin: page } })).status, 200, 'a tenant without a list is not fenced')
})

t.test('the gateway\'s own pages and programs without an origin are welcome', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] })] } })
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { origin: gateway.url } })).status, 200)
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 })).status, 200)
})

t.test('behind a proxy that ends TLS the gateway\'s own pages are those below PUBLIC_URL', async t => {
  const gateway = await startGateway(t, { env: { PUBLIC_URL: 'https://ai.example/pictures' }, tenants: { tenants: [tenant('studio', { origins: [page] })] } })
  for (const [origin, status] of [['https://ai.example', 200], ['https://ai.example.evil.example', 403], ['null', 403]] as const) {
    t.equal((await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { origin } })).status, status, origin)
  }
})

t.test('OPTIONS that is no preflight does not hide what is missing', async t => {
  const gateway = await startGateway(t)
  for (const [path, status] of [['/nothing', 404], ['/generations', 405]] as const) {
    const response = await fetch(gateway.url + path, { method: 'OPTIONS', headers: { authorization: `Bearer ${STUDIO_KEY}` } })
    t.equal(response.status, status, path)
  }
})

t.test('a preflight that is refused says why in the log, by the origin', async t => {
  const gateway = await (await deploy(t)).startReplica()
  const preflight = await fetch(`${gateway.base}/generate`, { method: 'OPTIONS', headers: { origin: 'https://new.example', 'access-control-request-method': 'POST' } })
  t.equal(preflight.status, 403)
  await until(() => /"status":403,"code":"origin-not-allowed","origin":"https:\/\/new\.example"/.test(gateway.log()))
})

t.test('pages of every name below a domain can be listed, and apps that are made of pages', async t => {
  const origins = ['https://*.studio.example', 'http://*.dev.example:5173', 'app://bundle', 'capacitor://localhost', 'chrome-extension://abcdefghijklmnop', 'tauri://localhost']
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins })] } })
  const may = async (origin: string): Promise<boolean> => {
    const preflight = await fetch(`${gateway.url}/generate`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } })
    const { status, headers } = await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { origin } })
    t.equal(preflight.headers.get('access-control-allow-origin'), status === 200 ? origin : null, origin)
    t.equal(headers.get('access-control-allow-origin'), status === 200 ? origin : null, origin)
    return status === 200
  }
  for (const origin of ['https://a.studio.example', 'https://a.b.studio.example', 'http://x.dev.example:5173', ...origins.slice(2)]) t.equal(await may(origin), true, origin)
  for (const origin of ['https://studio.example', 'https://xstudio.example', 'http://a.studio.example', 'https://a.studio.example:8443', 'https://a.studio.example.evil.example', 'http://x.dev.example', 'app://other', 'null']) t.equal(await may(origin), false, origin)
})

t.test('what no browser sends cannot be listed', async t => {
  const faultsOf = (origin: string): number => {
    try {
      bookOf({ tenants: [tenant('studio', { origins: [origin] })] })
      return 0
    } catch (error) {
      t.match(String(error), /origins\/0: expected an origin such as/)
      return 1
    }
  }
  for (const origin of ['*', 'null', 'https://', 'https://*', 'https://*.', 'https://a.*.example', 'https://*.a.*.example', 'https://Studio.example', 'https://studio.example:443', 'https://studio.example/', 'app://', 'app://bundle/page', 'App://bundle', '*://localhost', 'app://*', 'file://localhost', 'data://x']) t.equal(faultsOf(origin), 1, origin)
  for (const origin of ['https://studio.example:8443', 'http://localhost:5173', 'https://*.example', 'moz-extension://0a-1b', 'http://[::1]:8080', 'app://.']) t.equal(faultsOf(origin), 0, origin)
})

t.test('a page of a listed origin may read that an address, or its method, does not exist', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] })] } })
  for (const [path, status] of [['/nothing', 404], ['/generate', 405], ['/fal/nothing/here', 405], ['/fal/queue', 405]] as const) {
    const response = await fetch(gateway.url + path, { headers: { origin: page, authorization: `Bearer ${STUDIO_KEY}` } })
    t.equal(response.status, status, path)
    t.equal(response.headers.get('access-control-allow-origin'), page, path)
    t.match(response.headers.get('access-control-expose-headers'), /allow/i)
    t.match(response.headers.get('vary'), /Origin/i)
    t.equal((await fetch(gateway.url + path, { headers: { origin: 'https://evil.example' } })).headers.get('access-control-allow-origin'), null)
  }
})
