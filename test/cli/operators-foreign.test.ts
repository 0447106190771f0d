// Operators' commands whose environment names another account than the ledger's.

import t from 'tap'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, freshId, never, times, traceLost } from '../support/admission.ts'
import { runHere } from '../support/cli.ts'
import { freshNamespace } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'

t.test('a ledger of another account than the environment\'s is shown with a warning, and not changed', async t => {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  // Long ago, so that it could be settled.
  const ledger = createRedisLedger({ url, namespace, times, account: { kind: 'fal', name: 'main' }, clock: { now: () => Date.now() - 3_600_000 } })
  t.teardown(ledger.close)
  await ledger.connect()
  const { id } = admissionOf()
  await ledger.admit(admissionOf({ id }))
  await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  await ledger.recordUnknown(id, 1, null, traceLost)

  const env = { REDIS_URL: url, REDIS_NAMESPACE: namespace, NODE_ENV: 'production' }
  const mistaken = { ...env, FAL_KEY: 'sandbox' }
  const why = /REDIS_URL, REDIS_NAMESPACE=\S+: the ledger there is that of fal, account main, and this process is set to the sandbox, account main/
  for (const changed of await Promise.all([['settle', id, '--billed'], ['correct', id, '--confirm']].map(async args => await runHere(args, mistaken)))) {
    t.match(changed, { code: 1, stdout: '', stderr: why })
  }
  t.match(await ledger.getMany([id]), [{ phase: 'unknown' }])
  for (const shown of await Promise.all([runHere(['unknown'], mistaken), runHere(['usage', '--csv', '--from', new Date(Date.now() - 2 * 86_400_000).toISOString()], mistaken), runHere(['unknown'], { ...env, FAL_KEY: 'a:b', FAL_ACCOUNT: 'another' })])) {
    t.equal(shown.code, 0)
    t.match(shown.stdout, id)
    t.match(shown.stderr, /^falgate: warning: REDIS_URL, [^\n]*account main[^\n]*\n$/)
  }
  t.match(await runHere(['settle', id, '--billed'], { ...env, FAL_KEY_FILE: 'anything' }), { code: 0, stderr: '' }, 'the key itself is not looked at')
})
