// A gateway's way to its sandbox with files: that in its own process, wherever it says that it is, and one that runs elsewhere.

import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import type { OwnBase } from '../../src/app/way-to-files.ts'
import { createCentralKeys } from '../../src/app/reloadable.ts'
import { openSentFiles } from '../../src/app/sent-files.ts'
import { createMetrics, type Metrics } from '../../src/metrics.ts'
import { CENTRAL_KEY, configOf } from '../support/gateway.ts'
import { pixel } from '../support/pixel.ts'
import { startSandbox } from '../support/sandbox.ts'

interface Opened { readonly metrics: Metrics, readonly give: (bytes: Uint8Array) => Promise<string> }

async function opened (t: Test, env: Readonly<Record<string, string>>, sandbox: OwnBase): Promise<Opened> {
  const config = configOf(env)
  const metrics = createMetrics({ version: '1' })
  const { files, close } = await openSentFiles({ config, keys: createCentralKeys(config, [{ name: 'main', key: CENTRAL_KEY, slots: null }]), sandbox: () => sandbox, log: pino({ enabled: false }), metrics })
  t.teardown(close)
  async function give (bytes: Uint8Array): Promise<string> {
    const taken = await files.take(Readable.from([Buffer.from(bytes)]), 10_000_000)
    if (typeof taken === 'string' || taken.upload === null) throw new Error('it is not brought anywhere')
    return await taken.upload(never)
  }
  return { metrics, give }
}

/** A picture of some length: what stands behind its end belongs to no picture. */
function picture (bytes: number): Buffer {
  return Buffer.concat([pixel(), randomBytes(bytes - pixel().length)])
}

async function fetched (url: string): Promise<Buffer> {
  return Buffer.from(await (await fetch(url)).arrayBuffer())
}

const never = new AbortController().signal

t.test('to the sandbox in this process, with the key that only the gateway has', async t => {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const { give, metrics } = await opened(t, { UPLOADS: 'on' }, { told: sandbox.base, reached: sandbox.base })
  const bytes = picture(2_000_000)
  const address = await give(bytes)
  t.ok(address.startsWith(`${sandbox.base}/files/`) && address.endsWith('.png'))
  t.ok((await fetched(address)).equals(bytes))
  const told = await metrics.render()
  for (const line of ['falgate_uploads_total{outcome="uploaded"} 1', 'falgate_upload_bytes_total 2000000']) t.match(told, line)
})

t.test('to that sandbox where its addresses are those of PUBLIC_URL, which this process need not reach', async t => {
  const sandbox = await startSandbox(t, { publicUrl: 'https://pictures.example/sandbox' })
  const { give } = await opened(t, { UPLOADS: 'on', PUBLIC_URL: 'https://pictures.example' }, { told: 'https://pictures.example/sandbox', reached: sandbox.base })
  const bytes = picture(1000)
  const address = await give(bytes)
  t.match(address, /^https:\/\/pictures\.example\/sandbox\/files\//)
  t.ok((await fetched(address.replace('https://pictures.example/sandbox', sandbox.base))).equals(bytes))
})

t.test('to a sandbox that runs elsewhere, which FAL_REST_URL names', async t => {
  const sandbox = await startSandbox(t)
  const { give } = await opened(t, { UPLOADS: 'on', FAL_KEY: 'sandbox', FAL_QUEUE_URL: `${sandbox.base}/queue`, FAL_REST_URL: sandbox.base }, { told: '', reached: '' })
  const bytes = picture(1000)
  t.ok((await fetched(await give(bytes))).equals(bytes))
})

t.test('a failing storage is counted, and its faults are those that a sandbox can be told to have', async t => {
  const sandbox = await startSandbox(t)
  const { give, metrics } = await opened(t, { UPLOADS: 'on' }, { told: sandbox.base, reached: sandbox.base })
  const bytes = picture(1000)
  sandbox.faults.add({ kind: 'answer', operation: 'initiate', error: 'locked' })
  await t.rejects(give(bytes), { code: 'upstream-account-blocked' })
  sandbox.faults.add({ kind: 'odd', operation: 'initiate', answer: 'html' })
  await t.rejects(give(bytes), { code: 'upload-failed' })
  sandbox.faults.add({ kind: 'reset', operation: 'upload' })
  await t.rejects(give(bytes), { code: 'upload-failed' })
  sandbox.faults.add({ kind: 'answer', operation: 'upload', error: 'runner_disconnected', retryAfterSeconds: 7 })
  await t.rejects(give(bytes), { code: 'upload-failed', facts: { retryAfterSeconds: 7 } })
  t.ok(await give(bytes))
  const told = await metrics.render()
  for (const line of ['falgate_uploads_total{outcome="blocked"} 1', 'falgate_uploads_total{outcome="failed"} 3', 'falgate_uploads_total{outcome="uploaded"} 1']) t.match(told, line)
})
