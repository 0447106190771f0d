// Something between here and fal, or fal itself, gives two submits one request id: nobody gets another tenant's picture, and no purchase is left out.

import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { parseObject, tenant } from '../support/gateway.ts'
import { key as keyOf } from '../support/gateway.ts'
import { moneyOf, sumOf } from '../support/money.ts'
import { deploy, USUAL_LEASE } from '../support/replicas.ts'
import { until } from '../support/until.ts'

interface Muddler {
  readonly url: string
  /** Results that were fetched. */
  readonly fetched: () => number
}

/** Passes everything on to the queue at `target`, and answers every submit with the first one's request id. */
async function startMuddler (t: Test, target: string): Promise<Muddler> {
  const app = Fastify()
  let first: string | undefined
  let fetched = 0
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_, body, done) => { done(null, body) })
  app.all('/*', async (request, reply) => {
    const { method, url, headers: { authorization = '' }, body } = request
    const answer = await fetch(target + url, { method, headers: { authorization, 'content-type': 'application/json' }, ...(typeof body === 'string' && body !== '' ? { body } : {}) })
    for (const name of ['content-type', 'x-fal-billable-units']) {
      const value = answer.headers.get(name)
      if (value !== null) reply.header(name, value)
    }
    reply.status(answer.status)
    if (method === 'POST') {
      const submitted = parseObject(await answer.text())
      first ??= String(submitted['request_id'])
      return reply.send(JSON.stringify({ ...submitted, request_id: first }))
    }
    if (/requests\/[\w-]+$/.test(url)) fetched += 1
    return reply.send(answer.body)
  })
  t.teardown(async () => {
    app.server.closeAllConnections()
    await app.close()
  })
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), fetched: () => fetched }
}

for (const replicas of [1, 2] as const) {
  t.test(`two tenants' submits get one request id from fal, on ${replicas === 1 ? 'one replica' : 'two replicas'}: the first has its picture, the second hears that its outcome is unknown`, async t => {
    const limits = { rateLimit: { max: 1000, windowSeconds: 60 }, callLimit: { max: 1000, windowSeconds: 60 } }
    const deployment = await deploy(t, { env: USUAL_LEASE, tenants: { tenants: [tenant('studio', limits), tenant('agency', limits)] } })
    const { sandbox, ledger, startReplica } = deployment
    const muddler = await startMuddler(t, `${sandbox.base}/queue`)
    const gateways = await Promise.all(Array.from({ length: replicas }, async () => await startReplica({ FAL_QUEUE_URL: muddler.url })))
    const [one, other = one] = gateways
    if (one === undefined || other === undefined) throw new Error('there is no replica')
    const release = sandbox.faults.holdJobs()
    const first = one.generate({ prompt: 'ours', seed: 1 }, { key: keyOf('studio') })
    await sandbox.bill.untilAccepted(1)
    await until(async () => (await ledger.gauges()).atUpstream === 1)
    const second = await other.generate({ prompt: 'theirs', seed: 2 }, { key: keyOf('agency') })
    t.equal(second.status, 502)
    t.match(second.json(), { code: 'outcome-unknown' })
    release()
    t.match((await first).json(), { seed: 1 })
    t.equal(muddler.fetched(), 1, 'what lies behind the id is fetched for the first only')
    t.equal((await other.generate({ prompt: 'theirs', seed: 2 }, { key: keyOf('agency') })).status, 502, 'and it is not bought again')
    t.equal(sandbox.bill.accepted, 2)
    await until(() => gateways.some(({ log }) => /"level":"error".*the request id of another generation/.test(log())))
    const told = await Promise.all(gateways.map(async ({ get }) => sumOf((await get('/metrics')).text, 'falgate_shared_request_ids_total')))
    t.equal(told.reduce((sum, count) => sum + count, 0), 1)
    t.match(await moneyOf(t, deployment, gateways, { tenants: ['studio', 'agency'] }), { unknown: 60_000, spent: 60_000 })
    t.same(await ledger.audit(), [])
  })
}
