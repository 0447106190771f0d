// The line over real replicas: slots at fal are shared by weight from the first moment on, and there are never more of them than agreed.

import t, { type Test } from 'tap'
import { key, tenant } from '../support/gateway.ts'
import { deploy, type Deployment, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

const LONG_LEASE = { LEASE_SECONDS: '10' }
const limits = { maxInFlight: 100, maxQueued: 10_000, rateLimit: { max: 100_000, windowSeconds: 60 }, callLimit: { max: 1_000_000, windowSeconds: 60 } }

/** Begun at fal, in order; each generation once. Claims are published in the order in which they were granted. */
function watchStarts (t: Test, { ledger }: Deployment): { readonly starts: readonly string[], readonly named: Map<string, string> } {
  const starts: string[] = []
  t.teardown(ledger.listen(change => {
    // Other changes are published in that phase, too, such as that its caller was answered.
    if (change !== 'look-again' && change.phase === 'submitting' && !starts.includes(change.id)) starts.push(change.id)
  }))
  return { starts, named: new Map() }
}

/** Sends this many requests of a tenant, round the replicas, and notes whose generations they are. */
async function enqueue (replicas: readonly Replica[], tenantId: string, count: number, named: Map<string, string>, prompt: string): Promise<void> {
  const left = Array.from({ length: count }, (_, seed) => seed)
  const senders = Array.from({ length: 20 }, async () => {
    for (let seed = left.pop(); seed !== undefined; seed = left.pop()) {
      const reply = await replicas[seed % replicas.length]?.generate({ prompt, seed }, { key: key(tenantId), headers: { prefer: 'respond-async' } })
      if (reply?.status !== 202) throw new Error(`not queued: ${reply?.text}`)
      named.set(String(reply.json()['id']), tenantId)
    }
  })
  await Promise.all(senders)
}

for (const weight of [1, 3]) {
  t.test(`weights 1:${weight}: a tenant that comes late starts within two places, and every 50 starts are shared as the weights are`, async t => {
    const deployment = await deploy(t, { env: { ...LONG_LEASE, FAL_CONCURRENCY: '4' }, tenants: { tenants: [tenant('crowd', { ...limits, weight: 1 }), tenant('late', { ...limits, weight })] } })
    const { sandbox, ledger, startReplica } = deployment
    const replicas = await Promise.all([startReplica(), startReplica()])
    const { starts, named } = watchStarts(t, deployment)

    let release = sandbox.faults.holdJobs()
    await enqueue(replicas, 'crowd', 500, named, 'crowd')
    await until(async () => (await ledger.gauges()).atUpstream === 4)
    await enqueue(replicas, 'late', 5, named, 'late')
    const before = starts.length
    t.equal(before, 4)
    release()
    await until(() => starts.slice(before).filter(id => named.get(id) === 'late').length === 5)
    release = sandbox.faults.holdJobs()
    const first = starts.slice(before).findIndex(id => named.get(id) === 'late')
    t.ok(first < 2, `the late one started after ${first} others`)

    // Both have a long line now.
    await until(async () => (await ledger.gauges()).atUpstream === 4)
    await enqueue(replicas, 'late', 100 * weight, named, 'late again')
    const from = starts.length
    const waiting = (await ledger.gauges()).waiting.get('crowd') ?? 0
    if (waiting < 120) await enqueue(replicas, 'crowd', 120 - waiting, named, 'crowd again')
    release()
    // What ran when jobs were held again may have ended since, so that some of its line have begun already.
    await until(() => starts.filter(id => named.get(id) === 'late').length >= 5 + 100 * weight - 2)
    const order = starts.slice(from).map(id => named.get(id))
    const end = order.lastIndexOf('late')
    const expected = 50 * weight / (1 + weight)
    let worst = 0
    for (let start = 0; start + 50 <= end; start++) {
      const share = order.slice(start, start + 50).filter(name => name === 'late').length
      worst = Math.max(worst, Math.abs(share - expected))
    }
    t.ok(end > 100, `${end} starts were looked at`)
    t.ok(worst <= expected / 10, `no 50 starts in a row had more than ${worst} too many or too few of ${expected}`)
    await until(async () => (await ledger.gauges()).atUpstream === 0 && [...(await ledger.gauges()).waiting.values()].every(count => count === 0))
    t.same(await ledger.audit(), [])
  })
}

t.test('never more than FAL_CONCURRENCY at fal over three replicas, one of them killed; its places are returned', async t => {
  const PLACES = 5
  let ended = 0
  let most = 0
  const deployment: Deployment = await deploy(t, {
    env: { LEASE_SECONDS: '2', FAL_CONCURRENCY: String(PLACES) },
    sandbox: {
      runMs: 30,
      log: () => {
        // Before an end there are as many as there were since the last start.
        most = Math.max(most, deployment.sandbox.bill.accepted - ended)
        ended += 1
      }
    }
  })
  const { sandbox, ledger, startReplica } = deployment
  const replicas = await Promise.all([startReplica(), startReplica(), startReplica()])
  const [doomed, ...others] = replicas
  if (doomed === undefined) throw new Error('there is no replica')
  const calls = Array.from({ length: 120 }, async (_, seed) => await replicas[seed % 3]?.generate({ prompt: 'x', seed }).catch(() => null))
  await sandbox.bill.untilAccepted(30)
  let release = sandbox.faults.holdJobs()
  // It dies while it holds places.
  await until(async () => {
    const listed = await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: 'running' })
    const rows = await ledger.getMany(listed.rows.map(({ id }) => id))
    if (rows.length < PLACES) return false
    if (rows.some(({ owner }) => owner === doomed.name)) return true
    // The others have all of them: the next ones get their turn.
    release()
    release = sandbox.faults.holdJobs()
    return false
  })
  doomed.child.kill('SIGKILL')
  await doomed.ended
  t.ok((await ledger.gauges()).atUpstream <= PLACES)
  release()
  const replies = await Promise.all(calls)
  t.ok(replies.every((reply, nth) => reply?.status === 200 || (nth % 3 === 0 && reply === null) || reply?.json()['code'] === 'outcome-unknown'))
  await until(async () => {
    const { atUpstream, waiting } = await ledger.gauges()
    return atUpstream === 0 && (waiting.get('studio') ?? 0) === 0
  })
  t.ok(most <= PLACES, `${most} were at fal at once`)
  t.ok(most === PLACES, 'and all places were used')
  // All of them work again.
  const again = sandbox.faults.holdJobs()
  const more = Array.from({ length: 12 }, async (_, seed) => await others[seed % 2]?.generate({ prompt: 'after', seed }))
  await until(async () => (await ledger.gauges()).atUpstream === PLACES)
  again()
  t.ok((await Promise.all(more)).every(reply => reply?.status === 200))
  t.same(await ledger.audit(), [])
})
