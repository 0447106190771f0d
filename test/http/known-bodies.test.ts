// The same bytes again: they are not read again, and everything else about the call is decided anew.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createKnownBodies, nameOfBytes, type KnownBody } from '../../src/http/known-bodies.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import type { Model } from '../../src/models/model.ts'
import { createModels, type ModelBook } from '../../src/models/models.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { key, startGateway, tenant, type CallOptions, type Gateway, type GatewayOptions } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'
import { poster, posterNamed } from '../support/poster.ts'

const body = { prompt: 'a red bicycle', seed: 7 }
const HIT = /^falgate; hit; /

/** The model, and how many bodies it has read. */
function counted (model: Model): { readonly model: Model, readonly reads: () => number } {
  let reads = 0
  return { model: { ...model, readInput: (body, options) => { reads++; return model.readInput(body, options) } }, reads: () => reads }
}

/** Buys the body's picture and gets it twice from what is stored, so that its bytes are known. */
async function makeKnown (t: Test, gateway: Gateway, options: CallOptions = {}, asked: unknown = body): Promise<void> {
  t.equal((await gateway.generate(asked, options)).status, 200)
  for (let time = 0; time < 2; time++) t.match((await gateway.generate(asked, options)).headers.get('cache-status'), HIT)
}

/** A gateway whose tenants file is changed while it runs. */
async function startWithFile (t: Test, tenants: Readonly<Record<string, unknown>>, options: GatewayOptions = {}): Promise<Gateway & { readonly change: (tenants: Readonly<Record<string, unknown>>) => Promise<void> }> {
  const tenantsFile = join(t.testdir({}), 'tenants.json')
  writeFileSync(tenantsFile, JSON.stringify(tenants))
  const gateway = await startGateway(t, { ...options, tenants, config: { tenantsFile } })
  return {
    ...gateway,
    change: async changed => {
      writeFileSync(tenantsFile, JSON.stringify(changed))
      await gateway.reload()
    }
  }
}

t.test('a body that was answered from memory is not read again, for whichever tenant of a cache group, and other bytes are', async t => {
  const { model, reads } = counted(imagen4Ultra)
  const shared = { cacheGroup: 'house' }
  const gateway = await startGateway(t, { models: createModels([model]), tenants: { tenants: [tenant('studio', shared), tenant('press', shared)] } })
  await makeKnown(t, gateway)
  const known = reads()
  for (const name of ['studio', 'press']) {
    const again = await gateway.generate(body, { key: key(name) })
    t.match(again.headers.get('cache-status'), HIT)
    t.equal(again.headers.get('falgate-generation') === null, name === 'press', 'the id is its buyer\'s alone')
  }
  t.equal(reads(), known)
  t.match((await gateway.generate(`${JSON.stringify(body)} `)).headers.get('cache-status'), HIT)
  t.equal(reads(), known + 1)
})

t.test('a tenant that is kept from a value or a model is refused for bytes that it was given a picture for', async t => {
  const tenants = (options: Readonly<Record<string, unknown>>) => ({ tenants: [tenant('studio', options)] })
  const gateway = await startWithFile(t, tenants({}), { models: createModels([imagen4Ultra, poster]) })
  await makeKnown(t, gateway)
  await gateway.change(tenants({ allow: { aspect_ratio: ['16:9'] } }))
  t.match((await gateway.generate(body)).json(), { status: 403, code: 'not-allowed' })
  await gateway.change(tenants({ models: ['print-shop/*'] }))
  t.match((await gateway.generate(body)).json(), { status: 403, code: 'not-allowed' })
  await gateway.change(tenants({}))
  t.match((await gateway.generate(body)).headers.get('cache-status'), HIT)
  await gateway.change(tenants({ cacheGroup: 'house' }))
  t.equal((await gateway.generate(body)).headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought', 'another group has results of its own')
})

t.test('a tenant whose values are limited is refused for bytes that are known from one that is not', async t => {
  const shared = { cacheGroup: 'house' }
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', shared), tenant('press', { ...shared, allow: { aspect_ratio: ['16:9'] } })] } })
  await makeKnown(t, gateway)
  t.match((await gateway.generate(body, { key: key('press') })).json(), { status: 403, code: 'not-allowed' })
})

t.test('a default that is sent for one tenant, because its values are limited, is sent for it alone', async t => {
  const model = documentModel({ input: promptAnd({ seed: { type: 'integer' }, quality: { type: 'string', enum: ['high', 'low'], default: 'high' } }) })
  const shared = { cacheGroup: 'house' }
  const gateway = await startGateway(t, { models: createModels([model]), tenants: { tenants: [tenant('studio', shared), tenant('press', { ...shared, allow: { quality: ['high'] } })] } })
  await makeKnown(t, gateway)
  t.equal((await gateway.generate(body, { key: key('press') })).headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought')
})

t.test('a token that may not ask for what its tenant was given is refused for the same bytes', async t => {
  const gateway = await startGateway(t)
  await makeKnown(t, gateway)
  const { token } = (await gateway.generate({ pictures: 1, allow: { aspect_ratio: ['16:9'] } }, { path: '/tokens' })).json()
  t.match((await gateway.generate(body, { key: String(token) })).json(), { status: 403, code: 'not-allowed' })
})

t.test('a model that changed reads known bytes anew', async t => {
  let models: ModelBook = createModels([poster])
  const gateway = await startGateway(t, { models: { all: models.all, documented: models.documented, get default () { return models.default }, find: id => models.find(id), nearest: id => models.nearest(id) } })
  const path = `/generate/${poster.endpointId}`
  await makeKnown(t, gateway, { path })
  models = createModels([{ ...poster, cacheVersion: poster.cacheVersion + 1 }])
  t.equal((await gateway.generate(body, { path })).headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought')
  models = createModels([{ ...poster, readInput: () => ({ ok: false, faults: [{ path: '/prompt', message: 'is not taken any more', code: 'gone' }] }) }])
  t.match((await gateway.generate(body, { path })).json(), { status: 422, code: 'invalid-input' })
})

t.test('the same bytes are another call at another address', async t => {
  const [one, other] = [posterNamed('print-shop/press/one'), posterNamed('print-shop/press/other')]
  const gateway = await startGateway(t, { models: createModels([one, other]) })
  await makeKnown(t, gateway, { path: `/generate/${one.endpointId}` })
  t.equal((await gateway.generate(body, { path: `/generate/${other.endpointId}` })).headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought')
  t.equal((await gateway.generate(body, { path: '/tokens' })).status, 422)
})

t.test('a field that fal\'s door leaves out is still refused at ours, and named again at fal\'s', async t => {
  const gateway = await startGateway(t)
  const odd = { ...body, sampler: 'x' }
  const run = { path: `/fal/${imagen4Ultra.endpointId}` }
  await makeKnown(t, gateway, run, odd)
  t.equal((await gateway.generate(odd, run)).headers.get('falgate-ignored'), 'sampler')
  t.match((await gateway.generate(odd)).json(), { status: 422, code: 'invalid-input' })
  t.equal((await gateway.generate(odd, run)).headers.get('falgate-ignored'), 'sampler')
})

t.test('what headers ask for is done for known bytes, too', async t => {
  const gateway = await startGateway(t)
  await makeKnown(t, gateway)
  const said = async (headers: Readonly<Record<string, string>>) => await gateway.generate(body, { headers })
  t.match((await said({ 'falgate-dry-run': '1' })).json(), { dry_run: true, valid: true, would: 'hit' })
  t.match((await said({ 'falgate-cache': 'reuse' })).json(), { status: 400, code: 'bad-header' }, 'the body names a seed')
  t.match((await said({ 'falgate-cache': 'only' })).headers.get('cache-status'), HIT)
  t.match((await said({ prefer: 'wait=0' })).headers.get('cache-status'), HIT)
  t.equal((await said({ 'falgate-cache': 'bypass' })).headers.get('cache-status'), 'falgate; fwd=bypass; detail=bought')
  t.equal((await said({ 'content-type': 'text/plain' })).json()['code'], 'not-json')
  t.equal((await said({ 'content-encoding': 'gzip' })).json()['code'], 'not-json')
  t.match((await said({ 'idempotency-key': 'order-1' })).headers.get('cache-status'), HIT)
  t.match((await gateway.generate({ ...body, seed: 8 }, { headers: { 'idempotency-key': 'order-1' } })).json(), { code: 'idempotency-key-reused' }, 'the key was bound')
  const fresh = await said({ 'falgate-cache': 'refresh' })
  t.equal(fresh.headers.get('cache-status'), 'falgate; fwd=request; stored; detail=bought')
  t.equal((await gateway.generate(body)).headers.get('falgate-generation'), fresh.headers.get('falgate-generation'), 'and what was bought afresh is what is stored')
})

t.test('without a seed known bytes are given what is stored to those alone who reuse it', async t => {
  const gateway = await startGateway(t)
  const open = { prompt: 'a blue bicycle' }
  const reuse = { headers: { 'falgate-cache': 'reuse' } }
  await makeKnown(t, gateway, reuse, open)
  t.equal((await gateway.generate(open)).headers.get('cache-status'), 'falgate; fwd=miss; stored; detail=bought')
  t.match((await gateway.generate(open, reuse)).headers.get('cache-status'), HIT)
})

t.test('seeds that JavaScript takes for one are two calls, however often each is asked', async t => {
  const gateway = await startGateway(t)
  const [one, other] = ['{"prompt":"x","seed":9007199254740993}', '{"prompt":"x","seed":9007199254740992}']
  await makeKnown(t, gateway, {}, one)
  await makeKnown(t, gateway, {}, other)
  const [first, second] = [await gateway.generate(one), await gateway.generate(other)]
  t.not(first.headers.get('falgate-generation'), second.headers.get('falgate-generation'))
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('only short bodies are remembered, and no more of them than fit', async t => {
  t.equal(nameOfBytes(Buffer.alloc(4096))?.length, 4096)
  t.equal(nameOfBytes(Buffer.alloc(4097)), null)
  t.not(nameOfBytes(Buffer.from('ä')), nameOfBytes(Buffer.from('Ã¤')), 'bytes are told apart, whatever they spell')
  const known = createKnownBodies()
  const some: KnownBody = {
    value: body,
    seed: { kind: 'digits', digits: '7' },
    numbers: null,
    readFor: { model: imagen4Ultra, unknownFields: 'refuse', pricedFields: [], allow: new Map(), cacheGroup: 'house', mode: 'normal', mapped: null },
    read: { body, sent: body, input: '', seed: '7', numbers: null, cacheName: null, ignored: [], prompt: null }
  }
  const names = Array.from({ length: 1000 }, (_, n) => String(n).padStart(4096, 'x'))
  for (const name of names) known.keep(name, some)
  t.equal(known.find(names.at(-1) ?? ''), some)
  t.equal(known.find(names[0] ?? ''), undefined)
  t.ok(names.filter(name => known.find(name) !== undefined).length * 4096 * 4 <= 8 * 1024 * 1024)
})
