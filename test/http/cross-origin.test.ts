// Web pages: preflights by the tenants' origins, and a key that lists origins is used from those only.

import t from 'tap'
import { key, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'

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
