// What a sandbox may cost its process: bounded memory, and nothing left behind when it closes.

import t from 'tap'
import { createFaults } from '../../src/sandbox/faults.ts'
import { createJobs, type JobOrder } from '../../src/sandbox/jobs.ts'
import { startSandbox } from '../support/sandbox.ts'

const ENDPOINT = 'fal-ai/imagen4/preview/ultra'
const APP = 'fal-ai/imagen4'

const order: JobOrder = {
  endpointId: ENDPOINT,
  end: { answer: { status: 200, headers: {}, body: '{}' }, units: 1 },
  lowPriority: false,
  direct: false,
  onAccepted: () => {}
}

t.test('the first requests to have ended are forgotten first, unfinished ones never', async t => {
  const { submitted, submit, call, bill, faults } = await startSandbox(t, { maxRequests: 3 })
  const ids: string[] = []
  for (let index = 0; index < 5; index++) ids.push(await submitted({ prompt: String(index) }))
  const statuses = await Promise.all(ids.map(async id => (await call(`/queue/${APP}/requests/${id}/status`)).status))
  t.same(statuses, [404, 404, 200, 200, 200])
  t.equal(bill.accepted, 5)
  t.same(bill.requests.map(entry => entry.requestId), ids.slice(2))

  faults.holdJobs()
  for (let index = 0; index < 3; index++) await submitted({ prompt: String(index) })
  t.equal((await submit({ prompt: 'one too many' })).status, 503)
})

t.test('ten thousand jobs wait in the queue and end at once without piling up calls', async t => {
  let ended = 0
  const jobs = createJobs({ queueMs: 0, runMs: 0, concurrency: 1, maxRequests: 20_000, onEnd: () => { ended++ } })
  jobs.hold(true)
  for (let index = 0; index < 10_000; index++) jobs.add(order)
  t.equal(jobs.inProgress, 1)
  t.equal(jobs.waiting, 9_999)
  jobs.hold(false)
  t.equal(ended, 10_000)
  t.equal(jobs.waiting, 0)
})

t.test('a queue that is closed has ended every job and takes no more', async t => {
  const jobs = createJobs({ queueMs: 60_000, runMs: 60_000, concurrency: 1, maxRequests: 10, onEnd: () => {} })
  const waiting = jobs.add({ ...order, startTimeoutMs: 60_000 })
  const running = jobs.add({ ...order, direct: true })
  jobs.close()
  t.match(waiting, { state: 'COMPLETED', end: { answer: { status: 503 } } })
  t.match(running, { state: 'COMPLETED', end: { answer: { status: 503 } } })
  t.equal(jobs.add(order), null)
})

t.test('closing the server ends streams, hanging calls, delays and synchronous calls at once', async t => {
  const warnings: Error[] = []
  const note = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))

  const { app, base, call, submitted, faults, bill } = await startSandbox(t, { runMs: 600_000 })
  const id = await submitted({ prompt: 'a heron' })
  const stream = await fetch(`${base}/queue/${APP}/requests/${id}/status/stream`, { headers: { authorization: 'Key id:secret' } })
  const hang = faults.add({ kind: 'hang', operation: 'status', times: 'always' })
  const delay = faults.add({ kind: 'delay', operation: 'result', delayMs: 600_000 })
  const broken = [
    ...Array.from({ length: 20 }, () => call(`/queue/${APP}/requests/${id}/status`)),
    call(`/queue/${APP}/requests/${id}`)
  ].map(pending => t.rejects(pending, { name: 'TypeError' }))
  const run = call(`/run/${ENDPOINT}`, { method: 'POST', body: '{"prompt":"a heron"}' })
  await Promise.all([hang.untilHit(20), delay.untilHit(), bill.untilAccepted(2)])

  await app.close()
  await Promise.all(broken)
  t.match(await stream.text(), /"status":"COMPLETED"/)
  t.match(await run, { status: 503, body: { error_type: 'runner_disconnected' } })
  t.same(warnings, [])
  t.equal(bill.billedUnits, 0)
})

t.test('faults that are cleared let go of what they hang', async t => {
  const { faults, take } = createFaults(() => {})
  faults.add({ kind: 'hang', operation: 'submit' })
  const taken = take('submit')
  faults.clear()
  await taken?.released
  t.equal(faults.list.length, 0)
  t.equal(take('submit'), null)
})
