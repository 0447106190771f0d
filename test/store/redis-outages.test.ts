// Redis hangs, is gone, full, emptied, or loses an answer: every caller hears of it within a second, and nothing is bought that was answered 503.

import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import type { Change } from '../../src/generation/changes.ts'
import { admissionOf, freshId, price, successOf } from '../support/admission.ts'
import { freePort } from '../support/processes.ts'
import { liveLedger, plainClient, rejection, type LiveLedger } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { settlesWithin } from '../support/timers.ts'
import { until } from '../support/until.ts'

const studio = [{ owner: 'studio', per: 'month' }] as const

/** Buys and claims one, and gives its id. */
async function underWay ({ ledger }: LiveLedger): Promise<string> {
  await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 }))
  const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: ledger.now() + 5000, replica: 'r1', slots: 10 })
  if (claimed.outcome !== 'go') throw new Error(`Nothing was granted: ${claimed.outcome}`)
  return claimed.row.id
}

t.test('a hung Redis is answered for within a second; rights that it runs later change nothing, evidence is taken', async t => {
  const server = await startRedis(t)
  const live = await liveLedger(t, server.url)
  const { ledger, states, troubles } = live
  const id = await underWay(live)
  const given = admissionOf({ deadlineMs: ledger.now() + 60_000 })
  process.kill(server.pid, 'SIGSTOP')
  const hung = [
    rejection(ledger.admit(given)),
    rejection(ledger.claim({ claimId: 'c', deadlineMs: ledger.now() + 60_000, replica: 'r1', slots: 10 })),
    rejection(ledger.recordAccepted(id, 1, 'request')),
    rejection(ledger.ping())
  ]
  t.same(await Promise.all(hung.map(async one => await settlesWithin(1000, one))), [true, true, true, true])
  for (const { code, retryAfterSeconds } of await Promise.all(hung)) {
    t.equal(code, 'store-unavailable')
    t.equal(retryAfterSeconds, 1)
  }
  t.ok(await settlesWithin(100, rejection(ledger.admit(admissionOf()))), 'from then on at once')
  process.kill(server.pid, 'SIGCONT')
  await until(() => states.at(-1) === true)
  t.same(await ledger.getMany([given.id]), [])
  t.match(await ledger.balances(studio), [{ held: price, spent: 0 }])
  t.match(await ledger.getMany([id]), [{ phase: 'accepted', requestId: 'request' }])
  t.match(await ledger.admit({ ...given, deadlineMs: ledger.now() + 5000 }), { outcome: 'bought' })
  t.same(await ledger.audit(), [])
  t.same(troubles, ['reach-redis'], 'one word for one outage')
})

t.test('a Redis that hangs for long is left: nothing that its socket kept is bought when it wakes', async t => {
  const server = await startRedis(t)
  const proxy = await startTcpProxy(t, server.port)
  const { ledger, states } = await liveLedger(t, `redis://127.0.0.1:${proxy.port}`, { deadlineMs: 150 })
  const connections = proxy.connections()
  const given = admissionOf({ deadlineMs: ledger.now() + 60_000 })
  process.kill(server.pid, 'SIGSTOP')
  t.equal((await rejection(ledger.admit(given))).code, 'store-unavailable')
  await until(() => proxy.connections() > connections)
  process.kill(server.pid, 'SIGCONT')
  await until(() => states.at(-1) === true)
  t.same(await ledger.getMany([given.id]), [])
  t.same(await ledger.balances([{ owner: '*', per: 'month' }]), [{ owner: '*', period: new Date(ledger.now()).toISOString().slice(0, 7), held: 0, spent: 0 }])
})

t.test('no more than ten thousand calls wait for a Redis that does not answer', async t => {
  const server = await startRedis(t)
  const { ledger } = await liveLedger(t, server.url)
  process.kill(server.pid, 'SIGSTOP')
  let answered = 0
  const waiting = Array.from({ length: 10_000 }, async () => await rejection(ledger.ping()).finally(() => { answered += 1 }))
  t.equal((await rejection(ledger.ping())).code, 'store-unavailable')
  t.equal(answered, 0, 'one too many is refused at once, while the others wait')
  t.ok((await Promise.all(waiting)).every(({ code }) => code === 'store-unavailable'))
})

t.test('a right whose answer was lost is asked for again under its id, and granted once', async t => {
  const server = await startRedis(t)
  const proxy = await startTcpProxy(t, server.port)
  const { ledger } = await liveLedger(t, `redis://127.0.0.1:${proxy.port}`)
  const given = admissionOf({ deadlineMs: ledger.now() + 5000 })
  const lost = proxy.loseAnswerTo('admit')
  t.match(await ledger.admit(given), { outcome: 'bought', row: { id: given.id, version: 1 } })
  await lost
  const claimLost = proxy.loseAnswerTo('claim')
  t.match(await ledger.claim({ claimId: 'c', deadlineMs: ledger.now() + 5000, replica: 'r1', slots: 10 }), { outcome: 'go', row: { id: given.id, attempt: 1 } })
  await claimLost
  t.match(await ledger.balances(studio), [{ held: price, spent: 0 }])
  t.same(await ledger.audit(), [])
})

t.test('an admission whose answer stays lost is taken back before the process goes on: what was answered 503 is not bought', async t => {
  const server = await startRedis(t)
  const proxy = await startTcpProxy(t, server.port)
  const live = await liveLedger(t, `redis://127.0.0.1:${proxy.port}`)
  const { ledger, states } = live
  await underWay(live)
  const connection = { replica: 'r1', connection: 'c1' }
  const given = admissionOf({ deadlineMs: ledger.now() + 60_000, connection })
  proxy.loseAnswerTo('admit').then(() => { proxy.setOpen(false) })
  t.equal((await rejection(ledger.admit(given))).code, 'store-unavailable')
  proxy.setOpen(true)
  await until(() => states.at(-1) === true)
  t.match(await ledger.getMany([given.id]), [{ phase: 'waiting' }], 'Redis had written it')
  t.match(await ledger.claim({ claimId: 'c', deadlineMs: ledger.now() + 5000, replica: 'r1', slots: 10 }), { outcome: 'empty' })
  t.match(await ledger.getMany([given.id]), [{ phase: 'failed', cost: 0, failure: { code: 'store-unavailable' } }])
  t.match(await ledger.balances(studio), [{ held: price, spent: 0 }], 'the price of the one under way')
  t.match(await ledger.takeOutbox(10), [{ kind: 'ended', from: 'waiting', row: { id: given.id } }])
  t.same(await ledger.audit(), [])
})

t.test('a list whose answer stays lost is taken back as a whole', async t => {
  const server = await startRedis(t)
  const proxy = await startTcpProxy(t, server.port)
  const { ledger, states } = await liveLedger(t, `redis://127.0.0.1:${proxy.port}`)
  const list = Array.from({ length: 10 }, () => admissionOf({ deadlineMs: ledger.now() + 60_000, connection: { replica: 'r1', connection: 'c1' } }))
  const ids = list.map(({ id }) => id)
  proxy.loseAnswerTo('admit').then(() => { proxy.setOpen(false) })
  t.equal((await rejection(ledger.admitAll(list))).code, 'store-unavailable')
  proxy.setOpen(true)
  await until(() => states.at(-1) === true)
  t.same((await ledger.getMany(ids)).map(({ phase }) => phase), Array(10).fill('waiting'), 'Redis had written it')
  t.match(await ledger.claim({ claimId: 'c', deadlineMs: ledger.now() + 5000, replica: 'r1', slots: 10 }), { outcome: 'empty' })
  t.same((await ledger.getMany(ids)).map(({ phase, cost }) => [phase, cost]), Array(10).fill(['failed', 0]))
  t.match(await ledger.balances(studio), [{ held: 0, spent: 0 }])
  t.same(await ledger.audit(), [])
})

t.test('an admission whose answer was lost, and that is refused when it is asked for again, is taken back as well', async t => {
  const server = await startRedis(t)
  const proxy = await startTcpProxy(t, server.port)
  const { ledger } = await liveLedger(t, `redis://127.0.0.1:${proxy.port}`)
  const redis = plainClient(t, server.url)
  const given = admissionOf({ deadlineMs: ledger.now() + 60_000 })
  const full = proxy.loseAnswerTo('admit').then(async () => {
    proxy.setOpen(false)
    await redis.config('SET', 'maxmemory', '1mb')
    proxy.setOpen(true)
  })
  t.equal((await rejection(ledger.admit(given))).code, 'store-unavailable')
  await full
  t.match(await ledger.getMany([given.id]), [{ phase: 'waiting' }], 'Redis had written it, and then refused')
  await redis.config('SET', 'maxmemory', '0')
  t.match(await ledger.claim({ claimId: 'c', deadlineMs: ledger.now() + 5000, replica: 'r1', slots: 10 }), { outcome: 'empty' })
  t.match(await ledger.getMany([given.id]), [{ phase: 'failed', cost: 0, failure: { code: 'store-unavailable' } }])
})

t.test('an admission whose answer stays lost is not taken from the retry that was reattached to it meanwhile', async t => {
  const server = await startRedis(t)
  const proxy = await startTcpProxy(t, server.port)
  const live = await liveLedger(t, `redis://127.0.0.1:${proxy.port}`)
  const { ledger, states } = live
  await underWay(live)
  const duplicate = { duplicateName: 'duplicate', connection: { replica: 'r1', connection: 'c1' } }
  const given = admissionOf({ ...duplicate, deadlineMs: ledger.now() + 60_000 })
  proxy.loseAnswerTo('admit').then(() => { proxy.setOpen(false) })
  t.equal((await rejection(ledger.admit(given))).code, 'store-unavailable')
  proxy.setOpen(true)
  await until(() => states.at(-1) === true)
  const retry = admissionOf({ ...duplicate, connection: { replica: 'r1', connection: 'c2' }, deadlineMs: ledger.now() + 5000, lastRound: true })
  t.match(await ledger.admit(retry), { outcome: 'adopted', row: { id: given.id } })
  t.match(await ledger.claim({ claimId: 'c', deadlineMs: ledger.now() + 5000, replica: 'r1', slots: 10 }), { outcome: 'go', row: { id: given.id } })
})

t.test('an answer that stays lost is given to the call that asks with the same id, and evidence is booked once', async t => {
  const server = await startRedis(t)
  const proxy = await startTcpProxy(t, server.port)
  const live = await liveLedger(t, `redis://127.0.0.1:${proxy.port}`)
  const { ledger, states } = live
  const id = await underWay(live)
  await ledger.recordAccepted(id, 1, 'request')

  const given = admissionOf({ deadlineMs: ledger.now() + 60_000 })
  proxy.loseAnswerTo('admit').then(() => { proxy.setOpen(false) })
  const refused = rejection(ledger.admit(given))
  t.ok(await settlesWithin(1000, refused))
  t.equal((await refused).code, 'store-unavailable')
  proxy.setOpen(true)
  await until(() => states.at(-1) === true)
  t.match(await ledger.admit(given), { outcome: 'bought', row: { id: given.id, version: 1 } })

  const lost = proxy.loseAnswerTo('finish')
  t.equal((await rejection(ledger.finish(id, 1, 'request', successOf()))).code, 'store-unavailable')
  await lost
  await until(() => states.at(-1) === true)
  t.match(await ledger.finish(id, 1, 'request', successOf()), { phase: 'succeeded', cost: price })
  t.equal((await ledger.journal(0, ledger.now() + 1000, 10)).length, 1)
  t.match(await ledger.balances(studio), [{ held: price, spent: price }])
  t.same(await ledger.audit(), [])
})

t.test('functions that Redis forgot are loaded again, once for all calls that miss them', async t => {
  const server = await startRedis(t)
  const { ledger } = await liveLedger(t, server.url)
  const redis = plainClient(t, server.url)
  await redis.function('FLUSH')
  await redis.config('RESETSTAT')
  const answers = await Promise.all(Array.from({ length: 64 }, async () => await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 }))))
  t.ok(answers.every(({ outcome }) => outcome === 'bought'))
  t.match(await redis.info('commandstats'), /cmdstat_function\|load:calls=1,/)
})

t.test('where functions cannot be loaded scripts do the same, loaded again when Redis forgot them', async t => {
  const server = await startRedis(t)
  const redis = plainClient(t, server.url)
  // As on a server that knows no functions.
  await redis.call('ACL', 'SETUSER', 'default', '-fcall', '-function')
  const live = await liveLedger(t, server.url)
  const { ledger } = live
  await redis.script('FLUSH')
  await redis.config('RESETSTAT')
  const answers = await Promise.all(Array.from({ length: 64 }, async () => await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 }))))
  t.ok(answers.every(({ outcome }) => outcome === 'bought'))
  t.match(await redis.info('commandstats'), /cmdstat_eval:calls=1,/)
  await redis.config('SET', 'maxmemory', '1mb')
  t.equal((await rejection(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })))).code, 'store-unavailable')
  t.match(await ledger.claim({ claimId: 'c', deadlineMs: ledger.now() + 5000, replica: 'r1', slots: 1 }), { outcome: 'go' })
  t.same(live.troubles, [])
})

t.test('a Redis whose memory is full takes evidence from a process that meets it so', async t => {
  const server = await startRedis(t)
  const before = await liveLedger(t, server.url, { namespace: 'fg' })
  const id = await underWay(before)
  const redis = plainClient(t, server.url)
  await redis.config('SET', 'maxmemory', '1mb')
  await redis.function('FLUSH')
  const { ledger } = await liveLedger(t, server.url, { namespace: 'fg' })
  t.match(await ledger.recordAccepted(id, 1, 'request'), { phase: 'accepted' })
  t.match(await ledger.finish(id, 1, 'request', successOf()), { phase: 'succeeded' })
  t.equal((await rejection(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })))).code, 'store-unavailable')
})

t.test('a subscription that was cut is made again, and listeners are told to look again', async t => {
  const server = await startRedis(t)
  const { ledger } = await liveLedger(t, server.url)
  const told: (Change | 'look-again')[] = []
  ledger.listen(change => { told.push(change) })
  t.equal(await plainClient(t, server.url).call('CLIENT', 'KILL', 'TYPE', 'pubsub'), 1)
  await until(() => told.includes('look-again'))
  const { id } = admissionOf()
  await ledger.admit(admissionOf({ id, deadlineMs: ledger.now() + 5000 }))
  await until(() => told.length > 1)
  t.match(told[1], { id, version: 1, phase: 'waiting' })
})

t.test('a Redis whose memory is full refuses admission, and takes everything else', async t => {
  const server = await startRedis(t)
  // With an hour to answer, so that a refusal that waits for anything never comes.
  const live = await liveLedger(t, server.url, { deadlineMs: 3_600_000 })
  const { ledger } = live
  const id = await underWay(live)
  await plainClient(t, server.url).config('SET', 'maxmemory', '1mb')
  t.equal((await rejection(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 3_600_000 })))).code, 'store-unavailable')
  t.match(await ledger.recordAccepted(id, 1, 'request'), { phase: 'accepted' })
  t.match(await ledger.finish(id, 1, 'request', successOf()), { phase: 'succeeded' })
  t.match(await ledger.read(id, { tenant: 'studio', subject: '' }), { output: /images/ })
  t.match(await ledger.balances(studio), [{ held: 0, spent: price }], 'the refused admission left nothing behind')
  t.same(await ledger.audit(), [])
})

t.test('what a failure tells does not repeat what was sent', async t => {
  const server = await startRedis(t)
  const { ledger } = await liveLedger(t, server.url)
  await plainClient(t, server.url).config('SET', 'maxmemory', '1mb')
  const told = await ledger.admit(admissionOf({ input: '{"prompt":"a secret bicycle"}' })).catch((error: unknown) => inspect(error, { depth: 10, showHidden: true }))
  t.match(told, /OOM/)
  t.notMatch(told, /bicycle/)
})

t.test('a Redis that was emptied is noticed at the next answer', async t => {
  const server = await startRedis(t)
  const live = await liveLedger(t, server.url)
  await underWay(live)
  const told: (Change | 'look-again')[] = []
  live.ledger.listen(change => { told.push(change) })
  await plainClient(t, server.url).flushall()
  await live.ledger.ping()
  t.match(live.rollbacks, [/went back in time/])
  t.ok(told.includes('look-again'))
  await live.ledger.ping()
  t.equal(live.rollbacks.length, 1, 'and told once')
})

t.test('a pause of Redis under load is no rollback, although its answers are not read in their order', async t => {
  const server = await startRedis(t)
  const { ledger, states, rollbacks } = await liveLedger(t, server.url)
  const answered: Promise<unknown>[] = []
  const load = setInterval(() => { answered.push(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 60_000, rate: { max: 10_000, windowSeconds: 60 } })).catch(() => {})) }, 10)
  t.teardown(() => { clearInterval(load) })
  for (let pauses = 1; pauses <= 3; pauses += 1) {
    process.kill(server.pid, 'SIGSTOP')
    // The first call was given up: now those that came after it, and the question whether Redis is there, wait in one socket.
    await until(() => states.filter(up => !up).length === pauses)
    process.kill(server.pid, 'SIGCONT')
    await until(() => states.at(-1) === true)
    await until(() => answered.length > pauses * 200)
  }
  clearInterval(load)
  await Promise.all(answered)
  t.same(rollbacks, [])
})

t.test('one fall of the sequence is one alarm, however many calls were under way', async t => {
  const server = await startRedis(t)
  const live = await liveLedger(t, server.url)
  const { ledger, rollbacks } = live
  await underWay(live)
  await underWay(live)
  await plainClient(t, server.url).flushall()
  await Promise.all([ledger.ping(), ...Array.from({ length: 8 }, async () => await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 }))), ledger.ping()])
  t.equal(rollbacks.length, 1)
  await underWay(live)
  await plainClient(t, server.url).flushall()
  await ledger.ping()
  t.equal(rollbacks.length, 2, 'the next fall is another one')
})

t.test('a Redis that is not there yet is waited for without a word too much', async t => {
  const port = await freePort()
  const { ledger, troubles, states } = await laterLedger(t, port)
  const refused = rejection(ledger.admit(admissionOf()))
  t.ok(await settlesWithin(100, refused), 'at once')
  t.equal((await refused).code, 'store-unavailable')
  const server = await startRedis(t, [], port)
  await until(() => states.at(-1) === true)
  await ledger.ping()
  await server.stop()
  await until(() => states.at(-1) === false)
  t.equal((await rejection(ledger.ping())).code, 'store-unavailable')
  t.same(troubles.filter(operation => operation !== 'reach-redis'), [])
  t.ok(troubles.length <= 4, `${troubles.length} words for two outages of two connections`)
})

/** A ledger whose Redis does not listen yet; its `connect` is given up here and goes on trying. */
async function laterLedger (t: Test, port: number): Promise<LiveLedger> {
  const { createRedisLedger } = await import('../../src/store/redis/ledger.ts')
  const troubles: string[] = []
  const states: boolean[] = []
  const ledger = createRedisLedger({
    url: `redis://127.0.0.1:${port}`,
    times: { resultTtlMs: 1000, queueMs: 1000, runMs: 1000, leaseMs: 1000, largeResultBytes: 268_435_456 },
    onTrouble: operation => { troubles.push(operation) },
    onState: up => { states.push(up) }
  })
  t.teardown(ledger.close)
  ledger.connect().catch(() => {})
  await until(() => troubles.length > 0)
  return { ledger, troubles, rollbacks: [], states }
}
