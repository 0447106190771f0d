// OpenAI's door: pictures in OpenAI's form, by the same rules as those of `POST /generate`, and errors that make no client pay twice.

import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { isObject } from '../../src/schema.ts'
import { bookOf, startGateway, tenant, type CallOptions, type Gateway, type GatewayOptions, type Reply } from '../support/gateway.ts'
import { poster } from '../support/poster.ts'
import { until } from '../support/until.ts'

const IMAGES = '/v1/images/generations'
const PNG = '89504e470d0a1a0a'
const models = createModels([imagen4Ultra, poster])
const ALIASES = { 'gpt-image-1': imagen4Ultra.endpointId, 'dall-e-3': poster.endpointId }

async function start (t: Test, options: GatewayOptions = {}): Promise<Gateway> {
  return await startGateway(t, { models, tenants: { aliases: ALIASES, tenants: [tenant('studio'), tenant('press', { models: [poster.endpointId] })] }, ...options })
}

function images (gateway: Gateway, body: unknown, options: CallOptions = {}): Promise<Reply> {
  return gateway.generate(body, { path: IMAGES, ...options })
}

function dataOf (reply: Reply): readonly Readonly<Record<string, unknown>>[] {
  const { data } = reply.json()
  return Array.isArray(data) ? data.filter(isObject) : []
}

t.test('a picture is an address, with the time at which it was made and its seed as it is', async t => {
  const gateway = await start(t)
  const reply = await images(gateway, '{"prompt":"a fair","seed":196619188014358660}')
  t.equal(reply.status, 200)
  t.match(reply.text, /^\{"created":\d{10},"data":\[\{"url":"http[^"]+","seed":196619188014358660\}\]\}$/)
  t.equal(reply.headers.get('falgate-cost-usd'), '0.06')
  t.ok(reply.headers.get('x-request-id'))
  t.match(reply.headers.get('openai-processing-ms'), /^\d+$/)

  const again = await images(gateway, '{"prompt":"a fair","seed":196619188014358660}')
  t.equal(again.headers.get('falgate-cost-usd'), '0')
  t.match(again.headers.get('cache-status'), /^falgate; hit/)
  t.same(dataOf(again), dataOf(reply))
  const native = await gateway.generate('{"prompt":"a fair","seed":196619188014358660}')
  t.match(native.headers.get('cache-status'), /^falgate; hit/, 'what is stored is the same for all doors')
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('the same bytes mean what each door makes of them', async t => {
  const gateway = await start(t)
  const body = JSON.stringify({ prompt: 'a fair', seed: 5 })
  for (let round = 0; round < 3; round++) {
    t.ok('data' in (await images(gateway, body)).json())
    t.ok('images' in (await gateway.generate(body)).json())
  }
  t.equal(gateway.sandbox.bill.billedUnits, 1)
  const sized = JSON.stringify({ prompt: 'a fair', seed: 5, size: '1024x1024' })
  for (let round = 0; round < 3; round++) {
    t.equal((await images(gateway, sized)).headers.get('falgate-mapped'), 'size="aspect_ratio=1:1 resolution=1K"')
    t.equal((await gateway.generate(sized)).status, 422, 'which has no such field')
  }
})

t.test('several pictures are bought together and answered in their order, with seeds that count up', async t => {
  const gateway = await start(t)
  const reply = await images(gateway, '{"prompt":"a fair","n":3,"seed":9007199254740993}')
  t.match(reply.text, /"seed":9007199254740993\},.*"seed":9007199254740994\},.*"seed":9007199254740995\}/)
  t.equal(dataOf(reply).length, 3)
  t.equal(reply.headers.get('falgate-mapped'), 'n="3 calls"')
  t.equal(reply.headers.get('falgate-cost-usd'), '0.18')
  t.equal(reply.headers.get('falgate-generation')?.split(', ').length, 3)
  t.equal((await images(gateway, '{"prompt":"a fair","n":2,"seed":9007199254740994}')).headers.get('falgate-cost-usd'), '0', 'each is stored by itself')
  t.equal(new Set((dataOf(await images(gateway, { prompt: 'a fair', n: 3 }))).map(({ url }) => url)).size, 3, 'without a seed each is another one')
  t.equal(gateway.sandbox.bill.billedUnits, 6)
})

t.test('where one of several may not be bought, none is', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 0.17, per: 'day' } })] } })
  const refused = await images(gateway, { prompt: 'a fair', n: 3 })
  t.equal(refused.status, 402)
  t.match(refused.json(), { error: { type: 'insufficient_quota', code: 'insufficient_quota', message: /^The budget is used up\. /, param: null } })
  t.equal(refused.headers.get('x-should-retry'), 'false')
  t.equal(gateway.sandbox.bill.billedUnits, 0)
  t.equal((await images(gateway, { prompt: 'a fair', n: 2 })).status, 200)
})

t.test('one that fails is told beside those that were made', async t => {
  const gateway = await start(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation', units: 0, times: 1 })
  const reply = await images(gateway, { prompt: 'a fair', n: 3 })
  t.equal(reply.status, 200)
  t.equal(dataOf(reply).length, 2)
  t.match(reply.json(), { errors: [{ index: Number, error: { code: 'content_refused' } }] })
})

t.test('a model is asked for by its id, by a name of the tenants file, or not at all', async t => {
  const gateway = await start(t)
  t.equal((await images(gateway, { prompt: 'a fair', model: poster.endpointId })).headers.get('falgate-cost-usd'), '0.09')
  t.equal((await images(gateway, { prompt: 'a fair', model: 'dall-e-3' })).headers.get('falgate-cost-usd'), '0.09')
  t.equal((await images(gateway, { prompt: 'a fair' })).headers.get('falgate-cost-usd'), '0.06')
  const before = gateway.sandbox.bill.billedUnits
  const unknown = await images(gateway, { prompt: 'a fair', model: 'dall-e-2' })
  t.equal(unknown.status, 404)
  t.match(unknown.json(), { error: { code: 'model_not_found', param: 'model', type: 'invalid_request_error' } })
  t.equal(unknown.headers.get('x-should-retry'), 'false')
  t.match((await images(gateway, { prompt: 'a fair', model: 7 })).json(), { error: { param: 'model' } })
  t.match((await images(gateway, { prompt: 'a fair', model: imagen4Ultra.endpointId }, { key: 'fg_press_secret-of-press' })).json(), { error: { code: 'not_allowed', type: 'permission_error' } })
  t.equal(gateway.sandbox.bill.billedUnits, before)
})

t.test('the models that a key may use are listed, and those alone', async t => {
  const gateway = await start(t)
  const list = (await gateway.get('/v1/models')).json()
  t.same(list, {
    object: 'list',
    data: [['gpt-image-1', 'fal-ai'], ['dall-e-3', 'print-shop'], [imagen4Ultra.endpointId, 'fal-ai'], [poster.endpointId, 'print-shop']].map(([id, owner]) => ({ id, object: 'model', created: 0, owned_by: owner }))
  })
  const press = { key: 'fg_press_secret-of-press' }
  t.match((await gateway.get('/v1/models', press)).json(), { data: [{ id: 'dall-e-3' }, { id: poster.endpointId }] })
  t.match((await gateway.get(`/v1/models/${poster.endpointId}`)).json(), { id: poster.endpointId, object: 'model' })
  t.match((await gateway.get(`/v1/models/${encodeURIComponent(poster.endpointId)}`)).json(), { id: poster.endpointId })
  t.match((await gateway.get('/v1/models/gpt-image-1')).json(), { id: 'gpt-image-1' })
  t.equal((await gateway.get('/v1/models/gpt-image-1', press)).status, 403)
  t.match((await gateway.get('/v1/models/gpt-5')).json(), { error: { code: 'model_not_found' } })
})

t.test('files come inside the answer where they are asked for, and where the name of the model says so', async t => {
  const gateway = await start(t)
  for (const body of [{ prompt: 'a fair', seed: 1, response_format: 'b64_json' }, { prompt: 'a fair', seed: 1, model: 'gpt-image-1' }]) {
    const [picture] = dataOf(await images(gateway, body))
    t.equal(Buffer.from(String(picture?.['b64_json']), 'base64').subarray(0, 8).toString('hex'), PNG)
    t.notOk(picture !== undefined && 'url' in picture)
  }
  t.ok('url' in (dataOf(await images(gateway, { prompt: 'a fair', seed: 1, model: 'gpt-image-1', response_format: 'url' }))[0] ?? {}))
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('a file that cannot be read leaves its picture to be asked for again', async t => {
  // Files of a host that is none of fal's are not fetched.
  const gateway = await start(t, { sandbox: { publicUrl: 'https://elsewhere.example/sandbox' } })
  const failed = await images(gateway, { prompt: 'a fair', response_format: 'b64_json' })
  t.equal(failed.status, 502)
  t.match(failed.json(), { error: { code: 'file_unavailable', message: /"response_format": "url"/, type: 'server_error' } })
  t.equal(failed.headers.get('x-should-retry'), null)
  const again = await images(gateway, { prompt: 'a fair' })
  t.match(again.headers.get('cache-status'), /detail=adopted/, 'nobody has it yet')
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('a stream tells where a picture stands, and ends with it', async t => {
  const gateway = await start(t)
  const reply = await images(gateway, { prompt: 'a fair', seed: 3, stream: true })
  t.equal(reply.status, 200)
  t.match(reply.headers.get('content-type'), /^text\/event-stream/)
  const events = reply.text.split('\n\n').filter(text => !text.startsWith(':') && text !== '')
  t.equal(events.length, 1)
  const [, data = ''] = events[0]?.split('\ndata: ') ?? []
  const completed: unknown = JSON.parse(data)
  t.match(completed, { type: 'image_generation.completed', created_at: Number, b64_json: /^iVBORw0KGgo/ })
  t.match(reply.text, /^: (?:queued|running)/)
  const hit = await images(gateway, { prompt: 'a fair', seed: 3, stream: true, response_format: 'url' })
  t.match(hit.text, /^event: image_generation.completed\ndata: \{"type":"image_generation.completed","created_at":\d+,"url":"http[^"]+","seed":3\}\n\n$/)
  t.equal((await images(gateway, { prompt: '', stream: true })).status, 400, 'a refusal is an answer like every other')
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation', units: 0 })
  const failed = await images(gateway, { prompt: 'a fair', stream: true })
  t.match(failed.text, /\nevent: error\ndata: \{"error":\{"message":"[^"]+","type":"invalid_request_error","param":"prompt","code":"content_refused"\}\}\n\n$/)
})

t.test('what a stream brought is bought once, and what it did not bring is given to the next call', async t => {
  const gateway = await start(t)
  const release = gateway.sandbox.faults.holdJobs()
  const left = new AbortController()
  const gone = images(gateway, { prompt: 'a fair', stream: true }, { signal: left.signal }).catch(() => null)
  await until(() => gateway.sandbox.bill.submits > 0)
  left.abort()
  await gone
  const second = images(gateway, { prompt: 'a fair' })
  release()
  t.match((await second).headers.get('cache-status'), /detail=adopted/)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
  const streamed = await images(gateway, { prompt: 'a barn', stream: true })
  t.match(streamed.text, /image_generation.completed/)
  t.match((await images(gateway, { prompt: 'a barn' })).headers.get('cache-status'), /detail=bought/, 'a second one was wanted')
})

t.test('a call that a client repeats is given what its first one bought, each of several its own', async t => {
  const gateway = await start(t)
  for (const body of [{ prompt: 'a fair' }, { prompt: 'a barn', n: 3 }]) {
    const before = gateway.sandbox.bill.billedUnits
    const release = gateway.sandbox.faults.holdJobs()
    const left = new AbortController()
    const gone = images(gateway, body, { signal: left.signal, headers: { 'x-stainless-retry-count': '0' } }).catch(() => null)
    const submits = gateway.sandbox.bill.submits
    await until(() => gateway.sandbox.bill.submits > submits || gateway.sandbox.bill.submits > before)
    left.abort()
    await gone
    const again = images(gateway, body, { headers: { 'x-stainless-retry-count': '1' } })
    release()
    const reply = await again
    const wanted = body.n ?? 1
    t.equal(dataOf(reply).length, wanted)
    t.equal(new Set(dataOf(reply).map(({ url }) => url)).size, wanted)
    t.match(reply.headers.get('cache-status'), new RegExp(Array.from({ length: wanted }, () => 'falgate; .*detail=adopted').join(', ')))
    t.equal(gateway.sandbox.bill.billedUnits - before, wanted)
  }
})

t.test('of several stored pictures those are bought again whose files are gone', async t => {
  const gateway = await start(t, { config: { falFilesMs: -1 } })
  const body = { prompt: 'a fair', seed: 1, n: 2 }
  const first = await images(gateway, body)
  t.match((await images(gateway, { ...body, n: 3 })).headers.get('cache-status'), /^falgate; hit.*, falgate; hit.*, .*detail=bought$/)
  gateway.sandbox.faults.add({ kind: 'odd', operation: 'file', answer: 'not_found', times: 'always' })
  const fresh = await images(gateway, { ...body, prompt: 'a barn' })
  const dead = await images(gateway, { ...body, prompt: 'a barn' })
  t.equal(dead.headers.get('cache-status'), 'falgate; fwd=stale; stored; detail=dead-link, falgate; fwd=stale; stored; detail=dead-link')
  t.not(dead.headers.get('falgate-generation'), fresh.headers.get('falgate-generation'))
  t.equal(dataOf(first).length, 2)
  t.equal(gateway.sandbox.bill.billedUnits, 3 + 2 + 2)
})

t.test('a key stands for the whole list', async t => {
  const gateway = await start(t)
  const headers = { 'idempotency-key': 'one' }
  const first = await images(gateway, { prompt: 'a fair', n: 3 }, { headers })
  const again = await images(gateway, { prompt: 'a fair', n: 3 }, { headers })
  t.same(dataOf(again), dataOf(first))
  t.equal(again.headers.get('idempotent-replayed'), 'true')
  const other = await images(gateway, { prompt: 'a fair', n: 2 }, { headers })
  t.equal(other.status, 400)
  t.match(other.json(), { error: { code: 'idempotency_key_reused' } })
  t.equal(gateway.sandbox.bill.billedUnits, 3)
})

t.test('what is wrong with a body is told by the name of its field', async t => {
  const gateway = await start(t)
  for (const [body, param] of [[{}, 'prompt'], [{ prompt: 'a', size: 'huge' }, 'size'], [{ prompt: 'a', n: 0 }, 'n'], [{ prompt: 'a', quality: 'hd' }, 'quality'], [{ prompt: 'a', style: 'vivid' }, 'style'], [{ prompt: 'a', seed: 'x' }, 'seed'], [{ prompt: 'a', seed: 1.5 }, 'seed'], [{ prompt: 'a', user: 7 }, 'user'], [[], null], ['text', null]] as const) {
    const reply = await images(gateway, typeof body === 'string' ? `"${body}"` : body)
    t.equal(reply.status, 400, JSON.stringify(body))
    t.match(reply.json(), { error: { type: 'invalid_request_error', param, code: 'invalid_input', message: String } })
    t.equal(reply.headers.get('x-should-retry'), 'false')
  }
  t.match((await images(gateway, '{')).json(), { error: { code: 'malformed_json' } })
  for (const name of ['falgate-dry-run', 'falgate-webhook']) t.match((await images(gateway, { prompt: 'a' }, { headers: { [name]: '1' } })).json(), { error: { code: 'bad_header' } }, name)
  t.equal(gateway.sandbox.bill.billedUnits, 0)
})

t.test('every refusal below /v1 is in OpenAI\'s shape, and none is a 409', async t => {
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { rateLimit: { max: 1, windowSeconds: 3600 } })] } })
  t.match((await gateway.get('/v1/nothing')).json(), { error: { code: 'no_such_route' } })
  t.match((await gateway.get('/v1/models', { key: null })).json(), { error: { code: 'invalid_api_key', type: 'authentication_error' } })
  t.match((await gateway.get(IMAGES)).json(), { error: { code: 'method_not_allowed' } })
  t.equal((await images(gateway, { prompt: 'a fair' })).status, 200)
  const limited = await images(gateway, { prompt: 'a barn' })
  t.equal(limited.status, 429)
  t.match(limited.json(), { error: { code: 'rate_limit_exceeded', type: 'rate_limit_error' } })
  t.equal(limited.headers.get('retry-after'), '60', 'more than a minute is not heeded by all')
  t.equal(limited.headers.get('retry-after-ms'), '60000')
  t.equal(limited.headers.get('x-should-retry'), null)
})

t.test('a page may ask with a token, as OpenAI\'s library does it there', async t => {
  const origin = 'https://studio.example'
  const gateway = await start(t, { tenants: { tenants: [tenant('studio', { origins: [origin] })] } })
  const given = (await gateway.generate({ pictures: 1 }, { path: '/tokens' })).json()
  const preflight = await fetch(gateway.url + IMAGES, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout' } })
  t.equal(preflight.status, 204)
  const allowed = preflight.headers.get('access-control-allow-headers')?.split(/, */) ?? []
  for (const name of ['authorization', 'x-stainless-retry-count', 'x-stainless-runtime-version', 'x-stainless-timeout']) t.ok(allowed.includes(name), name)
  const options = { key: String(given['token']), headers: { origin } }
  const made = await images(gateway, { prompt: 'a fair' }, options)
  t.equal(made.status, 200)
  t.match(made.headers.get('access-control-expose-headers'), /falgate-mapped/i)
  const spent = await images(gateway, { prompt: 'a barn' }, options)
  t.equal(spent.status, 402)
  t.match(spent.json(), { error: { code: 'token_exhausted' } })
})

t.test('names of models are checked with the tenants file', async t => {
  const faultsOf = (aliases: object): string => {
    try {
      bookOf({ aliases, tenants: [tenant('studio')] }, models)
      return ''
    } catch (error) {
      return String(error)
    }
  }
  t.equal(faultsOf(ALIASES), '')
  t.match(faultsOf({ 'gpt-image-1': 'acme/none' }), /\/aliases\/gpt-image-1: is not a model on offer/)
  t.match(faultsOf({ [poster.endpointId]: imagen4Ultra.endpointId }), /is the endpoint id of a model on offer/)
  t.match(faultsOf({ 'two words': poster.endpointId }), /visible characters without spaces/)
})
