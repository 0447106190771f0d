// Results too long for a row reach everybody who paid or waited for them, wherever they ask.

import t from 'tap'
import { at } from '../support/crowd.ts'
import { key as keyOf, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { moneyOf, sumOf } from '../support/money.ts'
import { deploy, USUAL_LEASE } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const mebibyte = 1_048_576

t.test('everybody who waits on three replicas for one picture of 3 MiB gets it, and by its id it is there afterwards', async t => {
  const limits = { cacheGroup: 'both', rateLimit: { max: 1000, windowSeconds: 60 }, callLimit: { max: 1000, windowSeconds: 60 } }
  const deployment = await deploy(t, { env: USUAL_LEASE, tenants: { tenants: [tenant('studio', limits), tenant('agency', limits)] } })
  const { sandbox, startReplica, ledger } = deployment
  const gateways = await Promise.all(Array.from({ length: 3 }, async () => await startReplica()))
  sandbox.faults.add({ kind: 'job', operation: 'submit', insideBytes: 3 * mebibyte })
  const release = sandbox.faults.holdJobs()
  const keyed = { headers: { 'idempotency-key': 'the-same' } }
  const first = at(gateways, 0).generate({ prompt: 'large', seed: 1 }, keyed)
  await sandbox.bill.untilAccepted(1)
  const others = Array.from({ length: 24 }, async (_, n) => await at(gateways, n).generate({ prompt: 'large', seed: 1 }, { key: keyOf('agency') }))
  const aliases = async () => (await ledger.list({ tenant: 'agency', subject: '' }, { limit: 100, cursor: null, status: null })).rows
  await until(async () => (await aliases()).length === others.length)
  release()
  const output = (await first).text
  t.ok(output.length > 3 * mebibyte)
  for (const other of others) {
    const reply = await other
    t.equal(reply.status, 200)
    t.ok(reply.text === output)
  }

  const { rows: [row] } = await ledger.list({ tenant: 'studio', subject: '' }, { limit: 1, cursor: null, status: null })
  const [alias] = await aliases()
  const bytes = Buffer.byteLength(output)
  for (const gateway of gateways) {
    t.ok((await gateway.get(`/generations/${row?.id}`)).text.includes(`"output":${output},"output_bytes":${bytes}`))
    t.ok((await gateway.get(`/fal/queue/fal-ai/imagen4/requests/${row?.id}`)).text === output)
    t.ok((await gateway.get(`/generations/${alias?.id}`, keyOf('agency'))).text.includes(`"output":${output}`))
    t.match((await gateway.get('/generations')).json(), { generations: [{ output: null, output_bytes: bytes }] })
    t.equal(sumOf((await gateway.get('/metrics')).text, 'falgate_large_result_bytes'), bytes)
  }
  t.ok((await at(gateways, 1).generate({ prompt: 'large', seed: 1 }, keyed)).text === output, 'the key gets it again')
  t.match(await eventsOf(at(gateways, 2).base, String(row?.id)), `"output":null,"output_bytes":${bytes}`, 'and its events tell where to look')
  t.equal(sandbox.bill.submits, 1)
  await moneyOf(t, deployment, gateways, { tenants: ['studio', 'agency'] })
  t.same(await ledger.audit(), [])
})

/** Everything that the events of an ended generation tell. */
async function eventsOf (base: string, id: string): Promise<string> {
  const response = await fetch(`${base}/generations/${id}/events`, { headers: { authorization: `Bearer ${STUDIO_KEY}` } })
  return await response.text()
}
