// fal's queue and synchronous calls as this gateway serves them: addresses, ids, codes and what they cost.

import t from 'tap'
import { key, parseObject, startGateway, STUDIO_KEY, tenant, type Gateway, type Reply } from '../../support/gateway.ts'
import { deploy } from '../../support/replicas.ts'
import { until } from '../../support/until.ts'

const MODEL = 'fal-ai/imagen4/preview/ultra'
const QUEUE = `/fal/queue/${MODEL}`
const RUN = `/fal/${MODEL}`

async function submit (gateway: Gateway, body: object, headers: Readonly<Record<string, string>> = {}, options: { readonly key?: string, readonly path?: string } = {}): Promise<Record<string, unknown>> {
  const reply = await gateway.generate(body, { path: QUEUE, headers, ...options })
  if (reply.status !== 200) throw new Error(`${reply.status} ${reply.text}`)
  return reply.json()
}

async function call (gateway: Gateway, method: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  const response = await fetch(path.startsWith('http') ? path : gateway.url + path, { method, headers: { authorization: `Key ${STUDIO_KEY}`, ...headers } })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: () => parseObject(text) }
}

async function resultOf (gateway: Gateway, requestId: unknown): Promise<Reply> {
  let reply: Reply | undefined
  await until(async () => {
    reply = await call(gateway, 'GET', `/fal/queue/fal-ai/imagen4/requests/${String(requestId)}`)
    return reply.status !== 400
  })
  if (reply === undefined) throw new Error('no answer')
  return reply
}

t.test('every spelling of a request\'s address means the same request', async t => {
  const gateway = await startGateway(t)
  const { request_id: id } = await submit(gateway, { prompt: 'x' })
  const { text } = await resultOf(gateway, id)
  for (const named of ['fal-ai/imagen4', MODEL]) {
    for (const tail of ['', '/', '/response', '/response/']) t.equal((await call(gateway, 'GET', `/fal/queue/${named}/requests/${id}${tail}`)).text, text, `${named} ${tail}`)
    for (const tail of ['/status', '/status/', '/status?logs=0', '/status?logs=1', '/status?logs=true', '/status/?logs=false']) t.match((await call(gateway, 'GET', `/fal/queue/${named}/requests/${id}${tail}`)).json(), { status: 'COMPLETED' })
  }
  t.equal((await call(gateway, 'GET', `/fal/queue/fal-ai/imagen3/requests/${id}`)).status, 404)
})

t.test('addresses are the gateway\'s own, as the caller reaches it, or as it was told', async t => {
  const gateway = await startGateway(t)
  const { request_id: id, ...submitted } = await submit(gateway, { prompt: 'x' })
  const at = `${gateway.url}/fal/queue/fal-ai/imagen4/requests/${String(id)}`
  t.match(submitted, { status: 'IN_QUEUE', queue_position: 0, logs: null, metrics: {}, response_url: at, status_url: `${at}/status`, cancel_url: `${at}/cancel` })
  const behind = await startGateway(t, { env: { PUBLIC_URL: 'https://ai.example/pictures' } })
  t.match((await submit(behind, { prompt: 'x' }))['status_url'], /^https:\/\/ai\.example\/pictures\/fal\/queue\/fal-ai\/imagen4\/requests\//)
  const trusting = await startGateway(t, { env: { TRUST_PROXY: 'on' } })
  t.match((await submit(trusting, { prompt: 'x' }, { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'ai.example' }))['status_url'], /^https:\/\/ai\.example\/fal\/queue\//)
})

t.test('that addresses are plain http behind a proxy that ends TLS is said in the log, once', async t => {
  const gateway = await (await deploy(t)).startReplica()
  for (const seed of [1, 2, 3]) {
    const headers = { authorization: `Key ${STUDIO_KEY}`, 'content-type': 'application/json', ...(seed === 1 ? {} : { 'x-forwarded-proto': 'https' }) }
    const submitted = await fetch(gateway.base + QUEUE, { method: 'POST', headers, body: JSON.stringify({ prompt: 'x', seed }) })
    t.match(parseObject(await submitted.text())['status_url'], /^http:/)
  }
  await until(() => gateway.log().split('"msg":"request"').length > 3)
  t.equal(gateway.log().split('set PUBLIC_URL').length, 2)
})

t.test('a status says 202 while it waits or runs and 200 at its end, with log lines when they are asked for', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const { status_url: url, request_id: id } = await submit(gateway, { prompt: 'x' })
  await until(async () => (await call(gateway, 'GET', String(url))).json()['status'] === 'IN_PROGRESS')
  await until(async () => [(await call(gateway, 'GET', `${String(url)}?logs=1`)).json()['logs']].flat().length > 0)
  const running = await call(gateway, 'GET', `${String(url)}?logs=true`)
  t.equal(running.status, 202)
  t.equal(running.headers.get('x-fal-request-id'), id)
  t.match(running.json(), { logs: [{ message: 'Drawn by the sandbox, not by the model', timestamp: String, level: 'INFO', source: 'USER', labels: {} }] })
  t.equal((await call(gateway, 'GET', String(url))).json()['logs'], null)
  t.match((await call(gateway, 'GET', String(url).replace('/status', ''))).json(), { detail: 'Request is still in progress' })
  release()
  await until(async () => (await call(gateway, 'GET', String(url))).status === 200)
  t.match((await call(gateway, 'GET', `${String(url)}?logs=1`)).json(), { status: 'COMPLETED', logs: [{}], metrics: { inference_time: Number } })
})

t.test('a status stream tells each state and each new line once, and ends after COMPLETED', async t => {
  const gateway = await startGateway(t, { sandbox: { queueMs: 50, runMs: 50 } })
  const { status_url: url } = await submit(gateway, { prompt: 'x' })
  const reply = await call(gateway, 'GET', `${String(url)}/stream?logs=1`)
  t.match(reply.headers.get('content-type'), /^text\/event-stream/)
  const events = reply.text.split('\n\n').filter(event => event.startsWith('data: ')).map(event => parseObject(event.slice(6)))
  t.same([...new Set(events.map(event => event['status']))], ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'])
  t.equal(events.flatMap(event => [event['logs']].flat()).length, 1)
  t.equal(events.at(-1)?.['status'], 'COMPLETED')
})

t.test('a silent status stream shows that it lives', async t => {
  const gateway = await startGateway(t, { env: { EVENT_HEARTBEAT_SECONDS: '1' } })
  const release = gateway.sandbox.faults.holdJobs()
  t.teardown(release)
  const { status_url: url } = await submit(gateway, { prompt: 'x' })
  const response = await fetch(`${String(url)}/stream`, { headers: { authorization: `Key ${STUDIO_KEY}` } })
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    if (text.includes(': ping\n\n')) break
  }
  t.match(text, ': ping\n\n')
})

t.test('billable units: what was bought says so, what was free says 0, by a synchronous call and by the queue', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' })] } })
  const body = { prompt: 'x', seed: 1 }
  t.equal((await gateway.generate(body, { path: RUN })).headers.get('x-fal-billable-units'), '1')
  t.equal((await gateway.generate(body, { path: RUN })).headers.get('x-fal-billable-units'), '0')

  const bought = await submit(gateway, { prompt: 'y', seed: 1 })
  t.equal((await resultOf(gateway, bought['request_id'])).headers.get('x-fal-billable-units'), '1')
  const hit = await submit(gateway, { prompt: 'y', seed: 1 })
  t.not(hit['request_id'], bought['request_id'])
  const free = await resultOf(gateway, hit['request_id'])
  t.equal(free.headers.get('x-fal-billable-units'), '0')
  t.equal(free.headers.get('x-fal-request-id'), hit['request_id'])
  t.equal(free.text, (await resultOf(gateway, bought['request_id'])).text)
  t.match((await call(gateway, 'GET', String(hit['status_url']))).json(), { status: 'COMPLETED', request_id: hit['request_id'] })

  const shared = await submit(gateway, { prompt: 'y', seed: 1 }, {}, { key: key('press') })
  t.equal((await call(gateway, 'GET', String(shared['response_url']))).status, 404, 'the id is its reader\'s own')
  const theirs = await call(gateway, 'GET', String(shared['response_url']), { authorization: `Key ${key('press')}` })
  t.equal(theirs.text, free.text)
  t.equal(theirs.headers.get('x-fal-billable-units'), '0')
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('a caller that wants only what is stored gets it, or a refusal that no client repeats', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' })] } })
  const headers = { 'falgate-cache': 'only' }
  const body = { prompt: 'x', seed: 1 }
  for (const path of [RUN, QUEUE]) t.match(await gateway.generate(body, { path, headers }), { status: 400, text: /"error_type":"not_cached"/ })
  await gateway.generate(body, { path: RUN })
  for (const path of [RUN, QUEUE]) t.equal((await gateway.generate(body, { path, headers })).status, 200)
  t.equal((await gateway.generate(body, { path: RUN, headers, key: key('press') })).status, 200)
  t.match(await gateway.generate(body, { path: QUEUE, headers, key: key('press') }), { status: 400, text: /bought by others.*"error_type":"not_cached"/ }, 'there is no id to come back with')
  t.equal(gateway.sandbox.bill.submits, 1)
})

t.test('joins and replays by the queue lead to the same picture and cost nothing', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const first = await submit(gateway, { prompt: 'x', seed: 1 })
  const joined = await submit(gateway, { prompt: 'x', seed: 1 })
  const keyed = await submit(gateway, { prompt: 'y' }, { 'idempotency-key': 'order-1' })
  const replayed = await submit(gateway, { prompt: 'y' }, { 'idempotency-key': 'order-1' })
  release()
  for (const [one, other] of [[first, joined], [keyed, replayed]] as const) {
    const [paid, free] = [await resultOf(gateway, one['request_id']), await resultOf(gateway, other['request_id'])]
    t.equal(free.text, paid.text)
    t.same([paid, free].map(reply => reply.headers.get('x-fal-billable-units')), ['1', '0'])
  }
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('low priority waits behind normal', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 1 })] } })
  const release = gateway.sandbox.faults.holdJobs()
  t.teardown(release)
  await submit(gateway, { prompt: 'in front' })
  await gateway.sandbox.bill.untilAccepted(1)
  const low = await submit(gateway, { prompt: 'low' }, { 'x-fal-queue-priority': 'low' })
  const normal = await submit(gateway, { prompt: 'normal' }, { 'x-fal-queue-priority': 'normal' })
  const positions = async () => await Promise.all([low, normal].map(async ({ status_url: url }) => (await call(gateway, 'GET', String(url))).json()['queue_position']))
  await until(async () => JSON.stringify(await positions()) === '[1,0]')
  t.same(await positions(), [1, 0])
})

for (const name of ['x-fal-request-start-timeout', 'x-fal-request-timeout']) {
  t.test(`${name} ends the waiting in the queue, unspent, and no client repeats it`, async t => {
    const gateway = await startGateway(t, { config: { falConcurrency: 0 } })
    const sync = await gateway.generate({ prompt: 'x' }, { path: RUN, headers: { [name]: '0.3' } })
    t.equal(sync.status, 504)
    t.equal(sync.headers.get('x-fal-request-timeout-type'), 'user')
    t.match(sync.json(), { error_type: 'request_timeout', message: /did not start in the time/ })
    const { request_id: id, status_url: url } = await submit(gateway, { prompt: 'y' }, { [name]: '0.3' })
    const result = await resultOf(gateway, id)
    t.same([result.status, result.headers.get('x-fal-request-timeout-type'), result.headers.get('x-fal-billable-units')], [504, 'user', '0'])
    t.match((await call(gateway, 'GET', String(url))).json(), { status: 'COMPLETED', error_type: 'request_timeout' })
    t.equal(gateway.sandbox.bill.submits, 0)
  })
}

t.test('the newer name of the start timeout wins, and nonsense is refused', async t => {
  const gateway = await startGateway(t, { config: { falConcurrency: 0 } })
  const { request_id: id } = await submit(gateway, { prompt: 'x' }, { 'x-fal-request-start-timeout': '0.2', 'x-fal-request-timeout': '600' })
  t.equal((await resultOf(gateway, id)).status, 504)
  for (const value of ['0', '-1', 'soon', '']) t.match((await gateway.generate({ prompt: 'x' }, { path: QUEUE, headers: { 'x-fal-request-timeout': value } })).json(), { error_type: 'bad_request' }, value)
})

t.test('what cannot be honoured and must not be left out is refused before anything is bought; hints are left out', async t => {
  const gateway = await startGateway(t)
  const refusals: readonly (readonly [query: string, headers: Readonly<Record<string, string>>])[] = [
    ['?fal_max_queue_length=5', {}],
    ['', { 'x-fal-store-io': '0' }], ['', { 'x-fal-object-lifecycle-preference': '{"expiration_duration_seconds":60}' }], ['', { 'x-app-fal-disable-fallback': 'true' }]
  ]
  for (const [query, headers] of refusals) {
    for (const path of [RUN, QUEUE]) {
      const reply = await gateway.generate({ prompt: 'x' }, { path: path + query, headers })
      t.equal(reply.status, 400, JSON.stringify([query, headers]))
      t.match(reply.json(), { detail: String, message: /not offered|cannot be honoured/, error_type: 'bad_request' })
    }
  }
  t.equal(gateway.sandbox.bill.submits, 0)
  const hints = { 'x-fal-runner-hint': 'a', 'x-fal-no-retry': '1', 'x-fal-retry-config': '{}', 'x-fal-tags': 'a=b', 'x-fal-store-io': '1', 'x-app-fal-can-disable-filter': '1', 'x-fal-client-proxy': 'x' }
  t.equal((await gateway.generate({ prompt: 'x' }, { path: RUN, headers: hints })).status, 200)
})

t.test('fields that the model does not have are left out as fal does, and null is no seed', async t => {
  const gateway = await startGateway(t)
  t.equal((await gateway.generate({ prompt: 'x', seed: 1, image_size: 'square', sync_mode: false }, { path: RUN })).status, 200)
  t.match((await gateway.generate({ prompt: 'x', seed: 1 }, { path: RUN })).headers.get('cache-status'), /hit/)
  t.equal((await gateway.generate({ prompt: 'x', seed: null }, { path: RUN })).status, 200)
  t.match((await gateway.generate('{"prompt":"x","seed":196619188014358660}', { path: RUN })).text, '"seed":196619188014358660}')
})

t.test('time up on a synchronous call is the caller\'s time, and the same call again collects, or its id in the queue', async t => {
  const gateway = await startGateway(t, { config: { waitMs: 200 } })
  const release = gateway.sandbox.faults.holdJobs()
  const late = await gateway.generate({ prompt: 'x' }, { path: RUN })
  t.equal(late.status, 504)
  t.equal(late.headers.get('x-fal-request-timeout-type'), 'user')
  release()
  const again = await gateway.generate({ prompt: 'x' }, { path: RUN })
  t.equal(again.status, 200)
  t.equal(again.headers.get('x-fal-billable-units'), '0')
  t.equal((await resultOf(gateway, late.headers.get('x-fal-request-id'))).text, again.text)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('cancel: 202 and again 202, 400 after the end; one that others wait for goes on', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const { cancel_url: url } = await submit(gateway, { prompt: 'x' })
  for (let times = 0; times < 2; times += 1) t.match(await call(gateway, 'PUT', String(url)), { status: 202, text: '{"status":"CANCELLATION_REQUESTED"}' })
  const joined = await submit(gateway, { prompt: 'y', seed: 1 })
  await submit(gateway, { prompt: 'y', seed: 1 })
  t.match((await call(gateway, 'PUT', String(joined['cancel_url']))).json(), { detail: /Others wait/ })
  release()
  t.equal((await resultOf(gateway, joined['request_id'])).status, 200)
  const late = await call(gateway, 'PUT', String(joined['cancel_url']))
  t.equal(late.status, 400)
  t.match(late.json(), { status: 'ALREADY_COMPLETED', detail: String, message: String })
})

t.test('errors have fal\'s shape, a message, an id and a code that no client repeats in vain', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 0.06, per: 'month' } })] } })
  const post = async (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}, key: string = STUDIO_KEY) => await gateway.generate(body, { path, headers, key })
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation', units: 0 })
  const cases: readonly (readonly [title: string, reply: Reply, status: number, type: string | null])[] = [
    ['a refusal of the model', await post(RUN, { prompt: 'x' }), 422, null],
    ['an input that does not fit', await post(RUN, { prompt: '' }), 422, null],
    ['a seed that fal\'s side could not read', await post(RUN, `{"prompt":"x","seed":${'7'.repeat(4401)}}`), 422, null],
    ['the same by the queue', await post(QUEUE, `{"prompt":"x","seed":${'7'.repeat(4401)}}`), 422, null],
    ['malformed JSON', await post(RUN, '{'), 400, 'bad_request'],
    ['an unknown key', await post(RUN, { prompt: 'x' }, {}, 'fg_nobody_x'), 401, 'key_unknown'],
    ['an unknown application', await post('/fal/fal-ai/flux', {}), 404, 'model_unknown'],
    ['an unknown path', await post('/fal/fal-ai/imagen4/nothing', {}), 404, 'model_unknown'],
    ['a broken address', await post('/fal/%zz', {}), 400, 'bad_request'],
    ['a query that cannot be read', await call(gateway, 'GET', '/fal/queue/fal-ai/imagen4/requests/x/status?logs=0&logs=1'), 400, 'bad_request'],
    ['a wrong method', await call(gateway, 'GET', RUN), 405, 'method_not_allowed'],
    ['what the budget allows', await post(RUN, { prompt: 'x', seed: 1 }), 200, null],
    ['a budget that is used up', await post(RUN, { prompt: 'x', seed: 2 }), 402, 'budget_exhausted'],
    ['the same by the queue', await post(QUEUE, { prompt: 'x', seed: 2 }), 402, 'budget_exhausted']
  ]
  for (const [title, reply, status, type] of cases) {
    t.equal(reply.status, status, title)
    t.match(reply.headers.get('x-fal-request-id'), /^[0-9a-f-]{36}$/, title)
    t.equal(reply.headers.get('x-fal-error-type'), type, title)
    if (status !== 200) t.match(reply.json(), { detail: type === null ? [{ loc: ['body'], msg: String, type: String }] : String, message: /\S/ }, title)
  }
})

t.test('troubles of the upstream: what must not be repeated is 500', async t => {
  const gateway = await startGateway(t)
  for (const error of ['internal_server_error', 'generation_timeout', 'request_timeout'] as const) {
    gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error })
    const reply = await gateway.generate({ prompt: 'x' }, { path: RUN })
    t.equal(reply.status, 500, error)
    t.equal(reply.headers.get('retry-after'), null, error)
  }
  gateway.sandbox.faults.add({ kind: 'reset', operation: 'submit', accepted: true })
  const unknown = await gateway.generate({ prompt: 'y' }, { path: RUN })
  t.equal(unknown.status, 500)
  t.match(unknown.json(), { error_type: 'outcome_unknown' })
  const { billedUnits } = gateway.sandbox.bill
  t.equal((await gateway.generate({ prompt: 'y' }, { path: RUN })).status, 500, 'nothing is bought behind anybody\'s back')
  t.equal(gateway.sandbox.bill.billedUnits, billedUnits)
})

t.test('calls are limited, logged and counted as on every other address, under labels that callers cannot make', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { callLimit: { max: 3, windowSeconds: 60 } }), tenant('press')] } })
  for (const id of ['a', 'b', 'c']) t.equal((await call(gateway, 'GET', `/fal/queue/fal-ai/imagen4/requests/${id}`)).status, 404)
  const limited = await call(gateway, 'GET', '/fal/queue/fal-ai/imagen4/requests/d')
  t.equal(limited.status, 429)
  t.match(limited.json(), { error_type: 'concurrent_requests_limit' })
  t.equal(limited.headers.get('x-fal-needs-retry'), '1')
  t.match(limited.headers.get('ratelimit'), /"calls";r=0/)
  const metrics = (await gateway.get('/metrics')).text
  t.match(metrics, 'route="/fal/queue/fal-ai/imagen4/requests/:id",method="GET",status="404"} 3')
})

t.test('status polls do not use up a tenant\'s calls, and are bounded by themselves', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { callLimit: { max: 2, windowSeconds: 60 } })] } })
  gateway.sandbox.faults.holdJobs()
  const { status_url: url } = await submit(gateway, { prompt: 'x' })
  for (let poll = 0; poll < 40; poll++) t.equal((await call(gateway, 'GET', String(url))).status, 202)
  const limited = await call(gateway, 'GET', String(url))
  t.equal(limited.status, 429)
  t.match(limited.headers.get('ratelimit-policy'), '"polls";q=40;w=60')
  t.match(limited.headers.get('ratelimit'), /^"polls";r=0;t=\d+$/)
  t.equal((await call(gateway, 'GET', '/generations')).status, 200)
  t.match((await call(gateway, 'GET', '/generations')).headers.get('ratelimit'), /^"calls";r=0/)
})
