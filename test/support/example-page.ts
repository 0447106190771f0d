// The page of examples/page as its visitors use it.

import type { Page } from 'playwright-core'

/** Wishes for a picture, and waits for nothing. */
export async function draw (page: Page, prompt: string): Promise<void> {
  await page.getByLabel('What shall be drawn?').fill(prompt)
  await page.getByRole('button', { name: 'Draw' }).click()
}

/** Waits until the page says that the picture is being made. */
export async function running (page: Page): Promise<void> {
  await shown(page, 'document.querySelector(\'[role=status]\').textContent.startsWith(\'running\')')
}

/** Waits until the picture of this wish is seen. */
export async function seen (page: Page, prompt: string): Promise<void> {
  await shown(page, `document.querySelector('img')?.alt === ${JSON.stringify(prompt)} && document.querySelector('img').naturalWidth > 100`)
}

/** Waits until this holds in the page. Rejects with what the page refuses in place of it. */
async function shown (page: Page, condition: string): Promise<void> {
  const refused = await page.waitForFunction(`(${condition}) ? '-' : document.querySelector('[role=alert]').textContent`)
  const sentence = String(await refused.jsonValue())
  if (sentence !== '-') throw new Error(`the page says: ${sentence}`)
}
