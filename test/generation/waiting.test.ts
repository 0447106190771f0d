// Callers wait, leave, come back; the generation goes on and is bought once.

import net from 'node:net'
import t from 'tap'
import { key, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { generationIds, until, untilStatus } from '../support/until.ts'

// Most of their time is pauses of the code, so they wait together.
t.jobs = 6
const together = { buffered: true }

t.test('a caller that leaves loses nothing: the generation goes on and is collected by id', together, async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const call = gateway.generate({ prompt: 'left behind', seed: 1 }, { signal: leaving.signal })
  await gateway.sandbox.bill.untilAccepted(1)
  leaving.abort()
  await t.rejects(call)
  const [id = ''] = await generationIds(gateway)
  await untilStatus(gateway, id, 'running')
  release()
  const generation = await untilStatus(gateway, id, 'succeeded')
  t.match(generation, { output: { images: [{ url: String }], seed: 1 }, cost_usd: 0.06, error: null, seed: '1' })
  t.ok(String(generation['created_at']) <= String(generation['started_at']))
  t.ok(String(generation['started_at']) <= String(generation['finished_at']))
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('one of many waiting callers leaves, and the others get their picture', together, async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const first = gateway.generate({ prompt: 'together', seed: 1 }, { signal: leaving.signal })
  await gateway.sandbox.bill.untilAccepted(1)
  const second = gateway.generate({ prompt: 'together', seed: 1 })
  const third = await gateway.generate({ prompt: 'together', seed: 1 }, { headers: { prefer: 'respond-async' } })
  t.equal(third.headers.get('cache-status'), 'falgate; fwd=miss; collapsed; detail=joined')
  leaving.abort()
  await t.rejects(first)
  release()
  t.equal((await second).status, 200)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('time up: 504 still-running, and the same request again collects', together, async t => {
  const gateway = await startGateway(t, { config: { waitMs: 50 } })
  const release = gateway.sandbox.faults.holdJobs()
  const first = await gateway.generate({ prompt: 'slow', seed: 1 })
  t.equal(first.status, 504)
  const { code, generation_id: id } = first.json()
  t.equal(code, 'still-running')
  t.equal(first.headers.get('location'), `/generations/${String(id)}`)
  t.equal(first.headers.get('falgate-generation'), id)
  t.ok(Number(first.headers.get('retry-after')) > 0)
  release()
  await untilStatus(gateway, String(id), 'succeeded')
  const again = await gateway.generate({ prompt: 'slow', seed: 1 })
  t.equal(again.status, 200)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('an unseeded request whose time was up is collected by the same request, and only once', together, async t => {
  const gateway = await startGateway(t, { config: { waitMs: 50 } })
  const release = gateway.sandbox.faults.holdJobs()
  const first = await gateway.generate({ prompt: 'slow' })
  t.equal(first.status, 504)
  const id = String(first.json()['generation_id'])
  release()
  await until(async () => gateway.sandbox.bill.billedUnits === 1)
  const again = await until(async () => {
    const reply = await gateway.generate({ prompt: 'slow' })
    return reply.status !== 504 && reply
  })
  t.equal(again.headers.get('falgate-generation'), id)
  t.match(again.headers.get('cache-status'), /detail=adopted/)
  t.equal(again.headers.get('falgate-cost-usd'), '0')
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('Prefer: respond-async is answered at once, with the place to collect', together, async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const accepted = await gateway.generate({ prompt: 'later', seed: 1 }, { headers: { prefer: 'respond-async' } })
  t.equal(accepted.status, 202)
  t.equal(accepted.headers.get('preference-applied'), 'respond-async')
  const generation = accepted.json()
  t.equal(accepted.headers.get('location'), `/generations/${String(generation['id'])}`)
  t.match(generation, { status: 'queued', model: 'fal-ai/imagen4/preview/ultra', input: { prompt: 'later' }, output: null, cost_usd: null, finished_at: null })
  release()
  t.match(await untilStatus(gateway, String(generation['id']), 'succeeded'), { output: { seed: 1 } })
  const done = await gateway.generate({ prompt: 'later', seed: 1 }, { headers: { prefer: 'respond-async' } })
  t.equal(done.status, 200, 'what is done needs no 202')
})

t.test('Prefer: wait=n waits so long and is then a 202', together, async t => {
  const gateway = await startGateway(t)
  const quick = await gateway.generate({ prompt: 'quick', seed: 1 }, { headers: { prefer: 'wait=20' } })
  t.equal(quick.status, 200)
  gateway.sandbox.faults.holdJobs()
  const slow = await gateway.generate({ prompt: 'slow', seed: 1 }, { headers: { prefer: 'respond-async, wait=1' } })
  t.equal(slow.status, 202)
  t.equal(slow.headers.get('preference-applied'), 'respond-async, wait=1')
})

t.test('the same Idempotency-Key is one purchase, while it runs and afterwards; another body is refused', together, async t => {
  const gateway = await startGateway(t)
  const headers = { 'idempotency-key': 'order-1' }
  const release = gateway.sandbox.faults.holdJobs()
  const calls = [gateway.generate({ prompt: 'once' }, { headers })]
  await gateway.sandbox.bill.untilAccepted(1)
  calls.push(gateway.generate({ prompt: 'once' }, { headers }))
  release()
  const [first, second] = await Promise.all(calls)
  const third = await gateway.generate({ prompt: 'once' }, { headers })
  t.equal(second?.text, first?.text)
  t.equal(third.text, first?.text)
  t.equal(first?.headers.get('idempotent-replayed'), null)
  t.equal(third.headers.get('idempotent-replayed'), 'true')
  t.match(third.headers.get('cache-status'), /detail=replayed/)
  const other = await gateway.generate({ prompt: 'another' }, { headers })
  t.equal(other.status, 422)
  t.equal(other.json()['code'], 'idempotency-key-reused')
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('a connection cut after acceptance costs nothing: the same body again gets the picture', together, async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const cut = gateway.generate({ prompt: 'blind retry' }, { signal: leaving.signal })
  await gateway.sandbox.bill.untilAccepted(1)
  leaving.abort()
  await t.rejects(cut)
  const retry = gateway.generate({ prompt: 'blind retry' })
  release()
  t.equal((await retry).status, 200)
  t.match((await retry).headers.get('cache-status'), /detail=adopted/)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('HEAD shows no picture, so it delivers none', together, async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const cut = gateway.generate({ prompt: 'head' }, { signal: leaving.signal })
  await gateway.sandbox.bill.untilAccepted(1)
  leaving.abort()
  await t.rejects(cut)
  release()
  const [id = ''] = await generationIds(gateway)
  await until(async () => (await gateway.get('/generations?status=succeeded')).text.includes(id))
  await fetch(`${gateway.url}/generations/${id}`, { method: 'HEAD', headers: { authorization: `Bearer ${STUDIO_KEY}` } })
  t.match((await gateway.generate({ prompt: 'head' })).headers.get('cache-status'), /detail=adopted/)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('requests that are pipelined behind another are left with their connection, and cost nothing again', together, async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const { hostname, port } = new URL(gateway.url)
  const socket = net.connect(Number(port), hostname)
  const bodies = ['{"prompt":"first"}', '{"prompt":"second"}']
  for (const body of bodies) socket.write(`POST /generate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${STUDIO_KEY}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  await gateway.sandbox.bill.untilAccepted(2)
  socket.destroy()
  const retries = bodies.map(async body => await gateway.generate(body))
  release()
  for (const retry of await Promise.all(retries)) t.match(retry.headers.get('cache-status'), /detail=adopted/)
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('an answer that was ready when its connection broke is not delivered: the same request gets the picture', together, async t => {
  const gateway = await startGateway(t)
  // Two requests on one connection: the second one's answer has to wait behind the first one's, which does not come.
  const first = gateway.sandbox.faults.add({ kind: 'hang', operation: 'submit' })
  const { hostname, port } = new URL(gateway.url)
  const socket = net.connect(Number(port), hostname)
  const ask = (body: string): void => { socket.write(`POST /generate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${STUDIO_KEY}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`) }
  ask('{"prompt":"behind which"}')
  await first.untilHit()
  ask('{"prompt":"the answer waits"}')
  const isAnswered = async (): Promise<boolean> => (await gateway.get('/metrics')).text.includes('falgate_answers_total{tenant="studio",source="bought"} 1')
  await until(isAnswered)
  socket.destroy()
  const retry = await gateway.generate({ prompt: 'the answer waits' })
  t.match(retry.headers.get('cache-status'), /detail=adopted/)
  t.equal(retry.headers.get('falgate-cost-usd'), '0')
  t.equal(gateway.sandbox.bill.billedUnits, 1)
  t.match((await gateway.get('/metrics')).text, /falgate_undelivered_total\{tenant="studio"\} [12]\b/)
  first.release()
})

t.test('a caller that asks for what its buyer has cancelled in the queue buys in its own name', together, async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme', maxInFlight: 1 }), tenant('press', { cacheGroup: 'acme' })] } })
  const release = gateway.sandbox.faults.holdJobs()
  const later = { headers: { prefer: 'respond-async' } }
  await gateway.generate({ prompt: 'ahead', seed: 1 }, later)
  await gateway.sandbox.bill.untilAccepted(1)
  const queued = String((await gateway.generate({ prompt: 'shared', seed: 1 }, later)).json()['id'])
  t.match((await gateway.get(`/generations/${queued}`)).json(), { status: 'queued' })
  t.equal((await gateway.post(`/generations/${queued}/cancel`)).status, 200)
  const own = gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('press') })
  release()
  t.match((await own).headers.get('cache-status'), /detail=bought/)
})

t.test('a replayed joiner keeps its own id, and hits show nobody a foreign one', together, async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' })] } })
  const release = gateway.sandbox.faults.holdJobs()
  const buyer = gateway.generate({ prompt: 'shared', seed: 1 })
  await gateway.sandbox.bill.untilAccepted(1)
  const headers = { 'idempotency-key': 'joiner' }
  const joiner = gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('press'), headers })
  const probe = await gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('press'), headers: { prefer: 'respond-async' } })
  t.equal(probe.status, 202)
  release()
  const id = String((await buyer).headers.get('falgate-generation'))
  t.equal((await joiner).status, 200)
  const replayed = await gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('press'), headers })
  t.equal(replayed.headers.get('falgate-generation'), (await joiner).headers.get('falgate-generation'))
  const theirs = await gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('press') })
  const own = await gateway.generate({ prompt: 'shared', seed: 1 })
  t.not(theirs.headers.get('falgate-generation'), id)
  t.ok([null, id].includes(own.headers.get('falgate-generation')))
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('two callers who are both there and ask for the same without a seed get two pictures', together, async t => {
  const gateway = await startGateway(t)
  const release = gateway.sandbox.faults.holdJobs()
  const calls = [gateway.generate({ prompt: 'two' }), gateway.generate({ prompt: 'two' })]
  await gateway.sandbox.bill.untilAccepted(2)
  release()
  const [one, two] = await Promise.all(calls)
  t.not(one?.text, two?.text)
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('an Idempotency-Key is held against its request also when the result of another one lies in this process', together, async t => {
  const gateway = await startGateway(t)
  const headers = { 'idempotency-key': 'k' }
  await gateway.generate({ prompt: 'first', seed: 1 }, { headers })
  await gateway.generate({ prompt: 'second', seed: 2 })
  t.match((await gateway.generate({ prompt: 'second', seed: 2 })).headers.get('cache-status'), /hit/)
  t.equal((await gateway.generate({ prompt: 'second', seed: 2 }, { headers })).json()['code'], 'idempotency-key-reused')
})

t.test('an Idempotency-Key that is used first on a stored result stands for it: another body is refused', together, async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' })] } })
  const headers = { 'idempotency-key': 'k' }
  const first = await gateway.generate({ prompt: 'stored', seed: 1 })
  const hit = await gateway.generate({ prompt: 'stored', seed: 1 }, { headers })
  t.match(hit.headers.get('cache-status'), /hit/)
  t.equal(hit.text, first.text)
  t.equal((await gateway.generate({ prompt: 'another', seed: 1 }, { headers })).json()['code'], 'idempotency-key-reused')
  t.equal((await gateway.generate({ prompt: 'stored', seed: 1 }, { headers })).headers.get('idempotent-replayed'), 'true')

  const theirs = await gateway.generate({ prompt: 'stored', seed: 1 }, { headers, key: key('press') })
  t.equal(theirs.text, first.text)
  t.equal(theirs.headers.get('falgate-saved-usd'), '0.06')
  const id = String(theirs.headers.get('falgate-generation'))
  t.match((await gateway.get(`/generations/${id}`, { key: key('press') })).json(), { id, output: { seed: 1 } })
  t.equal((await gateway.generate({ prompt: 'another', seed: 1 }, { headers, key: key('press') })).json()['code'], 'idempotency-key-reused')
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('an Idempotency-Key holds for 24 hours however short results are kept: 410 with id and cost, and nothing is bought', together, async t => {
  const gateway = await startGateway(t, { config: { resultTtlMs: 1 } })
  const headers = { 'idempotency-key': 'k' }
  const id = String((await gateway.generate({ prompt: 'short-lived' }, { headers })).headers.get('falgate-generation'))
  await until(async () => (await gateway.get(`/generations/${id}`)).status === 404)
  const again = await gateway.generate({ prompt: 'short-lived' }, { headers })
  t.equal(again.status, 410)
  t.match(again.json(), { code: 'result-expired', generation_id: id, cost_usd: 0.06, detail: /new key/ })
  t.equal(again.headers.get('falgate-generation'), id)
  t.equal(again.headers.get('idempotent-replayed'), 'true')
  t.equal(again.headers.get('falgate-cost-usd'), '0')
  const queued = await gateway.generate({ prompt: 'short-lived' }, { headers, path: '/fal/queue/fal-ai/imagen4/preview/ultra' })
  t.equal(queued.status, 500)
  t.match(queued.json(), { error_type: 'result_expired' })
  t.equal((await gateway.generate({ prompt: 'another' }, { headers })).status, 422)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('what was free to its reader says so: cost_usd is 0 by id, in the list and in events', together, async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { cacheGroup: 'acme' }), tenant('press', { cacheGroup: 'acme' })] } })
  const press = { key: key('press') }
  const release = gateway.sandbox.faults.holdJobs()
  const buyer = gateway.generate({ prompt: 'shared', seed: 1 })
  await gateway.sandbox.bill.untilAccepted(1)
  const joined = (await gateway.generate({ prompt: 'shared', seed: 1 }, { ...press, headers: { prefer: 'respond-async' } })).json()
  const id = String(joined['id'])
  release()
  const bought = String((await buyer).headers.get('falgate-generation'))
  t.match(await untilStatus(gateway, id, 'succeeded', press), { cost_usd: 0 })
  t.match((await gateway.get('/generations', press)).json(), { generations: [{ id, cost_usd: 0 }] })
  t.match((await gateway.get(`/generations/${id}/events`, press)).text, /"cost_usd":0,/)
  t.match((await gateway.get(`/generations/${bought}`)).json(), { cost_usd: 0.06 })
})

t.test('what was fetched by its id is delivered: the same body again is another picture', together, async t => {
  const gateway = await startGateway(t, { config: { waitMs: 50 } })
  const release = gateway.sandbox.faults.holdJobs()
  const id = String((await gateway.generate({ prompt: 'slow' })).json()['generation_id'])
  release()
  await untilStatus(gateway, id, 'succeeded')
  const other = await gateway.generate({ prompt: 'slow' }, { headers: { prefer: 'respond-async' } })
  t.not(other.headers.get('falgate-generation'), id)
  t.match(other.headers.get('cache-status'), /detail=bought/)
})

t.test('a caller that joined a purchase which ended in the queue buys in its own name', together, async t => {
  const gateway = await startGateway(t, {
    config: { falConcurrency: 1, queueMs: 1500 },
    tenants: { tenants: [tenant('studio', { cacheGroup: 'all' }), tenant('press', { cacheGroup: 'all' })] }
  })
  const release = gateway.sandbox.faults.holdJobs()
  await gateway.generate({ prompt: 'in the way' }, { headers: { prefer: 'respond-async' } })
  await gateway.sandbox.bill.untilAccepted(1)
  const id = String((await gateway.generate({ prompt: 'shared', seed: 1 }, { headers: { prefer: 'respond-async' } })).json()['id'])
  const joiner = gateway.generate({ prompt: 'shared', seed: 1 }, { key: key('press') })
  t.match(await untilStatus(gateway, id, 'failed'), { cost_usd: 0, error: { code: 'upstream-timeout' } })
  release()
  t.equal((await joiner).status, 200)
  t.match((await gateway.get('/usage', { key: key('press') })).json(), { month: { spent_usd: 0.06 } })
})

t.test('generations are listed newest first, in pages, and by status', together, async t => {
  const gateway = await startGateway(t)
  const ids: string[] = []
  for (let seed = 0; seed < 5; seed++) ids.unshift(String((await gateway.generate({ prompt: 'list', seed })).headers.get('falgate-generation')))
  const first = (await gateway.get('/generations?limit=2')).json()
  t.match(first, { generations: [{ id: ids[0] }, { id: ids[1] }], next_cursor: ids[1] })
  const second = (await gateway.get(`/generations?limit=3&cursor=${String(first['next_cursor'])}`)).json()
  t.match(second, { generations: [{ id: ids[2] }, { id: ids[3] }, { id: ids[4] }] })
  t.same((await gateway.get('/generations?status=failed')).json()['generations'], [])
  const unknown = await gateway.get('/generations?cursor=01a20450-0b62-7611-9b51-7a1d0c9e6f10')
  t.equal(unknown.status, 400)
  t.match(unknown.json(), { code: 'bad-query', detail: /[Bb]egin again/ })
})
