// A preview writes nothing to Redis: not a key, not a field, not an end of a key, and none is needed to answer it.

import t from 'tap'
import { admissionOf, freshId, never, successOf, tokenOf } from '../support/admission.ts'
import { freshNamespace, liveLedger, plainClient } from '../support/redis-store.ts'
import { redisUrl, startRedis } from '../support/redis.ts'

t.test('however often one is asked for, no key of the ledger changes', async t => {
  const url = await redisUrl()
  const namespace = freshNamespace()
  const { ledger } = await liveLedger(t, url, { namespace })
  const redis = plainClient(t, url)
  const everything = async (): Promise<readonly unknown[]> => {
    const keys = (await redis.keys(`{${namespace}}:*`)).toSorted()
    return await Promise.all(keys.map(async key => [key, await redis.dumpBuffer(key), await redis.pexpiretime(key)]))
  }
  await ledger.mint(tokenOf({ subject: '' }))
  const keyed = admissionOf({ idempotency: { name: 'key', fingerprint: 'f' }, cacheName: 'stored', reuseName: 'reuse' })
  await ledger.admit(keyed)
  await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 10 })
  await ledger.finish(keyed.id, 1, 'request', successOf())
  await ledger.admit(admissionOf({ duplicateName: 'duplicate', cacheName: 'waiting', connection: { replica: 'r1', connection: 'c1' } }))
  await ledger.breaker('another model', { state: 'open', retryAfterMs: 0 })
  const cases = [
    {}, { tenant: 'stranger' }, { model: 'another model', token: 'tok1' }, { priceRule: 'another', cacheName: 'free', idempotency: { name: 'free', fingerprint: 'f' } },
    { idempotency: { name: 'key', fingerprint: 'f' } }, { idempotency: { name: 'key', fingerprint: 'g' } }, { cacheName: 'stored' }, { cacheName: 'stored', tenant: 'press', needsId: true },
    { cacheName: 'waiting', tenant: 'press' }, { duplicateName: 'duplicate' }, { duplicateName: 'duplicate', lastRound: true }, { makesLarge: true }, { maxInFlight: 0, maxQueued: 0 },
    { budgets: [] }, { rate: { max: 0, windowSeconds: 1 } }
  ]
  const before = await everything()
  t.ok(before.length > 10, 'there is something to change')
  const outcomes = new Set<string>()
  for (let round = 0; round < 10; round++) for (const given of cases) outcomes.add((await ledger.preview(admissionOf(given))).would.outcome)
  t.same([...outcomes].toSorted(), ['adopted', 'bought', 'duplicates', 'hit', 'joined', 'refused', 'replayed'])
  t.same(await everything(), before)
})

t.test('a Redis whose memory is full admits nothing and tells all the same what would be', async t => {
  const { url } = await startRedis(t, ['--maxmemory-policy', 'noeviction'])
  const { ledger } = await liveLedger(t, url)
  const redis = plainClient(t, url)
  await ledger.admit(admissionOf({ cacheName: 'waiting' }))
  await redis.config('SET', 'maxmemory', '1')
  await t.rejects(ledger.admit(admissionOf()), { code: 'store-unavailable' })
  t.same((await ledger.preview(admissionOf())).would, { outcome: 'bought' })
  t.match((await ledger.preview(admissionOf({ cacheName: 'waiting' }))).would, { outcome: 'joined' })
})
