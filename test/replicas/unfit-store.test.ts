// A gateway whose Redis is not fit to buy with: what callers, log, metrics and `/readyz` tell.

import t from 'tap'
import { parseObject } from '../support/gateway.ts'
import { freePort } from '../support/processes.ts'
import { plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'
import { deploy } from '../support/replicas.ts'

/** The levels of a log's lines about this fault of the store. */
function about (log: string, fault: string): readonly unknown[] {
  return log.split('\n').slice(0, -1).map(parseObject).filter(line => line['fault'] === fault).map(line => line['level'])
}

for (const unsafe of ['off', 'on']) {
  t.test(`with a Redis that evicts and REDIS_UNSAFE=${unsafe}`, async t => {
    const redis = await startRedis(t, ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
    const { sandbox, startReplica } = await deploy(t, { redisUrl: redis.url })
    const opsPort = await freePort()
    const gateway = await startReplica({ REDIS_UNSAFE: unsafe, OPS_PORT: String(opsPort) })
    const reply = await gateway.generate({ prompt: 'x', seed: 1 })
    if (unsafe === 'on') t.equal(reply.status, 200)
    else {
      t.equal(reply.status, 503)
      t.match(reply.json(), { code: 'store-unfit' })
      t.ok(Number(reply.headers.get('retry-after')) > 0)
      t.equal(sandbox.bill.submits, 0, 'nothing was bought')
    }
    t.same(about(gateway.log(), 'evicts'), ['error'], 'one error line')
    t.same(about(gateway.log(), 'not-persistent'), ['warn'], 'one warning')
    t.equal(gateway.log().includes('REDIS_UNSAFE is on'), unsafe === 'on')
    const ops = `http://127.0.0.1:${opsPort}`
    t.match(await (await fetch(`${ops}/metrics`)).text(), /falgate_store_fault\{fault="evicts"\} 1/)
    t.match(await (await fetch(`${ops}/readyz`)).json(), { state: 'ready', store: 'up', store_faults: ['evicts', 'not-persistent'] })
    t.match(await plainClient(t, redis.url).info('memory'), /maxmemory_policy:allkeys-lru/)
  })
}
