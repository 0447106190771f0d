// Redis comes back as another server with all that it was told: its replicas look at what they know, and buy on as soon as all of them have.

import t from 'tap'
import { deploy } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { until } from '../support/until.ts'

t.test('buying goes on when all replicas are back, idle ones too, and those that left are not waited for', async t => {
  const redis = await restartableRedis(t)
  // So long that nothing here outlasts it.
  const { sandbox, ledger, startReplica } = await deploy(t, { redisUrl: redis.url, env: { LEASE_SECONDS: '3600' } })
  const [busy, leaving] = await Promise.all([startReplica(), startReplica(), startReplica({ FAL_CONCURRENCY: '0' })])
  const release = sandbox.faults.holdJobs()
  const call = busy.generate({ prompt: 'under way' })
  await until(() => sandbox.bill.accepted === 1)
  leaving.child.kill('SIGTERM')
  await leaving.ended
  await redis.kill()
  await redis.start('with-file')
  release()
  t.equal((await call).status, 200)
  await until(async () => (await busy.generate({ prompt: 'afterwards' })).status === 200)
  t.equal(sandbox.bill.accepted, 2)
  t.same(await ledger.audit(), [])
})
