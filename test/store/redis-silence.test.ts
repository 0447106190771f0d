// What the silence of another replica proves, on a real Redis: something only where messages arrive.

import t from 'tap'
import { freshNamespace, liveLedger, plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'

t.test('a replica that answers is there, one that does not is silent, and where no messages arrive nothing is known', async t => {
  const { url } = await startRedis(t)
  const namespace = freshNamespace()
  const one = await liveLedger(t, url, { namespace })
  const two = await liveLedger(t, url, { namespace })
  one.ledger.answerOpen('r1', () => false)
  await until(async () => await two.ledger.askThere('r1') === 'there')
  t.equal(await one.ledger.askThere('r1'), 'there', 'a process knows of itself')
  t.equal(await two.ledger.askThere('r9'), 'silent')

  const root = plainClient(t, url)
  await root.call('ACL', 'SETUSER', 'default', '-subscribe')
  t.equal(await root.call('CLIENT', 'KILL', 'TYPE', 'pubsub'), 2)
  t.equal(await two.ledger.askThere('r1'), 'unheard')
  t.equal(await two.ledger.askThere('r9'), 'unheard')

  await root.call('ACL', 'SETUSER', 'default', '+subscribe')
  await until(async () => await two.ledger.askThere('r1') === 'there')
  t.equal(await two.ledger.askThere('r9'), 'silent')
})

t.test('a ledger that cannot be reached says so, and nothing of the replica that is asked about', async t => {
  const server = await startRedis(t)
  const { ledger } = await liveLedger(t, server.url)
  await server.stop()
  await t.rejects(ledger.askThere('r1'), { code: 'store-unavailable' })
  await t.rejects(ledger.heartbeat('r2'), { code: 'store-unavailable' })
})
