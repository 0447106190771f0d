// What callers get when the upstream fails, and what it costs: the documented code, never fal's own trouble, never a second purchase.

import t from 'tap'
import type { Fault } from '../../src/sandbox/fault-schema.ts'
import { startGateway } from '../support/gateway.ts'
import { until } from '../support/until.ts'

// Most of their time is pauses of the code, so they wait together.
t.jobs = 6
const together = { buffered: true }

interface Case { readonly fault: Fault, readonly status: number, readonly code: string, readonly accepted: number, readonly cost: number | null, readonly generation?: string }

const cases: Readonly<Record<string, Case>> = {
  'a refused prompt': { fault: { kind: 'job', operation: 'submit', error: 'content_policy_violation' }, status: 422, code: 'content-refused', accepted: 1, cost: 0 },
  'a refused prompt that was billed': { fault: { kind: 'job', operation: 'submit', error: 'content_policy_violation', units: 1 }, status: 422, code: 'content-refused', accepted: 1, cost: 0.06 },
  'a refused prompt whose cost fal does not name: booked at full price': { fault: { kind: 'job', operation: 'submit', error: 'content_policy_violation', hideUnits: true }, status: 422, code: 'content-refused', accepted: 1, cost: 0.06 },
  'a failed model': { fault: { kind: 'job', operation: 'submit', error: 'internal_server_error' }, status: 502, code: 'upstream-failed', accepted: 1, cost: 0 },
  'a model that failed and was billed all the same': { fault: { kind: 'job', operation: 'submit', error: 'generation_timeout', units: 1 }, status: 504, code: 'upstream-timeout', accepted: 1, cost: 0.06 },
  'a model that took too long': { fault: { kind: 'job', operation: 'submit', error: 'generation_timeout' }, status: 504, code: 'upstream-timeout', accepted: 1, cost: 0 },
  'a wrong central key': { fault: { kind: 'answer', operation: 'submit', error: 'unauthorized' }, status: 503, code: 'upstream-account-blocked', accepted: 0, cost: 0 },
  'an exhausted balance': { fault: { kind: 'answer', operation: 'submit', error: 'locked' }, status: 503, code: 'upstream-account-blocked', accepted: 0, cost: 0 },
  'a model that is gone': { fault: { kind: 'answer', operation: 'submit', error: 'application_not_found' }, status: 410, code: 'model-retired', accepted: 0, cost: 0 },
  'an answer that never came': { fault: { kind: 'reset', operation: 'submit', accepted: true }, status: 502, code: 'outcome-unknown', accepted: 1, cost: null, generation: 'unknown' },
  'a connection cut before acceptance, which nobody can tell from one cut after it': { fault: { kind: 'reset', operation: 'submit' }, status: 502, code: 'outcome-unknown', accepted: 0, cost: null, generation: 'unknown' },
  'an ingress error page on submit': { fault: { kind: 'answer', operation: 'submit', error: 'nginx' }, status: 502, code: 'outcome-unknown', accepted: 0, cost: null, generation: 'unknown' },
  'a result that is gone': { fault: { kind: 'answer', operation: 'result', error: 'result_expired', times: 'always' }, status: 410, code: 'result-expired', accepted: 1, cost: 0.06 }
}

t.test('each trouble has its documented code, cost and end', together, async t => {
  for (const [name, { fault, status, code, accepted, cost, generation = 'failed' }] of Object.entries(cases)) {
    const gateway = await startGateway(t)
    gateway.sandbox.faults.add(fault)
    const reply = await gateway.generate({ prompt: 'a secret wish', seed: 1 })
    t.equal(reply.status, status, name)
    const problem = reply.json()
    t.equal(problem['code'], code, name)
    t.notMatch(reply.text, /balance|fal\.ai|dashboard|secret wish|Top up/i, `${name}: fal's billing texts and the prompt stay inside`)
    t.match((await gateway.get(`/generations/${String(problem['generation_id'])}`)).json(), { status: generation, cost_usd: cost, error: { code } }, name)
    t.equal(gateway.sandbox.bill.submits, 1, `${name}: sent once`)
    t.equal(gateway.sandbox.bill.accepted, accepted, name)
    if (status === 503) t.ok(reply.headers.get('retry-after'), name)
    await gateway.close()
  }
})

const billed: Readonly<Record<string, Fault>> = {
  'a refusal': { kind: 'job', operation: 'submit', error: 'content_policy_violation', hideUnits: true },
  'a failure': { kind: 'job', operation: 'submit', error: 'generation_timeout', units: 1 }
}

t.test('what failed and was billed answers the same request as what it is, says for how long, and how to buy another at once', together, async t => {
  for (const [name, fault] of Object.entries(billed)) {
    const gateway = await startGateway(t)
    gateway.sandbox.faults.add(fault)
    const body = { prompt: 'x', seed: 1 }
    const first = await gateway.generate(body)
    t.equal(first.headers.get('cache-status'), 'falgate; fwd=miss; detail=bought', name)
    t.equal(first.headers.get('age'), null, name)
    const again = await gateway.generate(body)
    t.equal(again.status, first.status, name)
    t.match(again.headers.get('cache-status'), /^falgate; hit; ttl=(900|8\d\d); detail=failed-before$/, name)
    t.match(again.headers.get('age'), /^\d$/, name)
    t.equal(again.headers.get('falgate-cost-usd'), '0', name)
    for (const reply of [first, again]) {
      t.equal(reply.headers.get('retry-after'), '60', name)
      t.match(reply.json(), { detail: /billed.*until \d{4}-.*Z; Falgate-Cache: refresh buys/, generation_id: first.headers.get('falgate-generation') }, name)
    }
    t.match((await gateway.generate(body, { path: '/fal/fal-ai/imagen4/preview/ultra' })).text, /Falgate-Cache: refresh|content_policy/, `${name}: to fal's clients, too`)
    const fresh = await gateway.generate(body, { headers: { 'falgate-cache': 'refresh' } })
    t.equal(fresh.status, 200, name)
    t.equal((await gateway.generate(body)).text, fresh.text, name)
    t.equal(gateway.sandbox.bill.accepted, 2, name)
    await gateway.close()
  }
})

t.test('what failed and was billed answers its Idempotency-Key, which is told that only a new key buys another', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'generation_timeout', units: 1 })
  const headers = { 'idempotency-key': 'k1' }
  const first = await gateway.generate({ prompt: 'x', seed: 1 }, { headers })
  const again = await gateway.generate({ prompt: 'x', seed: 1 }, { headers })
  t.equal(again.headers.get('idempotent-replayed'), 'true')
  t.match(again.headers.get('age'), /^\d$/)
  for (const reply of [first, again]) {
    t.equal(reply.headers.get('retry-after'), '60')
    t.match(reply.json()['detail'], /billed.*Idempotency-Key.*24 hours.*new key with Falgate-Cache: refresh/)
  }
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'idempotency-key': 'k2', 'falgate-cache': 'refresh' } })).status, 200)
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('what failed and cost nothing, or was no seeded request, is in nobody\'s way and does not say so', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'internal_server_error' })
  const unbilled = await gateway.generate({ prompt: 'x', seed: 1 })
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation', units: 1 })
  const unseeded = await gateway.generate({ prompt: 'x' })
  for (const reply of [unbilled, unseeded]) {
    t.notMatch(reply.text, /Falgate-Cache|billed/)
    t.equal(reply.headers.get('retry-after'), null)
  }
  t.match((await gateway.generate({ prompt: 'x', seed: 1 })).headers.get('cache-status'), /detail=bought/)
  t.match((await gateway.generate({ prompt: 'x' })).headers.get('cache-status'), /detail=bought/)
})

t.test('an unknown outcome answers the same request as what it is', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'reset', operation: 'submit', accepted: true })
  const first = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(first.json()['code'], 'outcome-unknown')
  const again = await gateway.generate({ prompt: 'x', seed: 1 })
  t.match(again.headers.get('cache-status'), /^falgate; hit; ttl=(900|8\d\d); detail=unknown-before$/)
  t.match(again.headers.get('age'), /^\d$/)
  t.equal(again.headers.get('retry-after'), '60')
  t.match(again.json()['detail'], /Falgate-Cache: refresh/)
})

t.test('fal\'s own words about a refused input arrive, without the value', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation' })
  const reply = await gateway.generate({ prompt: 'a secret wish' })
  t.match(reply.json(), { errors: [{ path: '/prompt', code: 'content_policy_violation', message: String }] })
})

t.test('what certainly never arrived is sent again, and bought once', together, async t => {
  for (const error of ['concurrent_requests_limit', 'runner_scheduling_failure'] as const) {
    const gateway = await startGateway(t)
    gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error, retryAfterSeconds: 0 })
    const reply = await gateway.generate({ prompt: 'x', seed: 1 })
    t.equal(reply.status, 200, error)
    t.equal(gateway.sandbox.bill.submits, 2)
    t.equal(gateway.sandbox.bill.accepted, 1)
    await gateway.close()
  }
})

t.test('what fal sent back into the queue has its whole time to run, however long it waited again', together, async t => {
  const gateway = await startGateway(t, { env: { RUN_SECONDS: '1' } })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit', retryAfterSeconds: 2 })
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 })).status, 200)
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('what runs longer than it may is stopped at fal, once, and its outcome is unknown', together, async t => {
  const gateway = await startGateway(t, { env: { RUN_SECONDS: '1' } })
  const release = gateway.sandbox.faults.holdJobs()
  const reply = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(reply.json()['code'], 'outcome-unknown')
  await until(() => gateway.sandbox.bill.cancels > 0)
  t.equal(gateway.sandbox.bill.cancels, 1)
  t.match((await gateway.get('/usage')).json(), { month: { spent_usd: 0, reserved_usd: 0.06 } })
  release()
})

t.test('broken status streams, failing polls and late results only delay the picture', together, async t => {
  const troubles: readonly Fault[] = [
    { kind: 'truncate', operation: 'stream' },
    { kind: 'truncate', operation: 'stream', cleanly: true },
    { kind: 'reset', operation: 'stream' },
    { kind: 'answer', operation: 'stream', error: 'nginx' },
    { kind: 'answer', operation: 'stream', error: 'unauthorized' },
    { kind: 'answer', operation: 'result', error: 'nginx' },
    { kind: 'answer', operation: 'result', error: 'internal_error', times: 2 },
    { kind: 'reset', operation: 'result' }
  ]
  const gateway = await startGateway(t)
  for (const [seed, fault] of troubles.entries()) {
    gateway.sandbox.faults.add(fault)
    const reply = await gateway.generate({ prompt: 'x', seed })
    t.equal(reply.status, 200, `${fault.kind} on ${fault.operation}`)
  }
  t.equal(gateway.sandbox.bill.accepted, troubles.length)
  t.equal(gateway.sandbox.bill.submits, troubles.length)
})

t.test('a 5xx that names a request id is asked about before anything is concluded', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'internal_error', accepted: true })
  const reply = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(reply.status, 200)
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('an unknown outcome keeps answering for its request with the same id, and refresh buys afresh', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'reset', operation: 'submit', accepted: true })
  const first = await gateway.generate({ prompt: 'x', seed: 1 })
  const again = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(again.status, 502)
  t.equal(again.json()['generation_id'], first.json()['generation_id'])
  t.equal(gateway.sandbox.bill.submits, 1)
  const fresh = await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'falgate-cache': 'refresh' } })
  t.equal(fresh.status, 200)
  t.equal(gateway.sandbox.bill.submits, 2)
})

t.test('an unknown outcome answers for its body, too: an unseeded retry does not buy', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'reset', operation: 'submit', accepted: true })
  const first = await gateway.generate({ prompt: 'x' })
  const id = String(first.json()['generation_id'])
  await gateway.get(`/generations/${id}`)
  for (let n = 0; n < 3; n++) {
    const again = await gateway.generate({ prompt: 'x' })
    t.equal(again.status, 502)
    t.equal(again.json()['generation_id'], id)
  }
  t.equal(gateway.sandbox.bill.submits, 1)
})

t.test('a 503 that names a request id is asked about: what was accepted all the same is not bought again', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'runner_scheduling_failure', accepted: true })
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 })).status, 200)
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('a 503 that names a request id about which fal says nothing is not sent again: its outcome is unknown', together, async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'runner_scheduling_failure', accepted: true })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'stream', error: 'nginx', times: 'always' })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'status', error: 'nginx', times: 'always' })
  const reply = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(reply.status, 502)
  t.equal(reply.json()['code'], 'outcome-unknown')
  t.equal(gateway.sandbox.bill.submits, 1)
})

t.test('a blocked account refuses purchases before they are sent, while what is stored goes on', together, async t => {
  const gateway = await startGateway(t)
  await gateway.generate({ prompt: 'stored', seed: 1 })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'locked', times: 'always' })
  await gateway.generate({ prompt: 'x', seed: 2 })
  await until(async () => (await gateway.generate({ prompt: 'x', seed: 3 })).status === 503)
  const submits = gateway.sandbox.bill.submits
  for (let seed = 4; seed < 10; seed++) {
    const refused = await gateway.generate({ prompt: 'x', seed })
    t.equal(refused.status, 503)
    t.equal(refused.json()['code'], 'upstream-account-blocked')
    t.ok(Number(refused.headers.get('retry-after')) > 0)
  }
  t.equal(gateway.sandbox.bill.submits, submits)
  t.equal((await gateway.generate({ prompt: 'stored', seed: 1 })).status, 200)
})

t.test('an upstream that cannot be reached is told as such, and nothing counts as bought', together, async t => {
  const gateway = await startGateway(t, { config: { falQueueUrl: 'http://127.0.0.1:9/queue', waitMs: 20_000 } })
  const reply = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(reply.status, 503)
  t.equal(reply.json()['code'], 'upstream-unavailable')
  t.match((await gateway.get('/generations')).json(), { generations: [{ status: 'failed', cost_usd: 0 }] })
})
