// What has to work with fal's own JavaScript client, whichever way it reaches a station.

import { ApiError, ValidationError, type FalClient } from '@fal-ai/client'
import type { Test } from 'tap'
import { until } from '../until.ts'
import type { Station } from './stations.ts'

const MODEL = 'fal-ai/imagen4/preview/ultra'
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

let pictures = 0

/** An input that was not asked for before. */
function fresh (): { prompt: string, seed: number } {
  pictures += 1
  return { prompt: `picture ${pictures}`, seed: pictures }
}

/** Runs the suite; `client` speaks to the station with its key, `stranger` with a key that nobody knows. */
export async function javascriptSuite (t: Test, { station, client, stranger }: { readonly station: Station, readonly client: FalClient, readonly stranger: FalClient }): Promise<void> {
  const { sandbox } = station
  const isGateway = station.name === 'the gateway'

  await t.test('run: the output, and an id', async t => {
    const input = fresh()
    const { data, requestId } = await client.run(MODEL, { input })
    t.match(data, { images: [{ url: /^http.*\.png$/, content_type: 'image/png' }], seed: input.seed })
    t.match(requestId, UUID)
  })

  await t.test('subscribe, polling: every state, log lines, the output', async t => {
    const states: string[] = []
    const lines: string[] = []
    const { data, requestId } = await client.subscribe(MODEL, {
      input: fresh(),
      logs: true,
      pollInterval: 20,
      onEnqueue: id => { states.push(id) },
      onQueueUpdate: update => {
        if (states.at(-1) !== update.status) states.push(update.status)
        if ('logs' in update) lines.push(...(update.logs ?? []).map(({ message }) => message))
      }
    })
    t.same(states, [requestId, 'IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'])
    t.ok(lines.includes('Drawn by the sandbox, not by the model'))
    t.match(data, { images: [{ url: /^http/ }] })
  })

  await t.test('subscribe, streaming: every state, each log line once, the output', async t => {
    const states: string[] = []
    let lines: readonly string[] = []
    const { data } = await client.subscribe(MODEL, {
      input: fresh(),
      logs: true,
      mode: 'streaming',
      onQueueUpdate: update => {
        if (states.at(-1) !== update.status) states.push(update.status)
        if ('logs' in update) lines = (update.logs ?? []).map(({ message }) => message)
      }
    })
    t.same(states, ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'])
    t.same(lines, ['Drawn by the sandbox, not by the model'])
    t.match(data, { images: [{ url: /^http/ }] })
  })

  await t.test('queue.submit, status, streamStatus and result', async t => {
    const submitted = await client.queue.submit(MODEL, { input: fresh(), priority: 'low' })
    const requestId = submitted.request_id
    t.match(submitted, { status: 'IN_QUEUE', request_id: UUID, queue_position: 0 })
    for (const address of [submitted.status_url, submitted.response_url, submitted.cancel_url]) t.ok(address.startsWith(`${station.queueBase}/fal-ai/imagen4/requests/${requestId}`), address)
    t.match((await client.queue.status(MODEL, { requestId })).status, /^IN_/)
    const events: string[] = []
    for await (const { status } of await client.queue.streamStatus(MODEL, { requestId, logs: true })) events.push(status)
    t.equal(events.at(-1), 'COMPLETED')
    const result = await client.queue.result(MODEL, { requestId })
    t.match(result, { requestId, data: { images: [{ url: /^http/ }] } })
    t.match(await client.queue.status(MODEL, { requestId, logs: true }), { status: 'COMPLETED', request_id: requestId, logs: [{ message: String, timestamp: String, level: String, source: 'USER' }], metrics: { inference_time: Number } })
    t.match(await client.queue.subscribeToStatus(MODEL, { requestId }), { status: 'COMPLETED' })
  })

  await t.test('queue.cancel: what runs is stopped, and its result says so', async t => {
    const release = sandbox.faults.holdJobs()
    t.teardown(release)
    const { request_id: requestId } = await client.queue.submit(MODEL, { input: fresh() })
    await until(async () => (await client.queue.status(MODEL, { requestId })).status === 'IN_PROGRESS')
    await client.queue.cancel(MODEL, { requestId })
    await client.queue.subscribeToStatus(MODEL, { requestId, pollInterval: 20 })
    const error = await failureOf(client.queue.result(MODEL, { requestId }))
    t.match(error, { status: 499, requestId })
    if (isGateway) t.equal(error.message, 'The generation was cancelled')
    if (isGateway) await client.queue.cancel(MODEL, { requestId }) // a client that did not hear of it asks again
  })

  await t.test('subscribe that lasts too long is given up, and cancelled', async t => {
    const release = sandbox.faults.holdJobs()
    t.teardown(release)
    const cancels = sandbox.bill.cancels
    let id = ''
    await t.rejects(client.subscribe(MODEL, { input: fresh(), timeout: 600, pollInterval: 20, onEnqueue: enqueued => { id = enqueued } }), /timed out/)
    await until(() => sandbox.bill.cancels > cancels)
    t.match(await client.queue.subscribeToStatus(MODEL, { requestId: id, pollInterval: 20 }), { status: 'COMPLETED' })
  })

  await t.test('an input that does not fit is a ValidationError with a readable message', async t => {
    const input: { prompt: string } = { ...fresh(), ...{ aspect_ratio: '2:1' } }
    for (const call of [() => client.run(MODEL, { input }), () => client.subscribe(MODEL, { input, pollInterval: 20 })]) {
      const error = await failureOf(call())
      t.ok(error instanceof ValidationError)
      t.equal(error.status, 422)
      if (error instanceof ValidationError) t.match(error.getFieldErrors('aspect_ratio'), [{ msg: String, type: String }])
      if (isGateway) t.match(error.message, /^The input does not fit the model\. aspect_ratio must be one of/)
    }
  })

  await t.test('a refusal of the model is a ValidationError, also from the queue', async t => {
    for (const [operation, call] of [['run', () => client.run(MODEL, { input: fresh() })], ['submit', () => client.subscribe(MODEL, { input: fresh(), pollInterval: 20 })]] as const) {
      sandbox.faults.add({ kind: 'job', operation: isGateway ? 'submit' : operation, error: 'content_policy_violation' })
      const error = await failureOf(call())
      t.ok(error instanceof ValidationError, operation)
      if (error instanceof ValidationError) t.match(error.fieldErrors, [{ loc: ['body', 'prompt'], type: 'content_policy_violation' }])
      if (isGateway) t.match(error.message, /^The model refused to make this picture/)
    }
  })

  await t.test('an unknown key and an unknown request are ApiErrors, at once and readable', async t => {
    const unknown = await failureOf(stranger.run(MODEL, { input: fresh() }))
    t.match(unknown, { status: 401 })
    const lost = await failureOf(client.queue.result(MODEL, { requestId: '00000000-0000-7000-8000-000000000000' }))
    t.match(lost, { status: 404, body: { status: 'NOT_FOUND' } })
    if (!isGateway) return
    t.match(unknown.message, /^The key is not known/)
    t.equal(lost.message, 'No generation with this id can be seen with this key')
  })
}

/** The error of fal's that a call ends with. */
async function failureOf (call: Promise<unknown>): Promise<ApiError<unknown>> {
  try {
    await call
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  throw new Error('The call did not fail.')
}
