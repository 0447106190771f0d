// Below a base path that a proxy in front takes away, as PUBLIC_URL or the proxy itself tells it: pages and addresses lead back through the proxy.

import t, { type Test } from 'tap'
import { parseObject, startGateway, startWithOwnSandbox, STUDIO_KEY, tenant, type Gateway } from '../support/gateway.ts'
import { callAt } from '../support/host-call.ts'
import { startStrippingProxy } from '../support/stripping-proxy.ts'

const BASE = '/pictures'

/** A gateway behind such a proxy, and where the proxy is. */
async function behindProxy (t: Test): Promise<{ readonly gateway: Gateway, readonly origin: string, readonly outside: readonly string[] }> {
  const proxy = await startStrippingProxy(t, BASE)
  const gateway = await startGateway(t, { env: { PUBLIC_URL: proxy.origin + BASE } })
  proxy.leadTo(gateway.url)
  return { gateway, origin: proxy.origin, outside: proxy.outside }
}

t.test('the page of the API finds its parts and its document, with and without a slash at the end', async t => {
  const { origin, outside } = await behindProxy(t)
  for (const path of ['/docs', '/docs/', '/docs?model=acme/painter', '/docs/?model=acme/painter']) {
    const page = await fetch(origin + BASE + path)
    t.equal(page.status, 200, path)
    t.equal(new URL(page.url).search, path.includes('?') ? '?model=acme/painter' : '', 'what is asked for stays')
    const parts = [...(await page.text()).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, part = '']) => new URL(part, page.url))
    t.ok(parts.length >= 5)
    for (const part of parts) t.equal((await fetch(part)).status, 200, part.href)
  }
  t.same(outside, [])
})

t.test('documents name the base path as their server, and addresses in answers begin with it', async t => {
  const { gateway, origin } = await behindProxy(t)
  const authorization = `Bearer ${STUDIO_KEY}`
  const document = parseObject(await (await fetch(`${origin}${BASE}/openapi.json`)).text())
  t.match(document['servers'], [{ url: BASE }])
  const models = parseObject(await (await fetch(`${origin}${BASE}/models`, { headers: { authorization } })).text())
  const [model] = [models['models']].flat()
  const href = String(Reflect.get(Object(model), 'href'))
  t.equal((await fetch(new URL(href, origin), { headers: { authorization } })).status, 200, href)
  t.match(parseObject(await (await fetch(new URL(`${href}/openapi.json`, origin), { headers: { authorization } })).text())['servers'], [{ url: BASE }])
  t.match(parseObject(await (await fetch(`${gateway.url}/openapi.json`)).text())['servers'], [{ url: BASE }])
  t.match(parseObject(await (await fetch(`${(await startGateway(t)).url}/openapi.json`)).text())['servers'], [{ url: '/' }])
})

t.test('without PUBLIC_URL what a trusted proxy says it took away stands in front of every address, also behind two of them', async t => {
  const app = await startWithOwnSandbox(t, { env: { TRUST_PROXY: '127.0.0.1' }, tenants: { tenants: [tenant('studio')] } })
  const proxy = await startStrippingProxy(t, BASE, { 'x-forwarded-prefix': BASE })
  proxy.leadTo(app.url)
  const bought = await callAt(proxy.origin, { path: `${BASE}/generate`, body: { prompt: 'a heron', seed: 7 } })
  const [picture = ''] = /http:[^"]+/.exec(bought.text) ?? []
  t.match(picture, `${proxy.origin}${BASE}/sandbox/files/`)
  t.equal((await fetch(picture)).headers.get('content-type'), 'image/png')
  const submitted = await callAt(proxy.origin, { path: `${BASE}/generations`, body: { prompt: 'a heron', seed: 7 } })
  t.match(submitted.headers['location'], /^\/pictures\/generations\/[\w-]+$/)
  const queued = await callAt(proxy.origin, { path: `${BASE}/fal/queue/fal-ai/imagen4/preview/ultra`, body: { prompt: 'a heron', seed: 7 } })
  for (const name of ['status_url', 'response_url', 'cancel_url']) t.match(queued.json()[name], `${proxy.origin}${BASE}/fal/queue/`, name)
  const [model] = [(await callAt(proxy.origin, { path: `${BASE}/models` })).json()['models']].flat()
  const href = String(Reflect.get(Object(model), 'href'))
  t.match(href, `${BASE}/models/`)
  for (const path of [`${BASE}/openapi.json`, `${BASE}/docs/json`, `${href}/openapi.json`]) t.match((await callAt(proxy.origin, { path })).json()['servers'], [{ url: BASE }], path)
  t.same(proxy.outside, [])
  t.match((await callAt(app.url, { path: '/generations', body: { prompt: 'a heron', seed: 7 }, headers: { 'x-forwarded-prefix': '/house, /pictures/' } })).headers['location'], /^\/house\/pictures\/generations\//)
})

t.test('what is no plain path, and what nobody trusted says, is left out', async t => {
  const tenants = { tenants: [tenant('studio')] }
  const [trusting, plain, publicly] = await Promise.all([startWithOwnSandbox(t, { env: { TRUST_PROXY: '127.0.0.1' }, tenants }), startWithOwnSandbox(t, { tenants }), startWithOwnSandbox(t, { env: { TRUST_PROXY: 'on', PUBLIC_URL: 'http://house.example/gateway' }, tenants })])
  const baseAt = async (url: string, prefix: string): Promise<string | undefined> => {
    const { text } = await callAt(url, { path: '/generate', body: { prompt: 'a heron', seed: 7 }, headers: { 'x-forwarded-prefix': prefix } })
    return /"url":"([^"]*)\/sandbox\/files\//.exec(text)?.[1]
  }
  t.equal(await baseAt(trusting.url, '/a/b'), `${trusting.url}/a/b`)
  for (const prefix of ['', '/', 'a', '//other.example', '/a"b', '/a/../b', '/..', '/a?b', '/a#b', '/a b', '/a, b', `/${'a'.repeat(600)}`]) t.equal(await baseAt(trusting.url, prefix), trusting.url, prefix)
  t.equal(await baseAt(plain.url, '/a'), plain.url)
  t.equal(await baseAt(publicly.url, '/a'), 'http://house.example/gateway')
  t.match((await callAt(publicly.url, { path: '/openapi.json', headers: { 'x-forwarded-prefix': '/a' } })).json()['servers'], [{ url: '/gateway' }])
})
