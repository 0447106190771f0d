// What only a real Redis shows: its own clock and key ends, ACL users, replicas that talk to each other, a cluster.

import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import t from 'tap'
import { Problem } from '../../src/errors.ts'
import { ledgerConstants } from '../../src/generation/ledger-constants.ts'
import type { StoreFaultChange } from '../../src/store-faults.ts'
import { clusterAt, clusterOf } from '../../src/store/redis/clients.ts'
import { slotOf } from '../../src/store/redis/cluster.ts'
import { inspect as lookAt } from '../../src/store/redis/inspect.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { meaningOf } from '../../src/store/redis/redis-errors.ts'
import { countCommands } from '../../src/store/redis/script.ts'
import { admissionOf, freshId, never, successOf, ticketOf, times, tokenOf } from '../support/admission.ts'
import { moveSlot, startCluster } from '../support/redis-cluster.ts'
import { freshNamespace, liveLedger, plainClient, rejection } from '../support/redis-store.ts'
import { aclRules, clusterRights, redisUrl, startRedis } from '../support/redis.ts'
import { settlesWithin } from '../support/timers.ts'
import { until } from '../support/until.ts'

const studio = { tenant: 'studio', subject: '' }
const hour = 3_600_000

t.test('the clock is Redis\' own, known before the first call, and never goes back', async t => {
  const redis = plainClient(t, await redisUrl())
  const redisMs = async (): Promise<number> => {
    const [seconds, microseconds] = await redis.time()
    return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
  }
  const beforeMs = await redisMs()
  const { ledger } = await liveLedger(t, await redisUrl())
  const firstMs = ledger.now()
  t.ok(beforeMs <= firstMs, 'not before what Redis told before')
  t.ok(firstMs <= await redisMs(), 'and not ahead of it')
  let latestMs = 0
  for (let count = 0; count < 200; count += 1) {
    const nowMs = ledger.now()
    t.ok(Number.isInteger(nowMs))
    if (nowMs < latestMs) t.fail(`${latestMs} was followed by ${nowMs}`)
    latestMs = nowMs
    if (count % 10 === 0) await ledger.ping()
  }
})

t.test('a deadline is judged on Redis\' clock', async t => {
  const { ledger } = await liveLedger(t, await redisUrl())
  const given = admissionOf({ deadlineMs: ledger.now() - 1 })
  t.same(await ledger.admit(given), { outcome: 'refused', why: 'late' })
  t.same(await ledger.claim({ claimId: 'c', deadlineMs: ledger.now() - 1, replica: 'r1', slots: 1 }), { outcome: 'late' })
  t.match(await ledger.admit({ ...given, deadlineMs: ledger.now() + 1000 }), { outcome: 'bought' })
})

t.test('what has an end is ended by Redis itself', async t => {
  const namespace = freshNamespace()
  const { ledger } = await liveLedger(t, await redisUrl(), { namespace })
  const redis = plainClient(t, await redisUrl())
  const leftMs = async (key: string): Promise<number> => await redis.pttl(`{${namespace}}:${key}`)
  const about = async (key: string, ms: number): Promise<void> => {
    const left = await leftMs(key)
    t.ok(left <= ms + 1 && left > ms - 5000, `${key} has ${left} ms left`)
  }
  const deadlineMs = ledger.now() + 60_000
  const { id } = admissionOf()
  await ledger.admit(admissionOf({ id, deadlineMs, cacheName: 'cache', idempotency: { name: 'key', fingerprint: 'f' } }))
  const joiner = admissionOf({ tenant: 'agency', deadlineMs, cacheName: 'cache' })
  t.match(await ledger.admit(joiner), { outcome: 'joined', row: { id: joiner.id, purchase: id } })
  await about('n:key', 24 * hour)
  await about(`g:${joiner.id}`, times.queueMs + times.runMs + times.resultTtlMs)
  await about(`a:${joiner.id}`, 60_000)
  t.equal(await leftMs('n:cache'), -1, 'a cache name lives as long as its row')
  t.equal(await leftMs(`g:${id}`), -1)
  await ledger.mint(tokenOf({ expiresAtMs: ledger.now() + hour }))
  await about('tok:tok1', hour + ledgerConstants.tokenKeptMs)
  await about('toks:studio', hour)
  await ledger.issueTicket(ticketOf({ expiresAtMs: ledger.now() + 60_000 }))
  await about('ticket:digest', 60_000)

  const period = new Date(ledger.now()).toISOString().slice(0, 7)
  t.equal(await leftMs(`m:studio:${period}`), -1, 'a book that holds money does not end')
  await ledger.claim({ claimId: 'c', deadlineMs, replica: 'r1', slots: 1 })
  await ledger.finish(id, 1, 'request', successOf())
  await about(`m:studio:${period}`, 92 * 24 * hour)
  t.same(await ledger.audit(), [])
})

t.test('texts and numbers come back as they went in', async t => {
  const { ledger } = await liveLedger(t, await redisUrl())
  const price = 4_000_000_000_000_001
  const input = '{"prompt":"ein rötes Fahrrad 🚲 \\ud800 \\u0000 \u0000","n":1.0}'
  const output = '{"seed":9007199254740993,"s":"\\u0000 \u2028 😀","x":1e3, "empty":""}'
  const budgets = [{ owner: 'studio', limit: 9_000_000_000_000_000, per: 'day' }] as const
  const given = admissionOf({ input, price, budgets, seed: '18446744073709551615', deadlineMs: ledger.now() + 5000, cacheGroup: '', connection: { replica: 'r', connection: '' } })
  const failure = { code: 'content-refused', detail: 'No \ud800 "quotes"', errors: [{ path: '', message: '', code: 'x', ctx: { le: 1 } }] } as const
  t.match(await ledger.admit(given), { outcome: 'bought', row: { input, price, seed: '18446744073709551615', cacheGroup: '', token: null, connection: { connection: '' } } })
  await ledger.claim({ claimId: 'c', deadlineMs: ledger.now() + 5000, replica: 'r1', slots: 1 })
  t.match(await ledger.recordUnknown(given.id, 1, null, failure), { failure })
  t.match(await ledger.balances([{ owner: 'studio', per: 'day' }]), [{ held: price }])
  t.match(await ledger.finish(given.id, 1, 'request', successOf({ output, seed: '9007199254740993', cost: price + 1 })), { output, seed: '9007199254740993', cost: price + 1, requestId: 'request' })
  t.match(await ledger.balances([{ owner: 'studio', per: 'day' }]), [{ held: 0, spent: price + 1 }])
  t.match(await ledger.journal(0, ledger.now() + 1000, 5), [{ amount: price }, { amount: 1, kind: 'correction', requestId: 'request' }])
  t.same(await ledger.audit(), [])
})

t.test('a result above 256 KiB lies aside in pieces; its row keeps no output, and no name leads to it', async t => {
  const { ledger } = await liveLedger(t, await redisUrl())
  const deadlineMs = ledger.now() + 60_000
  const id = freshId()
  await ledger.admit(admissionOf({ id, deadlineMs, cacheName: 'cache' }))
  await ledger.claim({ claimId: 'c', deadlineMs, replica: 'r1', slots: 1 })
  const output = JSON.stringify({ text: 'ä'.repeat(600_000) })
  const row = await ledger.finish(id, 1, 'request', successOf({ output, learnedName: 'learned' }))
  t.ok(row?.output === output)
  t.match(row, { phase: 'succeeded', requestId: 'request', seed: '42' })
  t.match(await ledger.getMany([id]), [{ phase: 'succeeded', output: null, requestId: 'request' }])
  t.ok(await ledger.aside(id) === output)
  t.equal(await ledger.lookup('cache'), null)
  t.equal(await ledger.lookup('learned'), null)
  t.match(await ledger.admit(admissionOf({ deadlineMs, cacheName: 'cache' })), { outcome: 'bought' })
  t.same(await ledger.audit(), [])
})

t.test('replicas ask each other who is still there, and hear of each other\'s changes', async t => {
  const namespace = freshNamespace()
  const one = await liveLedger(t, await redisUrl(), { namespace })
  const two = await liveLedger(t, await redisUrl(), { namespace })
  one.ledger.answerOpen('r1', connection => connection !== 'c2')
  await until(async () => (await two.ledger.askOpen('r1', ['c1'])).size === 1)
  t.same(await two.ledger.askOpen('r1', ['c1', 'c2', 'c3']), new Set(['c1', 'c3']))
  const unheard = two.ledger.askOpen('r9', ['c1'])
  t.ok(await settlesWithin(600, unheard))
  t.same(await unheard, new Set(), 'no answer means none')
  const woken = new Promise(resolve => { two.ledger.listen(resolve) })
  const { id } = admissionOf()
  await one.ledger.admit(admissionOf({ id, deadlineMs: one.ledger.now() + 5000 }))
  t.match(await woken, { id, version: 1, phase: 'waiting', queuePosition: 0 })
})

t.test('an ACL user with few rights is enough, and a wrong password is told without it', async t => {
  const server = await startRedis(t)
  const root = plainClient(t, server.url)
  const password = 'p@ss:w/rd %&'
  await root.call('ACL', 'SETUSER', 'gate', ...aclRules({ password, namespace: 'fg' }))
  await root.call('ACL', 'SETUSER', 'default', 'off')
  const url = (secret: string): string => `redis://gate:${encodeURIComponent(secret)}@127.0.0.1:${server.port}`
  const { ledger, troubles } = await liveLedger(t, url(password), { namespace: 'fg' })
  const { id } = admissionOf()
  t.match(await ledger.admit(admissionOf({ id, deadlineMs: ledger.now() + 5000, idempotency: { name: 'key', fingerprint: 'f' } })), { outcome: 'bought' })
  await ledger.sweep('r1', 10)
  t.match(await ledger.cancel(id, { tenant: 'studio', subject: '' }), { outcome: 'cancelled' })
  t.same(troubles, [])

  const told: string[] = []
  const stranger = createRedisLedger({ url: url('another'), times, onTrouble: (_, error) => { told.push(inspect(error, { depth: 10, showHidden: true })) } })
  t.teardown(stranger.close)
  const refused = rejection(stranger.connect())
  await until(() => told.length > 0)
  t.match(told[0], /WRONGPASS/)
  t.notMatch(told.join(), /another/)
  await stranger.close()
  t.equal((await refused).code, 'store-unavailable')
})

t.test('in a cluster the same rights are enough, and one more for the slots', async t => {
  const nodes = await startCluster(t)
  for (const { port } of nodes) await plainClient(t, `redis://127.0.0.1:${port}`).call('ACL', 'SETUSER', 'gate', ...aclRules({ password: 'secret', namespace: 'fg' }), ...clusterRights)
  const asGate = clusterOf(nodes, { username: 'gate', password: 'secret' })
  const { ledger, troubles } = await liveLedger(t, asGate, { namespace: 'fg' })
  t.match(await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })), { outcome: 'bought' })
  t.same(troubles, [])

  for (const { port } of nodes) await plainClient(t, `redis://127.0.0.1:${port}`).call('ACL', 'SETUSER', 'gate', '-cluster')
  const told: string[] = []
  const lacking = createRedisLedger({ url: asGate, times, namespace: 'fg', onTrouble: (_, error) => { told.push(String(error)) } })
  t.teardown(lacking.close)
  lacking.connect().catch(() => {})
  await until(() => told.length > 0)
  t.match(told[0], /NOPERM .*cluster\|slots/, 'what lacks is named')
})

t.test('a password that is replaced is shown on new connections, also to nodes of a cluster', async t => {
  const nodes = await startCluster(t)
  const admins = nodes.map(({ port }) => plainClient(t, `redis://127.0.0.1:${port}`))
  const setPassword = async (password: string): Promise<void> => {
    for (const admin of admins) await admin.call('ACL', 'SETUSER', 'gate', 'on', 'resetpass', '>' + password, '~*', '&*', '+@all')
  }
  const urlWith = (password: string): string => `redis://gate:${password}@127.0.0.1:${nodes[0]?.port}`
  await setPassword('old-password')
  const server = clusterAt(urlWith('old-password'))
  const { ledger, states } = await liveLedger(t, server)
  t.match(await ledger.admit(admissionOf({ deadlineMs: never })), { outcome: 'bought' })
  await setPassword('new-password')
  server.renew({ url: urlWith('new-password'), ca: null })
  for (const admin of admins) await admin.call('CLIENT', 'KILL', 'USER', 'gate')
  await until(() => states.includes(false) && states.at(-1) === true)
  t.match(await ledger.admit(admissionOf({ deadlineMs: never })), { outcome: 'bought' })
})

t.test('a cluster that is down is told, and is used again when it is up', async t => {
  const nodes = await startCluster(t)
  // The node that has the ledger lacks another slot: it serves none.
  const [at = 0, slot = 0] = slotOf('{fg}:glob') <= 5460 ? [0, 5460] : slotOf('{fg}:glob') <= 10_922 ? [1, 10_922] : [2, 16_383]
  const owner = plainClient(t, `redis://127.0.0.1:${nodes[at]?.port}`)
  await owner.call('CLUSTER', 'DELSLOTS', slot)
  await until(async () => /cluster_state:fail/.test(String(await owner.call('CLUSTER', 'INFO'))))
  const told: string[] = []
  const ledger = createRedisLedger({ url: clusterOf(nodes), times, namespace: 'fg', onTrouble: (_, error) => { told.push(String(error)) } })
  t.teardown(ledger.close)
  const connecting = ledger.connect()
  connecting.catch(() => {})
  // ioredis asks other nodes, too, within the deadline or not: what was said last is the cluster's or the connection's word.
  await until(() => told.length > 0)
  await owner.call('CLUSTER', 'ADDSLOTS', slot)
  await until(async () => await ledger.ping().then(() => true, () => false))
  t.notMatch(told.join(), /nothing is bought/, 'the reason is told, not what callers hear')
})

t.test('a ledger is in the database that its URL names, also after its connections were lost', async t => {
  const server = await startRedis(t)
  const { ledger, states } = await liveLedger(t, `${server.url}/3`)
  const admit = async (): Promise<unknown> => await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 }))
  t.match(await admit(), { outcome: 'bought' })
  const redis = plainClient(t, server.url)
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
  await until(() => states.includes(false) && states.at(-1) === true)
  t.match(await admit(), { outcome: 'bought' })
  t.match(await redis.info('keyspace'), /^# Keyspace\r\ndb3:[^]*$/)
  t.notMatch(await redis.info('keyspace'), 'db0')
  t.same(await ledger.audit(), [])
})

t.test('a user who may not run every command of the ledger buys nothing, and is told which ones it lacks, at start and by `check`', async t => {
  const server = await startRedis(t)
  const root = plainClient(t, server.url)
  await root.call('ACL', 'SETUSER', 'gate', ...aclRules({ password: 'secret', namespace: 'fg' }), '+eval', '-rpush', '-subscribe')
  const url = `redis://gate:secret@127.0.0.1:${server.port}`
  const changes: StoreFaultChange[] = []
  const options = { url, times, namespace: 'fg', lookEveryMs: 20, onFault: (one: StoreFaultChange) => { changes.push(one) } }
  // Without the right to subscribe it is never connected.
  const ledger = createRedisLedger(options)
  t.teardown(ledger.close)
  const connected = ledger.connect().then(() => true, () => false)
  await until(() => changes.some(({ fault }) => fault === 'rights'))
  t.match(changes.find(({ fault }) => fault === 'rights'), { isThere: true, sentence: /may not run RPUSH, SUBSCRIBE .*allow its user \+rpush \+subscribe/ })
  t.equal((await rejection(ledger.admit(admissionOf({ deadlineMs: Date.now() + 5000 })))).code, 'store-unfit')
  t.same(await root.keys('*'), [], 'nothing is written')
  const looked = await lookAt(url, { namespace: 'fg', accounts: [{ kind: 'fal', name: 'main' }], withinMs: 2000 })
  t.match(looked.isReached && looked.faults.get('rights'), /RPUSH, SUBSCRIBE/)

  await root.call('ACL', 'SETUSER', 'gate', '+rpush', '+subscribe')
  await until(() => changes.at(-1)?.isThere === false)
  t.match(await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })), { outcome: 'bought' })
  await connected

  t.same(countCommands(), ['GET', 'HSTRLEN', 'SCAN', 'ZSCAN'], 'as help and docs say')
  await t.rejects(ledger.recount({ isMending: true }), { message: /may not run GET, HSTRLEN, SCAN, ZSCAN/ })
  await root.call('ACL', 'SETUSER', 'gate', '+get', '+hstrlen', '+scan', '+zscan')
  t.same((await ledger.recount({ isMending: true })).differences, [])

  await root.call('ACL', 'SETUSER', 'gate', 'resetchannels')
  await until(() => changes.at(-1)?.isThere === true)
  t.match(changes.at(-1)?.sentence, /PUBLISH, SUBSCRIBE/)
})

for (const [title, rule, why] of [['is not there', '+select', 'ERR DB index is out of range'], ['may not be selected', '-select', /NOPERM/]] as const) {
  t.test(`a database that ${title} is told by name, and nothing is written into another one`, async t => {
    const server = await startRedis(t, ['--databases', '4'])
    const redis = plainClient(t, server.url)
    await redis.call('ACL', 'SETUSER', 'default', rule)
    const told: string[] = []
    const ledger = createRedisLedger({ url: `${server.url}/9`, times, onTrouble: (_, error) => { told.push(String(error)) } })
    t.teardown(ledger.close)
    ledger.connect().catch(() => {})
    await until(() => told.length > 0)
    t.match(told[0], /REDIS_URL: .*database 9/)
    t.match(told[0], why)
    t.equal((await rejection(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })))).code, 'store-unavailable')
    t.equal(await redis.dbsize(), 0)
  })
}

t.test('a database that may not be selected any more, once connections were lost, is not replaced by another', async t => {
  const server = await startRedis(t)
  const told: string[] = []
  const { ledger, states } = await liveLedger(t, `${server.url}/3`, { onTrouble: (_, error) => { told.push(String(error)) } })
  const redis = plainClient(t, server.url)
  await redis.call('ACL', 'SETUSER', 'default', '-select')
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
  await until(() => told.some(text => text.includes('REDIS_URL: ') && text.includes('database 3')))
  t.equal((await rejection(ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })))).code, 'store-unavailable')
  await redis.call('ACL', 'SETUSER', 'default', '+select')
  await until(() => states.at(-1) === true)
  t.match(await ledger.admit(admissionOf({ deadlineMs: ledger.now() + 5000 })), { outcome: 'bought' })
  t.notMatch(await redis.info('keyspace'), 'db0')
})

t.test('everything stays in one slot of a cluster', async t => {
  const nodes = await startCluster(t)
  // In each of a few namespaces the slot, and so the node, is another one.
  for (const namespace of ['fg', 'a', 'b', 'c']) {
    const { ledger } = await liveLedger(t, clusterOf(nodes), { namespace })
    const deadlineMs = ledger.now() + 60_000
    const changes: string[] = []
    ledger.listen(change => { if (change !== 'look-again') changes.push(change.phase) })
    await ledger.mint(tokenOf())
    const { id } = admissionOf()
    const given = { deadlineMs, subject: 'visitor', token: 'tok1', cacheName: 'cache', duplicateName: 'duplicate', idempotency: { name: 'key', fingerprint: 'f' } }
    t.match(await ledger.admit(admissionOf({ ...given, id })), { outcome: 'bought' })
    t.match(await ledger.admit(admissionOf({ tenant: 'agency', deadlineMs, cacheName: 'cache' })), { outcome: 'joined' })
    t.match(await ledger.claim({ claimId: 'c', deadlineMs, replica: 'r1', slots: 1 }), { outcome: 'go', row: { id } })
    await ledger.recordAccepted(id, 1, 'request')
    await ledger.breaker('*', { state: 'open', retryAfterMs: 1000 })
    t.match(await ledger.finish(id, 1, 'request', successOf({ learnedName: 'learned' })), { phase: 'succeeded', stored: true })
    t.match(await ledger.renew('r1', []), { gone: [] })
    await ledger.sweep('r1', 10)
    t.match(await ledger.list(studio, { limit: 5, cursor: null, status: null }), { rows: [] })
    t.equal((await ledger.journal(0, ledger.now() + 1000, 5)).length, 1)
    t.same(await ledger.audit(), [])
    await until(() => changes.includes('succeeded'))
  }
})

/** As many as the test asks for in a round. */
const OPERATIONS_WHILE_MOVING = 7

t.test('while a cluster moves the slot every call is refused before it begins, as not now, and nothing is half done; then all goes on', async t => {
  const nodes = await startCluster(t)
  const namespace = freshNamespace()
  const { ledger, troubles, rollbacks } = await liveLedger(t, clusterOf(nodes), { namespace })
  const deadlineMs = never
  const { id } = admissionOf()
  await ledger.admit(admissionOf({ id, cacheName: 'cache', deadlineMs }))
  await ledger.admit(admissionOf({ deadlineMs }))
  await ledger.claim({ claimId: 'c', deadlineMs, replica: 'r1', slots: 1 })

  const begun = new AbortController()
  const over = new AbortController()
  let refusals = 0
  // However slow the machine is, every operation is tried between two keys.
  const afterEach = async (): Promise<void> => {
    const before = refusals
    await until(() => refusals >= before + OPERATIONS_WHILE_MOVING)
  }
  const moved = moveSlot(t, nodes, { slot: slotOf(`{${namespace}}:`), pace: { afterEach }, onBegun: () => { begun.abort() }, onMoved: () => { over.abort() } })
  await until(() => begun.signal.aborted)
  while (!over.signal.aborted) {
    const answers = await Promise.allSettled([
      ledger.admit(admissionOf({ deadlineMs })), ledger.claim({ claimId: freshId(), deadlineMs, replica: 'r1', slots: 9 }), ledger.recordAccepted(id, 1, 'request'),
      ledger.read(id, studio), ledger.lookup('cache'), ledger.list(studio, { limit: 5, cursor: null, status: null }), ledger.sweep('r1', 10)
    ])
    if (over.signal.aborted) break
    for (const answer of answers) {
      if (answer.status === 'fulfilled') t.fail('something was done')
      else if (!(answer.reason instanceof Problem) || answer.reason.code !== 'store-unavailable') throw answer.reason
      else refusals += 1
    }
    await setImmediate()
  }
  t.ok(await moved > 10)
  await until(async () => await ledger.ping().then(() => true, () => false))
  t.same(troubles, ['use-redis'], 'one word for the move')
  t.same(rollbacks, [])
  t.match(await ledger.recordAccepted(id, 1, 'request'), { phase: 'accepted' })
  t.match(await ledger.admit(admissionOf({ deadlineMs })), { outcome: 'bought' })
  t.same(await ledger.audit(), [])
})

t.test('a script that a move stopped half-way is "not now", in the words of Redis and of Valkey', t => {
  for (const message of [
    'ERR Script attempted to access a non local key in a cluster node script: falgate, on @user_function:1.',
    'ERR Attempted to access a non local key in a cluster node script: falgate, on @user_function:1.',
    'TRYAGAIN Multiple keys request during rehashing of slot',
    'Too many Cluster redirections. Last error: ReplyError: TRYAGAIN Multiple keys request during rehashing of slot'
  ]) t.match(meaningOf(new Error(message)), { name: 'Unusable', code: 'store-unavailable', isPassing: true })
  const fault = new Error('ERR user_function:7: attempt to index a nil value')
  t.equal(meaningOf(fault), fault)
  t.end()
})
