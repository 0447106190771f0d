// The playground at `/` in Chromium, as its visitors meet it.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { BrowserContextOptions, Locator, Page } from 'playwright-core'
import type { Test } from 'tap'
import { openBrowser, PAGE_TIMEOUT_MS } from './browser.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export interface Opened {
  readonly page: Page
  /** What the console said. */
  readonly said: readonly string[]
  /** Addresses that were asked for. */
  readonly asked: readonly string[]
  /** Addresses that were asked for outside of the page's own base. */
  readonly foreign: () => readonly string[]
}

/** Opens the page below `base`, an address without a slash at its end, in a browser that was never here before; it ends with the test. */
export async function openPage (t: Test, base: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const browser = await openBrowser(t)
  const page = await browser.newPage(options)
  page.setDefaultTimeout(PAGE_TIMEOUT_MS)
  const said: string[] = []
  page.on('console', message => said.push(message.text()))
  page.on('pageerror', ({ message }) => said.push(message))
  const asked: string[] = []
  page.on('request', request => asked.push(request.url()))
  await page.goto(`${base}/`)
  return { page, said, asked, foreign: () => asked.filter(address => !address.startsWith(`${base}/`) && !address.startsWith('data:')) }
}

export function promptOf (page: Page): Locator {
  return page.getByLabel('Prompt', { exact: true })
}

/** Signs in with a key or a token. */
export async function signIn (page: Page, credential: string): Promise<void> {
  await page.getByLabel('Key or token').fill(credential)
  await page.getByLabel('Key or token').press('Enter')
}

/** Asks for a picture, and waits for nothing. */
export async function wish (page: Page, prompt: string, seed = ''): Promise<void> {
  await promptOf(page).fill(prompt)
  await page.getByLabel('Seed', { exact: true }).fill(seed)
  await promptOf(page).press('Control+Enter')
}

/** Asks for a picture, and waits until it is seen. Gives what the result says of it. */
export async function make (t: Test, page: Page, prompt: string, seed = ''): Promise<string> {
  await wish(page, prompt, seed)
  await page.locator('.result .pill').first().waitFor()
  t.ok(await widthOf(page.locator(`.result img[alt="${prompt}"]`).first()) > 100, 'a picture is drawn')
  return await page.locator('.result .progress').innerText()
}

/** The real width of a picture in pixels, once it is there. */
export async function widthOf (picture: Locator): Promise<number> {
  await picture.waitFor()
  return await picture.evaluate(async (image: { decode: () => Promise<void>, naturalWidth: number }) => {
    await image.decode()
    return image.naturalWidth
  })
}

/** What axe finds, as far as it keeps somebody out. */
export async function barriers (page: Page): Promise<readonly string[]> {
  // As the debugger does it: the page's policy, which forbids scripts of others, stays as it is.
  await page.evaluate(axe)
  return await page.evaluate(async () => {
    const axe: { run: () => Promise<{ violations: { id: string, impact: string, nodes: { html: string }[] }[] }> } = Reflect.get(globalThis, 'axe')
    const { violations } = await axe.run()
    return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)
  })
}
