// The first minutes with a model of fal's: added by name, priced, and bought on every door of a gateway that runs already.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startApp } from '../src/app.ts'
import { prepare } from '../src/cli/prepare.ts'
import { builtInModels } from '../src/models/built-in.ts'
import { playCatalogue } from './support/catalogue.ts'
import { runHere, type Said } from './support/cli.ts'
import { falDocumentText, plainOutput } from './support/fal-documents.ts'
import { key, parseObject, STUDIO_KEY, tenant, type Reply } from './support/gateway.ts'

const MODEL = 'fal-ai/plantain-2'

/** Like many of fal's: pictures are counted, a size has its price, and no answer names a seed. */
const document = falDocumentText({
  type: 'object',
  required: ['prompt'],
  properties: {
    prompt: { type: 'string', minLength: 3, maxLength: 50_000 },
    num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1 },
    resolution: { type: 'string', enum: ['0.5K', '1K', '2K', '4K'], default: '1K' },
    aspect_ratio: { anyOf: [{ type: 'string', enum: ['auto', '1:1', '16:9'] }, { type: 'null' }], default: 'auto' },
    output_format: { type: 'string', enum: ['jpeg', 'png', 'webp'], default: 'png' },
    seed: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
    sync_mode: { type: 'boolean', default: false }
  }
}, plainOutput, { endpointId: MODEL })

const rule = { usd: 0.08, per: 'image', times: { resolution: { '0.5K': 0.75, '1K': 1, '2K': 1.5, '4K': 2 } } }

interface House {
  readonly add: (...options: readonly string[]) => Promise<Said>
  readonly price: (...options: readonly string[]) => Promise<Said>
  readonly remove: () => Promise<Said>
  readonly call: (path: string, body?: object, options?: { readonly key?: string, readonly headers?: Readonly<Record<string, string>> }) => Promise<Reply>
  readonly reload: () => Promise<void>
}

/** A gateway with its own sandbox and an empty folder of models, and an operator beside it. */
async function house (t: Test): Promise<House> {
  const dir = mkdtempSync(join(tmpdir(), 'falgate-house-'))
  t.teardown(() => { rmSync(dir, { recursive: true }) })
  const tenantsFile = join(dir, 'tenants')
  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('studio', { budget: { usd: 100, per: 'month' } }), tenant('press', { models: ['fal-ai/imagen4/preview/ultra'] })] }))
  const catalogue = await playCatalogue(t)
  catalogue.documents.set(MODEL, document)
  catalogue.prices.set(MODEL, { unit_price: 0.08, unit: 'images' })

  const env = { PORT: '0', LOG_LEVEL: 'silent', MODELS_DIR: dir, TENANTS_FILE: tenantsFile, SANDBOX_QUEUE_MS: '0', SANDBOX_RUN_MS: '0' }
  const read = await prepare(env, builtInModels)
  if (!read.ok) throw new Error(read.faults.join('\n'))
  const app = await startApp({ ...read.prepared, models: builtInModels, version: '0.0.0-test' })
  t.teardown(async () => { await app.close() })
  const operator = async (work: string, options: readonly string[]): Promise<Said> => await runHere(['model', work, MODEL, ...options], { MODELS_DIR: dir, FAL_KEY: 'a:b', ...catalogue.env })
  return {
    add: async (...options) => await operator('add', options),
    price: async (...options) => await operator('price', options),
    remove: async () => await operator('remove', []),
    reload: app.reload,
    call: async (path, body, { key = STUDIO_KEY, headers = {} } = {}) => {
      const response = await fetch(app.url + path, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization: `Key ${key}`, ...body === undefined ? {} : { 'content-type': 'application/json' }, ...headers },
        ...body === undefined ? {} : { body: JSON.stringify(body) }
      })
      const text = await response.text()
      return { status: response.status, headers: response.headers, text, json: () => parseObject(text) }
    }
  }
}

function told (reply: Reply): string {
  return `${reply.status} ${reply.headers.get('falgate-cost-usd')}`
}

function picturesIn (reply: Reply): readonly string[] {
  return [reply.json()['images']].flat().map(image => String(Object(image).url))
}

t.test('a model that is added by name is bought without a restart: pictures are counted, sizes have their price, a hit is free, strangers are refused', async t => {
  const { add, price, call, reload } = await house(t)
  const generate = `/generate/${MODEL}`
  t.match((await call(generate, { prompt: 'a fair' })).json(), { status: 404, code: 'model-unknown' })

  t.match(await add(), { code: 0, stdout: /not confirmed, and no upper bound/ })
  await reload()
  t.match((await call(generate, { prompt: 'a fair' })).json(), { code: 'model-closed' })
  t.notMatch((await call('/models')).text, MODEL)
  t.match(await price('--price', JSON.stringify(rule)), { code: 0, stderr: '' })
  await reload()
  t.match((await call('/models')).json(), { models: [{}, { id: MODEL, price_usd: 0.08, seed: 'in', href: `/models/${MODEL}` }] })
  t.equal((await call('/docs/')).status, 200)
  t.match((await call(`/models/${MODEL}/openapi.json`)).json(), { paths: { [generate]: {} } })

  const plain = await call(generate, { prompt: 'a fair' })
  t.equal(told(plain), '200 0.08')
  const [address = ''] = picturesIn(plain)
  const picture = await fetch(address)
  t.same([picture.status, picture.headers.get('content-type')], [200, 'image/png'])
  t.same([...Buffer.from(await picture.arrayBuffer()).subarray(1, 4).toString()].join(''), 'PNG')

  const four = await call(generate, { prompt: 'a fair', num_images: 4 })
  t.equal(told(four), '200 0.32', 'four units')
  t.equal(new Set(picturesIn(four)).size, 4)
  t.equal(told(await call(generate, { prompt: 'a fair', resolution: '4K' })), '200 0.16')
  const both = await call(`/fal/${MODEL}`, { prompt: 'a fair', resolution: '4K', num_images: 4, unknown_field: 1 })
  t.same([both.status, both.headers.get('x-fal-billable-units')], [200, '8'])

  const hit = await call(generate, { prompt: 'a fair' }, { headers: { 'falgate-cache': 'reuse' } })
  t.same([told(hit), hit.text], ['200 0', plain.text])
  t.match(hit.headers.get('cache-status'), /^falgate; hit/)
  const spent = 0.08 + 0.32 + 0.16 + 0.64
  t.match((await call('/usage')).json(), { month: { spent_usd: Number(spent.toFixed(6)), reserved_usd: 0 } })

  for (const door of ['/generate/', '/fal/', '/fal/queue/']) t.equal((await call(door + MODEL, { prompt: 'a fair' }, { key: key('press') })).status, 403, door)
  t.match((await call(generate, { prompt: 'a fair', resolutoin: '4K' })).json(), { errors: [{ path: '/resolutoin', code: 'unknown_field', message: /resolution/ }] })
  t.match((await call(generate, { prompt: 'a fair', num_images: 5 })).json(), { status: 422, errors: [{ path: '/num_images' }] })
})

t.test('a model that is removed takes no calls any more, and what was bought of it is still there', async t => {
  const { add, remove, call, reload } = await house(t)
  t.match(await add('--price', JSON.stringify(rule)), { code: 0 })
  await reload()
  const submitted = (await call(`/fal/queue/${MODEL}`, { prompt: 'a fair' })).json()
  const id = String(submitted['request_id'])
  const bought = await call(`/generate/${MODEL}`, { prompt: 'a fair', seed: 3 })
  t.match(await remove(), { code: 0 })
  await reload()
  t.equal((await call(`/generate/${MODEL}`, { prompt: 'a fair' })).status, 404)
  t.equal((await call(`/models/${MODEL}`)).status, 404)
  let status = await call(`/fal/queue/${MODEL}/requests/${id}/status`)
  for (; status.json()['status'] !== 'COMPLETED'; status = await call(`/fal/queue/${MODEL}/requests/${id}/status`)) t.ok([200, 202].includes(status.status))
  const result = await call(`/fal/queue/${MODEL}/requests/${id}`)
  t.equal(result.status, 200)
  t.equal(picturesIn(result).length, 1)
  const proxied = await call('/fal/proxy', undefined, { headers: { 'x-fal-target-url': `https://queue.fal.run/fal-ai/plantain-2/requests/${id}` } })
  t.same([proxied.status, proxied.text], [200, result.text], 'through the proxy, too')
  t.match((await call(`/generations/${id}`)).json(), { model: MODEL, status: 'succeeded', cost_usd: 0.08 })
  t.match((await call(`/generations/${bought.headers.get('falgate-generation')}`)).json(), { model: MODEL, status: 'succeeded' })

  t.match(await add('--price', JSON.stringify(rule)), { code: 0 })
  await reload()
  t.equal((await call(`/generate/${MODEL}`, { prompt: 'a fair', seed: 3 })).text, bought.text, 'back again it is served from the store')
})
