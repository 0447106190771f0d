// The page of the API in Chromium: with `?model=` it asks for a key, shows that model and nothing else, and tells in a sentence why it does not.

import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { openBrowser, PAGE_TIMEOUT_MS } from '../support/browser.ts'
import { key, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'

const easel = documentModel({ endpointId: 'acme/easel' })
const models = createModels([imagen4Ultra], { added: [easel] })

/** A page of a browser that was never here before, and what its console said; each question is answered with `answer`. */
async function openPage (t: Test, url: string, answer: string): Promise<{ readonly page: Page, readonly asked: readonly string[], readonly said: readonly string[] }> {
  const page = await (await openBrowser(t)).newPage()
  page.setDefaultTimeout(PAGE_TIMEOUT_MS)
  const asked: string[] = []
  page.on('dialog', dialog => {
    asked.push(dialog.message())
    dialog.accept(answer).catch(() => {})
  })
  const said: string[] = []
  page.on('console', message => said.push(message.text()))
  await page.goto(url)
  return { page, asked, said }
}

t.setTimeout(240_000)

t.test('the page of the gateway has its own name and sign, asks no other host, and breaks nothing of its policy', async t => {
  const gateway = await startGateway(t, { models })
  const { page, said } = await openPage(t, 'about:blank', '')
  const addresses: string[] = []
  page.on('request', request => addresses.push(request.url()))
  await page.goto(`${gateway.url}/docs`)
  await page.waitForSelector('.opblock')
  await page.locator('.opblock-summary').first().click()
  await page.waitForSelector('.opblock-body')
  t.equal(await page.title(), 'falgate')
  t.equal(await page.locator('.topbar').count(), 0, 'no logo of another project and no field for addresses')
  const icon = await page.locator('link[rel=icon]').getAttribute('href')
  t.match(await (await fetch(new URL(icon ?? '', page.url()))).text(), /^<svg /)
  t.same(addresses.filter(address => !address.startsWith(gateway.url) && !address.startsWith('data:')), [])
  t.same(said, [])
})

t.test('the page of one model asks for a key, and shows the operations of that model without a link that leads nowhere', async t => {
  const gateway = await startGateway(t, { models })
  const { page, asked } = await openPage(t, `${gateway.url}/docs?model=${easel.endpointId}`, STUDIO_KEY)
  await page.waitForSelector('.opblock')
  t.same(asked, [`The key to read the document of ${easel.endpointId} with`])
  const paths = await page.locator('.opblock-summary-path').allInnerTexts()
  // The page lets lines break between the parts of a path.
  const hasPath = (path: string): boolean => paths.some(one => one.replaceAll(/[\s\u200b]/g, '') === path)
  t.ok(hasPath(`/generate/${easel.endpointId}`), paths.join())
  t.notOk(hasPath(`/generate/${imagen4Ultra.endpointId}`))
  t.match(await page.locator('.info .title').innerText(), /^falgate: /)
  t.equal(await page.locator('.info .main .link').isVisible(), false)
  t.equal(await page.locator('.info .main .link').count(), 1, 'that is what it is called')
})

t.test('a key that may not use the model, and one that nobody knows, are told so', async t => {
  const gateway = await startGateway(t, { models, tenants: { tenants: [tenant('press', { models: [imagen4Ultra.endpointId] })] } })
  for (const [answer, sentence] of [[key('press'), /This tenant may not use this model\./], ['nobody', /The key is not known/]] as const) {
    const { page } = await openPage(t, `${gateway.url}/docs?model=${easel.endpointId}`, answer)
    await page.waitForSelector('.errors-wrapper')
    t.match(await page.locator('.errors-wrapper').innerText(), sentence)
  }
})
