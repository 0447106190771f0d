// Moving a ledger by the settings that a gateway reaches its Redis with: a cluster, or TLS and a password.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createRedisLedger, type RedisLedgerOptions } from '../../src/store/redis/ledger.ts'
import { redisAt } from '../../src/store/redis/clients.ts'
import { admissionOf, freshId, successOf, times } from '../support/admission.ts'
import { runHere } from '../support/cli.ts'
import { startCluster } from '../support/redis-cluster.ts'
import { freshNamespace } from '../support/redis-store.ts'
import { startTlsRedis } from '../support/redis-tls.ts'

t.setTimeout(300_000)

/** Fills one namespace, moves it to another one there by way of a folder, and looks whether it is there. */
async function thereAndBack (t: Test, env: Readonly<Record<string, string>>, url: RedisLedgerOptions['url']): Promise<void> {
  const above = t.testdir()
  const [from, to] = [freshNamespace(), freshNamespace()]
  const ledger = createRedisLedger({ url, namespace: from, times, account: { kind: 'fal', name: 'main' } })
  t.teardown(ledger.close)
  await ledger.connect()
  const ids: string[] = []
  for (let nth = 0; nth < 30; nth += 1) {
    const admission = admissionOf()
    ids.push(admission.id)
    await ledger.admit(admission, { claimId: freshId(), replica: 'r1', slots: 100 })
    await ledger.recordAccepted(admission.id, 1, `request-${admission.id}`)
    await ledger.finish(admission.id, 1, `request-${admission.id}`, successOf())
  }
  await ledger.release('r1', [])
  const [first, second] = [join(above, 'first.jsonl'), join(above, 'second.jsonl')]
  const data = { DATA_DIR: join(above, 'data') }
  for (const [args, where] of [
    [['export', '--move', first], { ...env, REDIS_NAMESPACE: from }],
    [['import', first], data],
    [['export', '--move', second], data],
    [['import', second], { ...env, REDIS_NAMESPACE: to }],
    [['ledger', 'recount'], { ...env, REDIS_NAMESPACE: to }]
  ] as const) {
    const { code, stderr } = await runHere(args, where)
    t.equal(code, 0, `falgate ${args.join(' ')}: ${stderr}`)
  }
  const arrived = createRedisLedger({ url, namespace: to, times, account: { kind: 'fal', name: 'main' } })
  t.teardown(arrived.close)
  await arrived.connect()
  t.same((await arrived.getMany(ids)).map(({ phase }) => phase), ids.map(() => 'succeeded'))
  t.match(await runHere(['export', join(above, 'again.jsonl')], { ...env, REDIS_NAMESPACE: from }), { code: 1, stderr: /was moved away/ })
}

t.test('a ledger moves away from a Redis Cluster and into one', async t => {
  const [node] = await startCluster(t)
  if (node === undefined) throw new Error('There is no node.')
  const url = `redis://${node.host}:${node.port}`
  await thereAndBack(t, { REDIS_URL: url, REDIS_CLUSTER: 'on', FAL_ACCOUNT: 'main' }, redisAt({ url, ca: null }, { cluster: true, sentinels: null }))
})

t.test('a ledger moves by TLS, with the password and the authority of files', async t => {
  const { port, certFile, file } = await startTlsRedis(t, 'user default on >secret ~* &* +@all\n')
  writeFileSync(file('password'), 'secret\n')
  const env = { REDIS_URL: `rediss://localhost:${port}`, REDIS_PASSWORD_FILE: file('password'), REDIS_CA_FILE: certFile, FAL_ACCOUNT: 'main' }
  await thereAndBack(t, env, redisAt({ url: `rediss://:secret@localhost:${port}`, ca: readFileSync(certFile, 'utf8') }, { cluster: false, sentinels: null }))
  writeFileSync(file('password'), 'another\n')
  t.match(await runHere(['export', join(t.testdir(), 'none.jsonl')], env), { code: 1, stderr: /^falgate: REDIS_URL: the ledger there cannot be reached: WRONGPASS .*\n$/ })
})
