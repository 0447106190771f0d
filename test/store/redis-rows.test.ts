// How rows lie in Redis: in few bytes where the ledger began with this version, and as an older version reads them where it began with that.

import t, { type Test } from 'tap'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, freshId, successOf, times } from '../support/admission.ts'
import { beginAsBefore, freshNamespace, plainClient, redisStoreBegunBefore } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'
import { contract } from './contract.ts'
import { owner } from './contract/world.ts'

t.test('a ledger that began with an older version keeps the contract', async t => contract(t, redisStoreBegunBefore))

const DIGEST = 'b6EmJst7ixCmG3-1jHB_pDnj4dig2zoOKPhytRdvZbg'
const TENANT = 'a-tenant-of-some-length'
const input = JSON.stringify({ prompt: 'a red bicycle that leans on a blue wall at morning', seed: 1 })

interface Opened {
  readonly ledger: RedisLedger
  readonly redis: ReturnType<typeof plainClient>
  /** Of every key. */
  readonly prefix: string
}

async function opened (t: Test, isBegunBefore = false): Promise<Opened> {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  const redis = plainClient(t, url)
  if (isBegunBefore) await beginAsBefore(redis, namespace)
  const ledger = createRedisLedger({ url, namespace, times, account: owner })
  t.teardown(ledger.close)
  await ledger.connect()
  return { ledger, redis, prefix: `{${namespace}}:` }
}

/** As a gateway makes it: with its names, a trace, three budgets, and an output of so many bytes. Gives its id. */
async function finish ({ ledger }: Opened, output: string): Promise<string> {
  const id = freshId()
  const connection = { replica: '98756c67-1541-4654-83e0-2df7277532cc', connection: '1839' }
  await ledger.admit(admissionOf({
    id,
    tenant: TENANT,
    cacheGroup: `tenant:${TENANT}`,
    input,
    seed: '1',
    cacheName: id + DIGEST.slice(id.length),
    reuseName: DIGEST.slice(id.length) + 'r' + id,
    idempotency: { name: DIGEST.slice(id.length) + id, fingerprint: DIGEST },
    priceRule: DIGEST,
    connection,
    trace: { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', isSampled: true, state: '' },
    budgets: [{ owner: TENANT, limit: 1e12, per: 'day' }, { owner: TENANT, limit: 1e12, per: 'month' }, { owner: '*', limit: 1e12, per: 'month' }]
  }), { claimId: freshId(), replica: connection.replica, slots: 100 })
  await ledger.recordAccepted(id, 1, 'request-' + id)
  await ledger.finish(id, 1, 'request-' + id, successOf({ output, seed: '1' }))
  await ledger.seen(id, connection)
  return id
}

/** Of about so many bytes, on two lines. */
function outputOf (bytes: number): string {
  return JSON.stringify({ images: 'x'.repeat(bytes - 17) }, null, 1)
}

t.test('a finished row and its card take at most 2.5 KB with 50 characters of prompt and 600 bytes of output, and nothing of it is lost', async t => {
  const place = await opened(t)
  const id = await finish(place, outputOf(600))
  const bytes = await Promise.all(['g', 'c'].map(async kind => Number(await place.redis.call('MEMORY', 'USAGE', `${place.prefix}${kind}:${id}`, 'SAMPLES', '0'))))
  t.ok(bytes.reduce((sum, one) => sum + one, 0) <= 2560, `${bytes.join(' and ')} bytes`)
  const [row] = await place.ledger.getMany([id])
  t.match(row, { phase: 'succeeded', subject: '', input, output: outputOf(600), delivered: true, priority: 'interactive', files: 1, accounts: [{ owner: TENANT }, { owner: TENANT }, { owner: '*' }] })
  t.same(await place.ledger.audit(), [])
})

t.test('however long its texts become, a row has them, and they lie in one place', async t => {
  const place = await opened(t)
  for (const bytes of [100, 900, 1100, 5000]) {
    const id = await finish(place, outputOf(bytes))
    t.match(await place.ledger.getMany([id]), [{ input, output: outputOf(bytes) }], `${bytes} bytes`)
    const { rows: [listed] } = await place.ledger.list({ tenant: TENANT, subject: '' }, { limit: 1, cursor: null, status: null })
    t.match(listed, { id, input, output: outputOf(bytes) })
    const [inHash, card] = [await place.redis.hexists(`${place.prefix}g:${id}`, 'output'), await place.redis.get(`${place.prefix}c:${id}`)]
    t.equal(inHash === 1, card?.includes('images') === false, `${bytes} bytes lie in one of the two`)
  }
  t.same(await place.ledger.audit(), [])
  t.same((await place.ledger.recount({ isMending: false })).differences, [])
})

t.test('a row whose card was lost has lost its texts, is counted as that, and mended stands for itself again', async t => {
  const place = await opened(t)
  const id = await finish(place, outputOf(600))
  for (const damage of ['another card', null]) {
    await (damage === null ? place.redis.del(`${place.prefix}c:${id}`) : place.redis.set(`${place.prefix}c:${id}`, damage))
    t.match(await place.ledger.getMany([id]), [{ phase: 'succeeded', input: null, output: null }])
    t.match((await place.ledger.recount({ isMending: true })).differences.map(({ name }) => name), damage === null ? [`${id} in card`] : [`${id} in bytes`, `${id} in card`])
    t.same((await place.ledger.recount({ isMending: false })).differences, [])
  }
})

t.test('a ledger that began with an older version is written as that version reads it', async t => {
  const place = await opened(t, true)
  const id = await finish(place, outputOf(600))
  const hash = await place.redis.hgetall(`${place.prefix}g:${id}`)
  t.match(hash, { phase: 'succeeded', version: /^\d+$/, tenant: TENANT, subject: '', input, output: outputOf(600), price: '60000', delivered: '1', number: '1', mode: 'normal', priority: 'interactive', schema: '2' })
  t.match(JSON.parse(hash['accounts'] ?? ''), [{ owner: TENANT }, { owner: TENANT }, { owner: '*' }])
  t.notOk('s' in hash)
  t.match(await place.ledger.getMany([id]), [{ phase: 'succeeded', input, output: outputOf(600) }])
  t.same(await place.ledger.audit(), [])
})
