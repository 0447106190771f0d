// A gateway on the visitor's own machine, as a page from elsewhere meets it in Chromium: a page of another origin, and one whose own name suddenly means this machine.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { RunningApp } from '../../src/app.ts'
import { findChromium } from '../support/fal/chromium.ts'
import { parseObject, startWithOwnSandbox } from '../support/gateway.ts'
import { listen } from '../support/listen.ts'

const PAGE_TIMEOUT_MS = 60_000
const PAGE = '<!doctype html><title>A page</title>'

/** A name that the page's owner lets point at the visitor's machine. */
const FOREIGN_NAME = 'page.example'

interface Scene {
  readonly app: RunningApp
  readonly context: BrowserContext
  /** A picture that was bought, and the addresses at which the sandbox has its job. */
  readonly picture: string
  readonly job: string
  readonly bill: () => Promise<unknown>
}

/** The gateway of a first start, one picture bought, its sandbox's control on, and a browser. */
async function open (t: Test): Promise<Scene> {
  const app = await startWithOwnSandbox(t, { env: { SANDBOX_CONTROL: 'on' } })
  const bought = await fetch(`${app.url}/generate`, { method: 'POST', headers: { authorization: 'Bearer fg_demo_sandbox', 'content-type': 'application/json' }, body: '{"prompt":"a heron"}' })
  const [picture = ''] = /http:[^"]+/.exec(await bought.text()) ?? []
  const bill = async (): Promise<string> => await (await fetch(`${app.sandboxControl?.url}/bill`, { headers: { authorization: `Key ${app.sandboxControl?.key}` } })).text()
  const [, id = ''] = /"requestId":"([^"]+)"/.exec(await bill()) ?? []
  // As root there is no sandbox for Chromium; it opens nothing but our own pages. Its fence around the visitor's machine is down: not every browser has one, and ours is tried.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests', `--host-resolver-rules=MAP ${FOREIGN_NAME} 127.0.0.1`]
  const browser = await chromium.launch({ executablePath: findChromium(), args, timeout: PAGE_TIMEOUT_MS })
  t.teardown(async () => { await browser.close() })
  const context = await browser.newContext()
  context.setDefaultTimeout(PAGE_TIMEOUT_MS)
  return { app, context, picture, job: `/sandbox/queue/fal-ai/imagen4/requests/${id}`, bill: async () => parseObject(await bill()) }
}

/** What a page gets that tries whatever it knows at this base, with the published key and with any: the status and text of each answer that it may read, or `null`. */
async function tried (page: Page, base: string, job: string): Promise<Record<string, { readonly status: number, readonly text: string } | null>> {
  const calls = [
    ['GET', '/usage'], ['GET', '/generations'], ['GET', '/models'], ['GET', '/openapi.json'], ['GET', '/'], ['POST', '/generate'], ['POST', '/fal/fal-ai/imagen4/preview/ultra'],
    ['GET', '/sandbox/'], ['GET', job], ['PUT', `${job}/cancel`], ['POST', '/sandbox/run/fal-ai/imagen4/preview/ultra'], ['GET', '/sandbox/control/bill'],
    ['PUT', '/sandbox/control/faults'], ['DELETE', '/sandbox/control/bill'], ['PUT', '/sandbox/control/hold']
  ]
  return await page.evaluate(`(async () => {
    const said = {}
    for (const [method, path] of ${JSON.stringify(calls)}) {
      for (const key of ['Bearer fg_demo_sandbox', 'Key any:key', null]) {
        for (const mode of ['cors', 'no-cors']) {
          const body = method === 'GET' || method === 'DELETE' ? undefined : JSON.stringify({ prompt: 'of a page', kind: 'answer', operation: 'submit', error: 'locked' })
          const headers = key === null ? {} : { authorization: key, ...mode === 'cors' && body !== undefined ? { 'content-type': 'application/json' } : {} }
          try {
            const answer = await fetch(${JSON.stringify(base)} + path, { method, mode, headers, body })
            said[[method, path, key, mode].join(' ')] = answer.type === 'opaque' ? null : { status: answer.status, text: await answer.text() }
          } catch {
            said[[method, path, key, mode].join(' ')] = null
          }
        }
      }
    }
    return said
  })()`)
}

t.setTimeout(240_000)

t.test('a page of another origin reads nothing and switches nothing, and shows pictures whose address it has', async t => {
  const { app, context, picture, job, bill } = await open(t)
  const elsewhere = createServer((_request, response) => { response.setHeader('content-type', 'text/html').end(PAGE) })
  const port = await listen(elsewhere)
  t.teardown(async () => {
    elsewhere.closeAllConnections()
    elsewhere.close()
    await once(elsewhere, 'close')
  })
  const before = await bill()
  t.match(before, { submits: 1, accepted: 1 })
  for (const origin of [`http://127.0.0.1:${port}`, `http://${FOREIGN_NAME}:${port}`]) {
    const page = await context.newPage()
    await page.goto(origin)
    const answers = Object.entries(await tried(page, app.url, job))
    t.equal(answers.length, 90)
    t.same(answers.filter(([, answer]) => answer !== null), [], origin)
    const widthPixels = await page.evaluate(`new Promise(resolve => {
      const image = document.body.appendChild(document.createElement('img'))
      image.onload = image.onerror = () => { resolve(image.naturalWidth) }
      image.src = ${JSON.stringify(picture)}
    })`)
    t.ok(Number(widthPixels) > 0, 'the picture')
  }
  t.same(await bill(), before)
})

t.test('a page whose own name points at this machine is told 421 everywhere: for the browser both are one origin', async t => {
  const { app, context, job, bill } = await open(t)
  const before = await bill()
  const origin = `http://${FOREIGN_NAME}:${new URL(app.url).port}`
  const page = await context.newPage()
  // The page itself came from its owner's machine, before the name moved.
  await page.route(`${origin}/page`, async route => { await route.fulfill({ contentType: 'text/html', body: PAGE }) })
  await page.goto(`${origin}/page`)
  const answers = await tried(page, origin, job)
  t.equal(Object.keys(answers).length, 90)
  const notRefused = Object.entries(answers).filter(([call, answer]) => answer === null ? !call.endsWith(' no-cors') : answer.status !== 421)
  t.same(notRefused, [])
  t.ok(Object.values(answers).some(answer => /wrong-host/.test(answer?.text ?? '')), 'this page may read what it is told')
  t.same(await bill(), before)
})
