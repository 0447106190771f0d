// examples/page in Chromium, started as its README says: a visitor draws with a token, and never meets the key.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { openBrowser, PAGE_TIMEOUT_MS } from '../support/browser.ts'
import { draw, running, seen } from '../support/example-page.ts'
import { parseObject } from '../support/gateway.ts'
import { listen } from '../support/listen.ts'
import { callOf, codeBlocksOf, pageAt } from '../support/pages.ts'
import { cliFile, projectDir } from '../support/paths.ts'
import { answering, freePort, start } from '../support/processes.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const PROCESS_TIMEOUT_MS = 240_000

interface Scene {
  /** Where the gateway and the page are. */
  readonly gateway: string
  readonly origin: string
  readonly key: string
  readonly context: BrowserContext
  readonly page: Page
  /** Every byte that the browser was answered. */
  readonly received: () => string
  /** The tokens that the page has sent, each once. */
  readonly tokens: () => readonly string[]
  /** Asks the switches of the sandbox. */
  readonly control: (method: string, path: string) => Promise<Record<string, unknown>>
}

/** The commands of the README, on ports that are free here, and the page that it says to open. */
async function open (t: Test): Promise<Scene> {
  const readme = pageAt('examples/page/README.md')
  const [block] = codeBlocksOf(readme)
  const [install, serve, backend] = (block?.code ?? '').trim().split('\n').map(callOf)
  t.same([install?.words, serve?.words], [['npm', 'ci'], ['npm', 'start']])
  t.same(backend?.words, ['node', 'examples/page/server.js'])
  t.ok(readme.includes('open http://127.0.0.1:3000/'))

  const [gatewayPort, pagePort] = [await freePort(), await freePort()]
  let received = ''
  const onAnswer = (bytes: Buffer): void => { received += bytes.toString('latin1') }
  // The browser reaches both through what listens along.
  const [gateway, origin] = [`http://127.0.0.1:${(await startTcpProxy(t, gatewayPort, { onAnswer })).port}`, `http://127.0.0.1:${(await startTcpProxy(t, pagePort, { onAnswer })).port}`]
  const tenantsFile = join(t.testdir(), 'tenants.json')
  writeFileSync(tenantsFile, readFileSync(join(projectDir, serve?.env['TENANTS_FILE'] ?? ''), 'utf8').replace('http://127.0.0.1:3000', origin))
  const served = start(t, [cliFile, 'serve'], { ...serve?.env, TENANTS_FILE: tenantsFile, PORT: String(gatewayPort), SANDBOX_CONTROL: 'on' }, { cwd: projectDir, timeoutMs: PROCESS_TIMEOUT_MS })
  let said = ''
  served.child.stderr?.on('data', (text: string) => { said += text })
  t.equal(backend?.env['FALGATE_URL'], 'http://127.0.0.1:8080')
  const page = start(t, backend?.words.slice(1) ?? [], { ...backend?.env, FALGATE_URL: gateway, PORT: String(pagePort), ORIGIN: origin }, { cwd: projectDir, timeoutMs: PROCESS_TIMEOUT_MS })
  await Promise.all([answering(served, `${gateway}/readyz`), answering(page, `${origin}/`)])
  const [, controlUrl = '', controlKey = ''] = await until(() => /set at (\S+) with "Authorization: Key (\S+)"/.exec(said), { what: 'the control of the sandbox is named' })

  const context = await (await openBrowser(t)).newContext()
  context.setDefaultTimeout(PAGE_TIMEOUT_MS)
  const tokens = new Set<string>()
  context.on('request', request => {
    const { authorization } = request.headers()
    if (authorization !== undefined) tokens.add(authorization.replace('Bearer ', ''))
  })
  const opened = await context.newPage()
  await opened.goto(`${origin}/`)

  return {
    gateway,
    origin,
    key: backend?.env['FALGATE_KEY'] ?? '',
    context,
    page: opened,
    tokens: () => [...tokens],
    control: async (method, path) => parseObject(await (await fetch(controlUrl + path, { method, headers: { authorization: `Key ${controlKey}` } })).text()),
    received: () => received
  }
}

/** Revokes a token with the tenant's key, and waits until the gateway takes it no more. */
async function revoke ({ gateway, key }: Scene, token: string): Promise<void> {
  const [, id = ''] = /^fgt_([^_]+)_/.exec(token) ?? []
  const { status } = await fetch(`${gateway}/tokens/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${key}` } })
  if (status !== 204) throw new Error(`revoking was answered ${status}`)
  await until(async () => (await fetch(`${gateway}/models`, { headers: { authorization: `Bearer ${token}` } })).status === 401)
}

t.setTimeout(300_000)

t.test('a visitor draws with a token, is told how far it is, and is sent no byte of the key; when the token\'s pictures are used up a sentence says so', async t => {
  const scene = await open(t)
  const { page, control } = scene
  await control('PUT', '/hold')
  await draw(page, 'A heron in the rain')
  await running(page)
  await control('DELETE', '/hold')
  await seen(page, 'A heron in the rain')
  for (const prompt of ['A harbour', 'A lighthouse']) {
    await draw(page, prompt)
    await seen(page, prompt)
  }
  t.equal(await page.getByRole('alert').innerText(), '')
  await draw(page, 'One picture more')
  await page.getByRole('alert').getByText('Your pictures are used up.').waitFor()
  t.match(await control('GET', '/bill'), { accepted: 3 })

  t.equal(scene.tokens().length, 1)
  t.match(scene.tokens()[0], /^fgt_/)
  const received = scene.received()
  t.ok(received.includes(scene.tokens()[0] ?? '?'), 'what was received was recorded')
  for (const spelling of [scene.key, scene.key.replace(/_([^_]*)$/, ':$1')]) t.notOk(received.includes(spelling), 'the key')
})

t.test('a token that ends in the midst of a picture, and one that ended before, is replaced: each picture is bought once', async t => {
  const scene = await open(t)
  const { page, control } = scene
  await control('PUT', '/hold')
  await draw(page, 'A heron in the rain')
  await running(page)
  await revoke(scene, scene.tokens()[0] ?? '')
  await until(() => scene.tokens().length === 2)
  await control('DELETE', '/hold')
  await seen(page, 'A heron in the rain')
  t.match(await control('GET', '/bill'), { accepted: 1 })

  await revoke(scene, scene.tokens()[1] ?? '')
  await draw(page, 'A harbour')
  await seen(page, 'A harbour')
  t.equal(scene.tokens().length, 3)
  t.match(await control('GET', '/bill'), { accepted: 2 })
})

t.test('a page of another origin is given no token, and can do nothing with one that it has', async t => {
  const { gateway, origin, context, page, tokens, control } = await open(t)
  await draw(page, 'A heron in the rain')
  await seen(page, 'A heron in the rain')
  const elsewhere = createServer((_request, response) => { response.setHeader('content-type', 'text/html').end('<!doctype html><title>Another page</title>') })
  const port = await listen(elsewhere)
  t.teardown(async () => {
    elsewhere.closeAllConnections()
    elsewhere.close()
    await once(elsewhere, 'close')
  })
  const foreign = await context.newPage()
  await foreign.goto(`http://127.0.0.1:${port}`)
  // The port does not count for cookies: the browser sends the visitor's along.
  const asked = foreign.waitForResponse(`${origin}/token`)
  t.equal(await foreign.evaluate(`fetch('${origin}/token', { method: 'POST', mode: 'no-cors', credentials: 'include' }).then(answer => answer.text())`), '')
  t.equal((await asked).status(), 401)
  const call = `fetch('${gateway}/generate', { method: 'POST', headers: { authorization: 'Bearer ${tokens()[0]}', 'content-type': 'application/json' }, body: '{"prompt":"x"}' }).then(answer => answer.status, error => error.name)`
  t.equal(await foreign.evaluate(call), 'TypeError')
  t.equal(await page.evaluate(call), 200, 'the page itself can')
  t.match(await control('GET', '/bill'), { accepted: 2 })
})
