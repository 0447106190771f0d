// Each fault does to a call what it says, to as many calls as it says, and the bill tells what was bought meanwhile.

import t from 'tap'
import { errorAnswers, isErrorName } from '../../src/sandbox/answers.ts'
import type { Fault } from '../../src/sandbox/fault-schema.ts'
import { fieldOf, startSandbox } from '../support/sandbox.ts'

const ENDPOINT = 'fal-ai/imagen4/preview/ultra'
const APP = 'fal-ai/imagen4'

t.test('every named error comes as fal says it, once, and buys nothing', async t => {
  const { submit, faults, bill } = await startSandbox(t)
  const names = Object.keys(errorAnswers).filter(isErrorName)
  for (const error of names) {
    faults.add({ kind: 'answer', operation: 'submit', error })
    const { status, text, headers } = await submit({ prompt: 'a heron' })
    t.equal(status, errorAnswers[error].status, error)
    t.equal(text, errorAnswers[error].body, error)
    t.equal(headers.has('x-fal-request-id'), error !== 'nginx', error)
  }
  t.match(bill, { submits: names.length, accepted: 0, billedUnits: 0 })
  t.equal((await submit({ prompt: 'a heron' })).status, 200)
})

t.test('errors carry the headers that clients decide by', async t => {
  const { submit, faults } = await startSandbox(t)
  faults.add({ kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit', retryAfterSeconds: 3 })
  const limited = await submit({})
  t.equal(limited.headers.get('x-fal-needs-retry'), '1')
  t.equal(limited.headers.get('retry-after'), '3')
  t.equal(limited.headers.get('x-fal-error-type'), 'concurrent_requests_limit')
  faults.add({ kind: 'answer', operation: 'submit', error: 'user_timeout' })
  t.equal((await submit({})).headers.get('x-fal-request-timeout-type'), 'user')
  faults.add({ kind: 'answer', operation: 'submit', error: 'nginx' })
  const page = await submit({})
  t.equal(page.headers.get('content-type'), 'text/html')
  t.match(page.text, 'nginx')
})

t.test('a fault skips calls, hits as often as it says, and only its own operation', async t => {
  const { submit, faults } = await startSandbox(t)
  const set = faults.add({ kind: 'answer', operation: 'submit', error: 'locked', skip: 1, times: 2 })
  faults.add({ kind: 'answer', operation: 'status', error: 'locked' })
  const statuses: number[] = []
  for (let call = 0; call < 5; call++) statuses.push((await submit({ prompt: 'a heron' })).status)
  t.same(statuses, [200, 403, 403, 200, 200])
  t.equal(set.hits, 2)
  const always = faults.add({ kind: 'answer', operation: 'submit', error: 'locked', times: 'always' })
  t.equal((await submit({})).status, 403)
  t.equal((await submit({})).status, 403)
  always.remove()
  t.equal((await submit({})).status, 200)
})

t.test('a reset before acceptance buys nothing, one after acceptance is a picture that was bought', async t => {
  for (const accepted of [false, true]) {
    const { submit, faults, bill, call } = await startSandbox(t)
    faults.add({ kind: 'reset', operation: 'submit', accepted })
    await t.rejects(submit({ prompt: 'a heron', seed: 1 }), { cause: { code: 'ECONNRESET' } })
    t.match(bill, { submits: 1, accepted: accepted ? 1 : 0, billedUnits: accepted ? 1 : 0 })
    const id = bill.requests[0]?.requestId
    if (id !== undefined) t.equal((await call(`/queue/${APP}/requests/${id}`)).status, 200)
  }
})

t.test('an error behind an accepted submit names the request that was accepted', async t => {
  const { submit, faults, bill, call } = await startSandbox(t)
  faults.add({ kind: 'answer', operation: 'submit', error: 'internal_error', accepted: true })
  const { status, headers } = await submit({ prompt: 'a heron' })
  t.equal(status, 500)
  const id = headers.get('x-fal-request-id') ?? ''
  t.equal(bill.requests[0]?.requestId, id)
  t.equal((await call(`/queue/${APP}/requests/${id}/status`)).status, 200)
})

t.test('a hanging call goes on when it is released, and a caller that leaves before has bought nothing', async t => {
  const { submit, faults, bill, call } = await startSandbox(t)
  const left = faults.add({ kind: 'hang', operation: 'submit' })
  const leaving = new AbortController()
  const aborted = call(`/queue/${ENDPOINT}`, { method: 'POST', body: '{}', signal: leaving.signal })
  await left.untilHit()
  leaving.abort()
  await t.rejects(aborted, { name: 'AbortError' })

  const released = faults.add({ kind: 'hang', operation: 'submit' })
  const waiting = submit({ prompt: 'a heron' })
  await released.untilHit()
  t.equal(bill.accepted, 0)
  released.release()
  t.equal((await waiting).status, 200)
  t.equal(bill.accepted, 1)
})

t.test('a call that hangs after acceptance has bought its picture', async t => {
  const { faults, bill, call } = await startSandbox(t)
  const set = faults.add({ kind: 'hang', operation: 'run', accepted: true })
  const leaving = new AbortController()
  const aborted = call(`/run/${ENDPOINT}`, { method: 'POST', body: '{"prompt":"a heron"}', signal: leaving.signal })
  await set.untilHit()
  await bill.untilAccepted(1)
  leaving.abort()
  await t.rejects(aborted, { name: 'AbortError' })
  t.match(bill, { accepted: 1, billedUnits: 1 })
})

t.test('a delay comes before everything else', async t => {
  const { submit, faults, bill } = await startSandbox(t)
  const set = faults.add({ kind: 'delay', operation: 'submit', delayMs: 30 })
  const started = performance.now()
  const waiting = submit({ prompt: 'a heron' })
  await set.untilHit()
  t.equal(bill.accepted, 0)
  t.equal((await waiting).status, 200)
  t.ok(performance.now() - started >= 29)
})

t.test('a truncated stream breaks, or ends in good order, after its first event', async t => {
  const { submitted, faults, base } = await startSandbox(t)
  faults.holdJobs()
  const id = await submitted({ prompt: 'a heron' })
  async function streamed (): Promise<string> {
    const response = await fetch(`${base}/queue/${APP}/requests/${id}/status/stream`, { headers: { authorization: 'Key id:secret' } })
    return await response.text()
  }
  faults.add({ kind: 'truncate', operation: 'stream', cleanly: true })
  t.match(await streamed(), /^data: \{"status":"IN_PROGRESS"[^\n]*\}\n\n$/)
  faults.add({ kind: 'truncate', operation: 'stream' })
  await t.rejects(streamed(), { message: 'terminated' })
})

t.test('stream, status, result, cancel, files and storage fail as they are told', async t => {
  const { submitted, call, faults } = await startSandbox(t)
  const id = await submitted({ prompt: 'a heron' })
  const request = `/queue/${APP}/requests/${id}`
  const calls = [
    ['status', 'GET', `${request}/status`],
    ['stream', 'GET', `${request}/status/stream`],
    ['result', 'GET', request],
    ['cancel', 'PUT', `${request}/cancel`],
    ['file', 'GET', '/files/tiger/any.png'],
    ['file', 'GET', '/files/uploads/any.png'],
    ['initiate', 'POST', '/storage/upload/initiate']
  ] as const
  for (const [operation, method, path] of calls) {
    faults.add({ kind: 'answer', operation, error: 'runner_connection_error' })
    t.equal((await call(path, { method })).status, 503, operation)
    faults.add({ kind: 'reset', operation })
    await t.rejects(call(path, { method }), { name: 'TypeError' }, operation)
  }
  faults.add({ kind: 'answer', operation: 'result', error: 'result_expired' })
  t.equal((await call(request)).text, '{"status":"NOT_FOUND"}')
  const place = fieldOf((await call('/storage/upload/initiate', { method: 'POST', body: '{"content_type":"image/png","file_name":"a.png"}' })).body, 'upload_url')
  faults.add({ kind: 'answer', operation: 'upload', error: 'internal_error' })
  t.equal((await call(place, { method: 'PUT', body: 'bytes' })).status, 500)
  t.equal((await call(place, { method: 'PUT', body: 'bytes' })).status, 200)
})

t.test('something in front of fal answers in its place, once, and names no request', async t => {
  const { submitted, call, faults } = await startSandbox(t)
  const id = await submitted({ prompt: 'a heron' })
  for (const [answer, status, text] of [['html', 200, '<html><body>Welcome</body></html>'], ['object', 200, '{}'], ['empty', 200, ''], ['gzip', 200, '{}'], ['not_found', 404, /message/], ['gone_away', 499, '']] as const) {
    faults.add({ kind: 'odd', operation: 'result', answer })
    const odd = await call(`/queue/${APP}/requests/${id}`)
    t.equal(odd.status, status, answer)
    t.match(odd.text, text, answer)
    t.notOk(odd.headers.has('x-fal-request-id'), answer)
    t.equal((await call(`/queue/${APP}/requests/${id}`)).status, 200, answer)
  }
})

t.test('a job ends as it is told: with an error, billed or not, with other units, or without naming them', async t => {
  const { submitted, call, faults, bill } = await startSandbox(t)
  const cases: readonly (readonly [Omit<Extract<Fault, { kind: 'job' }>, 'kind' | 'operation'>, number, string | null, number])[] = [
    [{ error: 'content_policy_violation' }, 422, '0', 0],
    [{ error: 'content_policy_violation', units: 1 }, 422, '1', 1],
    [{ error: 'content_policy_violation', units: 1, hideUnits: true }, 422, null, 1],
    [{ error: 'runner_disconnected' }, 503, '0', 0],
    [{ units: 2.5 }, 200, '2.5', 2.5],
    [{ hideUnits: true }, 200, null, 1]
  ]
  for (const [job, status, units, billed] of cases) {
    bill.reset()
    faults.add({ kind: 'job', operation: 'submit', ...job })
    const id = await submitted({ prompt: 'a heron' })
    const result = await call(`/queue/${APP}/requests/${id}`)
    t.equal(result.status, status)
    t.equal(result.headers.get('x-fal-billable-units'), units)
    t.equal(bill.billedUnits, billed)
    t.match((await call(`/queue/${APP}/requests/${id}/status`)).body, job.error === undefined ? { status: 'COMPLETED' } : { status: 'COMPLETED', error: String, error_type: job.error })
  }
})

t.test('other processes set faults, hold jobs and read the bill over HTTP', async t => {
  const { call, submit, submitted } = await startSandbox(t)
  const list = JSON.stringify([{ kind: 'answer', operation: 'submit', error: 'locked' }, { kind: 'delay', operation: 'status', delayMs: 1, times: 'always' }])
  t.match((await call('/control/faults', { method: 'PUT', body: list })).body, { faults: [{ error: 'locked', hits: 0 }, { kind: 'delay' }] })
  t.equal((await submit({})).status, 403)
  t.match((await call('/control/faults')).body, { faults: [{ hits: 1 }, { hits: 0 }] })
  t.same((await call('/control/faults', { method: 'DELETE' })).body, { faults: [] })

  t.same((await call('/control/hold', { method: 'PUT' })).body, { held: true })
  const id = await submitted({ prompt: 'a heron' })
  t.equal((await call(`/queue/${APP}/requests/${id}/status`)).status, 202)
  t.same((await call('/control/hold', { method: 'DELETE' })).body, { held: false })
  t.equal((await call(`/queue/${APP}/requests/${id}/status`)).status, 200)

  const { body } = await call('/control/bill')
  t.match(body, { submits: 2, accepted: 1, billedUnits: 1, cancels: 0, requests: [{ requestId: id, endpoint: ENDPOINT, bodyDigest: /^[0-9a-f]{64}$/, units: 1, acceptedAt: Number }] })
  t.match((await call('/control/bill', { method: 'DELETE' })).body, { accepted: 0, requests: [] })
})

t.test('a fault that is none is refused with a sentence that names its field and what is expected there', async t => {
  const { call, faults } = await startSandbox(t)
  const good = '{"kind":"reset","operation":"submit"}'
  for (const [body, sentence] of [
    ['{', 'The body is not JSON: expected a fault, or a list of faults'],
    ['[3]', '/0: expected an object, a fault'],
    ['{"kind":"broken"}', '/0/kind: expected one of delay, answer, odd, reset, hang, truncate, job'],
    ['{"operation":"submit"}', '/0/kind: expected one of delay, answer, odd, reset, hang, truncate, job'],
    [`[${good},{"kind":"reset"}]`, '/1/operation: is missing'],
    ['{"kind":"reset","operation":"buy"}', '/0/operation: expected one of submit, status, stream, result, cancel, run, file'],
    ['{"kind":"odd","operation":"submit","answer":"x"}', '/0/answer: expected one of html, object, empty, gzip, not_found, gone_away'],
    ['{"kind":"reset","operation":"submit","delay":5}', '/0/delay: is no field of a fault of this kind'],
    ['{"kind":"reset","operation":"submit","times":"ever"}', '/0/times: expected a whole number from 1, or "always"'],
    [`[${Array(1_001).fill(good).join()}]`, 'expected at most 1000 faults']
  ] as const) {
    const { status, body: told } = await call('/control/faults', { method: 'PUT', body })
    t.match([status, told], [422, { detail: sentence }], sentence)
  }
  t.match((await call('/control/faults', { method: 'PUT', body: '{"kind":"answer","operation":"submit","error":"nonsense"}' })).body, { detail: /^\/0\/error: expected one of unauthorized, locked, / })
  t.same(faults.list, [], 'nothing of them is set')
})

t.test('holds add up, and each is released once', async t => {
  const { submitted, call, faults } = await startSandbox(t)
  const [one, two] = [faults.holdJobs(), faults.holdJobs()]
  const id = await submitted({ prompt: 'a heron' })
  one()
  one()
  t.equal((await call(`/queue/${APP}/requests/${id}/status`)).status, 202)
  two()
  t.equal((await call(`/queue/${APP}/requests/${id}/status`)).status, 200)
})

t.test('a wait for something that does not come ends with its signal', async t => {
  const { faults, bill } = await startSandbox(t)
  const set = faults.add({ kind: 'hang', operation: 'submit' })
  await t.rejects(set.untilHit(1, AbortSignal.timeout(1)), { message: '0 of 1 calls were hit by the fault' })
  await t.rejects(bill.untilAccepted(2, AbortSignal.timeout(1)), { message: '0 of 2 requests were accepted' })
})
