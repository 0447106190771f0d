// Below a base path that a proxy in front takes away, as PUBLIC_URL tells it: pages and addresses lead back through the proxy.

import { createServer, request as ask } from 'node:http'
import t, { type Test } from 'tap'
import { parseObject, startGateway, STUDIO_KEY, type Gateway } from '../support/gateway.ts'
import { listenFor } from '../support/listen.ts'

const BASE = '/pictures'

/** A gateway behind such a proxy, and where the proxy is. */
async function behindProxy (t: Test): Promise<{ readonly gateway: Gateway, readonly origin: string, readonly outside: readonly string[] }> {
  const outside: string[] = []
  let upstream = ''
  const proxy = createServer((request, response) => {
    const { url = '/', method, headers } = request
    if (!url.startsWith(`${BASE}/`)) {
      outside.push(url)
      response.writeHead(404, { connection: 'close' }).end()
      return
    }
    const passed = ask(upstream + url.slice(BASE.length), { method, headers, agent: false }, answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    request.pipe(passed)
  })
  const origin = `http://127.0.0.1:${await listenFor(t, proxy, new Set())}`
  const gateway = await startGateway(t, { env: { PUBLIC_URL: origin + BASE } })
  upstream = gateway.url
  return { gateway, origin, outside }
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
