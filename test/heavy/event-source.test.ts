// `EventSource` in Chromium, by the lines that docs/tokens.md gives: on a page of a listed origin, with a browser token and a ticket.

import { once } from 'node:events'
import { createServer } from 'node:http'
import t from 'tap'
import { openBrowser, PAGE_TIMEOUT_MS } from '../support/browser.ts'
import { parseObject, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { listen } from '../support/listen.ts'
import { codeBlocksOf, pageAt } from '../support/pages.ts'

t.test('a page of a listed origin follows a generation to its picture, and no second stream opens with its ticket', async t => {
  const server = createServer((_request, response) => { response.setHeader('content-type', 'text/html').end('<!doctype html><title>A page</title>') })
  const page = `http://127.0.0.1:${await listen(server)}`
  t.teardown(async () => { server.close(); await once(server, 'close') })
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [page] })] } })
  const [block] = codeBlocksOf(pageAt('docs/tokens.md')).filter(({ code }) => code.includes('new EventSource'))
  const given = await fetch(`${gateway.url}/tokens`, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: '{"pictures":1}' })
  const { token } = parseObject(await given.text())
  const tab = await (await openBrowser(t)).newPage()
  tab.setDefaultTimeout(PAGE_TIMEOUT_MS)
  await tab.goto(page)
  const told = await tab.evaluate(`(async () => {
    const gateway = ${JSON.stringify(gateway.url)}, token = ${JSON.stringify(token)}
    const begun = await fetch(gateway + '/generations', { method: 'POST', headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'application/json' }, body: '{"prompt":"a heron"}' })
    const { id } = await begun.json()
    return await new Promise(async resolve => {
      const show = generation => { if (generation.status === 'succeeded') queueMicrotask(() => { again(generation) }) }
      ${block?.code ?? ''}
      function again (generation) {
        const second = new EventSource(events.url)
        second.onopen = () => { resolve(JSON.stringify({ isOpened: true })) }
        second.onerror = () => { resolve(JSON.stringify({ generation, first: events.readyState, second: second.readyState })) }
      }
    })
  })()`)
  t.match(parseObject(String(told)), { generation: { status: 'succeeded', output: { images: [{}] } }, first: 2, second: 2 })
})
