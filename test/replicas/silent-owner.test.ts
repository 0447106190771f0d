// A replica that goes silent with many pictures running: others go on long before its leases run out, and nothing is bought twice, whether it is dead or only
// stands still.

import t from 'tap'
import { crowd, counts } from '../support/crowd.ts'
import type { Reply } from '../support/gateway.ts'
import { moneyOf } from '../support/money.ts'
import { deploy, LONG_LEASE, type Deployment, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

const PICTURES = 50
const bodyOf = (caller: number): object => ({ prompt: 'a picture', seed: caller })

/** Callers of so many pictures, who may lose their connections. */
function callers (replicas: readonly Replica[]): Promise<ReadonlyArray<Reply | null>> {
  return Promise.all(Array.from({ length: PICTURES }, async (_, caller) => await replicas[caller % replicas.length]?.generate(bodyOf(caller)).catch(() => null) ?? null))
}

async function untilRunning ({ ledger }: Deployment, count: number): Promise<void> {
  await until(async () => {
    const { rows } = await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: 'running' })
    return rows.length === count && rows.every(({ phase }) => phase === 'running')
  })
}

/** What this replica looks after. */
async function ownedBy ({ ledger }: Deployment, { name }: Replica): Promise<readonly { readonly id: string, readonly phase: string }[]> {
  const { rows } = await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: null })
  return (await ledger.getMany(rows.map(({ id }) => id))).filter(({ owner }) => owner === name)
}

t.test('the only process is killed with fifty pictures running: the one in its place has them all for those who ask again, however long leases are', async t => {
  const deployment = await deploy(t, { env: LONG_LEASE, sandbox: { concurrency: PICTURES } })
  const { sandbox, ledger, startReplica } = deployment
  const release = sandbox.faults.holdJobs()
  const killed = await startReplica()
  const first = callers([killed])
  await untilRunning(deployment, PICTURES)
  killed.child.kill('SIGKILL')
  await killed.ended
  t.ok((await first).every(reply => reply === null))
  release() // fal is done with them while nobody is there

  const next = await startReplica()
  const replies = await crowd([next], PICTURES, bodyOf)
  t.same(counts(replies), { 200: PICTURES })
  t.ok(replies.every(({ headers }) => Number(headers.get('falgate-cost-usd')) === 0), 'nobody who asks again buys')
  t.equal(sandbox.bill.accepted, PICTURES)
  t.equal(sandbox.bill.billedUnits, PICTURES)
  t.match(next.log(), new RegExp(`"silent_replica":"${killed.name}".*"generations":${PICTURES},.*a replica went silent`))
  await moneyOf(t, deployment, [next], { counters: 'at-most' })
  t.same(await ledger.audit(), [])
})

t.test('a replica stands still with its pictures running and wakes up when others have them: each is bought once, all callers are answered', async t => {
  const deployment = await deploy(t, { env: LONG_LEASE, sandbox: { concurrency: PICTURES } })
  const { sandbox, ledger, startReplica } = deployment
  const replicas = [await startReplica(), await startReplica()]
  const [still, other] = replicas
  if (still === undefined || other === undefined) return
  const release = sandbox.faults.holdJobs()
  const calls = callers(replicas)
  await untilRunning(deployment, PICTURES)
  t.not((await ownedBy(deployment, still)).length, 0)

  still.child.kill('SIGSTOP')
  await until(async () => (await ownedBy(deployment, other)).length === PICTURES)
  still.child.kill('SIGCONT')
  // It is told by its renewal, and takes nothing back.
  await until(async () => (await still.get('/healthz')).status === 200)
  t.equal((await ownedBy(deployment, other)).length, PICTURES)
  release()
  const replies = (await calls).filter(reply => reply !== null)
  t.same(counts(replies), { 200: PICTURES })
  t.equal(sandbox.bill.accepted, PICTURES)
  t.equal(sandbox.bill.billedUnits, PICTURES)
  await moneyOf(t, deployment, replicas)
  t.same(await ledger.audit(), [])
})

t.test('a submit under way stays with the replica that stands still: only that one can hear its answer', async t => {
  const deployment = await deploy(t, { env: LONG_LEASE, sandbox: { concurrency: PICTURES } })
  const { sandbox, ledger, startReplica } = deployment
  const still = await startReplica()
  const release = sandbox.faults.holdJobs()
  const running = still.generate({ prompt: 'running', seed: 1 })
  await untilRunning(deployment, 1)
  const slow = sandbox.faults.add({ kind: 'hang', operation: 'submit', accepted: true })
  const submitting = still.generate({ prompt: 'submitting', seed: 2 })
  await slow.untilHit()
  const other = await startReplica()

  still.child.kill('SIGSTOP')
  await until(async () => (await ownedBy(deployment, other)).length === 1)
  t.match(await ownedBy(deployment, still), [{ phase: 'submitting' }])
  slow.release() // the answer lies in its socket
  still.child.kill('SIGCONT')
  release()
  t.same(counts([await running, await submitting]), { 200: 2 })
  t.equal(sandbox.bill.accepted, 2)
  t.match(await ledger.unknowns(10), [])
  await moneyOf(t, deployment, [still, other])
  t.same(await ledger.audit(), [])
})
