// The playground at `/` in Chromium: from typing to the picture, and what stands in between.

import { createRequire } from 'node:module'
import { chromium, type BrowserContextOptions, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { RunningApp } from '../../src/app.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { findChromium } from '../support/fal/chromium.ts'
import { key, startWithOwnSandbox, tenant } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'

const PAGE_TIMEOUT_MS = 60_000

/** A model that is made of a document: it has a field of its own, and takes no ratio. */
const easel = documentModel({ endpointId: 'acme/easel', input: promptAnd({ seed: { type: 'integer' }, style: { type: 'string', enum: ['oil', 'ink'], default: 'oil' } }) })
const models = createModels([imagen4Ultra], { added: [easel] })

const axeFile = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

interface Opened {
  readonly page: Page
  /** What the console said. */
  readonly said: readonly string[]
  /** Hosts that were asked, beside the gateway's. */
  readonly foreign: () => readonly string[]
}

async function openPage (t: Test, { url }: RunningApp, options: BrowserContextOptions = {}): Promise<Opened> {
  // As root there is no sandbox for Chromium; it opens nothing but our own page.
  const browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'], timeout: PAGE_TIMEOUT_MS })
  t.teardown(async () => { await browser.close() })
  const page = await browser.newPage(options)
  page.setDefaultTimeout(PAGE_TIMEOUT_MS)
  const said: string[] = []
  page.on('console', message => said.push(message.text()))
  page.on('pageerror', ({ message }) => said.push(message))
  const asked: string[] = []
  page.on('request', request => asked.push(request.url()))
  await page.goto(`${url}/`)
  return { page, said, foreign: () => asked.filter(address => !address.startsWith(`${url}/`) && !address.startsWith('data:')) }
}

/** Makes a picture by keyboard alone, and waits until it is seen. Gives what the result says of it. */
async function make (t: Test, page: Page, prompt: string, seed = ''): Promise<string> {
  await page.getByLabel('Prompt', { exact: true }).fill(prompt)
  await page.getByLabel('Seed', { exact: true }).fill(seed)
  await page.getByLabel('Prompt', { exact: true }).press('Control+Enter')
  await page.locator('.result .pill').first().waitFor()
  await page.locator(`.result img[alt="${prompt}"]`).waitFor()
  t.ok(await page.locator('.result img').first().evaluate((picture: { complete: boolean, decode: () => Promise<void>, naturalWidth: number }) => picture.decode().then(() => picture.naturalWidth > 100)), 'a picture is drawn')
  return await page.locator('.result .progress').innerText()
}

/** What axe finds, as far as it keeps somebody out. */
async function barriers (page: Page): Promise<readonly string[]> {
  await page.addScriptTag({ path: axeFile }).catch(() => {})
  return await page.evaluate(async () => {
    const axe: { run: () => Promise<{ violations: { id: string, impact: string, nodes: { html: string }[] }[] }> } = Reflect.get(globalThis, 'axe')
    const { violations } = await axe.run()
    return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)
  })
}

t.setTimeout(300_000)

t.test('with the sandbox it is signed in: a wish becomes a picture, the same again is a hit, and no other host hears of it', async t => {
  const { page, said, foreign } = await openPage(t, await startWithOwnSandbox(t, { models }))
  await page.getByText('This is the sandbox.').waitFor()
  t.match(await make(t, page, 'A red bicycle', '42'), /bought[\s\S]*\$0\.06/)
  t.match(await make(t, page, 'A red bicycle', '42'), /saved/)
  await page.locator('.gallery img').first().waitFor()
  t.equal(await page.locator('pre, code').filter({ hasText: 'fg_demo_sandbox' }).count(), 0, 'no call that is shown has a key in it')
  t.match(await page.locator('body').innerText(), /\$FALGATE_KEY/)
  t.same(foreign(), [])
  t.same(said, [])
})

t.test('a key is asked for where there are tenants, one that nobody knows is told so, and a model of a document has the form of its document', async t => {
  const { page, foreign } = await openPage(t, await startWithOwnSandbox(t, { models, tenants: { tenants: [tenant('studio')] } }))
  await page.getByLabel('Key or token').fill('fg_studio:wrong')
  await page.getByLabel('Key or token').press('Enter')
  t.match(await page.getByRole('alert').innerText(), /key/i)
  await page.getByLabel('Key or token').fill(key('studio'))
  await page.getByLabel('Key or token').press('Enter')
  await page.getByLabel('Model').selectOption(easel.endpointId)
  await page.locator('code', { hasText: easel.endpointId }).first().waitFor()
  await page.getByText('More settings').click()
  await page.getByLabel('Style').selectOption('ink')
  t.match(await make(t, page, 'A harbour in winter'), /\$0\.05/)
  t.match(await page.locator('body').innerText(), /"style": ?"ink"/)
  t.same(foreign(), [])
  t.same(await page.evaluate(() => [Reflect.get(globalThis, 'localStorage').length, Reflect.get(globalThis, 'sessionStorage').length]), [0, 0], 'the key is kept in memory only')
})

t.test('what is wrong with a wish stands at its field', async t => {
  const { page } = await openPage(t, await startWithOwnSandbox(t, { models }))
  await page.getByLabel('Prompt', { exact: true }).fill('x')
  await page.getByLabel('Seed', { exact: true }).fill('seven')
  await page.getByLabel('Prompt', { exact: true }).press('Control+Enter')
  await page.getByRole('alert').first().waitFor()
  t.equal(await page.getByLabel('Seed', { exact: true }).getAttribute('aria-invalid'), 'true')
  t.match(await page.getByRole('alert').first().innerText(), /stands at its field/)
})

for (const [name, options] of [['light', {}], ['dark', { colorScheme: 'dark' }], ['a phone', { viewport: { width: 360, height: 740 } }]] as const) {
  t.test(`nothing keeps anybody out: ${name}`, async t => {
    const { page } = await openPage(t, await startWithOwnSandbox(t, { models }), { ...options, bypassCSP: true })
    await make(t, page, 'A lighthouse')
    t.same(await barriers(page), [])
    t.ok(await page.evaluate(() => Reflect.get(globalThis, 'document').documentElement.scrollWidth <= Reflect.get(globalThis, 'innerWidth')), 'it does not scroll sideways')
  })
}

t.test('whatever is no browser gets a line of text', async t => {
  const { url } = await startWithOwnSandbox(t, { models })
  const answer = await fetch(`${url}/`)
  t.match(answer.headers.get('content-type'), 'text/plain')
  t.match(await answer.text(), /POST \/generate/)
})
