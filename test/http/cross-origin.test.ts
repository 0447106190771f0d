// Web pages: preflights by the tenants' origins, and a key that lists origins is used from those only.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { key, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { openapiFile } from '../support/openapi.ts'

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

t.test('a page of a listed origin may send every header that the gateway documents', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] })] } })
  const preflight = await fetch(`${gateway.url}/generate`, { method: 'OPTIONS', headers: { origin: page, 'access-control-request-method': 'POST' } })
  const allowed = namesIn(preflight.headers.get('access-control-allow-headers'))
  const operations = Object.values<object>(JSON.parse(readFileSync(openapiFile, 'utf8')).paths).flatMap(item => Object.values<{ parameters?: ReadonlyArray<{ in: string, name: string }> }>({ ...item }))
  const documented = new Set(operations.flatMap(({ parameters = [] }) => parameters.flatMap(({ in: place, name }) => place === 'header' ? [name] : [])))
  t.ok(documented.size > 4, 'they were found')
  t.same([...documented].filter(name => !allowed.includes(name.toLowerCase())), [])
})

t.test('a page of another origin is refused with and without a preflight', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] }), tenant('press')] } })
  const preflight = await fetch(`${gateway.url}/generate`, { method: 'OPTIONS', headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' } })
  t.equal(preflight.headers.get('access-control-allow-origin'), null)
  const reply = await gateway.generate({ prompt: 'x' }, { headers: { origin: 'https://evil.example' } })
  t.equal(reply.status, 403)
  t.equal(reply.json()['code'], 'origin-not-allowed')
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
