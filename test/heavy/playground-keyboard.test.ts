// The playground in Chromium without a mouse: from signing in to the picture, to the gallery and out again, with the focus in sight all the way.

import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { key, startWithOwnSandbox, tenant } from '../support/gateway.ts'
import { barriers, openPage, promptOf, widthOf } from '../support/playground.ts'

const tenants = { tenants: [tenant('studio')] }

/** More stops than any page here has. */
const MAX_STOPS = 100

/** Is something in focus, and does it show? A control that is drawn by what stands beside it shows it there. */
async function isFocusInSight (page: Page): Promise<boolean> {
  return await page.evaluate(() => {
    const page: { activeElement: Element | null, body: Element } = Reflect.get(globalThis, 'document')
    interface Element { matches: (selector: string) => boolean, nextElementSibling: Element | null, getBoundingClientRect: () => { width: number, height: number } }
    const styleOf: (element: Element) => { outlineStyle: string, outlineWidth: string } = Reflect.get(globalThis, 'getComputedStyle')
    const { activeElement: element } = page
    if (element === null || element === page.body || !element.matches(':focus-visible')) return false
    const { width, height } = element.getBoundingClientRect()
    const isOutlined = [element, element.nextElementSibling].some(one => one !== null && styleOf(one).outlineStyle !== 'none' && parseFloat(styleOf(one).outlineWidth) >= 2)
    return width > 1 && height > 1 && isOutlined
  })
}

async function hasFocus (place: Locator): Promise<boolean> {
  return await place.evaluate((element: object) => element === Reflect.get(globalThis, 'document').activeElement)
}

/** Presses a key until this place is in focus, which is in sight on the way. */
async function go (t: Test, page: Page, press: 'Tab' | 'Shift+Tab', place: Locator): Promise<void> {
  for (let stop = 0; stop < MAX_STOPS; stop++) {
    await page.keyboard.press(press)
    if (!await isFocusInSight(page)) {
      t.fail('the focus is out of sight', { after: await page.locator(':focus').evaluateAll((found: { outerHTML: string }[]) => found.map(({ outerHTML }) => outerHTML.slice(0, 200))) })
      return
    }
    if (await hasFocus(place)) return
  }
  t.fail('it was not reached by keyboard')
}

/** Does this place have the focus the moment that it is in the page? What is typed before it has is lost. To be asked before it is there. */
async function comesWithFocus (page: Page, selector: string): Promise<() => Promise<boolean>> {
  await page.evaluate(selector => {
    const page: { activeElement: Element | null, body: object, querySelector: (selector: string) => Element | null } = Reflect.get(globalThis, 'document')
    const Observer: new (seen: () => void) => { observe: (place: object, what: object) => void, disconnect: () => void } = Reflect.get(globalThis, 'MutationObserver')
    interface Element { readonly tagName: string }
    const observer = new Observer(() => {
      const place = page.querySelector(selector)
      if (place === null) return
      observer.disconnect()
      Reflect.set(globalThis, 'cameWithFocus', place === page.activeElement)
    })
    observer.observe(page.body, { attributes: true, childList: true, subtree: true })
  }, selector)
  return async () => {
    await page.waitForFunction(() => Reflect.has(globalThis, 'cameWithFocus'))
    return await page.evaluate(() => {
      const came: boolean = Reflect.get(globalThis, 'cameWithFocus')
      Reflect.deleteProperty(globalThis, 'cameWithFocus')
      return came
    })
  }
}

/** More pictures than the gallery shows at first. */
async function fillGallery (url: string): Promise<void> {
  const headers = { authorization: `Bearer ${key('studio')}`, 'content-type': 'application/json' }
  await Promise.all(Array.from({ length: 26 }, async (_, n) => await (await fetch(`${url}/generate`, { method: 'POST', headers, body: JSON.stringify({ prompt: `kite ${n}`, seed: 1 }) })).arrayBuffer()))
}

t.setTimeout(300_000)

t.test('what is shown next has the focus from its first moment, so that no key is lost', async t => {
  const app = await startWithOwnSandbox(t, { tenants })
  await fillGallery(app.url)
  const { page } = await openPage(t, app.url)
  await page.getByLabel('Key or token').fill(key('studio'))
  const form = await comesWithFocus(page, 'form textarea')
  await page.keyboard.press('Enter')
  t.equal(await form(), true, 'the form')

  await page.getByRole('button', { name: 'Older ones' }).waitFor()
  const shown = await page.locator('.gallery li').count()
  const older = await comesWithFocus(page, `.gallery li:nth-child(${shown + 1}) button`)
  await page.getByRole('button', { name: 'Older ones' }).click()
  t.equal(await older(), true, 'the first of the older ones')

  const faulty = await comesWithFocus(page, 'form [aria-invalid=true]')
  await promptOf(page).fill('')
  await page.getByRole('button', { name: 'Make it' }).click()
  t.equal(await faulty(), true, 'the field that is at fault')

  const field = await comesWithFocus(page, '#key')
  await page.getByRole('button', { name: 'Sign out' }).click()
  t.equal(await field(), true, 'the field of the key')
})

t.test('from signing in to the picture, to the gallery and out', async t => {
  const { page, said } = await openPage(t, (await startWithOwnSandbox(t, { tenants })).url)
  await page.getByLabel('Key or token').waitFor()
  t.ok(await hasFocus(page.getByLabel('Key or token')), 'the first step is ready to type')
  await page.keyboard.type(key('studio'))
  await page.keyboard.press('Enter')
  await promptOf(page).waitFor()
  t.ok(await isFocusInSight(page) && await hasFocus(promptOf(page)), 'and so is the next')
  await page.keyboard.press('Control+A')
  await page.keyboard.type('A kite')

  const square = page.getByRole('radio', { name: '1:1' })
  await go(t, page, 'Tab', square)
  await page.keyboard.press('ArrowRight')
  t.ok(await isFocusInSight(page))
  t.notOk(await square.isChecked(), 'arrows choose the ratio')
  await page.keyboard.press('ArrowLeft')
  t.ok(await square.isChecked())

  await go(t, page, 'Tab', page.getByRole('button', { name: 'Roll a seed' }))
  await page.keyboard.press('Space')
  const seed = page.getByLabel('Seed', { exact: true })
  t.match(await seed.inputValue(), /^\d+$/)
  await go(t, page, 'Shift+Tab', seed)
  await page.keyboard.press('Control+A')
  await page.keyboard.type('42')
  await go(t, page, 'Tab', page.getByText('More settings'))
  await page.keyboard.press('Enter')
  await go(t, page, 'Tab', page.getByLabel('A stored result'))
  const button = page.getByRole('button', { name: 'Make it' })
  await go(t, page, 'Tab', button)
  await page.keyboard.press('Enter')
  await widthOf(page.locator('.result img'))
  await button.waitFor()
  t.ok(await isFocusInSight(page) && await hasFocus(button), 'the answer leaves the focus where it was')

  await go(t, page, 'Tab', page.getByRole('radio', { name: 'curl' }))
  await page.keyboard.press('ArrowRight')
  t.match(await page.getByRole('region', { name: 'The same call as' }).innerText(), 'await fetch')
  t.ok(await isFocusInSight(page) && await hasFocus(page.getByRole('radio', { name: 'JavaScript' })))

  await go(t, page, 'Tab', page.locator('.gallery button').first())
  await page.keyboard.press('Enter')
  await page.getByRole('region', { name: 'Result' }).waitFor()
  t.ok(await isFocusInSight(page) && await hasFocus(page.getByRole('region', { name: 'Result' })), 'the picture that was opened is next')
  await go(t, page, 'Tab', page.getByRole('button', { name: 'Real size' }))
  await page.keyboard.press('Space')
  t.ok(await isFocusInSight(page) && await hasFocus(page.getByRole('button', { name: 'Real size' })))
  await go(t, page, 'Tab', page.getByRole('button', { name: 'Take its settings' }))
  await page.keyboard.press('Enter')
  t.ok(await isFocusInSight(page) && await hasFocus(promptOf(page)), 'its settings are ready to be changed')
  t.equal(await seed.inputValue(), '42')

  await go(t, page, 'Shift+Tab', page.getByRole('button', { name: 'Sign out' }))
  await page.keyboard.press('Enter')
  await page.getByLabel('Key or token').waitFor()
  t.ok(await isFocusInSight(page) && await hasFocus(page.getByLabel('Key or token')))
  t.same(await barriers(page), [])
  t.same(said, [])
})

t.test('a cancel and the last page of the gallery leave the focus on something', async t => {
  const app = await startWithOwnSandbox(t, { tenants, env: { SANDBOX_CONTROL: 'on' } })
  await fillGallery(app.url)
  const hold = async (method: 'PUT' | 'DELETE'): Promise<void> => { await fetch(`${app.sandboxControl?.url}/hold`, { method, headers: { authorization: `Key ${app.sandboxControl?.key}` } }) }
  await hold('PUT')
  t.teardown(async () => { await hold('DELETE') })

  const { page } = await openPage(t, app.url)
  await page.getByLabel('Key or token').waitFor()
  await page.keyboard.type(key('studio'))
  await page.keyboard.press('Enter')
  await promptOf(page).waitFor()
  await page.keyboard.press('Control+Enter')
  const cancel = page.getByRole('button', { name: 'Cancel' })
  await cancel.waitFor()
  await go(t, page, 'Tab', cancel)
  await page.keyboard.press('Enter')
  t.ok(await isFocusInSight(page) && await hasFocus(page.getByRole('region', { name: 'Result' })))

  const thumbs = page.locator('.gallery li button')
  const older = page.getByRole('button', { name: 'Older ones' })
  const shown = await thumbs.count()
  await go(t, page, 'Tab', older)
  await page.keyboard.press('Enter')
  await older.waitFor({ state: 'detached' })
  t.ok(await isFocusInSight(page) && await hasFocus(thumbs.nth(shown)), 'the first of the older ones')
})
