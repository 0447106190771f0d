// The playground at `/` in Chromium: from typing to the picture, and what stands in between.

import t from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { key, startWithOwnSandbox, tenant } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'
import { barriers, make, openPage, promptOf, signIn, wish } from '../support/playground.ts'

/** A model that is made of a document: it has a field of its own, and takes no ratio. */
const easel = documentModel({ endpointId: 'acme/easel', input: promptAnd({ seed: { type: 'integer' }, style: { type: 'string', enum: ['oil', 'ink'], default: 'oil' } }) })
const models = createModels([imagen4Ultra], { added: [easel] })

t.setTimeout(300_000)

t.test('with the sandbox it is signed in: a wish becomes a picture, the same again is a hit, and no other host hears of it', async t => {
  const { page, said, foreign } = await openPage(t, (await startWithOwnSandbox(t, { models })).url)
  await page.getByText('This is the sandbox.').waitFor()
  t.match(await make(t, page, 'A red bicycle', '42'), /bought[\s\S]*\$0\.06/)
  t.match(await make(t, page, 'A red bicycle', '42'), /a stored result\s+cost \$0\.00\s+saved \$0\.06/)
  await page.locator('.gallery img').first().waitFor()
  t.equal(await page.locator('pre, code').filter({ hasText: 'fg_demo_sandbox' }).count(), 0, 'no call that is shown has a key in it')
  t.match(await page.locator('body').innerText(), /\$FALGATE_KEY/)
  t.same(foreign(), [])
  t.same(said, [])
})

t.test('a key is asked for where there are tenants, one that nobody knows is told so, and a model of a document has the form of its document', async t => {
  const { page, foreign } = await openPage(t, (await startWithOwnSandbox(t, { models, tenants: { tenants: [tenant('studio')] } })).url)
  await signIn(page, 'fg_studio:wrong')
  t.match(await page.getByRole('alert').innerText(), /key/i)
  await signIn(page, key('studio'))
  await page.getByLabel('Model').selectOption(easel.endpointId)
  await page.locator('code', { hasText: easel.endpointId }).first().waitFor()
  await page.getByText('More settings').click()
  await page.getByLabel('Style').selectOption('ink')
  t.match(await make(t, page, 'A harbour in winter'), /\$0\.05/)
  t.match(await page.locator('body').innerText(), /"style": ?"ink"/)
  t.same(foreign(), [])
  t.same(await page.evaluate(() => [Reflect.get(globalThis, 'localStorage').length, Reflect.get(globalThis, 'sessionStorage').length]), [0, 0], 'the key is kept in memory only')
})

t.test('what was spent and saved, what is left, and which model it went to are numbers, and plots that have a text', async t => {
  const { page } = await openPage(t, (await startWithOwnSandbox(t, { models, tenants: { tenants: [tenant('studio', { budget: { usd: 1, per: 'day' } })] } })).url)
  await signIn(page, key('studio'))
  await make(t, page, 'A red bicycle', '42')
  await make(t, page, 'A red bicycle', '42')
  await page.getByLabel('Model').selectOption(easel.endpointId)
  await page.locator('code', { hasText: easel.endpointId }).first().waitFor()
  await make(t, page, 'A harbour')
  const usage = page.getByRole('region', { name: 'Usage' })
  await usage.getByText('3 calls').waitFor()
  t.match((await usage.innerText()).replaceAll(/\s+/g, ' '), /spent \$0\.11 reserved \$0\.00 left \$0\.89 of \$1\.00 saved \$0\.06 .*spent \$0\.11 saved \$0\.06 .*\$0\.06 for 1 .*\$0\.05 for 1/)
  for (const name of ['$0.11 spent, $0.00 reserved, $0.89 left', 'Call by call: $0.11 spent, $0.06 saved in all', '$0.05 of $0.06']) t.ok(await usage.getByRole('img', { name }).isVisible(), name)
})

t.test('between choosing a model and the arrival of its document there is no form that could be sent, and what is typed afterwards is asked for', async t => {
  const { page } = await openPage(t, (await startWithOwnSandbox(t, { models })).url)
  await promptOf(page).waitFor()
  let release = (): void => {}
  const released = new Promise<void>(resolve => { release = resolve })
  await page.route(`**/models/${easel.endpointId}`, async route => {
    await released
    await route.continue()
  })
  const asked = page.waitForRequest(`**/models/${easel.endpointId}`)
  await page.getByLabel('Model').selectOption(easel.endpointId)
  await asked
  t.equal(await promptOf(page).count(), 0)
  release()
  await make(t, page, 'A harbour')
})

t.test('a picture that is opened in the gallery says what it cost and brings its settings along, also those of another model', async t => {
  const { page } = await openPage(t, (await startWithOwnSandbox(t, { models })).url)
  await make(t, page, 'A red bicycle', '42')
  await page.getByLabel('Model').selectOption(easel.endpointId)
  await page.getByText('More settings').click()
  await page.getByLabel('Style').selectOption('ink')
  await make(t, page, 'A harbour')
  await page.locator('.gallery button', { hasText: 'A red bicycle' }).click()
  await page.getByRole('radio', { name: '1:1' }).waitFor()
  t.equal(await promptOf(page).inputValue(), 'A red bicycle')
  t.equal(await page.getByLabel('Seed', { exact: true }).inputValue(), '42')
  t.match(await page.locator('.result .progress').innerText(), /bought\s+cost \$0\.06/)
  await page.locator('.gallery button', { hasText: 'A harbour' }).click()
  await page.getByText('More settings').click()
  t.equal(await page.getByLabel('Style').inputValue(), 'ink')
  t.match(await page.locator('.result .progress').innerText(), /bought\s+cost \$0\.05/)
})

t.test('what is wrong with a wish stands at its field', async t => {
  const { page } = await openPage(t, (await startWithOwnSandbox(t, { models })).url)
  await wish(page, 'x', 'seven')
  await page.getByRole('alert').first().waitFor()
  t.equal(await page.getByLabel('Seed', { exact: true }).getAttribute('aria-invalid'), 'true')
  t.match(await page.getByRole('alert').first().innerText(), /stands at its field/)
  t.same(await barriers(page), [])
})

for (const [name, options] of [['light', {}], ['dark', { colorScheme: 'dark' }], ['a phone', { viewport: { width: 360, height: 740 } }]] as const) {
  t.test(`nothing keeps anybody out: ${name}`, async t => {
    const { page } = await openPage(t, (await startWithOwnSandbox(t, { models })).url, options)
    await make(t, page, 'A lighthouse')
    t.same(await barriers(page), [])
    t.ok(await page.evaluate(() => Reflect.get(globalThis, 'document').documentElement.scrollWidth <= Reflect.get(globalThis, 'innerWidth')), 'it does not scroll sideways')
  })
}

t.test('a refusal of the model is told once, and costs nothing; a file that is gone is told in its place', async t => {
  const app = await startWithOwnSandbox(t, { models, env: { SANDBOX_CONTROL: 'on' } })
  const set = async (fault: object): Promise<void> => {
    const answer = await fetch(`${app.sandboxControl?.url}/faults`, { method: 'PUT', headers: { authorization: `Key ${app.sandboxControl?.key}`, 'content-type': 'application/json' }, body: JSON.stringify([fault]) })
    if (!answer.ok) throw new Error(await answer.text())
  }
  const { page } = await openPage(t, app.url)
  await set({ kind: 'job', operation: 'submit', error: 'content_policy_violation' })
  await wish(page, 'A kite')
  await page.getByRole('alert').waitFor()
  t.equal(await page.getByRole('alert').innerText(), 'The model refused to make this picture.')
  t.match(await page.locator('.result .progress').innerText(), /Failed\s+cost \$0\.00/)
  await set({ kind: 'answer', operation: 'file', error: 'result_expired', times: 'always' })
  await wish(page, 'A lighthouse')
  await page.getByText('This file cannot be loaded from where it is.').waitFor()
  // Its small picture is asked for by itself.
  await page.locator('.gallery .thumb', { hasText: 'gone' }).waitFor()
  t.equal(await page.locator('.gallery .thumb').first().innerText(), 'gone')
})

t.test('whatever is no browser gets a line of text', async t => {
  const { url } = await startWithOwnSandbox(t, { models })
  const answer = await fetch(`${url}/`)
  t.match(answer.headers.get('content-type'), 'text/plain')
  t.match(await answer.text(), /POST \/generate/)
})
