// What would throw a paid picture away is looked at again: one odd answer loses nothing, no matter which process looks, and what stays odd is told as what it is.

import t from 'tap'
import { LOOK_AGAIN_MS, looksOver } from '../../src/generation/doubt.ts'
import type { Fault } from '../../src/sandbox/fault-schema.ts'
import { followAt } from '../support/event-stream.ts'
import { startGateway } from '../support/gateway.ts'
import { deploy } from '../support/replicas.ts'
import { until, untilStatus } from '../support/until.ts'

const later = { headers: { prefer: 'respond-async' } }

const odd: Readonly<Record<string, readonly Fault[]>> = {
  '404 in fal\'s own form': [{ kind: 'answer', operation: 'result', error: 'result_expired' }],
  '404 in another form': [{ kind: 'odd', operation: 'result', answer: 'not_found' }],
  '200 with a page': [{ kind: 'odd', operation: 'result', answer: 'html' }],
  '200 with an empty object': [{ kind: 'odd', operation: 'result', answer: 'object' }],
  '200 with nothing': [{ kind: 'odd', operation: 'result', answer: 'empty' }],
  '200 in a coding that nobody asked for': [{ kind: 'odd', operation: 'result', answer: 'gzip' }],
  '499 although nobody cancelled': [{ kind: 'answer', operation: 'result', error: 'client_cancelled' }],
  '499 of something in between': [{ kind: 'odd', operation: 'result', answer: 'gone_away' }],
  'one after the other': [
    { kind: 'answer', operation: 'result', error: 'result_expired' },
    { kind: 'odd', operation: 'result', answer: 'html' },
    { kind: 'answer', operation: 'result', error: 'nginx' },
    { kind: 'answer', operation: 'result', error: 'client_cancelled' }
  ]
}

t.test('a result that is odd once is right afterwards: the picture is delivered, and paid for once', async t => {
  const gateway = await startGateway(t)
  let bought = 0
  for (const [name, faults] of Object.entries(odd)) {
    for (const fault of faults) gateway.sandbox.faults.add(fault)
    const reply = await gateway.generate({ prompt: name })
    t.equal(reply.status, 200, name)
    t.equal(reply.headers.get('falgate-cost-usd'), '0.06', name)
    bought += 1
    t.equal(gateway.sandbox.bill.accepted, bought, name)
    t.same(gateway.sandbox.faults.list.filter(({ fault, hits }) => hits < (typeof fault.times === 'number' ? fault.times : 1)), [], `${name}: was met`)
    gateway.sandbox.faults.clear()
  }
  t.match((await gateway.get('/usage')).json(), { month: { spent_usd: 0.06 * bought, reserved_usd: 0 } })
})

t.test('a fresh id that fal does not know for a while: it is followed as soon as fal does', async t => {
  const gateway = await startGateway(t, { lookAgainMs: [200, 200, 200, 200, 200, 200] })
  const release = gateway.sandbox.faults.holdJobs()
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'stream', error: 'result_expired' })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'status', error: 'result_expired', times: 6 })
  const unknown = gateway.sandbox.faults.add({ kind: 'answer', operation: 'result', error: 'result_expired', times: 2 })
  const answer = gateway.generate({ prompt: 'fresh', seed: 1 })
  await unknown.untilHit(2)
  await until(async () => (await gateway.get('/metrics', { key: null })).text.includes('falgate_slots_used{account="main"} 1'))
  release()
  t.equal((await answer).status, 200)
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('what fal itself says every time is believed in the end; what anything else says, or what changes, leaves it unknown', async t => {
  const cases: readonly (readonly [name: string, faults: readonly Fault[], code: string, cost: number | null])[] = [
    ['gone', [{ kind: 'answer', operation: 'result', error: 'result_expired', times: 'always' }], 'result-expired', 0.06],
    ['cancelled by nobody', [{ kind: 'answer', operation: 'result', error: 'client_cancelled', times: 'always' }], 'cancelled', 0.06],
    ['a page', [{ kind: 'odd', operation: 'result', answer: 'html', times: 'always' }], 'outcome-unknown', null],
    ['an empty object', [{ kind: 'odd', operation: 'result', answer: 'object', times: 'always' }], 'outcome-unknown', null],
    ['another 404', [{ kind: 'odd', operation: 'result', answer: 'not_found', times: 'always' }], 'outcome-unknown', null],
    ['gone, after it was something else', [{ kind: 'odd', operation: 'result', answer: 'html' }, { kind: 'answer', operation: 'result', error: 'result_expired', times: 'always' }], 'outcome-unknown', null]
  ]
  for (const [name, faults, code, cost] of cases) {
    const gateway = await startGateway(t)
    const set = faults.map(fault => gateway.sandbox.faults.add(fault))
    const reply = await gateway.generate({ prompt: 'x', seed: 1 })
    t.equal(reply.json()['code'], code, name)
    t.match((await gateway.get(`/generations/${String(reply.json()['generation_id'])}`)).json(), { cost_usd: cost, looking_again_since: null }, name)
    t.match((await gateway.get('/usage')).json(), { month: { spent_usd: cost ?? 0, reserved_usd: cost === null ? 0.06 : 0 } }, name)
    t.equal(set.reduce((sum, { hits }) => sum + hits, 0), 7, `${name}: one look, and six more`)
    await gateway.close()
  }
})

t.test('a cancel that was asked for is believed at once', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const id = String((await gateway.generate({ prompt: 'x', seed: 1 }, later)).json()['id'])
  await untilStatus(gateway, id, 'running')
  await gateway.post(`/generations/${id}/cancel`)
  await untilStatus(gateway, id, 'cancelled')
  release()
  t.notMatch((await gateway.get('/metrics', { key: null })).text, /looked_at_again_total\{/)
})

t.test('what fal is done with takes no slot there: another one is sent while it is looked at again', async t => {
  const gateway = await startGateway(t, { env: { FAL_CONCURRENCY: '1' }, lookAgainMs: [60_000] })
  const gone = gateway.sandbox.faults.add({ kind: 'answer', operation: 'result', error: 'result_expired' })
  const id = String((await gateway.generate({ prompt: 'looked at again', seed: 1 }, later)).json()['id'])
  await gone.untilHit()
  t.equal((await gateway.generate({ prompt: 'another', seed: 1 })).status, 200)
  t.match((await gateway.get(`/generations/${id}`)).json(), { status: /queued|running/, looking_again_since: /^20/ })
  t.match((await gateway.get('/metrics', { key: null })).text, /^falgate_slots_used\{account="main"\} 0$/m)
})

t.test('the time to run ends no look', async t => {
  const gateway = await startGateway(t, { env: { RUN_SECONDS: '1' }, lookAgainMs: [1500, 10] })
  gateway.sandbox.faults.add({ kind: 'answer', operation: 'result', error: 'result_expired' })
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 })).status, 200)
  t.equal(gateway.sandbox.bill.cancels, 0)
})

t.test('an event stream tells that it is looked at again, and the end', async t => {
  const gateway = await startGateway(t, { lookAgainMs: [300] })
  const release = gateway.sandbox.faults.holdJobs()
  const gone = gateway.sandbox.faults.add({ kind: 'odd', operation: 'result', answer: 'html' })
  const id = String((await gateway.generate({ prompt: 'x', seed: 1 }, later)).json()['id'])
  const stream = await followAt(gateway.url, id)
  await untilStatus(gateway, id, 'running')
  release()
  await gone.untilHit()
  await stream.over
  const told = stream.told('generation')
  t.ok(told.some(({ looking_again_since: since }) => typeof since === 'string'))
  t.match(told.at(-1), { status: 'succeeded', looking_again_since: null })
})

t.test('another replica goes on with the looks of one that died, and the log tells of them', async t => {
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t)
  const [one, other] = await Promise.all([startReplica(), startReplica({ FAL_CONCURRENCY: '0' })])
  const gone = sandbox.faults.add({ kind: 'answer', operation: 'result', error: 'result_expired', times: 2 })
  await one.generate({ prompt: 'x', seed: 1 }, later)
  await gone.untilHit(1)
  const { doubtSinceMs } = await untilGeneration(({ doubt }) => doubt === 'expired')
  await until(() => /"level":"warn".*"result":"expired".*"msg":"looking again"/.test(one.log()))
  one.child.kill('SIGKILL')
  t.match(await untilGeneration(({ owner, doubt }) => owner === other.name && doubt !== null), { doubt: 'expired', doubtSinceMs })
  t.match(await untilGeneration(({ phase }) => phase === 'succeeded'), { cost: 60_000, doubt: null })
  t.equal(sandbox.bill.submits, 1)
  t.same(await ledger.audit(), [])
})

t.test('how many looks are over follows from the time of the first doubt', t => {
  t.same([0, 999, 1000, 3999, 4000, 103_999, 104_000, 224_000, 1e9].map(ageMs => looksOver(LOOK_AGAIN_MS, ageMs)), [0, 0, 1, 1, 2, 4, 5, 6, 6])
  t.end()
})
