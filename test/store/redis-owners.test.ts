// Whose ledger it is on Redis: which account makes an empty one its own, what one is that was filled before, and what is told.

import t, { type Test } from 'tap'
import type { StoreFaultChange } from '../../src/store-faults.ts'
import { inspect } from '../../src/store/redis/inspect.ts'
import type { UpstreamAccount } from '../../src/upstream-account.ts'
import { admissionOf } from '../support/admission.ts'
import { liveLedger, plainClient, rejection, type LiveLedger } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'

const fal: UpstreamAccount = { kind: 'fal', name: 'main' }
const sandbox: UpstreamAccount = { kind: 'sandbox', name: 'main' }
const another: UpstreamAccount = { kind: 'fal', name: 'another' }

interface Met extends LiveLedger { readonly told: readonly StoreFaultChange[], readonly buy: () => Promise<string> }

/** A process of this account that has reached the ledger. */
async function meet (t: Test, url: string, account: UpstreamAccount | null): Promise<Met> {
  const told: StoreFaultChange[] = []
  const live = await liveLedger(t, url, { namespace: 'fg', account, onFault: change => { if (change.fault === 'foreign') told.push(change) } })
  const admit = async () => await live.ledger.admit(admissionOf({ deadlineMs: live.ledger.now() + 5000 }))
  return { ...live, told, buy: async () => await admit().then(({ outcome }) => outcome, async () => (await rejection(admit())).code) }
}

t.test('of all who reach an empty ledger at once one account has it, and the others are told what to do, once', async t => {
  const server = await startRedis(t)
  const accounts = [fal, sandbox, another, fal, sandbox]
  const met = await Promise.all(accounts.map(async account => await meet(t, server.url, account)))
  const mark = await plainClient(t, server.url).hget('{fg}:glob', 'upstream')
  for (const [n, { buy, told }] of met.entries()) {
    const isOwn = mark === `${accounts[n]?.kind} ${accounts[n]?.name}`
    for (let count = 0; count < 3; count += 1) t.equal(await buy(), isOwn ? 'bought' : 'foreign-ledger')
    t.match(told, isOwn ? [] : [{ isThere: true, sentence: /^REDIS_URL, REDIS_NAMESPACE=fg: the ledger there is that of .*another REDIS_NAMESPACE or Redis/ }])
    t.equal(told.length, isOwn ? 0 : 1)
  }
  t.match(await rejection(met.find(({ told }) => told.length > 0)?.ledger.lookup('x') ?? Promise.resolve()), { code: 'foreign-ledger', retryAfterSeconds: 60 })
})

t.test('an operator\'s window makes no ledger its own, and one that was filled before that counts as fal\'s account main', async t => {
  const server = await startRedis(t)
  const redis = plainClient(t, server.url)
  const window = await meet(t, server.url, null)
  await window.ledger.gauges()
  t.equal(await redis.exists('{fg}:glob'), 0)
  t.equal(await window.buy(), 'bought')
  t.match(await inspect(server.url, { namespace: 'fg', accounts: [sandbox], withinMs: 3000 }), { isReached: true, faults: new Map([['foreign', /that of fal, account main.*set FAL_KEY or FAL_KEY_FILE/]]) })
  for (const account of [sandbox, another]) t.equal(await (await meet(t, server.url, account)).buy(), 'foreign-ledger')
  t.equal(await redis.hget('{fg}:glob', 'upstream'), null, 'whom it is not for writes nothing')
  t.equal(await (await meet(t, server.url, fal)).buy(), 'bought')
  t.equal(await redis.hget('{fg}:glob', 'upstream'), 'fal main')
})

t.test('an operator\'s command that names accounts makes none of them known to the ledger, and a gateway does', async t => {
  const server = await startRedis(t)
  const redis = plainClient(t, server.url)
  await (await meet(t, server.url, fal)).buy()
  const window = await liveLedger(t, server.url, { namespace: 'fg', accounts: () => [fal, another], takesEmpty: false })
  await window.ledger.gauges()
  t.equal(await redis.hget('{fg}:glob', 'accounts'), null)
  const gateway = await liveLedger(t, server.url, { namespace: 'fg', accounts: () => [fal, another] })
  await gateway.ledger.gauges()
  t.equal(await redis.hget('{fg}:glob', 'accounts'), 'fal another')
})

t.test('a ledger that Redis loses goes back to its own processes, not to one that only met it', async t => {
  const server = await startRedis(t)
  const redis = plainClient(t, server.url)
  const own = await meet(t, server.url, fal)
  const stranger = await meet(t, server.url, sandbox)
  await redis.flushall()
  t.equal(await stranger.buy(), 'foreign-ledger')
  t.match(stranger.told, [{ sentence: /that of fal/ }, { isThere: true, sentence: /is empty now.*start this process again/ }])
  t.equal(await redis.exists('{fg}:glob'), 0)
  t.equal(await own.buy(), 'bought')
  t.equal(await stranger.buy(), 'foreign-ledger')
  t.same(own.told, [])

  await redis.flushall()
  const successor = await meet(t, server.url, sandbox)
  t.equal(await successor.buy(), 'bought', 'a process that starts then may have it')
  t.equal(await stranger.buy(), 'bought')
  t.match(stranger.told.at(-1), { isThere: false })
  t.equal(await own.buy(), 'foreign-ledger')
})

t.test('a look from outside tells whose ledger it is in the same words, and writes nothing', async t => {
  const server = await startRedis(t)
  const redis = plainClient(t, server.url)
  t.match(await inspect(server.url, { namespace: 'fg', accounts: [sandbox], withinMs: 3000 }), { isReached: true })
  t.equal(await redis.dbsize(), 0)
  await meet(t, server.url, sandbox)
  const { told: [change] } = await meet(t, server.url, fal)
  const found = await inspect(server.url, { namespace: 'fg', accounts: [fal], withinMs: 3000 })
  t.equal(found.isReached && found.faults.get('foreign'), change?.sentence)
  t.match(change?.sentence, /the sandbox, account main.*play money and drawn pictures/)
  const own = await inspect(server.url, { namespace: 'fg', accounts: [sandbox], withinMs: 3000 })
  t.notOk(own.isReached && own.faults.has('foreign'))
})
