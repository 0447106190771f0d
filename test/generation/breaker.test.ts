// The upstream breaker as callers and operators meet it: nothing is bought while fal fails, one generation tries, and it closes again.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Ledger } from '../../src/generation/ledger.ts'
import { createBreakers } from '../../src/generation/run/breakers.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { times } from '../support/admission.ts'
import { CENTRAL_KEY, key, startGateway, tenant } from '../support/gateway.ts'
import { until } from '../support/until.ts'

// Most of their time is pauses of the code, so they wait together.
t.jobs = 6
const together = { buffered: true }

const limits = { failuresToOpen: 3, openMs: 600, blockedMs: 600, retiredMs: 600 }
const later = { headers: { prefer: 'respond-async' } }

t.test('after the set number of failures in a row nothing is sent; after the pause one tries, and what it meets decides', together, async t => {
  // Longer than a busy machine takes to answer a crowd.
  const gateway = await startGateway(t, { config: { breaker: { ...limits, openMs: 3000 } } })
  const { bill, faults } = gateway.sandbox
  await gateway.generate({ prompt: 'stored', seed: 1 })
  const submits = bill.submits
  const broken = faults.add({ kind: 'answer', operation: 'submit', error: 'nginx', times: 'always' })
  for (let seed = 1; seed <= 3; seed++) t.equal((await gateway.generate({ prompt: 'x', seed })).json()['code'], 'outcome-unknown')
  t.equal(bill.submits, submits + 3)
  const refused = await gateway.generate({ prompt: 'y', seed: 1 })
  t.equal(refused.status, 503)
  t.equal(refused.json()['code'], 'upstream-unavailable')
  t.match(refused.headers.get('retry-after'), /^[123]$/)
  t.equal((await gateway.generate({ prompt: 'stored', seed: 1 })).status, 200, 'what is stored is served')
  // The probe of one pause, and everybody else at the same time.
  await until(async () => (await gateway.generate({ prompt: 'probe', seed: Math.random() * 1e9 | 0 })).json()['code'] === 'outcome-unknown')
  t.equal(bill.submits, submits + 4)
  const crowd = await Promise.all(Array.from({ length: 20 }, async (_, seed) => await gateway.generate({ prompt: 'crowd', seed })))
  t.ok(crowd.every(({ status }) => status === 503))
  t.equal(bill.submits, submits + 4)
  broken.remove()
  await until(async () => (await gateway.generate({ prompt: 'again', seed: 1 })).status === 200)
  t.equal((await gateway.generate({ prompt: 'more', seed: 1 })).status, 200)
})

const threeTenants = { tenants: [tenant('studio'), tenant('press'), tenant('agency')] }
const press = { key: key('press') }
const agency = { key: key('agency') }

t.test('what breaks after it was sent stops its tenant only, until another tenant meets it, too', together, async t => {
  const gateway = await startGateway(t, { tenants: threeTenants, config: { breaker: { ...limits, openMs: 3_600_000 } } })
  const { bill, faults } = gateway.sandbox
  const broken = faults.add({ kind: 'reset', operation: 'submit', times: 'always' })
  for (let seed = 1; seed <= 3; seed++) t.equal((await gateway.generate({ prompt: 'breaks it', seed })).json()['code'], 'outcome-unknown')
  const refused = await gateway.generate({ prompt: 'x', seed: 1 })
  t.match(refused.json(), { status: 503, code: 'upstream-unavailable' })
  t.ok(refused.headers.get('retry-after'))
  t.equal(bill.submits, 3)
  t.equal((await gateway.generate({ prompt: 'meets it', seed: 1 }, press)).json()['code'], 'outcome-unknown', 'others are not stopped')
  t.equal(bill.submits, 4)
  t.equal((await gateway.generate({ prompt: 'y', seed: 1 }, agency)).status, 503, 'now two have met it')
  t.equal((await gateway.generate({ prompt: 'y', seed: 1 }, press)).status, 503)
  broken.remove()
  t.equal(bill.submits, 4)
})

t.test('a tenant that is stopped does not stop the others; its probe does, when it meets the same with another picture', together, async t => {
  const gateway = await startGateway(t, { tenants: threeTenants, config: { breaker: { ...limits, openMs: 2000 } } })
  const { faults } = gateway.sandbox
  const broken = faults.add({ kind: 'reset', operation: 'submit', times: 3 })
  for (let seed = 1; seed <= 3; seed++) t.equal((await gateway.generate({ prompt: 'breaks it', seed })).json()['code'], 'outcome-unknown')
  t.equal(broken.hits, 3)
  t.equal((await gateway.generate({ prompt: 'goes on', seed: 1 }, press)).status, 200)
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 })).status, 503)
  t.match((await gateway.get('/metrics', { key: null })).text, /^falgate_upstream_state\{account="main",state="open"\} 1$/m)
  faults.add({ kind: 'reset', operation: 'submit' })
  let probes = 0
  await until(async () => (await gateway.generate({ prompt: 'another', seed: probes++ })).json()['code'] === 'outcome-unknown')
  t.equal((await gateway.generate({ prompt: 'stops', seed: 1 }, press)).status, 503)
  await until(async () => (await gateway.generate({ prompt: 'again', seed: 1 }, press)).status === 200)
  await until(async () => (await gateway.generate({ prompt: 'again', seed: 1 })).status === 200)
})

t.test('what works in between ends the row of failures', together, async t => {
  const gateway = await startGateway(t, { config: { breaker: limits } })
  for (let round = 0; round < 3; round++) {
    gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'nginx', times: 2 })
    for (let seed = 0; seed < 2; seed++) t.equal((await gateway.generate({ prompt: `fails in round ${round}`, seed })).status, 502)
    t.equal((await gateway.generate({ prompt: 'works', seed: round })).status, 200)
  }
})

t.test('a retired model is 410 for new purchases and for what waits; its stored pictures are served', together, async t => {
  const gateway = await startGateway(t, { config: { breaker: { ...limits, retiredMs: 3_600_000 }, falConcurrency: 1 } })
  await gateway.generate({ prompt: 'stored', seed: 1 })
  const gone = gateway.sandbox.faults.add({ kind: 'hang', operation: 'submit' })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'application_not_found', times: 'always' })
  const release = gateway.sandbox.faults.holdJobs()
  const first = gateway.generate({ prompt: 'x', seed: 1 })
  await gone.untilHit()
  const waiting = [2, 3].map(async seed => await gateway.generate({ prompt: 'x', seed }))
  await until(async () => (await gateway.get('/generations?status=queued')).json()['generations'] instanceof Array && (await gateway.get('/metrics', { key: null })).text.includes('falgate_waiting{tenant="studio"} 2'))
  gone.release()
  release()
  t.equal((await first).status, 200)
  for (const reply of await Promise.all(waiting)) {
    t.equal(reply.status, 410)
    t.equal(reply.json()['code'], 'model-retired')
  }
  t.equal(gateway.sandbox.bill.submits, 3, 'only one of those who waited was sent')
  t.equal((await gateway.generate({ prompt: 'new', seed: 1 })).status, 410)
  t.equal((await gateway.generate({ prompt: 'stored', seed: 1 })).status, 200)
  t.match((await gateway.get('/metrics', { key: null })).text, /^falgate_upstream_state\{account="main",state="retired"\} 1$/m)
})

t.test('a new key in its file and a reload: the next generation tries at once, with that key', together, async t => {
  const file = join(t.testdir({}), 'fal-key')
  writeFileSync(file, CENTRAL_KEY)
  const gateway = await startGateway(t, {
    sandbox: { keys: ['new-id:new-secret'] },
    config: { fal: { kind: 'key-file', file }, breaker: { ...limits, blockedMs: 3_600_000 } }
  })
  const first = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(first.json()['code'], 'upstream-account-blocked')
  const refused = await gateway.generate({ prompt: 'x', seed: 2 })
  t.equal(refused.status, 503)
  t.equal(refused.headers.get('retry-after'), '3600')
  t.equal(await sent(), 1)
  await gateway.reload()
  t.equal((await gateway.generate({ prompt: 'x', seed: 3 })).json()['code'], 'upstream-account-blocked', 'with the old key one tried in vain')
  t.equal((await gateway.generate({ prompt: 'x', seed: 4 })).status, 503)
  t.equal(await sent(), 2)
  writeFileSync(file, 'new-id:new-secret\n')
  await gateway.reload()
  t.equal((await gateway.generate({ prompt: 'x', seed: 5 })).status, 200)
  t.equal((await gateway.generate({ prompt: 'x', seed: 6 })).status, 200)

  /** What fal refuses for its key stands on no bill. */
  async function sent (): Promise<number> {
    return Number(/falgate_upstream_requests_total\{operation="submit",outcome="4xx"\} (\d+)/.exec((await gateway.get('/metrics', { key: null })).text)?.[1])
  }
})

t.test('a reload trips nothing: a probe of another replica may have closed it since it was looked at', together, async t => {
  const memory = createMemoryLedger({ times, now: () => Date.now() })
  t.teardown(async () => { await memory.close() })
  await memory.breaker('*', { state: 'account-blocked', retryAfterMs: 3_600_000 })
  const ledger = new Proxy<Ledger>(memory, {
    get: (target, name) => name !== 'breakers'
      ? Reflect.get(target, name)
      : async () => {
        const found = await memory.breakers()
        await memory.breaker('*', { state: 'ok', retryAfterMs: 0 })
        return found
      }
  })
  await createBreakers(ledger, limits, (operation, error) => { t.fail(operation, { found: error }) }).tryAgain()
  t.match(await memory.breakers(), [{ scope: '*', state: 'ok' }])
  t.equal((await memory.takeOutbox(10)).length, 2, 'tripped and closed, and no third alarm')
})

t.test('a reload closes nothing that was tripped for other reasons', together, async t => {
  const gateway = await startGateway(t, { config: { breaker: { ...limits, failuresToOpen: 1, openMs: 3_600_000 } } })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'nginx' })
  await gateway.generate({ prompt: 'x', seed: 1 })
  await gateway.reload()
  t.equal((await gateway.generate({ prompt: 'x', seed: 2 })).status, 503)
  t.equal(gateway.sandbox.bill.submits, 1)
})

t.test('while fal is busy its Retry-After is kept and nothing is given up before its time in the queue is over', together, async t => {
  const gateway = await startGateway(t, { config: { queueMs: 60_000 } })
  const busy = gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit', retryAfterSeconds: 1, times: 2 })
  const startMs = performance.now()
  const ids = [1, 2].map(async seed => await gateway.generate({ prompt: 'x', seed }))
  for (const reply of await Promise.all(ids)) t.equal(reply.status, 200)
  t.ok(performance.now() - startMs >= 1000)
  t.equal(busy.hits, 2)
  t.equal(gateway.sandbox.bill.accepted, 2)
  t.match((await gateway.get('/metrics', { key: null })).text, /^falgate_upstream_state\{account="main",state="ok"\} 1$/m, 'busy is no failure')
})

t.test('a pause that would outlast its time in the queue is not waited for', together, async t => {
  // A caller of either of them waits for longer than this test lasts.
  const gateway = await startGateway(t, { config: { queueMs: 3_600_000, waitMs: 7_200_000 } })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'runner_scheduling_failure', retryAfterSeconds: 7200 })
  const reply = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(reply.json()['code'], 'upstream-unavailable')
  t.match((await gateway.get('/generations')).json(), { generations: [{ status: 'failed', cost_usd: 0 }] })
})

t.test('more attempts than a failing fal would get: busy alone never ends a generation early', together, async t => {
  const gateway = await startGateway(t)
  const busy = gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit', times: 3 })
  const id = String((await gateway.generate({ prompt: 'x', seed: 1 }, later)).json()['id'])
  await busy.untilHit(3)
  await until(async () => (await gateway.get(`/generations/${id}`)).json()['status'] === 'succeeded')
  t.equal(gateway.sandbox.bill.submits, 4)
})

t.test('when fal takes no more there are fewer slots for a while, and operators see it', together, async t => {
  const gateway = await startGateway(t, { config: { falConcurrency: 4 } })
  const busy = gateway.sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit', retryAfterSeconds: 20, skip: 2 })
  const release = gateway.sandbox.faults.holdJobs()
  for (let seed = 0; seed < 8; seed++) t.equal((await gateway.generate({ prompt: 'x', seed }, later)).status, 202)
  await busy.untilHit()
  const shown = async (): Promise<string[]> => (await gateway.get('/metrics', { key: null })).text.split('\n').filter(line => /^falgate_slots/.test(line)).toSorted()
  await until(async () => (await shown()).includes('falgate_slots_used{account="main"} 3'))
  t.same(await shown(), ['falgate_slots_open{account="main"} 3', 'falgate_slots_used{account="main"} 3', 'falgate_slots{account="main"} 4'])
  t.equal(gateway.sandbox.bill.submits, 4)
  release()
  await until(() => gateway.sandbox.bill.accepted === 7)
  t.equal(busy.hits, 1, 'the others went on with the slots that are left')
})
