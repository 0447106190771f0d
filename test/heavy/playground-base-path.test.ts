// The playground in Chromium below a path that a reverse proxy takes away: page, calls, events, pictures and links stay below it.

import t from 'tap'
import { key, startWithOwnSandbox, tenant } from '../support/gateway.ts'
import { make, openPage, signIn, widthOf } from '../support/playground.ts'
import { startStrippingProxy } from '../support/stripping-proxy.ts'

const BASE = '/pictures'

t.setTimeout(300_000)

for (const [name, added, envAt] of [
  ['PUBLIC_URL says it', {}, (url: string) => ({ PUBLIC_URL: url })],
  ['a trusted proxy says it', { 'x-forwarded-prefix': BASE }, () => ({ TRUST_PROXY: '127.0.0.1' })]
] as const) {
  t.test(`below a path, where ${name}, a picture is made and seen, and nothing is asked for outside of it`, async t => {
    const proxy = await startStrippingProxy(t, BASE, added)
    const base = proxy.origin + BASE
    proxy.leadTo((await startWithOwnSandbox(t, { env: envAt(base), tenants: { tenants: [tenant('studio')] } })).url)
    const { page, said, foreign } = await openPage(t, base)
    await signIn(page, key('studio'))
    t.match(await make(t, page, 'A kite', '3'), /bought/)
    t.match(await make(t, page, 'A kite', '3'), /saved/)
    t.ok(await widthOf(page.locator('.gallery img').first()) > 100, 'the gallery')
    t.match(await page.getByRole('region', { name: 'The same call as' }).innerText(), `${base}/generate/`)
    t.same([foreign(), proxy.outside, said], [[], [], []])
    await page.getByRole('link', { name: 'API' }).click()
    await page.locator('.opblock').first().waitFor()
    t.match(page.url(), `${base}/docs/`)
    await page.goBack()
    await page.getByRole('link', { name: 'falgate' }).click()
    await page.getByLabel('Key or token').waitFor()
    t.equal(page.url(), `${base}/`)
    t.same(proxy.outside, [])
  })
}

t.test('pictures that the sandbox has under the name of PUBLIC_URL are seen on a page that was opened under another', async t => {
  const proxy = await startStrippingProxy(t, BASE)
  const named = proxy.origin.replace('127.0.0.1', 'localhost') + BASE
  proxy.leadTo((await startWithOwnSandbox(t, { env: { PUBLIC_URL: named }, tenants: { tenants: [tenant('studio')] } })).url)
  const { page, said, foreign } = await openPage(t, proxy.origin + BASE)
  await signIn(page, key('studio'))
  t.match(await make(t, page, 'A kite'), /bought/)
  t.same(foreign().filter(address => !address.startsWith(`${named}/sandbox/files/`)), [])
  t.same(said, [])
})
