// Pictures of edits in fal's storage (`UPLOADS=on`): they are brought there before something is bought, once for equal ones, and never for what is refused.

import { hash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { createModels } from '../../src/models/models.ts'
import { editWithForm, type Part } from '../support/edit-form.ts'
import { startGateway, tenant, type Gateway, type GatewayOptions } from '../support/gateway.ts'
import { modelWith } from '../support/image-models.ts'
import { pixel } from '../support/pixel.ts'
import { until } from '../support/until.ts'

const models = createModels([modelWith({ image_urls: { type: 'array', items: { type: 'string' } }, seed: { type: 'integer' } }, 'acme/painter/edit')])
const prompt: Part = ['prompt', 'with a hat']
const seed: Part = ['seed', '7']

async function start (t: Test, options: GatewayOptions = {}): Promise<Gateway> {
  return await startGateway(t, { models, env: { UPLOADS: 'on' }, ...options })
}

/** How many files were brought to the storage. */
async function uploads (gateway: Gateway): Promise<number> {
  return Number(/^falgate_uploads_total\{outcome="uploaded"\} (\d+)$/m.exec((await gateway.get('/metrics')).text)?.[1] ?? 0)
}

/** Files that this process has put down and not removed. */
function left (): readonly string[] {
  return readdirSync(tmpdir()).filter(name => name.startsWith(`falgate-media-${process.pid}-`)).flatMap(folder => readdirSync(`${tmpdir()}/${folder}`))
}

t.test('the model reads the very bytes that were sent, at an address of the storage, and nothing of them stays here', async t => {
  const gateway = await start(t)
  const bytes = pixel('x'.repeat(6 * 1024 * 1024))
  const reply = await editWithForm(gateway, [prompt, ['image[]', bytes], ['image[]', pixel('2')]])
  t.equal(reply.status, 200, reply.text)
  const { input } = (await gateway.get(`/generations/${reply.headers.get('falgate-generation')}`)).json()
  const { image_urls: addresses }: { readonly image_urls?: unknown } = Object(input)
  const [first, second, ...more]: readonly unknown[] = Array.isArray(addresses) ? addresses : []
  t.same(more, [])
  for (const [address, sent] of [[first, bytes], [second, pixel('2')]]) t.ok(Buffer.from(await (await fetch(String(address))).arrayBuffer()).equals(Buffer.from(Object(sent))))
  t.equal(await uploads(gateway), 2)
  await until(() => left().length === 0, { what: 'nothing is left here' })
})

t.test('the same files and words are one request: stored, and brought there once', async t => {
  const gateway = await start(t)
  const first = await editWithForm(gateway, [prompt, seed, ['image', pixel()]])
  t.equal(first.status, 200, first.text)
  for (const parts of [[prompt, seed, ['image', pixel()]], [['image[]', pixel()], seed, prompt]] satisfies Part[][]) {
    const again = await editWithForm(gateway, parts)
    t.match(again.headers.get('cache-status'), /^falgate; hit/)
  }
  t.match((await editWithForm(gateway, [prompt, seed, ['image', pixel('another')]])).headers.get('cache-status'), /^falgate; fwd=/)
  t.equal((await editWithForm(gateway, [['prompt', 'with a scarf'], ['n', '3'], ['image', pixel()]])).status, 200)
  t.equal(await uploads(gateway), 2, 'two files')
  t.equal(gateway.sandbox.bill.billedUnits, 5)
})

t.test('a call that lost its answer is given what it bought', async t => {
  const gateway = await start(t)
  const release = gateway.sandbox.faults.holdJobs()
  const left = new AbortController()
  const lost = editWithForm(gateway, [prompt, ['image', pixel()]], { signal: left.signal }).catch(() => null)
  await until(() => gateway.sandbox.bill.accepted === 1)
  left.abort()
  await lost
  const again = editWithForm(gateway, [prompt, ['image', pixel()]], { headers: { 'x-stainless-retry-count': '1' } })
  release()
  const reply = await again
  t.equal(reply.status, 200, reply.text)
  t.match(reply.headers.get('cache-status'), /detail=/)
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('what is refused, or may not buy, brings nothing anywhere', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 0.05, per: 'day' } })] } })
  t.equal((await editWithForm(gateway, [prompt, ['image', pixel()]])).status, 402)
  t.equal((await editWithForm(gateway, [prompt, seed, ['image', pixel()]], { headers: { 'falgate-cache': 'only' } })).status, 504)
  t.equal((await editWithForm(gateway, [prompt, ['image', pixel()], ['colour', 'red']])).status, 400)
  t.equal(await uploads(gateway), 0)
  await until(() => left().length === 0, { what: 'nothing is left here' })
})

t.test('what is stored is answered without the files of the call, wherever it was bought', async t => {
  const dataDir = t.testdir({})
  const before = await start(t, { env: { UPLOADS: 'on', DATA_DIR: dataDir } })
  t.match((await editWithForm(before, [prompt, seed, ['image', pixel()]])).headers.get('cache-status'), /detail=bought/)
  await before.close()
  // Another process knows nothing of what was brought, and now the storage takes no file of anybody.
  const after = await start(t, { env: { UPLOADS: 'on', DATA_DIR: dataDir } })
  after.sandbox.faults.add({ kind: 'reset', operation: 'initiate', times: 'always' })
  t.match((await editWithForm(after, [prompt, seed, ['image', pixel()]])).headers.get('cache-status'), /^falgate; hit/)
  t.equal((await editWithForm(after, [prompt, seed, ['image', pixel()]], { headers: { 'falgate-cache': 'refresh' } })).status, 502)
  t.equal(after.sandbox.bill.accepted, 0)
})

t.test('nobody can say the name that a file has here before it is in the storage, and be taken for who sent it', async t => {
  const gateway = await start(t)
  const named = `https://files.invalid/${hash('sha256', pixel())}.png`
  t.equal((await editWithForm(gateway, [prompt, seed, ['image', pixel()]])).status, 200)
  for (const [body, path] of [
    [{ prompt: 'with a hat', seed: 7, image_urls: [named] }, '/generate/acme/painter/edit'],
    [{ prompt: 'with a hat', seed: 7, image_urls: [named] }, '/v1/images/edits'],
    [{ prompt: 'with a hat', seed: 7, images: [{ image_url: named }] }, '/v1/images/edits']
  ] satisfies ReadonlyArray<readonly [object, string]>) {
    const reply = await gateway.generate(body, { path })
    t.equal(reply.status, path.startsWith('/v1') ? 400 : 422, reply.text)
    t.match(reply.text, /address where nothing can be/)
  }
  t.equal((await editWithForm(gateway, [prompt, seed, ['image', pixel('2')], ['image', named]])).status, 400)
  t.equal(await uploads(gateway), 1)
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('one file that stands twice in a call is brought once', async t => {
  const gateway = await start(t)
  t.equal((await editWithForm(gateway, [prompt, ['image[]', pixel()], ['image[]', pixel('2')], ['image[]', pixel()]])).status, 200)
  t.equal(await uploads(gateway), 2)
})

t.test('callers that wait for their picture hold no file, so that more of them may wait than long bodies are read at once', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 10 })] } })
  const release = gateway.sandbox.faults.holdJobs()
  const long = 'x'.repeat(300 * 1024)
  const waiting = Array.from({ length: 8 }, async (_, number) => await editWithForm(gateway, [prompt, ['image', pixel(`${number}${long}`)]]))
  await gateway.sandbox.bill.untilAccepted(8)
  // Other tests may have files in the same process; those of the waiting callers stand there as long as nobody lets their jobs go on.
  await until(() => left().length === 0, { what: 'nothing is left of callers that wait' })
  const ninth = await editWithForm(gateway, [prompt, seed, ['image', pixel(long)]], { headers: { 'falgate-cache': 'only' } })
  t.match(ninth.json(), { error: { code: 'not_cached' } })
  release()
  for (const { status } of await Promise.all(waiting)) t.equal(status, 200)
})

t.test('a storage that fails costs nothing, is told in OpenAI\'s words, and the same call works later', async t => {
  const gateway = await start(t)
  gateway.sandbox.faults.add({ kind: 'reset', operation: 'upload' })
  const failed = await editWithForm(gateway, [prompt, ['image', pixel()]])
  t.equal(failed.status, 502)
  t.match(failed.json(), { error: { type: 'server_error', code: 'upload_failed' } })
  t.equal(failed.headers.get('x-should-retry'), null)
  t.ok(Number(failed.headers.get('retry-after')) > 0)
  t.equal(gateway.sandbox.bill.accepted, 0)
  t.equal((await editWithForm(gateway, [prompt, ['image', pixel()]])).status, 200)
  await until(() => left().length === 0, { what: 'nothing is left here' })
})
