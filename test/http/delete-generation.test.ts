// `DELETE /generations/{id}`: a generation is forgotten for good, and what it cost and its key stay.

import { join } from 'node:path'
import t from 'tap'
import { authorization, generate as generateAt, serve } from '../support/folder-gateway.ts'
import { key, parseObject, startGateway, STUDIO_KEY } from '../support/gateway.ts'
import { ask, codeOf, give } from '../support/tokens.ts'

const seeded = { prompt: 'a red bicycle', seed: 7 }
const keyed = { headers: { 'idempotency-key': 'k1' } }

t.test('nothing of it is shown any more, not out of memory either; its money stays, its key buys nothing, and a second call answers the same', async t => {
  const gateway = await startGateway(t)
  const { generate, get, sandbox } = gateway
  const booked = async (): Promise<unknown> => {
    const { saved, ...books } = (await get('/usage')).json()
    return books
  }
  const bought = await generate(seeded, keyed)
  const id = bought.headers.get('falgate-generation') ?? ''
  t.equal((await generate(seeded)).text, bought.text, 'it lies in memory')
  const path = `/generations/${id}`
  const usage = await booked()
  t.equal(await codeOf(ask(gateway, 'DELETE', path, STUDIO_KEY)), '204')
  t.equal(await codeOf(ask(gateway, 'GET', path, STUDIO_KEY)), '404 no-such-generation')
  t.equal(await codeOf(ask(gateway, 'GET', `${path}/events`, STUDIO_KEY)), '404 no-such-generation')
  t.same((await get('/generations')).json()['generations'], [])
  t.equal(await codeOf(ask(gateway, 'DELETE', path, STUDIO_KEY)), '204')
  const replayed = await generate(seeded, keyed)
  t.match({ status: replayed.status, body: replayed.json() }, { status: 410, body: { code: 'generation-deleted', generation_id: id, cost_usd: 0.06 } })
  t.same(await booked(), usage)
  t.equal(sandbox.bill.accepted, 1)
  t.equal((await generate(seeded)).headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought')
})

t.test('what has not ended is refused with what to do, and nobody else\'s is found', async t => {
  const gateway = await startGateway(t)
  const { generate, get, sandbox } = gateway
  const release = sandbox.faults.holdJobs()
  const { id } = (await generate(seeded, { headers: { prefer: 'respond-async' } })).json()
  const path = `/generations/${String(id)}`
  t.match(await ask(gateway, 'DELETE', path, STUDIO_KEY), { status: 409, body: { code: 'generation-under-way', generation_id: id, detail: /^Cancel it, or wait/ } })
  t.equal(await codeOf(ask(gateway, 'DELETE', path, key('press'))), '404 no-such-generation')
  t.equal(await codeOf(ask(gateway, 'DELETE', '/generations/another', STUDIO_KEY)), '404 no-such-generation')
  release()
  t.equal((await generate(seeded)).status, 200)
  t.match((await get(path)).json(), { status: 'succeeded' })
  t.equal(await codeOf(ask(gateway, 'DELETE', path, key('press'))), '404 no-such-generation')
  t.equal(await codeOf(ask(gateway, 'DELETE', path, STUDIO_KEY)), '204')
})

t.test('the holder of a browser token deletes what is its own, and nothing else', async t => {
  const gateway = await startGateway(t)
  const ours = (await gateway.generate({ prompt: 'ours' })).headers.get('falgate-generation') ?? ''
  const { token } = await give(gateway)
  const theirs = (await gateway.generate({ prompt: 'theirs' }, { key: token })).headers.get('falgate-generation') ?? ''
  t.equal(await codeOf(ask(gateway, 'DELETE', `/generations/${ours}`, token)), '404 no-such-generation')
  t.equal(await codeOf(ask(gateway, 'DELETE', `/generations/${theirs}`, STUDIO_KEY)), '404 no-such-generation')
  t.equal(await codeOf(ask(gateway, 'DELETE', `/generations/${theirs}`, token)), '204')
  t.equal(await codeOf(ask(gateway, 'GET', `/generations/${theirs}`, token)), '404 no-such-generation')
  t.equal(await codeOf(ask(gateway, 'GET', `/generations/${ours}`, STUDIO_KEY)), '200')
})

t.test('who was told that it is deleted finds it so after a kill and another start', async t => {
  const env = { DATA_DIR: join(t.testdir(), 'data') }
  const first = await serve(t, env)
  await generateAt(first.url, seeded, { 'idempotency-key': 'k1' })
  const [generation] = Object(parseObject(await (await fetch(`${first.url}/generations`, { headers: { authorization } })).text())['generations'])
  const path = `/generations/${String(generation.id)}`
  t.equal((await fetch(first.url + path, { method: 'DELETE', headers: { authorization } })).status, 204)
  first.running.child.kill('SIGKILL')
  await first.running.ended
  const { url } = await serve(t, env)
  t.equal((await fetch(url + path, { headers: { authorization } })).status, 404)
  t.equal((await fetch(url + path, { method: 'DELETE', headers: { authorization } })).status, 204)
  t.match(await generateAt(url, seeded, { 'idempotency-key': 'k1' }), { status: 410, json: { code: 'generation-deleted' } })
})
