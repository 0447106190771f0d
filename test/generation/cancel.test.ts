// Cancelling: what waits is closed unspent, what runs is asked to stop, what others wait for stays.

import t from 'tap'
import { key, startGateway, tenant, type Gateway } from '../support/gateway.ts'
import { until, untilStatus } from '../support/until.ts'

const later = { headers: { prefer: 'respond-async' } }

async function begin (gateway: Gateway, body: unknown): Promise<string> {
  return String((await gateway.generate(body, later)).json()['id'])
}

t.test('in the queue: cancelled, nothing spent, nothing sent; again: 200 as well', async t => {
  const gateway = await startGateway(t, { config: { falConcurrency: 0 } })
  const id = await begin(gateway, { prompt: 'x' })
  t.match((await gateway.get(`/generations/${id}`)).json(), { status: 'queued', queue_position: 0 })
  const cancelled = await gateway.post(`/generations/${id}/cancel`)
  t.equal(cancelled.status, 200)
  t.match(cancelled.json(), { id, status: 'cancelled', cost_usd: 0, error: { code: 'cancelled' } })
  t.equal((await gateway.post(`/generations/${id}/cancel`)).status, 200)
  t.equal(gateway.sandbox.bill.submits, 0)
})

t.test('a caller that waits is told', async t => {
  const gateway = await startGateway(t, { config: { falConcurrency: 0 } })
  const id = await begin(gateway, { prompt: 'x', seed: 1 })
  await gateway.post(`/generations/${id}/cancel`)
  const joined = await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { prefer: 'respond-async' } })
  t.equal(joined.status, 202, 'the name is free again')
})

t.test('running: the upstream is asked once, and the generation ends as the upstream ends it', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const id = await begin(gateway, { prompt: 'x' })
  await untilStatus(gateway, id, 'running')
  const asked = await gateway.post(`/generations/${id}/cancel`)
  t.equal(asked.status, 200)
  t.equal((await gateway.post(`/generations/${id}/cancel`)).status, 200)
  await until(() => gateway.sandbox.bill.cancels === 1)
  release()
  const ended = await untilEnded(gateway, id)
  t.ok(['cancelled', 'succeeded'].includes(String(ended['status'])))
  t.equal(gateway.sandbox.bill.cancels, 1)
})

t.test('others wait for it: 409 and it goes on', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const id = await begin(gateway, { prompt: 'x', seed: 1 })
  const joined = gateway.generate({ prompt: 'x', seed: 1 })
  await begin(gateway, { prompt: 'x', seed: 1 })
  const refused = await gateway.post(`/generations/${id}/cancel`)
  t.equal(refused.status, 409)
  t.equal(refused.json()['code'], 'others-waiting')
  release()
  t.equal((await joined).status, 200)
})

t.test('a cancel is no answer to anybody else: others of the cache group, and a repeated call, get pictures of their own', async t => {
  const group = { cacheGroup: 'acme' }
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', group), tenant('press', group)] } })
  const release = gateway.sandbox.faults.holdJobs()
  const keyed = { headers: { prefer: 'respond-async', 'idempotency-key': 'k1' } }
  const body = { prompt: 'x', seed: 1 }
  const id = String((await gateway.generate(body, keyed)).json()['id'])
  await untilStatus(gateway, id, 'running')
  t.equal((await gateway.post(`/generations/${id}/cancel`)).status, 200)
  t.match((await gateway.generate(body, { key: key('press'), ...later })).headers.get('cache-status'), /detail=bought/)
  release()
  t.match(await untilEnded(gateway, id), { status: /cancelled|succeeded/ })
  t.equal((await gateway.generate(body, { headers: { 'idempotency-key': 'k1' } })).status, 200)
})

t.test('ended: 409', async t => {
  const gateway = await startGateway(t)
  const id = String((await gateway.generate({ prompt: 'x', seed: 1 })).headers.get('falgate-generation'))
  const refused = await gateway.post(`/generations/${id}/cancel`)
  t.equal(refused.status, 409)
  t.equal(refused.json()['code'], 'already-finished')
})

t.test('somebody else\'s: 404, as if there were none', async t => {
  const gateway = await startGateway(t)
  const id = await begin(gateway, { prompt: 'x' })
  const [theirs, nobodys] = [await gateway.post(`/generations/${id}/cancel`, { key: key('press') }), await gateway.post('/generations/0192f0c0-0000-7000-8000-000000000000/cancel', { key: key('press') })]
  const shape = (text: string): string => text.replace(/"request_id":"[^"]*"/, '')
  t.equal(theirs.status, 404)
  t.equal(shape(theirs.text), shape(nobodys.text))
})

async function untilEnded (gateway: Gateway, id: string): Promise<Record<string, unknown>> {
  return await until(async () => {
    const generation = (await gateway.get(`/generations/${id}`)).json()
    return generation['finished_at'] !== null && generation
  })
}
