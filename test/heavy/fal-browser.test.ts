// fal's own JavaScript client, as published, in a page of another origin: what a browser adds (preflights, hidden headers) and what the client does otherwise there.

import { createServer } from 'node:http'
import { once } from 'node:events'
import { chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { falClientScript } from '../support/fal/browser-bundle.ts'
import { findChromium } from '../support/fal/chromium.ts'
import { gatewayStation, type Station } from '../support/fal/stations.ts'
import { listen } from '../support/listen.ts'

const PAGE_TIMEOUT_MS = 30_000

/** Serves an empty page with the client in it, from an origin of its own. */
async function serveOrigin (t: Test): Promise<string> {
  const script = falClientScript()
  const server = createServer((request, response) => {
    const isScript = request.url === '/client.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : '<!doctype html><title>A page</title><script type="module" src="/client.js"></script>')
  })
  const port = await listen(server)
  t.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${port}`
}

async function openPage (t: Test, url: string): Promise<Page> {
  // As root there is no sandbox for Chromium; it opens nothing but our own page.
  const browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'], timeout: PAGE_TIMEOUT_MS })
  t.teardown(async () => { await browser.close() })
  const page = await browser.newPage()
  page.setDefaultTimeout(PAGE_TIMEOUT_MS)
  await page.goto(url)
  await page.waitForFunction('globalThis.falClient !== undefined')
  return page
}

/** Runs a program in the page, in which `fal` is the client's module and `at` the station, and gives what it returns. */
async function inPage (page: Page, program: string, { runBase, queueBase, key, proxy }: Station): Promise<unknown> {
  const at = JSON.stringify({ runBase, queueBase, key, proxy })
  return await page.evaluate(`(async () => {
    const fal = globalThis.falClient, at = ${at}, model = 'fal-ai/imagen4/preview/ultra'
    const redirect = async request => ({ ...request, url: request.url.replace(/^https:..queue.fal.run/, at.queueBase).replace(/^https:..fal.run/, at.runBase) })
    const ways = {
      proxyUrl: credentials => fal.createFalClient({ credentials, proxyUrl: at.proxy, suppressLocalCredentialsWarning: true }),
      requestMiddleware: credentials => fal.createFalClient({ credentials, requestMiddleware: redirect, suppressLocalCredentialsWarning: true })
    }
    const failure = async call => { try { await call; return null } catch (error) { return { name: error.name, message: error.message, status: error.status, requestId: error.requestId, fields: error.fieldErrors } } }
    ${program}
  })()`)
}

const suite = `
  const client = ways[way](at.key)
  const said = {}
  const ran = await client.run(model, { input: { prompt: way + ' run', seed: 1 } })
  said.run = { seed: ran.data.seed, images: ran.data.images.length, requestId: ran.requestId }
  for (const mode of ['polling', 'streaming']) {
    const states = [], lines = new Set()
    const done = await client.subscribe(model, { input: { prompt: way + mode }, mode, pollInterval: 20, logs: true, onQueueUpdate: update => {
      if (states.at(-1) !== update.status) states.push(update.status)
      for (const line of update.logs ?? []) lines.add(line.message)
    } })
    said[mode] = { states, lines: [...lines], images: done.data.images.length }
  }
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
  const origin = await serveOrigin(t)
  const station = await gatewayStation(t, { origins: [origin] })
  const page = await openPage(t, origin)

  for (const way of ['proxyUrl', 'requestMiddleware']) {
    await t.test(`through ${way}: run, subscribe, queue, errors`, async t => {
      const said = await inPage(page, `const way = ${JSON.stringify(way)}\n${suite}`, station)
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
    const foreign = await serveOrigin(t)
    const other = await page.context().browser()?.newPage()
    if (other === undefined) throw new Error('there is no browser')
    await other.goto(foreign)
    await other.waitForFunction('globalThis.falClient !== undefined')
    const accepted = station.sandbox.bill.accepted
    t.match(await inPage(other, 'return await failure(ways.proxyUrl(at.key).run(model, { input: { prompt: \'x\' } }))', station), { name: 'TypeError' })
    t.equal(station.sandbox.bill.accepted, accepted)
  })
})
