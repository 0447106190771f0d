// Redis is away when a process starts that has another account's ledger by mistake: it finds out late.

import t from 'tap'
import { buyingNothing, keyless, waitingGeneration } from '../support/foreign.ts'
import { parseObject } from '../support/gateway.ts'
import { freePort } from '../support/processes.ts'
import { deploy } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { until } from '../support/until.ts'

for (const [title, first, second] of [['a sandbox', {}, keyless], ['a real gateway', keyless, {}]] as const) {
  t.test(`${title} that finds out late goes on, buys nothing, draws nothing, serves nothing stored, and says so once`, async t => {
    const redis = await restartableRedis(t)
    const scene = await deploy(t, { redisUrl: redis.url })
    const before = await scene.startReplica(first)
    t.equal((await before.generate({ prompt: 'stored', seed: 1 })).status, 200)
    before.child.kill('SIGTERM')
    await before.ended
    const spent = (await scene.ledger.balances([{ owner: 'studio', per: 'month' }]))[0]?.spent
    const submits = scene.sandbox.bill.submits
    const owner = await scene.startReplica({ ...first, ...buyingNothing })
    const row = await waitingGeneration(owner, scene)

    await redis.kill()
    const opsPort = await freePort()
    const starting = scene.startReplica({ ...second, OPS_PORT: String(opsPort) })
    const ops = `http://127.0.0.1:${opsPort}`
    await until(async () => await fetch(`${ops}/healthz`).then(({ status }) => status === 200, () => false))
    await redis.start('with-file')
    const late = await starting
    await scene.ledger.connect()

    for (const [body, headers] of [[{ prompt: 'new', seed: 2 }, {}], [{ prompt: 'stored', seed: 1 }, {}], [{ prompt: 'stored', seed: 1 }, { 'falgate-cache': 'only' }], [{ prompt: 'a red bicycle', seed: 7 }, { 'idempotency-key': 'k' }]] as const) {
      const reply = await late.generate(body, { headers })
      t.match([reply.status, reply.json()['code'], reply.headers.get('retry-after')], [503, 'foreign-ledger', '60'])
    }
    t.equal((await late.post(`/generations/${row.id}/cancel`)).json()['code'], 'foreign-ledger')
    t.match((await late.get(`/generations/${row.id}`)).json(), { status: 'queued' }, 'a caller that asks for it by its id is told')
    t.equal((await late.get('/generations')).status, 200)
    t.equal((await late.get('/usage')).status, 200)
    t.match(await (await fetch(`${ops}/readyz`)).json(), { state: 'ready', store_faults: ['foreign'] })
    t.match(await (await fetch(`${ops}/metrics`)).text(), /falgate_store_fault\{fault="foreign"\} 1/)

    t.match((await scene.ledger.getMany([row.id])).map(({ phase, attempt, version }) => ({ phase, attempt, version })), [{ phase: 'waiting', attempt: 0, version: row.version }])
    t.match(await scene.ledger.balances([{ owner: 'studio', per: 'month' }]), [{ spent }])
    t.equal(scene.sandbox.bill.submits, submits)
    t.equal(late.child.exitCode, null)
    const errors = late.log().split('\n').slice(0, -1).map(parseObject).filter(({ level, operation }) => level === 'error' && operation !== 'reach-redis')
    t.match(errors, [{ fault: 'foreign', msg: /REDIS_NAMESPACE/ }])
    t.equal(errors.length, 1)
    late.child.kill('SIGTERM')
    t.equal((await late.ended).code, 0)
    t.same(await scene.ledger.audit(), [])
  })
}
