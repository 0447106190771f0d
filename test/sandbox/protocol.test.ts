// What fal's clients rely on, operation by operation, over real sockets.

import t from 'tap'
import { fieldOf, startSandbox } from '../support/sandbox.ts'

const ENDPOINT = 'fal-ai/imagen4/preview/ultra'
const APP = 'fal-ai/imagen4'

t.test('submit answers 200 with eight fields and addresses under the app id of the request\'s own host and prefix', async t => {
  const { submit, base } = await startSandbox(t, { runMs: 60_000 })
  const { status, body, headers } = await submit({ prompt: 'a heron' })
  const id = fieldOf(body, 'request_id')
  t.equal(status, 200)
  t.same(body, {
    status: 'IN_QUEUE',
    request_id: id,
    response_url: `${base}/queue/${APP}/requests/${id}`,
    status_url: `${base}/queue/${APP}/requests/${id}/status`,
    cancel_url: `${base}/queue/${APP}/requests/${id}/cancel`,
    logs: null,
    metrics: {},
    queue_position: 0
  })
  t.equal(headers.get('x-fal-request-id'), id)
})

t.test('without a prefix the addresses have none', async t => {
  const { submit, base } = await startSandbox(t, {}, '')
  t.match(fieldOf((await submit({ prompt: 'a heron' })).body, 'status_url'), `${base}/queue/${APP}/requests/`)
})

t.test('status is 202 in the queue and at work, 200 at the end, and names place, logs and metrics where clients read them', async t => {
  const { submitted, call, faults } = await startSandbox(t, { concurrency: 1 })
  const release = faults.holdJobs()
  const first = await submitted({ prompt: 'one' })
  const second = await submitted({ prompt: 'two' })
  const third = await submitted({ prompt: 'three' })

  const working = await call(`/queue/${APP}/requests/${first}/status?logs=1`)
  t.equal(working.status, 202)
  t.match(working.body, { status: 'IN_PROGRESS', metrics: {}, logs: [{ message: String, timestamp: String, level: 'INFO', source: 'USER', labels: {} }] })
  const waiting = await call(`/queue/${APP}/requests/${third}/status`)
  t.equal(waiting.status, 202)
  t.match(waiting.body, { status: 'IN_QUEUE', queue_position: 1, logs: null })

  release()
  for (const id of [first, second, third]) {
    const done = await call(`/queue/${APP}/requests/${id}/status?logs=true`)
    t.equal(done.status, 200)
    t.match(done.body, { status: 'COMPLETED', request_id: id, metrics: { inference_time: Number }, logs: [{}] })
    t.notMatch(done.body, { queue_position: Number })
  }
  t.match((await call(`/queue/${APP}/requests/${first}/status?logs=false`)).body, { logs: null })
  t.match((await call(`/queue/${APP}/requests/${first}/status?logs=0`)).body, { logs: null })
})

t.test('status, result and cancel answer under app id and endpoint id, with and without a trailing slash', async t => {
  const { submitted, call } = await startSandbox(t)
  const id = await submitted({ prompt: 'a heron' })
  for (const name of [APP, ENDPOINT]) {
    for (const slash of ['', '/']) {
      t.equal((await call(`/queue/${name}/requests/${id}/status${slash}`)).status, 200)
      t.equal((await call(`/queue/${name}/requests/${id}${slash}`)).status, 200)
      t.equal((await call(`/queue/${name}/requests/${id}/response${slash}`)).status, 200)
      t.equal((await call(`/queue/${name}/requests/${id}/cancel${slash}`, { method: 'PUT' })).status, 400)
    }
  }
  t.equal((await call(`/queue/fal-ai/other/requests/${id}/status`)).status, 404)
})

t.test('the result is 400 while the job is under way, then the output with id and units, again and again', async t => {
  const { submitted, call, faults, base } = await startSandbox(t)
  const release = faults.holdJobs()
  const id = await submitted({ prompt: 'a heron', seed: 42 })
  const early = await call(`/queue/${APP}/requests/${id}`)
  t.equal(early.status, 400)
  t.equal(early.text, '{"detail":"Request is still in progress"}')
  release()
  const result = await call(`/queue/${APP}/requests/${id}`)
  t.equal(result.status, 200)
  t.equal(result.headers.get('x-fal-request-id'), id)
  t.equal(result.headers.get('x-fal-billable-units'), '1')
  t.match(result.body, { seed: 42, images: [{ content_type: 'image/png', file_name: 'output.png' }] })
  t.ok(result.text.startsWith(`{"images":[{"url":"${base}/files/`))
  t.equal((await call(`/queue/${APP}/requests/${id}`)).text, result.text)
})

t.test('seeds keep all their digits, and a request without one learns the seed that was used', async t => {
  const { submitted, call } = await startSandbox(t)
  for (const digits of ['0', '-7', '196619188014358660', '123456789012345678901234567890']) {
    const id = await submitted(`{"prompt":"a heron","seed":${digits}}`)
    t.ok((await call(`/queue/${APP}/requests/${id}`)).text.endsWith(`,"seed":${digits}}`))
  }
  const id = await submitted({ prompt: 'a heron' })
  const learned = await call(`/queue/${APP}/requests/${id}`)
  t.match(learned.text, /,"seed":\d{1,10}\}$/)
  const again = await submitted(`{"prompt":"a heron","seed":${/\d+(?=\}$)/.exec(learned.text)?.[0] ?? ''}}`)
  t.equal((await call(`/queue/${APP}/requests/${again}`)).text, learned.text)
})

t.test('the answer has the shape of the generation that was chosen', async t => {
  for (const outputShape of ['C', 'D'] as const) {
    const { submitted, call } = await startSandbox(t, { outputShape })
    const { body } = await call(`/queue/${APP}/requests/${await submitted({ prompt: 'a heron', seed: 1, aspect_ratio: '16:9' })}`)
    t.match(body, { images: [{ url: String, width: 1408, height: 768 }], description: String })
    t.notMatch(body, { seed: Number })
  }
})

t.test('a bad input is accepted, and its 422 is the result of a job that completed with an error', async t => {
  const { submitted, call, bill } = await startSandbox(t)
  const id = await submitted({ num_images: 4, aspect_ratio: '2:1', seed: 'x', unknown: 1 })
  t.match((await call(`/queue/${APP}/requests/${id}/status`)).body, { status: 'COMPLETED', error: String, error_type: 'missing' })
  const { status, body, headers } = await call(`/queue/${APP}/requests/${id}`)
  t.equal(status, 422)
  t.equal(headers.get('x-fal-billable-units'), '0')
  t.match(body, {
    detail: [
      { loc: ['body', 'prompt'], type: 'missing' },
      { loc: ['body', 'aspect_ratio'], type: 'literal_error', input: '2:1' },
      { loc: ['body', 'num_images'], type: 'less_than_equal', ctx: { le: 1 }, input: 4, url: 'https://docs.fal.ai/errors/#less_than_equal' },
      { loc: ['body', 'seed'], type: 'int_parsing', input: 'x' }
    ]
  })
  t.match((await call(`/queue/${APP}/requests/${await submitted('{"prompt":')}`)).body, { detail: [{ type: 'json_invalid' }] })
  t.match((await call(`/queue/${APP}/requests/${await submitted('[]')}`)).body, { detail: [{ type: 'dict_type' }] })
  t.match((await call(`/queue/${APP}/requests/${await submitted(`{"prompt":"a heron","seed":${'9'.repeat(5_000)}}`)}`)).body, { detail: [{ type: 'int_parsing_size' }] })
  t.equal(bill.billedUnits, 0)
})

t.test('cancel is 202 in the queue and at work, 400 at the end, 404 for an unknown id', async t => {
  const { submitted, call, faults, bill } = await startSandbox(t, { concurrency: 1 })
  const release = faults.holdJobs()
  const running = await submitted({ prompt: 'one' })
  const waiting = await submitted({ prompt: 'two' })
  for (const id of [waiting, running]) {
    const cancelled = await call(`/queue/${APP}/requests/${id}/cancel`, { method: 'PUT' })
    t.equal(cancelled.status, 202)
    t.equal(cancelled.text, '{"status":"CANCELLATION_REQUESTED"}')
    t.match((await call(`/queue/${APP}/requests/${id}/status`)).body, { status: 'COMPLETED', error_type: 'client_cancelled' })
    t.equal((await call(`/queue/${APP}/requests/${id}`)).status, 499)
  }
  release()
  const done = await call(`/queue/${APP}/requests/${running}/cancel`, { method: 'PUT' })
  t.equal(done.status, 400)
  t.equal(done.text, '{"status":"ALREADY_COMPLETED"}')
  const unknown = await call(`/queue/${APP}/requests/none/cancel`, { method: 'PUT' })
  t.equal(unknown.status, 404)
  t.equal(unknown.text, '{"status":"NOT_FOUND"}')
  t.match(bill, { cancels: 4, billedUnits: 0, accepted: 2 })
})

t.test('the status stream tells every change once, each log line once, and ends after the last event', async t => {
  const { submitted, base, faults } = await startSandbox(t, { concurrency: 1 })
  const release = faults.holdJobs()
  await submitted({ prompt: 'one' })
  const id = await submitted({ prompt: 'two' })
  const response = await fetch(`${base}/queue/${APP}/requests/${id}/status/stream?logs=1`, { headers: { authorization: 'Key id:secret', accept: 'text/event-stream' } })
  t.equal(response.status, 200)
  t.equal(response.headers.get('content-type'), 'text/event-stream')
  t.equal(response.headers.get('x-fal-request-id'), id)
  release()
  const text = await response.text()
  t.match(text, /^(data: \{.*\}\n\n)+$/)
  const events: unknown[] = text.trimEnd().split('\n\n').map(event => JSON.parse(event.slice('data: '.length)))
  t.match(events, [
    { status: 'IN_QUEUE', queue_position: 0, logs: [] },
    { status: 'IN_PROGRESS', logs: [{ message: String }] },
    { status: 'COMPLETED', logs: [], metrics: { inference_time: Number } }
  ])
  t.equal(events.length, 3)
})

t.test('a stream in which nothing happens is kept alive by comments', async t => {
  const { submitted, base, faults } = await startSandbox(t, { pingMs: 5 })
  const release = faults.holdJobs()
  const id = await submitted({ prompt: 'a heron' })
  const response = await fetch(`${base}/queue/${APP}/requests/${id}/status/stream`, { headers: { authorization: 'Key id:secret' } })
  let text = ''
  for await (const bytes of response.body ?? []) {
    text += Buffer.from(bytes).toString()
    if (/(: ping\n\n){3}/.test(text)) release()
  }
  t.match(text, /^data: \{"status":"IN_PROGRESS"[^\n]*\n\n(: ping\n\n){3,}data: \{"status":"COMPLETED"[^\n]*\n\n$/)
})

t.test('a synchronous call answers the output, and 429 beyond the concurrency', async t => {
  const { call, faults, bill } = await startSandbox(t, { concurrency: 1 })
  const release = faults.holdJobs()
  const first = call(`/run/${ENDPOINT}`, { method: 'POST', body: '{"prompt":"a heron","seed":7}' })
  await bill.untilAccepted(1)
  const second = await call(`/run/${ENDPOINT}`, { method: 'POST', body: '{"prompt":"a heron"}' })
  t.equal(second.status, 429)
  t.equal(second.headers.get('x-fal-needs-retry'), '1')
  t.match(second.body, { error_type: 'concurrent_requests_limit' })
  release()
  const { status, headers, body } = await first
  t.equal(status, 200)
  t.equal(headers.get('x-fal-billable-units'), '1')
  t.match(headers.get('x-fal-request-id'), /^[0-9a-f-]{36}$/)
  t.match(body, { seed: 7, images: [{ url: String }] })
  t.match(bill, { submits: 2, accepted: 1, billedUnits: 1 })
})

t.test('low priority waits behind normal, and a queue longer than asked is 429', async t => {
  const { submitted, submit, call } = await startSandbox(t, { concurrency: 0 })
  const low = await submitted({ prompt: 'one' }, { 'x-fal-queue-priority': 'low' })
  await submitted({ prompt: 'two' })
  t.match((await call(`/queue/${APP}/requests/${low}/status`)).body, { queue_position: 1 })
  t.match((await submit({ prompt: 'three' }, { 'x-fal-queue-priority': 'nonsense' })).body, { queue_position: 1 })
  t.equal((await call(`/queue/${ENDPOINT}?fal_max_queue_length=2`, { method: 'POST', body: '{}' })).status, 429)
  t.equal((await call(`/queue/${ENDPOINT}?fal_max_queue_length=3`, { method: 'POST', body: '{}' })).status, 200)
})

t.test('a start timeout that passes in the queue ends the job with 504 and the timeout type of the user', async t => {
  const { submitted, submit, call, base } = await startSandbox(t, { concurrency: 0 })
  const id = await submitted({ prompt: 'a heron' }, { 'x-fal-request-start-timeout': '0.15', 'x-fal-request-timeout': '600' })
  // The stream ends with the job, so it tells when to look.
  await (await fetch(`${base}/queue/${APP}/requests/${id}/status/stream`, { headers: { authorization: 'Key id:secret' } })).text()
  t.match((await call(`/queue/${APP}/requests/${id}/status`)).body, { status: 'COMPLETED', error_type: 'request_timeout' })
  const { status, headers } = await call(`/queue/${APP}/requests/${id}`)
  t.equal(status, 504)
  t.equal(headers.get('x-fal-request-timeout-type'), 'user')
  const refused = await submit({ prompt: 'a heron' }, { 'x-fal-request-timeout': 'soon' })
  t.equal(refused.status, 400)
  t.match(refused.body, { error_type: 'bad_request' })
})

t.test('strangers get 401, unknown applications and paths 404, wrong methods 405, all with a request id', async t => {
  const { call } = await startSandbox(t, { keys: ['id:secret'] })
  const answers = [
    [401, await call(`/queue/${ENDPOINT}`, { method: 'POST', body: '{}', headers: { authorization: '' } })],
    [401, await call(`/run/${ENDPOINT}`, { method: 'POST', body: '{}', headers: { authorization: 'Key other' } })],
    [401, await call('/control/bill', { headers: { authorization: 'Bearer id:secret' } })],
    [404, await call('/queue/fal-ai/nothing/here', { method: 'POST', body: '{}' })],
    [404, await call('/run/fal-ai/imagen4/preview/nothing', { method: 'POST', body: '{}' })],
    [404, await call(`/queue/${APP}/requests/none`)],
    [404, await call(`/queue/${APP}/requests/none/status/stream`)],
    [404, await call('/nowhere')],
    [405, await call(`/queue/${ENDPOINT}`)]
  ] as const
  for (const [status, answer] of answers) {
    t.equal(answer.status, status)
    t.match(answer.headers.get('x-fal-request-id'), /^[0-9a-f-]{36}$/)
  }
  t.equal(answers[3][1].text, '{"detail":"Application \\"nothing\\" not found"}')
  t.match(answers[4][1].body, { detail: 'Path /preview/nothing not found' })
})

t.test('the start page says what this is', async t => {
  const { base } = await startSandbox(t)
  const page = await fetch(`${base}/`)
  t.equal(page.status, 200)
  t.match(await page.text(), /sandbox[^]*costs nothing/)
})
