// A generation that was deleted at one replica: no other one shows it, also not from its own memory, and a ledger that forgets does not bring it back.

import { randomUUID } from 'node:crypto'
import t from 'tap'
import { startGateway, STUDIO_KEY } from '../support/gateway.ts'
import { redisUrl } from '../support/redis.ts'
import { ask, codeOf } from '../support/tokens.ts'
import { until } from '../support/until.ts'

t.test('what is deleted at one replica is gone at the others', async t => {
  const url = await redisUrl()
  const options = { env: { REDIS_URL: url, REDIS_NAMESPACE: randomUUID() } }
  const one = await startGateway(t, { ...options, shared: { redisUrl: url } })
  const other = await startGateway(t, { ...options, shared: { redisUrl: url, sandbox: one.sandbox } })
  const seeded = { prompt: 'a red bicycle', seed: 7 }
  const bought = await one.generate(seeded)
  t.equal((await other.generate(seeded)).text, bought.text)
  const path = `/generations/${bought.headers.get('falgate-generation')}`
  t.equal(await codeOf(ask(one, 'DELETE', path, STUDIO_KEY)), '204')
  t.equal(await codeOf(ask(other, 'GET', path, STUDIO_KEY)), '404 no-such-generation')
  t.equal(await codeOf(ask(other, 'DELETE', path, STUDIO_KEY)), '204')
  const only = async (): Promise<number> => (await other.generate(seeded, { headers: { 'falgate-cache': 'only' } })).status
  // It is told on a channel, and lies there for a minute if that is lost.
  await until(async () => await only() === 504, { what: 'the other replica has heard of it' })
})
