// Event streams: a generation's whole story, its end delivered, and a way back in after a break.

import { hash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { followAt } from '../support/event-stream.ts'
import { key, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { generationIds, until, untilStatus } from '../support/until.ts'

const later = { headers: { prefer: 'respond-async' } }

t.test('a stream tells every status, the model\'s log, and ends with the output', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const id = String((await gateway.generate({ prompt: 'a story', seed: 1 }, later)).json()['id'])
  const stream = await followAt(gateway.url, id)
  t.equal(stream.status, 200)
  t.equal(stream.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  t.equal(stream.headers.get('cache-control'), 'no-store')
  t.ok(stream.headers.get('x-request-id'))
  await until(() => stream.told('generation').some(({ status }) => status === 'running') && stream.told('log').length === 1)
  release()
  await stream.over
  const states = stream.told('generation').map(({ status }) => status)
  t.same([...new Set(states)], ['queued', 'running', 'succeeded'])
  t.match(stream.told('log'), [{ message: /sandbox/, timestamp: String, level: 'INFO' }])
  const { input, ...whole } = (await gateway.get(`/generations/${id}`)).json()
  t.same(stream.told('generation').at(-1), whole, 'as it is read by id, without its input')
  t.match(whole, { output: { images: [{ url: String }] } })
  t.equal(stream.events.at(-1)?.event, 'generation')
  t.ok(stream.told('generation').slice(0, -1).every(({ output }) => output === null))
})

t.test('a stream ends when its key is revoked, and others of the tenant go on', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'falgate-events-'))
  t.teardown(() => { rmSync(dir, { recursive: true }) })
  const tenantsFile = join(dir, 'tenants.json')
  const keyOf = (id: string): object => ({ id, sha256: hash('sha256', `secret-of-${id}`) })
  const before = { tenants: [{ id: 'studio', keys: [keyOf('studio'), keyOf('second')] }] }
  writeFileSync(tenantsFile, JSON.stringify(before))
  const gateway = await startGateway(t, { tenants: before, config: { tenantsFile }, env: { EVENT_HEARTBEAT_SECONDS: '1' } })
  const release = gateway.sandbox.faults.holdJobs()
  const id = String((await gateway.generate({ prompt: 'a leaver\'s', seed: 1 }, later)).json()['id'])
  const revoked = await followAt(gateway.url, id)
  const other = await followAt(gateway.url, id, { key: key('second') })
  await until(() => [revoked, other].every(stream => stream.told('generation').some(({ status }) => status === 'running')))
  writeFileSync(tenantsFile, JSON.stringify({ tenants: [{ id: 'studio', keys: [keyOf('second')] }] }))
  await gateway.reload()
  await revoked.over
  t.match(revoked.comments.at(-1), /the key is not in force any more/)
  t.ok(revoked.told('generation').every(({ output }) => output === null))
  release()
  await other.over
  t.match(other.told('generation').at(-1), { status: 'succeeded' })
})

t.test('what has ended is one event', async t => {
  const gateway = await startGateway(t)
  const id = String((await gateway.generate({ prompt: 'done', seed: 1 })).headers.get('falgate-generation'))
  const stream = await followAt(gateway.url, id)
  await stream.over
  t.match(stream.told('generation'), [{ status: 'succeeded' }])
  t.equal(stream.told('generation').length, 1)
})

t.test('a failure is told with its problem', async t => {
  const gateway = await startGateway(t)
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation' })
  const id = String((await gateway.generate({ prompt: 'refused', seed: 1 }, later)).json()['id'])
  const stream = await followAt(gateway.url, id)
  await stream.over
  t.match(stream.told('generation').at(-1), { status: 'failed', error: { code: 'content-refused', request_id: stream.headers.get('x-request-id') } })
})

t.test('the position in our own queue is told while it moves', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 1 })] } })
  const holds = [gateway.sandbox.faults.holdJobs()]
  const ids: string[] = []
  for (const prompt of ['first', 'second', 'third']) {
    ids.push(String((await gateway.generate({ prompt, seed: 1 }, later)).json()['id']))
    await gateway.sandbox.bill.untilAccepted(1)
  }
  const stream = await followAt(gateway.url, ids[2] ?? '')
  await until(() => stream.told('generation').some(({ queue_position: position }) => position === 1))
  t.match((await gateway.get(`/generations/${ids[2]}`)).json(), { status: 'queued', queue_position: 1 })
  t.equal((await gateway.post(`/generations/${ids[1]}/cancel`)).status, 200)
  await until(() => stream.told('generation').some(({ queue_position: position }) => position === 0))
  for (const release of holds) release()
  await stream.over
  t.match(stream.told('generation').at(-1), { status: 'succeeded', queue_position: null })
})

t.test('a client that comes back with Last-Event-ID gets no line twice, and 204 after the last state', async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const id = String((await gateway.generate({ prompt: 'a break', seed: 1 }, later)).json()['id'])
  const first = await followAt(gateway.url, id)
  await until(() => first.told('log').length === 1)
  const { id: lastEventId = '' } = first.events.at(-1) ?? {}
  first.leave()
  const second = await followAt(gateway.url, id, { lastEventId })
  await until(() => second.told('generation').length > 0)
  release()
  await second.over
  t.same(second.told('log'), [])
  t.match(second.told('generation').at(-1), { status: 'succeeded' })
  const third = await followAt(gateway.url, id, { lastEventId: second.events.at(-1)?.id ?? '' })
  t.equal(third.status, 204)
  for (const odd of ['nonsense', '1.0', '9.9.failed', '99999999999999999999.1']) {
    const again = await followAt(gateway.url, id, { lastEventId: odd })
    await again.over
    t.match(again.told('generation'), [{ status: 'succeeded' }], odd)
  }
})

t.test('the end of a stream delivers: the same request buys again; a stream that was left does not', async t => {
  const gateway = await startGateway(t)
  for (const reads of [false, true]) {
    const release = gateway.sandbox.faults.holdJobs()
    const prompt = `reads ${reads}`
    const leaving = new AbortController()
    const accepted = gateway.sandbox.bill.accepted
    const call = gateway.generate({ prompt }, { signal: leaving.signal })
    await gateway.sandbox.bill.untilAccepted(accepted + 1)
    const [id = ''] = await generationIds(gateway)
    const stream = await followAt(gateway.url, id)
    leaving.abort()
    await t.rejects(call)
    await until(() => stream.told('generation').length > 0)
    if (!reads) stream.leave()
    release()
    if (reads) await stream.over
    else await untilEndedInList(id)
    const again = await gateway.generate({ prompt })
    t.match(again.headers.get('cache-status'), reads ? /detail=bought/ : /detail=adopted/)
  }

  /** Reading it by id would deliver it. */
  async function untilEndedInList (id: string): Promise<void> {
    await until(async () => (await gateway.get('/generations?status=succeeded')).text.includes(id))
  }
})

t.test('other people\'s generations, and those that are none, cannot be followed; nor is there a HEAD', async t => {
  const gateway = await startGateway(t)
  const id = String((await gateway.generate({ prompt: 'mine', seed: 1 })).headers.get('falgate-generation'))
  for (const [path, asked] of [[id, key('press')], ['nothing', STUDIO_KEY]] as const) {
    const reply = await gateway.get(`/generations/${path}/events`, { key: asked })
    t.equal(reply.status, 404)
    t.equal(reply.json()['code'], 'no-such-generation')
  }
  const head = await fetch(`${gateway.url}/generations/${id}/events`, { method: 'HEAD', headers: { authorization: `Bearer ${STUDIO_KEY}` } })
  t.equal(head.status, 405)
})

t.test('a silent stream beats, and counts as open', async t => {
  const gateway = await startGateway(t, { config: { events: { heartbeatMs: 20, idleTimeoutMs: 30_000 } } })
  gateway.sandbox.faults.holdJobs()
  const id = String((await gateway.generate({ prompt: 'slow', seed: 1 }, later)).json()['id'])
  const stream = await followAt(gateway.url, id)
  await until(() => stream.comments.filter(comment => comment === 'beat').length > 2)
  t.match((await gateway.get('/metrics', { key: null })).text, /^falgate_event_streams 1$/m)
  stream.leave()
  await until(async () => /^falgate_event_streams 0$/m.test((await gateway.get('/metrics', { key: null })).text))
})

t.test('a process that shuts down ends its streams at once, so that readers go on elsewhere', async t => {
  const gateway = await startGateway(t, { config: { waitMs: 1000 } })
  gateway.sandbox.faults.holdJobs()
  const id = String((await gateway.generate({ prompt: 'slow', seed: 1 }, later)).json()['id'])
  await untilStatus(gateway, id, 'running')
  const stream = await followAt(gateway.url, id)
  await until(() => stream.told('generation').length > 0)
  const closed = gateway.close()
  await stream.over
  t.equal(stream.comments.at(-1), 'this process shuts down, connect again')
  t.match(stream.told('generation').at(-1), { status: 'running' })
  await closed
})
