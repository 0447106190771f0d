// `npm run screenshots`: the playground in every state that its visitors meet, as pictures in `screenshots/`, for eyes. It promises nothing; what has to hold is in test/heavy.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContextOptions, Page } from 'playwright-core'
import t from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { promptAnd } from './fal-documents.ts'
import { key, parseObject, startWithOwnSandbox, tenant } from './gateway.ts'
import { documentModel } from './model-files.ts'
import { projectDir } from './paths.ts'
import { make, openPage, promptOf, signIn, widthOf, wish } from './playground.ts'

const folder = join(projectDir, 'screenshots')
const only = process.argv.slice(2)

/** A model with a form of every kind of field, of which a call makes several pictures of any size. */
const easel = documentModel({
  endpointId: 'acme/easel',
  input: promptAnd({
    seed: { type: 'integer', description: 'The same seed is the same picture.' },
    style: { type: 'string', enum: ['oil', 'ink'], default: 'oil', description: 'What it is painted with.' },
    num_images: { type: 'integer', default: 1, minimum: 1, maximum: 4, description: 'How many pictures to make.' },
    width: { type: 'integer', default: 1024, minimum: 64, maximum: 4096 },
    height: { type: 'integer', default: 1024, minimum: 64, maximum: 4096 },
    enable_safety_checker: { type: 'boolean', default: true, description: 'Whether what comes out is looked at.' },
    loras: { type: 'array', items: { type: 'object' }, description: 'Weights to add.' }
  })
})
const models = createModels([imagen4Ultra], { added: [easel] })
const tenants = { tenants: [tenant('studio', { budget: { usd: 2, per: 'day' } }), tenant('poor', { budget: { usd: 0.06, per: 'day' } })] }

const LONG = 'A lighthouse keeper in a yellow raincoat who reads a letter by the light of a single lantern, while behind the salt-stained window a storm rolls in over a slate-grey sea, painted in the manner of the Dutch masters, with thick brush strokes, deep shadows, warm highlights and a small sleeping cat beside the stove, '.repeat(4)

mkdirSync(folder, { recursive: true })
t.setTimeout(0)

const app = await startWithOwnSandbox(t, { models, tenants, env: { SANDBOX_CONTROL: 'on' } })

async function control (method: string, path: string, body?: unknown): Promise<void> {
  const { url = '', key = '' } = app.sandboxControl ?? {}
  const answer = await fetch(url + path, { method, headers: { authorization: `Key ${key}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  if (!answer.ok) throw new Error(await answer.text())
}

async function give (terms: object): Promise<{ readonly token: string, readonly id: string }> {
  const answer = await fetch(`${app.url}/tokens`, { method: 'POST', headers: { authorization: `Bearer ${key('studio')}`, 'content-type': 'application/json' }, body: JSON.stringify(terms) })
  const { token, id } = parseObject(await answer.text())
  return { token: String(token), id: String(id) }
}

async function enter (page: Page, credential: string, model: string = imagen4Ultra.endpointId): Promise<void> {
  await signIn(page, credential)
  await promptOf(page).waitFor()
  if (model === imagen4Ultra.endpointId) return
  await page.getByLabel('Model').selectOption(model)
  await page.getByLabel('Aspect ratio').waitFor({ state: 'detached' })
  await page.locator('code', { hasText: model }).first().waitFor()
}

/** One state: `draw` leads to it. `wide`, `dark` and `phone` name the screens that it is drawn on. */
function scene (name: string, screens: ReadonlyArray<'wide' | 'dark' | 'phone'>, draw: (page: Page) => Promise<void>, at = app.url): void {
  for (const screen of screens) {
    if (only.length > 0 && !only.some(word => `${name}-${screen}`.includes(word))) continue
    t.test(`${name}-${screen}`, async t => {
      const phone = { width: 360, height: 740 }
      const options: BrowserContextOptions = { viewport: screen === 'phone' ? phone : { width: 1280, height: 900 }, colorScheme: screen === 'dark' ? 'dark' : 'light', deviceScaleFactor: screen === 'phone' ? 2 : 1, reducedMotion: 'reduce' }
      const { page } = await openPage(t, at, options)
      await draw(page)
      await page.screenshot({ path: join(folder, `${name}-${screen}.png`), fullPage: true })
    })
  }
}

scene('sign-in', ['wide', 'dark', 'phone'], async page => { await page.getByLabel('Key or token').waitFor() })
scene('wrong-key', ['wide'], async page => {
  await signIn(page, 'nobody')
  await page.getByRole('alert').waitFor()
})
scene('empty', ['wide', 'phone'], async page => { await enter(page, (await give({ pictures: 3, expires_in: 600 })).token) })
scene('fields', ['wide', 'phone'], async page => {
  await enter(page, key('studio'), easel.endpointId)
  await page.getByText('More settings').click()
})
scene('bad-field', ['wide', 'phone'], async page => {
  await enter(page, key('studio'))
  await wish(page, 'A kite', 'seven')
  await page.getByRole('alert').first().waitFor()
})
scene('picture', ['wide', 'dark', 'phone'], async page => {
  await enter(page, key('studio'))
  await make(t, page, 'A red bicycle leaning against a whitewashed wall', '42')
  await make(t, page, 'A red bicycle leaning against a whitewashed wall', '42')
  await widthOf(page.locator('.gallery img').first())
})
scene('wide-picture', ['wide', 'phone'], async page => {
  await enter(page, key('studio'), easel.endpointId)
  await page.getByText('More settings').click()
  await page.getByLabel('Width', { exact: true }).fill('2048')
  await page.getByLabel('Height', { exact: true }).fill('512')
  await make(t, page, 'A panorama')
})
scene('tall-picture', ['wide', 'phone'], async page => {
  await enter(page, key('studio'))
  await page.getByRole('radio', { name: '9:16' }).check()
  await make(t, page, 'A lighthouse')
})
scene('four', ['wide', 'phone'], async page => {
  await enter(page, key('studio'), easel.endpointId)
  await page.getByText('More settings').click()
  await page.getByLabel('Num images', { exact: true }).fill('4')
  await make(t, page, 'Four kites')
})
scene('long-prompt', ['wide', 'phone'], async page => {
  await enter(page, key('studio'))
  await wish(page, LONG, '7')
  await page.locator('.result img').first().waitFor()
  await widthOf(page.locator('.gallery img').first())
})
scene('waiting', ['wide', 'phone'], async page => {
  await enter(page, key('studio'))
  await control('PUT', '/hold')
  await wish(page, `A kite at ${Date.now()}`)
  await page.getByRole('button', { name: 'Cancel' }).waitFor()
})
scene('failed', ['wide'], async page => {
  await control('DELETE', '/hold')
  await enter(page, key('studio'))
  await control('PUT', '/faults', [{ kind: 'job', operation: 'submit', error: 'content_policy_violation' }])
  await wish(page, `A kite that nobody may see, at ${Date.now()}`)
  await page.getByRole('alert').first().waitFor()
})
scene('budget', ['wide'], async page => {
  await enter(page, key('poor'))
  await wish(page, `A kite at ${Date.now()}`)
  await page.locator('.result img, [role=alert]').first().waitFor()
  await wish(page, `A kite at ${Date.now()}`)
  await page.getByRole('alert').first().waitFor()
})
scene('gallery', ['wide', 'phone'], async page => {
  await enter(page, key('studio'))
  await page.locator('.gallery button').nth(2).click()
  await widthOf(page.locator('.result img').first())
})
scene('token', ['wide', 'dark', 'phone'], async page => {
  await enter(page, (await give({ pictures: 5, usd: 0.5, expires_in: 3600 })).token)
  await make(t, page, 'A kite above the dunes')
})
scene('revoked', ['wide', 'phone'], async page => {
  const { token, id } = await give({ pictures: 2 })
  await enter(page, token)
  await make(t, page, 'A kite above the dunes')
  await fetch(`${app.url}/tokens/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${key('studio')}` } })
  while ((await fetch(`${app.url}/models`, { headers: { authorization: `Bearer ${token}` } })).status !== 401);
  await wish(page, 'Another kite')
  await page.getByRole('button', { name: 'Sign in again' }).waitFor()
})
const demo = await startWithOwnSandbox(t, { models })
scene('sandbox', ['wide', 'phone'], async page => { await make(t, page, 'A harbour in winter', '7') }, demo.url)
