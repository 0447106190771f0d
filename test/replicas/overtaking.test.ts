// A retry that overtakes the end of its first connection, on two replicas with Redis and real sockets.

import { Redis } from 'ioredis'
import t from 'tap'
import { tenant } from '../support/gateway.ts'
import { deploy, USUAL_LEASE } from '../support/replicas.ts'

const joining = { tenants: [tenant('studio', { twins: 'join', maxInFlight: 100 })] }

t.test('a retry that comes before its first connection is known to have ended is one purchase', async t => {
  const { sandbox, startReplica, operatorEnv } = await deploy(t, { env: USUAL_LEASE })
  const [one, other] = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const cut = t.rejects(one.generate({ prompt: 'x' }, { signal: leaving.signal }))
  await sandbox.bill.untilAccepted(1)

  // The connection ends when its replica has just said that it is open.
  const listener = new Redis(String(operatorEnv['REDIS_URL']))
  t.teardown(() => { listener.disconnect() })
  await listener.psubscribe(`{${operatorEnv['REDIS_NAMESPACE']}}:reply:*`)
  let answers = 0
  listener.on('pmessage', () => {
    answers += 1
    leaving.abort()
  })
  const retry = other.generate({ prompt: 'x' })
  await cut
  release()
  t.match((await retry).headers.get('cache-status'), /detail=adopted/)
  t.equal(answers, 2, 'asked again')
  t.equal(sandbox.bill.accepted, 1)
})

t.test('with twins joined, equal requests on two replicas at once are one purchase', async t => {
  const { sandbox, startReplica } = await deploy(t, { env: USUAL_LEASE, tenants: joining })
  const replicas = await Promise.all([startReplica(), startReplica()])
  const replies = await Promise.all(Array.from({ length: 20 }, async (_, n) => await replicas[n % 2]?.generate({ prompt: 'x' })))
  t.ok(replies.every(reply => reply?.status === 200))
  t.equal(new Set(replies.map(reply => reply?.text)).size, 1)
  t.equal(sandbox.bill.accepted, 1)
})
