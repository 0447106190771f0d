// The playground in Chromium for who has a browser token, and what it says when a token, a key or a budget is at its end.

import t, { type Test } from 'tap'
import type { RunningApp } from '../../src/app.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { key, parseObject, startWithOwnSandbox, tenant } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'
import { barriers, make, openPage, promptOf, signIn, wish } from '../support/playground.ts'

const easel = documentModel({ endpointId: 'acme/easel', input: promptAnd({ seed: { type: 'integer' }, style: { type: 'string', enum: ['oil', 'ink', 'chalk'], default: 'oil' }, steps: { type: 'integer', default: 20 } }) })
const models = createModels([imagen4Ultra], { added: [easel] })

async function start (t: Test, options: Readonly<Record<string, unknown>> = {}): Promise<RunningApp> {
  return await startWithOwnSandbox(t, { models, tenants: { tenants: [tenant('studio', options)] } })
}

interface Given { readonly token: string, readonly revoke: () => Promise<void> }

/** Has a token given out. */
async function give ({ url }: RunningApp, terms: Readonly<Record<string, unknown>> = {}): Promise<Given> {
  const headers = { authorization: `Bearer ${key('studio')}`, 'content-type': 'application/json' }
  const answer = await fetch(`${url}/tokens`, { method: 'POST', headers, body: JSON.stringify({ pictures: 3, ...terms }) })
  const { id, token } = parseObject(await answer.text())
  if (answer.status !== 201) throw new Error(`no token: ${answer.status}`)
  return { token: String(token), revoke: async () => { await fetch(`${url}/tokens/${String(id)}`, { method: 'DELETE', headers: { authorization: headers.authorization } }) } }
}

/** Waits until the gateway takes the token no more. */
async function untilRefused ({ url }: RunningApp, { token }: Given): Promise<void> {
  while ((await fetch(`${url}/models`, { headers: { authorization: `Bearer ${token}` } })).status !== 401);
}

t.setTimeout(300_000)

t.test('with a token a picture is made, and the page shows what is left in it', async t => {
  const app = await start(t)
  const { page, said, asked } = await openPage(t, app.url)
  const { token } = await give(app, { usd: 1 })
  await signIn(page, token)
  await page.getByText('3 pictures are left').waitFor()
  t.match(await make(t, page, 'A kite'), /bought[\s\S]*\$0\.06/)
  await page.getByText('2 pictures are left').waitFor()
  const left = page.getByRole('region', { name: 'This token' })
  t.match((await left.innerText()).replaceAll(/\s+/g, ' '), /pictures left 2 of 3 dollars left \$0\.94 of \$1\.00/i)
  t.ok(await left.getByRole('img', { name: '2 of 3 pictures are left' }).isVisible())
  t.equal(await page.locator('.gallery img').count(), 1, 'what was made with it is in its gallery')
  t.same(said, [], 'it asks for nothing that a token may not see')
  t.same([page.url(), ...asked].filter(address => address.includes(token.slice(-20))), [], 'no address has the token in it')
})

t.test('what a token may not ask for is not offered', async t => {
  const app = await start(t)
  const { page } = await openPage(t, app.url)
  await signIn(page, (await give(app, { models: [easel.endpointId], allow: { style: ['ink', 'chalk'], steps: [30] }, cache: ['bypass'] })).token)
  await page.getByText('More settings').click()
  const optionsOf = async (label: string): Promise<readonly string[]> => await page.getByLabel(label, { exact: true }).locator('option').evaluateAll((options: { value: string }[]) => options.map(({ value }) => value))
  t.same(await optionsOf('Model'), [easel.endpointId])
  t.same(await optionsOf('Style'), ['ink', 'chalk'])
  t.same(await optionsOf('Steps'), ['30'])
  t.same(await optionsOf('A stored result'), ['', 'bypass', 'reuse', 'only'])
  t.match(await make(t, page, 'A kite'), /bought/, 'the form starts with what is allowed')
  t.match(await page.getByRole('region', { name: 'The same call as' }).innerText(), /"style": "ink", "steps": 30/)
  await page.getByLabel('A stored result', { exact: true }).selectOption('bypass')
  t.match(await page.getByRole('region', { name: 'The same call as' }).innerText(), /Falgate-Cache: bypass/)
  t.match(await make(t, page, 'A kite', '7'), /bought/)
})

t.test('a token that was revoked is told in a sentence, and leads back to signing in, where the form is as it was', async t => {
  const app = await start(t)
  const { page } = await openPage(t, app.url)
  const token = await give(app)
  await signIn(page, token.token)
  await make(t, page, 'A kite')
  await token.revoke()
  await untilRefused(app, token)
  await wish(page, 'A second kite')
  await page.getByRole('alert').filter({ hasText: 'The token was revoked' }).waitFor()
  t.ok(await page.locator('.gallery img').isVisible(), 'what was made stays in view')
  t.same(await barriers(page), [])
  await page.getByRole('button', { name: 'Sign in again' }).click()
  await signIn(page, (await give(app)).token)
  await promptOf(page).waitFor()
  t.equal(await promptOf(page).inputValue(), 'A second kite')
  t.match(await make(t, page, 'A second kite'), /bought/)
})

t.test('a token that has expired is told so, at the door and inside', async t => {
  const app = await start(t)
  const { page } = await openPage(t, app.url)
  const expired = page.getByRole('alert').filter({ hasText: 'The token has expired' })
  // How long a sign-in takes here is not known beforehand.
  for (let seconds = 2; await promptOf(page).count() === 0; seconds *= 2) {
    const token = await give(app, { expires_in: seconds })
    await signIn(page, token.token)
    await promptOf(page).or(expired).waitFor()
    await untilRefused(app, token)
  }
  await wish(page, 'A kite')
  await expired.waitFor()
  await page.getByRole('button', { name: 'Sign in again' }).click()
  const late = await give(app, { expires_in: 1 })
  await untilRefused(app, late)
  await signIn(page, late.token)
  await expired.waitFor()
})

t.test('a token whose pictures are used up says so, and so does a budget', async t => {
  const app = await start(t)
  const { page } = await openPage(t, app.url)
  await signIn(page, (await give(app, { pictures: 1 })).token)
  await make(t, page, 'A kite')
  await page.getByText('no pictures are left').waitFor()
  await wish(page, 'A second kite')
  await page.getByRole('alert').filter({ hasText: 'The token has nothing left to spend' }).waitFor()

  const poor = await start(t, { budget: { usd: 0.06, per: 'day' } })
  const { page: other } = await openPage(t, poor.url)
  await signIn(other, key('studio'))
  await make(t, other, 'A kite')
  await wish(other, 'A second kite')
  await other.getByRole('alert').filter({ hasText: 'The budget is used up' }).waitFor()
})

t.test('a key or token that nobody knows is told so, and the field is ready for another', async t => {
  const app = await start(t)
  const { page } = await openPage(t, app.url)
  const { token } = await give(app)
  for (const wrong of ['fg_studio_wrong', 'nobody', `${token.slice(0, -4)}zzzz`]) {
    await signIn(page, wrong)
    await page.getByRole('alert').filter({ hasText: 'The key is not known' }).waitFor()
    t.ok(await page.getByLabel('Key or token').evaluate((field: object) => field === Reflect.get(globalThis, 'document').activeElement))
  }
})
