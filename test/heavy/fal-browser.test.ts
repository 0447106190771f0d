// fal's own JavaScript client, as published, in a page of another origin: what a browser adds (preflights, hidden headers) and what the client does otherwise there.

import t from 'tap'
import { openBrowser } from '../support/browser.ts'
import { openFalPage, runAndSubscribe, runInPage, serveFalPage, ways } from '../support/fal/browser-page.ts'
import { gatewayStation } from '../support/fal/stations.ts'

const suite = `
  const client = ways[way](at.key)
  const said = {}
  ${runAndSubscribe}
  const { request_id: requestId } = await client.queue.submit(model, { input: { prompt: way + ' queue' }, priority: 'low' })
  const events = []
  for await (const event of await client.queue.streamStatus(model, { requestId, logs: true })) events.push(event.status)
  const status = await client.queue.status(model, { requestId, logs: true })
  const result = await client.queue.result(model, { requestId })
  said.queue = { last: events.at(-1), status: status.status, images: result.data.images.length, sameId: result.requestId === requestId }
  const cancelled = await client.queue.submit(model, { input: { prompt: way + ' cancel' } })
  await client.queue.cancel(model, { requestId: cancelled.request_id })
  await client.queue.subscribeToStatus(model, { requestId: cancelled.request_id, pollInterval: 20 })
  said.cancelled = await failure(client.queue.result(model, { requestId: cancelled.request_id }))
  said.invalid = await failure(client.run(model, { input: { prompt: 'x', aspect_ratio: '2:1' } }))
  said.stranger = await failure(ways[way]('nobody').run(model, { input: { prompt: 'x' } }))
  return said
`

t.setTimeout(240_000)

t.test('fal\'s JavaScript client in Chromium', { timeout: 240_000 }, async t => {
  const origin = await serveFalPage(t)
  const station = await gatewayStation(t, { origins: [origin] })
  const browser = await openBrowser(t)
  const page = await openFalPage(browser, origin)

  for (const way of ways) {
    await t.test(`through ${way}: run, subscribe, queue, errors`, async t => {
      const said = await runInPage(page, `const way = ${JSON.stringify(way)}\n${suite}`, station)
      t.match(said, {
        run: { seed: 1, images: 1, requestId: /^[0-9a-f-]{36}$/ },
        polling: { states: ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'], lines: ['Drawn by the sandbox, not by the model'], images: 1 },
        streaming: { states: ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'], lines: ['Drawn by the sandbox, not by the model'], images: 1 },
        queue: { last: 'COMPLETED', status: 'COMPLETED', images: 1, sameId: true },
        cancelled: { status: 499, message: 'The generation was cancelled' },
        invalid: { name: 'ValidationError', status: 422, message: /aspect_ratio must be one of/, requestId: /^[0-9a-f-]{36}$/, fields: [{ loc: ['body', 'aspect_ratio'] }] },
        stranger: { name: 'ApiError', status: 401, message: 'The key is not known' }
      })
    })
  }

  await t.test('a page of an origin that the tenant does not list gets nothing', async t => {
    const other = await openFalPage(browser, await serveFalPage(t))
    const accepted = station.sandbox.bill.accepted
    t.match(await runInPage(other, 'return await failure(ways.proxyUrl(at.key).run(model, { input: { prompt: \'x\' } }))', station), { name: 'TypeError' })
    t.equal(station.sandbox.bill.accepted, accepted)
  })
})
