// What a token may not: each kind of misuse, and each end of a token, has its code.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { createModels } from '../../src/models/models.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { key, startGateway, tenant, type Gateway, type GatewayOptions } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'
import { ask, codeOf, give, keyEntry, PAGE } from '../support/tokens.ts'
import { until } from '../support/until.ts'

const OWN = builtInModels.default.endpointId
const sketcher = documentModel({ endpointId: 'acme/sketcher', input: promptAnd({ pencil: { type: 'string' } }) })
const models = createModels(builtInModels.all, { added: [sketcher] })
const later = { prefer: 'respond-async' }

/** A gateway with a tenants file, and what puts another one in force. */
async function startWithFile (t: Test, tenants: readonly object[], options: GatewayOptions = {}): Promise<{ readonly gateway: Gateway, readonly become: (tenants: readonly object[]) => Promise<void> }> {
  const tenantsFile = join(t.testdir({}), 'tenants.json')
  const write = (tenants: readonly object[]): void => { writeFileSync(tenantsFile, JSON.stringify({ tenants })) }
  write(tenants)
  const gateway = await startGateway(t, { tenants: { tenants }, config: { tenantsFile }, ...options })
  return {
    gateway,
    become: async tenants => {
      write(tenants)
      await gateway.reload()
    }
  }
}

t.test('a token buys its own models with its own values, as they are sent and as they are left out, and in its own cache modes', async t => {
  const gateway = await startGateway(t, { models, tenants: { tenants: [tenant('studio')] } })
  const make = async (wish: object, path: string, body: object, headers = {}) => await codeOf(ask(gateway, 'POST', path, (await give(gateway, { ...wish })).token, { prompt: 'a', ...body }, headers))
  t.equal(await make({ models: ['acme/sketcher'] }, `/generate/${OWN}`, {}), '403 not-allowed')
  t.equal(await make({ models: ['acme/sketcher'] }, '/generate/acme/sketcher', {}), '200')
  const wide = { allow: { aspect_ratio: ['16:9', '4:3'] } }
  t.equal(await make(wide, '/generate', { aspect_ratio: '1:1' }), '403 not-allowed')
  t.equal(await make(wide, '/generate', {}), '403 not-allowed', 'the default is a value, too')
  t.equal(await make(wide, '/generate', { aspect_ratio: '4:3' }), '200')
  t.equal(await make(wide, '/generate/acme/sketcher', {}), '200', 'a model without the parameter')
  t.equal(await make({ cache: ['bypass'] }, '/generate', { seed: 1 }, { 'falgate-cache': 'refresh' }), '403 not-allowed')
  t.equal(await make({ cache: ['refresh'] }, '/generate', { seed: 1 }, { 'falgate-cache': 'refresh' }), '200')
  // At the other doors as well.
  const { token } = await give(gateway, { models: ['acme/sketcher'], allow: { pencil: ['soft'] } })
  for (const [path, body] of [[`/fal/${OWN}`, {}], [`/fal/queue/${OWN}`, {}], ['/fal/acme/sketcher', { pencil: 'hard' }], ['/fal/queue/acme/sketcher', { pencil: 'hard' }]] as const) {
    t.equal((await ask(gateway, 'POST', path, token, { prompt: 'a', ...body })).status, 403, path)
  }
  t.equal(await codeOf(ask(gateway, 'POST', '/generations', token, { prompt: 'a', pencil: 'hard', model: 'acme/sketcher' })), '403 not-allowed')
  t.match((await ask(gateway, 'GET', '/models', token)).body, { models: [{ id: 'acme/sketcher' }] })
})

t.test('a generation of another token, of the tenant or of another tenant is not there for a token, at no door', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio'), tenant('agency')] } })
  const release = gateway.sandbox.faults.holdJobs()
  const mine = await give(gateway)
  const buyers = [(await give(gateway)).token, key('studio'), key('agency'), (await give(gateway, {}, key('agency'))).token]
  for (const [place, buyer] of buyers.entries()) {
    const id = String((await ask(gateway, 'POST', '/generations', buyer, { prompt: `picture ${place}` }, later)).body['id'])
    for (const [method, path] of [['GET', ''], ['GET', '/events'], ['POST', '/cancel'], ['POST', '/ticket']] as const) {
      t.equal(await codeOf(ask(gateway, method, `/generations/${id}${path}`, mine.token)), '404 no-such-generation', `${method} ${path}`)
    }
    for (const [method, path] of [['GET', ''], ['GET', '/status'], ['GET', '/status/stream'], ['PUT', '/cancel']] as const) {
      t.equal((await ask(gateway, method, `/fal/queue/fal-ai/imagen4/requests/${id}${path}`, mine.token)).status, 404, `${method} ${path} at /fal`)
    }
    t.equal((await ask(gateway, 'GET', `/generations/${id}`, buyer)).status, 200)
  }
  t.equal(gateway.sandbox.bill.cancels, 0)
  release()
})

t.test('a tenant has a thousand live tokens, and the next one when one of them has ended', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio'), tenant('agency')] } })
  const tokens: { readonly id: string }[] = []
  while (tokens.length < 1000) tokens.push(...await Promise.all(Array.from({ length: 50 }, async () => await give(gateway))))
  t.match(await ask(gateway, 'POST', '/tokens', key('studio'), { pictures: 1 }), { status: 429, body: { code: 'too-many-tokens' } })
  t.ok(await give(gateway, {}, key('agency')))
  t.equal((await ask(gateway, 'DELETE', `/tokens/${String(tokens[500]?.id)}`, key('studio'))).status, 204)
  t.ok(await give(gateway))
  t.equal(await codeOf(ask(gateway, 'POST', '/tokens', key('studio'), { pictures: 1 })), '429 too-many-tokens')
})

t.test('a token ends with the key that asked for it and with its tenant, whether or not it was used before', async t => {
  const both = [keyEntry('studio'), keyEntry('second')]
  const before = [{ id: 'studio', keys: both }, tenant('agency')]
  for (const [ends, after] of [
    ['the key is taken out', [{ id: 'studio', keys: [keyEntry('second')] }, tenant('agency')]],
    ['the key has expired', [{ id: 'studio', keys: [keyEntry('studio', { expires: '2026-01-01T00:00:00Z' }), keyEntry('second')] }, tenant('agency')]],
    ['the tenant is taken out', [tenant('agency')]],
    ['the key is another tenant\'s', [{ id: 'studio', keys: [keyEntry('second')] }, { id: 'agency', keys: [keyEntry('agency'), keyEntry('studio')] }]]
  ] as const) {
    const { gateway, become } = await startWithFile(t, before)
    const [used, fresh] = [await give(gateway), await give(gateway)]
    t.equal((await ask(gateway, 'POST', '/generate', used.token, { prompt: 'a' })).status, 200)
    await become(after)
    t.match(await codeOf(ask(gateway, 'POST', '/generate', used.token, { prompt: 'b' })), /^401 (?:token-revoked|key-unknown)$/, ends)
    t.match(await codeOf(ask(gateway, 'GET', '/generations', fresh.token)), /^401 (?:token-revoked|key-unknown)$/, ends)
    t.equal(gateway.sandbox.bill.accepted, 1)
  }
  const { gateway, become } = await startWithFile(t, before)
  const other = await give(gateway, {}, key('second'))
  await become([{ id: 'studio', keys: [keyEntry('second')] }])
  t.equal((await ask(gateway, 'POST', '/generate', other.token, { prompt: 'a' })).status, 200, 'that of another key of the tenant goes on')
})

t.test('a token never may more than its tenant does by now', async t => {
  const before = [tenant('studio', { origins: [PAGE, 'https://old.example'] })]
  const { gateway, become } = await startWithFile(t, before, { models })
  const { token } = await give(gateway, { models: [OWN, 'acme/sketcher'], allow: { aspect_ratio: ['1:1', '16:9'] } })
  const call = async (path: string, body: object, origin = PAGE) => await codeOf(ask(gateway, 'POST', path, token, { prompt: 'a', ...body }, { origin }))
  t.equal(await call('/generate/acme/sketcher', {}, 'https://old.example'), '200')
  await become([tenant('studio', { origins: [PAGE], models: [OWN], allow: { aspect_ratio: ['16:9'] } })])
  t.equal(await call('/generate/acme/sketcher', {}), '403 not-allowed')
  t.equal(await call('/generate', { aspect_ratio: '1:1' }), '403 not-allowed')
  t.equal(await call('/generate', { aspect_ratio: '16:9' }, 'https://old.example'), '403 origin-not-allowed')
  t.equal(await call('/generate', { aspect_ratio: '16:9' }), '200')
  await become([tenant('studio', { origins: [PAGE], allow: { aspect_ratio: ['3:4'] } })])
  t.match(await ask(gateway, 'POST', '/generate', token, { prompt: 'a', aspect_ratio: '3:4' }), { status: 403, body: { code: 'not-allowed', detail: 'No value of aspect_ratio is left that may be set here.' } })
})

t.test('who holds a token does not use up the calls with which the tenant ends it', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { callLimit: { max: 5, windowSeconds: 3600 } })] } })
  const [one, other] = [await give(gateway), await give(gateway)]
  const calls = async ({ token }: { readonly token: string }, count: number) => {
    const codes: string[] = []
    for (let n = 0; n < count; n += 1) codes.push(await codeOf(ask(gateway, 'GET', '/models', token)))
    return codes
  }
  t.same(await calls(one, 6), ['200', '200', '200', '200', '200', '429 rate-limited'])
  t.same(await calls(other, 1), ['429 rate-limited'], 'those of all tokens together')
  t.equal(await codeOf(ask(gateway, 'DELETE', `/tokens/${one.id}`, key('studio'))), '204')
})

t.test('an origin is a fence: another page is refused, one without an origin of its own too, and a program that names none is not', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [PAGE, 'https://other.example'] }), tenant('agency')] } })
  const { token } = await give(gateway, { origins: [PAGE] })
  for (const [origin, code] of [['https://other.example', '403 origin-not-allowed'], ['null', '403 origin-not-allowed'], ['https://studio.example.evil.example', '403 origin-not-allowed'], [PAGE, '200']] as const) {
    t.equal(await codeOf(ask(gateway, 'GET', '/tokens/self', token, undefined, { origin })), code, origin)
  }
  t.equal(await codeOf(ask(gateway, 'GET', '/tokens/self', token)), '200')
  // A sandboxed frame reads nothing, also where a tenant lists no origins.
  const open = await fetch(`${gateway.url}/tokens/self`, { headers: { authorization: `Bearer ${(await give(gateway, {}, key('agency'))).token}`, origin: 'null' } })
  t.equal(open.headers.get('access-control-allow-origin'), null)
})

t.test('what waits when its token expires is made and paid for all the same', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 1 })] } })
  const release = gateway.sandbox.faults.holdJobs()
  t.equal((await ask(gateway, 'POST', '/generations', key('studio'), { prompt: 'first' }, later)).status, 202)
  const { token, id } = await give(gateway, { expires_in: 1 })
  t.equal((await ask(gateway, 'POST', '/generations', token, { prompt: 'waits' }, later)).status, 202)
  await until(async () => await codeOf(ask(gateway, 'GET', '/tokens/self', token)) === '401 token-expired')
  t.equal(await codeOf(ask(gateway, 'POST', '/generate', token, { prompt: 'late' })), '401 token-expired')
  t.equal(gateway.sandbox.bill.accepted, 1)
  release()
  await until(() => gateway.sandbox.bill.accepted === 2)
  t.match((await ask(gateway, 'GET', '/tokens', key('studio'))).body, { tokens: { length: 0 } }, id)
})

t.test('dollars end a token before its pictures do, and what was not billed comes back', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio')] } })
  const { token } = await give(gateway, { pictures: 9, usd: 0.13 })
  const left = async () => (await ask(gateway, 'GET', '/tokens/self', token)).body
  gateway.sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'internal_server_error' })
  t.not((await ask(gateway, 'POST', '/generate', token, { prompt: 'fails' })).status, 200)
  t.match(await left(), { pictures_left: 9, usd_left: 0.13 }, 'a failure costs nothing')
  t.equal(await codeOf(ask(gateway, 'POST', '/generate', token, { prompt: 'a' })), '200')
  t.equal(await codeOf(ask(gateway, 'POST', '/generate', token, { prompt: 'b' })), '200')
  t.equal(await codeOf(ask(gateway, 'POST', '/generate', token, { prompt: 'c' })), '402 token-exhausted')
  t.match(await left(), { pictures_left: 7, usd_left: 0.01 })
})

t.test('what is cancelled while it waits takes nothing from the token', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 1 })] } })
  const release = gateway.sandbox.faults.holdJobs()
  t.equal((await ask(gateway, 'POST', '/generations', key('studio'), { prompt: 'first' }, later)).status, 202)
  const { token } = await give(gateway)
  const { body: { id } } = await ask(gateway, 'POST', '/generations', token, { prompt: 'waits' }, later)
  t.match((await ask(gateway, 'GET', '/tokens/self', token)).body, { pictures_left: 2 })
  t.equal((await ask(gateway, 'POST', `/generations/${String(id)}/cancel`, token)).status, 200)
  t.match((await ask(gateway, 'GET', '/tokens/self', token)).body, { pictures_left: 3 })
  release()
})

t.test('who buys pays: a hit, a picture that is reused, and a purchase under way that a token joins take nothing from it', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio')] } })
  const { token } = await give(gateway, { pictures: 1 })
  const left = async () => (await ask(gateway, 'GET', '/tokens/self', token)).body['pictures_left']
  const stored = await ask(gateway, 'POST', '/generate', key('studio'), { prompt: 'stored', seed: 1 })
  t.equal((await ask(gateway, 'POST', '/generate', token, { prompt: 'stored', seed: 1 })).status, 200)
  t.equal((await ask(gateway, 'POST', '/generate', token, { prompt: 'stored' }, { 'falgate-cache': 'reuse' })).status, 200)
  t.equal((await ask(gateway, 'GET', `/generations/${String(stored.body['id'])}`, token)).status, 404, 'under an id of its own')
  const release = gateway.sandbox.faults.holdJobs()
  const buyer = await ask(gateway, 'POST', '/generations', key('studio'), { prompt: 'shared', seed: 2 }, later)
  const joined = await ask(gateway, 'POST', '/generations', token, { prompt: 'shared', seed: 2 }, later)
  t.equal(joined.status, 202)
  t.not(joined.body['id'], buyer.body['id'])
  t.equal(await left(), 1)
  release()
  await until(async () => (await ask(gateway, 'GET', `/generations/${String(joined.body['id'])}`, token)).body['status'] === 'succeeded')
  t.equal(await left(), 1)
  t.equal((await ask(gateway, 'POST', '/generate', token, { prompt: 'its own' })).status, 200)
  t.equal(await left(), 0)
  t.equal((await ask(gateway, 'POST', '/generate', token, { prompt: 'stored', seed: 1 })).status, 200, 'a hit costs nothing, so it needs nothing')
  t.equal(gateway.sandbox.bill.accepted, 3)
})

t.test('two tokens with one Idempotency-Key, or with one picture that nobody took, have nothing to do with one another', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { twins: 'join', maxInFlight: 9 })] } })
  const [one, other] = [await give(gateway), await give(gateway)]
  const keyed = { ...later, 'idempotency-key': 'one-for-all' }
  const answers = await Promise.all([one.token, other.token, key('studio')].map(async (caller, n) => await ask(gateway, 'POST', '/generations', caller, { prompt: `wish ${n}` }, keyed)))
  t.same(answers.map(({ status }) => status), [202, 202, 202])
  t.equal(new Set(answers.map(({ body }) => body['id'])).size, 3)
  // Without key and seed, whose earlier caller is gone: nobody else is given it.
  const twins = await Promise.all([one.token, other.token, key('studio')].map(async caller => await ask(gateway, 'POST', '/generations', caller, { prompt: 'twin' }, later)))
  t.equal(new Set(twins.map(({ body }) => body['id'])).size, 3)
  await until(() => gateway.sandbox.bill.accepted === 6)
})

t.test('a picture whose caller has left is given to the same token that asks again, and to no other', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 9 })] } })
  const release = gateway.sandbox.faults.holdJobs()
  const [one, other] = [await give(gateway), await give(gateway)]
  const left = new AbortController()
  const call = fetch(`${gateway.url}/generate`, { method: 'POST', headers: { authorization: `Bearer ${one.token}`, 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'left' }), signal: left.signal }).catch(() => null)
  await until(() => gateway.sandbox.bill.accepted === 1)
  left.abort()
  await call
  const ids: string[] = []
  for (const { token } of [other, one]) ids.push(String((await ask(gateway, 'POST', '/generations', token, { prompt: 'left' }, later)).body['id']))
  const [bought] = [(await ask(gateway, 'GET', '/generations', one.token)).body['generations']].flat()
  t.match(bought, { id: ids[1] })
  t.not(ids[0], ids[1])
  t.match((await ask(gateway, 'GET', '/tokens/self', one.token)).body, { pictures_left: 2 }, 'bought once')
  t.match((await ask(gateway, 'GET', '/tokens/self', other.token)).body, { pictures_left: 2 })
  release()
})
