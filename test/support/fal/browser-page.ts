// A page with fal's JavaScript client in it, and programs that it runs.

import { createServer } from 'node:http'
import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { PAGE_TIMEOUT_MS } from '../browser.ts'
import { listenFor } from '../listen.ts'
import { falClientScript } from './browser-bundle.ts'
import type { Station } from './stations.ts'

/** Where a page's client is led, and with what. */
export type Place = Pick<Station, 'runBase' | 'queueBase' | 'key' | 'proxy'>

/** Serves an empty page with the client in it, from an origin of its own, which it gives. */
export async function serveFalPage (t: Test): Promise<string> {
  const script = falClientScript()
  const server = createServer((request, response) => {
    const isScript = request.url === '/client.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : '<!doctype html><title>A page</title><script type="module" src="/client.js"></script>')
  })
  t.teardown(() => { server.closeAllConnections() })
  return `http://127.0.0.1:${await listenFor(t, server, new Set())}`
}

export async function openFalPage (browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage()
  page.setDefaultTimeout(PAGE_TIMEOUT_MS)
  await page.goto(url)
  await page.waitForFunction('globalThis.falClient !== undefined')
  return page
}

/** The ways in which a page leads the client elsewhere than to fal. */
export const ways = ['proxyUrl', 'requestMiddleware'] as const

/**
 * Runs a program in the page and gives what it returns. In it `fal` is the client's module, `at` the place, `ways` what makes a client for it with some credentials, and `failure`
 * gives what a call was refused with.
 */
export async function runInPage (page: Page, program: string, { runBase, queueBase, key, proxy }: Place): Promise<unknown> {
  const at = JSON.stringify({ runBase, queueBase, key, proxy })
  return await page.evaluate(`(async () => {
    const fal = globalThis.falClient, at = ${at}, model = 'fal-ai/imagen4/preview/ultra'
    const redirect = async request => ({ ...request, url: request.url.replace(/^https:..queue.fal.run/, at.queueBase).replace(/^https:..fal.run/, at.runBase) })
    const ways = {
      proxyUrl: credentials => fal.createFalClient({ credentials, proxyUrl: at.proxy, suppressLocalCredentialsWarning: true }),
      requestMiddleware: credentials => fal.createFalClient({ credentials, requestMiddleware: redirect, suppressLocalCredentialsWarning: true })
    }
    const failure = async call => { try { await call; return null } catch (error) { return { name: error.name, message: error.message, status: error.status, requestId: error.requestId, fields: error.fieldErrors, type: error.body?.error_type } } }
    ${program}
  })()`)
}

/** A part of what runs in a page: a call of `client` that waits, and two that are followed. What comes of them goes into `said`. */
export const runAndSubscribe = `
  const ran = await client.run(model, { input: { prompt: way + ' run', seed: 1 } })
  said.run = { seed: ran.data.seed, images: ran.data.images.length, requestId: ran.requestId }
  for (const mode of ['polling', 'streaming']) {
    const states = [], lines = new Set()
    const done = await client.subscribe(model, { input: { prompt: way + mode }, mode, pollInterval: 20, logs: true, onQueueUpdate: update => {
      if (states.at(-1) !== update.status) states.push(update.status)
      for (const line of update.logs ?? []) lines.add(line.message)
    } })
    said[mode] = { states, lines: [...lines], images: done.data.images.length }
  }
`
