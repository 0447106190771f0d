// Chromium, for tests of pages.

import { chromium, type Browser } from 'playwright-core'
import type { Test } from 'tap'
import { findChromium } from './fal/chromium.ts'

/** How long a page may take for one step, in milliseconds: machines are slow at times. */
export const PAGE_TIMEOUT_MS = 60_000

/** A browser that was never anywhere before; it ends with the test. */
export async function openBrowser (t: Test): Promise<Browser> {
  // As root there is no sandbox for Chromium; it opens nothing but pages of the tests.
  const browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'], timeout: PAGE_TIMEOUT_MS })
  t.teardown(async () => { await browser.close() })
  return browser
}
