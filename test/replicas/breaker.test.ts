// The breaker over replicas: what one of them learns holds for all, is told once, and ends for all.

import t from 'tap'
import { freePort } from '../support/processes.ts'
import { deploy, USUAL_LEASE, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

/** How many lines of these replicas' logs contain this text at this level. */
function lines (replicas: readonly Replica[], level: string, text: string): number {
  return replicas.flatMap(replica => replica.log().split('\n')).filter(line => line.includes(`"level":"${level}"`) && line.includes(text)).length
}

t.test('a locked account: no replica buys, one alarm, callers read nothing of fal\'s; SIGHUP lets one try and all go on', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, { env: { ...USUAL_LEASE, BREAKER_BLOCKED_SECONDS: '3600' } })
  const opsPorts = [String(await freePort()), String(await freePort())]
  const replicas = await Promise.all(opsPorts.map(async port => await startReplica({ OPS_PORT: port })))
  const [one, other] = replicas
  t.equal((await one?.generate({ prompt: 'stored', seed: 1 }))?.status, 200)
  const locked = sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'locked', times: 'always' })
  const submits = sandbox.bill.submits
  const first = await one?.generate({ prompt: 'x', seed: 1 })
  t.equal(first?.json()['code'], 'upstream-account-blocked')
  for (let seed = 2; seed < 22; seed++) {
    const refused = await replicas[seed % 2]?.generate({ prompt: 'x', seed })
    t.equal(refused?.status, 503)
    t.equal(refused?.json()['code'], 'upstream-account-blocked')
    t.ok(Number(refused?.headers.get('retry-after')) > 3000)
    t.notMatch(refused?.text, /is locked|balance|top up|fal\.ai/i)
  }
  t.equal(sandbox.bill.submits, submits + 1)
  t.equal((await other?.generate({ prompt: 'stored', seed: 1 }))?.status, 200)

  await until(() => lines(replicas, 'error', 'does not accept our account') > 0)
  for (const [nth, port] of opsPorts.entries()) {
    await until(async () => (await (await fetch(`http://127.0.0.1:${port}/readyz`)).text()).includes('account-blocked'))
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`)
    t.equal(ready.status, 200, 'what is stored can be had')
    t.match(await ready.json(), { state: 'ready', upstream: 'account-blocked', breakers: [{ scope: '*', state: 'account-blocked', since: /Z$/, retry_at: /Z$/ }] })
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    t.match(metrics, /^falgate_upstream_state\{account="main",state="account-blocked"\} 1$/m, `replica ${nth}`)
    t.match(metrics, /^falgate_upstream_state\{account="main",state="ok"\} 0$/m)
    t.match(metrics, /^falgate_slots_used\{account="main"\} 0$/m)
    t.match(metrics, /^falgate_slots\{account="main"\} 100$/m)
  }
  t.equal(lines(replicas, 'error', 'does not accept our account'), 1)
  t.equal(lines(replicas, 'error', ''), 1, 'and no other error')

  locked.remove()
  other?.child.kill('SIGHUP')
  await until(async () => (await one?.generate({ prompt: 'paid', seed: 1 }))?.status === 200)
  t.equal((await other?.generate({ prompt: 'paid', seed: 2 }))?.status, 200)
  await until(() => lines(replicas, 'info', 'fal takes generations again') > 0)
  t.equal(lines(replicas, 'info', 'fal takes generations again'), 1)
  t.match(await ledger.breakers(), [{ state: 'ok', probe: null }])
  t.same(await ledger.audit(), [])
})

t.test('failures are counted on all replicas together', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: { ...USUAL_LEASE, BREAKER_FAILURES: '4', BREAKER_OPEN_SECONDS: '3600' } })
  const replicas = await Promise.all([startReplica(), startReplica()])
  sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'nginx', times: 'always' })
  for (let seed = 0; seed < 4; seed++) t.equal((await replicas[seed % 2]?.generate({ prompt: 'x', seed }))?.status, 502)
  for (const replica of replicas) t.equal((await replica.generate({ prompt: 'y', seed: 1 })).json()['code'], 'upstream-unavailable')
  t.equal(sandbox.bill.submits, 4)
})

t.test('a model that is gone: 410 on every replica, hits are served, one alarm', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: USUAL_LEASE })
  const replicas = await Promise.all([startReplica(), startReplica()])
  await replicas[0]?.generate({ prompt: 'stored', seed: 1 })
  sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'application_not_found', times: 'always' })
  const submits = sandbox.bill.submits
  for (let seed = 1; seed < 10; seed++) {
    const refused = await replicas[seed % 2]?.generate({ prompt: 'x', seed })
    t.equal(refused?.status, 410)
    t.equal(refused?.json()['code'], 'model-retired')
  }
  t.equal(sandbox.bill.submits, submits + 1)
  for (const replica of replicas) t.equal((await replica.generate({ prompt: 'stored', seed: 1 })).status, 200)
  await until(() => lines(replicas, 'error', 'does not offer this model') > 0)
  t.equal(lines(replicas, 'error', ''), 1)
})

t.test('that fal lets generations wait in its own queue is told once', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: USUAL_LEASE, sandbox: { concurrency: 1 } })
  const replica = await startReplica()
  const release = sandbox.faults.holdJobs()
  const calls = Array.from({ length: 5 }, async (_, seed) => await replica.generate({ prompt: 'x', seed }))
  await until(() => lines([replica], 'warn', 'in its own queue') > 0)
  release()
  for (const reply of await Promise.all(calls)) t.equal(reply.status, 200)
  t.equal(lines([replica], 'warn', 'in its own queue'), 1)
})
