// Equal requests without seed and key: two pictures, or one where the tenant wants that; and clients that say that they repeat a call.

import t from 'tap'
import { startGateway, tenant } from '../support/gateway.ts'
import { untilStatus } from '../support/until.ts'

const joining = { tenants: [tenant('studio', { twins: 'join' })] }

t.test('equal requests that overlap are one picture where the tenant wants that', async t => {
  const gateway = await startGateway(t, { tenants: joining })
  const release = gateway.sandbox.faults.holdJobs()
  const first = gateway.generate({ prompt: 'twins' })
  await gateway.sandbox.bill.untilAccepted(1)
  const asked = await gateway.generate({ prompt: 'twins' }, { headers: { prefer: 'respond-async' } })
  t.equal(asked.status, 202)
  t.equal(asked.headers.get('cache-status'), 'falgate; fwd=miss; collapsed; detail=joined')
  const second = gateway.generate({ prompt: 'twins' })
  const other = gateway.generate({ prompt: 'another' })
  await gateway.sandbox.bill.untilAccepted(2)
  release()
  t.equal((await second).text, (await first).text)
  t.equal((await second).headers.get('falgate-cost-usd'), '0')
  t.equal((await second).headers.get('falgate-saved-usd'), '0.06')
  t.not((await other).text, (await first).text)
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('one that comes within TWIN_SECONDS of the answer is the same picture, and later it is another', async t => {
  for (const [seconds, purchases] of [['3600', 1], ['0', 2]] as const) {
    const gateway = await startGateway(t, { tenants: joining, env: { TWIN_SECONDS: seconds } })
    const first = await gateway.generate({ prompt: 'twins' })
    await untilStatus(gateway, String(first.headers.get('falgate-generation')), 'succeeded')
    const second = await gateway.generate({ prompt: 'twins' })
    t.equal(second.text === first.text, purchases === 1)
    t.equal(gateway.sandbox.bill.accepted, purchases)
  }
})

t.test('a key, a seed and Falgate-Cache go before twins', async t => {
  const gateway = await startGateway(t, { tenants: joining })
  await gateway.generate({ prompt: 'twins' })
  await gateway.generate({ prompt: 'twins' }, { headers: { 'idempotency-key': 'order-1' } })
  await gateway.generate({ prompt: 'twins' }, { headers: { 'falgate-cache': 'refresh' } })
  await gateway.generate({ prompt: 'twins', seed: 7 })
  t.equal(gateway.sandbox.bill.accepted, 4)
})

t.test('X-Stainless-Retry-Count: a retry gets the picture of the caller that seems to be there still', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  // As behind a proxy that keeps the request open after its client left.
  const first = gateway.generate({ prompt: 'retried' }, { headers: { 'x-stainless-retry-count': '0' } })
  await gateway.sandbox.bill.untilAccepted(1)
  const retry = gateway.generate({ prompt: 'retried' }, { headers: { 'x-stainless-retry-count': '1' } })
  const twin = gateway.generate({ prompt: 'retried' }, { headers: { 'x-stainless-retry-count': '0' } })
  await gateway.sandbox.bill.untilAccepted(2)
  release()
  t.match((await retry).headers.get('cache-status'), /detail=adopted/)
  t.equal((await retry).text, (await first).text)
  t.not((await twin).text, (await first).text, 'one that is none buys its own')
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('what is no count says nothing', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 10 })] } })
  const release = gateway.sandbox.faults.holdJobs()
  const calls = [gateway.generate({ prompt: 'x' })]
  await gateway.sandbox.bill.untilAccepted(1)
  for (const [n, count] of ['-1', '1.5', 'one', '99999'].entries()) {
    calls.push(gateway.generate({ prompt: 'x' }, { headers: { 'x-stainless-retry-count': count } }))
    await gateway.sandbox.bill.untilAccepted(n + 2)
  }
  release()
  t.equal(new Set((await Promise.all(calls)).map(({ text }) => text)).size, 5)
})
