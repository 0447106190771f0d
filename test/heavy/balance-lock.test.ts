// The balance is used up under load and topped up some ten seconds later: fal hears a handful of calls, callers know what to do, and nobody stampedes.

import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const PLACES = 8
const PROBE_SECONDS = 2
const LOCKED_MS = 10_000

t.test('a balance lock of at least ten seconds under load', async t => {
  const { sandbox, ledger, startReplica } = await deploy(t, {
    env: { LEASE_SECONDS: '10', FAL_CONCURRENCY: String(PLACES), BREAKER_BLOCKED_SECONDS: String(PROBE_SECONDS) },
    sandbox: { runMs: 50 }
  })
  const replicas = await Promise.all([startReplica(), startReplica()])
  t.equal((await replicas[0]?.generate({ prompt: 'stored', seed: 1 }))?.status, 200)

  // Bought before the lock, and under way while it lasts.
  const release = sandbox.faults.holdJobs()
  const underWay = Array.from({ length: 3 }, async (_, seed) => await replicas[seed % 2]?.generate({ prompt: 'under way', seed }))
  await sandbox.bill.untilAccepted(4)

  const submits = sandbox.bill.submits
  const locked = sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'locked', times: 'always' })
  const lockedMs = performance.now()
  const seen = new Map<string, number>()
  const over = new AbortController()
  let seed = 0
  const load = Array.from({ length: 12 }, async (_, caller) => {
    while (!over.signal.aborted) {
      const reply = await replicas[caller % 2]?.generate({ prompt: 'load', seed: seed++ })
      const code = reply?.status === 200 ? '200' : String(reply?.json()['code'])
      seen.set(code, (seen.get(code) ?? 0) + 1)
      if (reply?.status === 503) {
        if (!(Number(reply.headers.get('retry-after')) >= 1)) t.fail('503 without Retry-After')
        if (/is locked|balance|top up/i.test(reply.text)) t.fail(`fal's words: ${reply.text}`)
      }
      await pause(100)
    }
  })

  // What is stored is served and what was bought is collected, on both, all the time.
  await pause(1000)
  release()
  for (const reply of await Promise.all(underWay)) t.equal(reply?.status, 200)
  await until(async () => {
    for (const replica of replicas) if ((await replica.generate({ prompt: 'stored', seed: 1 })).status !== 200) t.fail('a stored result was not served')
    await pause(200)
    return performance.now() - lockedMs >= LOCKED_MS && (seen.get('upstream-account-blocked') ?? 0) > 100
  })
  const calls = sandbox.bill.submits - submits
  const lastedMs = performance.now() - lockedMs
  t.same([...seen.keys()], ['upstream-account-blocked'])
  t.ok(calls <= PLACES + lastedMs / 1000 / PROBE_SECONDS + 1, `${calls} calls reached fal in ${(lastedMs / 1000).toFixed(1)} s`)

  const atPayment = sandbox.bill.submits
  locked.remove()
  // One that was under way may still tell of the lock. After that the next one is due in time, by the ledger's clock, and the first one that is sent buys.
  const breaker = await until(async () => (await ledger.breakers()).find(({ probe }) => probe === null))
  const dueInMs = breaker.retryAtMs - ledger.now()
  t.ok(breaker.state === 'ok' || dueInMs <= PROBE_SECONDS * 1000, `the next probe is due in ${dueInMs} ms`)
  await until(() => (seen.get('200') ?? 0) > 0)
  t.ok(locked.hits <= calls + 1, 'and at most the one under way was sent in vain')
  await until(() => (seen.get('200') ?? 0) >= 50)
  over.abort()
  await Promise.all(load)
  t.ok(sandbox.bill.submits - atPayment <= (seen.get('200') ?? 0) + PLACES, 'each call bought a picture that somebody waited for')
  t.match(await ledger.breakers(), [{ state: 'ok', probe: null }])
  const alarms = replicas.flatMap(replica => replica.log().split('\n')).filter(line => line.includes('"level":"error"'))
  t.equal(alarms.length, 1, 'one alarm')
  await until(async () => (await ledger.gauges()).atUpstream === 0)
  t.same(await ledger.audit(), [])
})
