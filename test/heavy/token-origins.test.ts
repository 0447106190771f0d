// Pages with a browser token in Chromium: on an origin that the token lists, on one that only its tenant lists, and on one that nobody does.

import { createServer } from 'node:http'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { openBrowser } from '../support/browser.ts'
import { startGateway, tenant } from '../support/gateway.ts'
import { listenFor } from '../support/listen.ts'

/** An empty page at an origin of its own. */
async function serveOrigin (t: Test): Promise<string> {
  const server = createServer((_request, response) => { response.setHeader('content-type', 'text/html').end('<!doctype html><title>A page</title>') })
  t.teardown(() => { server.closeAllConnections() })
  return `http://127.0.0.1:${await listenFor(t, server, new Set())}`
}

/** What a page reads of each call with its token: a picture, its generation's events, what is left; `refused` where the browser lets it read nothing. */
async function drawFrom (page: Page, gateway: string, token: string): Promise<readonly string[]> {
  return await page.evaluate(async ([gateway, token]) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const said: string[] = []
    let id = ''
    for (const [method, path] of [['POST', '/generate'], ['POST', '/generations'], ['GET', '/generations/ID/events'], ['GET', '/tokens/self']] as const) {
      try {
        const answer = await fetch(gateway + path.replace('ID', id), { method, headers, ...(method === 'POST' ? { body: '{"prompt":"a kite"}' } : {}) })
        const text = await answer.text()
        id = answer.headers.get('falgate-generation') ?? id
        said.push([path, answer.status, ...(method === 'GET' ? /succeeded|pictures_left/.exec(text) ?? [] : [])].join(' '))
      } catch {
        said.push(`${path} refused`)
      }
    }
    return said
  }, [gateway, token] as const)
}

t.setTimeout(300_000)

t.test('a page on an origin of the token draws and follows; one on an origin of its tenant alone, and a foreign one, read nothing and buy nothing', async t => {
  const [own, house, foreign] = [await serveOrigin(t), await serveOrigin(t), await serveOrigin(t)]
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [own, house] })] } })
  const { token } = (await gateway.generate({ pictures: 5, origins: [own] }, { path: '/tokens' })).json()
  const browser = await openBrowser(t)
  const from = async (origin: string): Promise<readonly string[]> => {
    const page = await browser.newPage()
    await page.goto(origin)
    return await drawFrom(page, gateway.url, String(token))
  }
  t.same(await from(own), ['/generate 200', '/generations 202', '/generations/ID/events 200 succeeded', '/tokens/self 200 pictures_left'])
  const bought = gateway.sandbox.bill.accepted
  const calls = ['/generate', '/generations', '/generations/ID/events', '/tokens/self']
  t.same(await from(house), calls.map(call => `${call} 403`), 'told why')
  t.same(await from(foreign), calls.map(call => `${call} refused`), 'not even that')
  t.equal(gateway.sandbox.bill.accepted, bought)
})
