// Files of a stored result that are gone, found by one replica: no other one hands that result out any more, also not from its own memory.

import { randomUUID } from 'node:crypto'
import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { redisUrl } from '../support/redis.ts'
import { until } from '../support/until.ts'

const seeded = { prompt: 'a red bicycle', seed: 7 }

t.test('what one replica found to be gone lies in no other one\'s memory any more, and is bought once by all of them', async t => {
  const url = await redisUrl()
  const options = { env: { REDIS_URL: url, REDIS_NAMESPACE: randomUUID() }, config: { falFilesMs: -1 } }
  const one = await startGateway(t, { ...options, shared: { redisUrl: url } })
  const { sandbox } = one
  const other = await startGateway(t, { ...options, shared: { redisUrl: url, sandbox } })
  const old = await one.generate(seeded)
  const looks = sandbox.faults.add({ kind: 'delay', operation: 'file', delayMs: 0, times: 'always' })
  for (let n = 0; n < 2; n += 1) t.equal((await other.generate(seeded)).text, old.text)
  t.equal(looks.hits, 1, 'it lies in that one\'s memory, and was looked at')
  looks.remove()
  sandbox.faults.add({ kind: 'odd', operation: 'file', answer: 'not_found', times: 'always' })
  const fresh = await one.generate(seeded)
  t.equal(fresh.headers.get('cache-status'), 'falgate; fwd=stale; stored; detail=dead-link')
  // It is told on a channel, and lies there for a minute if that is lost.
  const idSeen = async (): Promise<string | null> => (await other.generate(seeded, { headers: { 'falgate-cache': 'only' } })).headers.get('falgate-generation')
  await until(async () => await idSeen() !== old.headers.get('falgate-generation'), { what: 'the other replica has heard of it' })
})
