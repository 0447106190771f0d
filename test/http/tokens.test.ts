// Browser tokens: given out with a key, bound to what they were given for, and ended at once.

import t from 'tap'
import { key, startGateway, tenant } from '../support/gateway.ts'
import { ask, give, PAGE } from '../support/tokens.ts'

const tenants = { tenants: [tenant('studio', { origins: [PAGE, 'https://*.shop.example'] }), tenant('agency')] }

t.test('a token draws pictures, in either spelling, and sees what is left', async t => {
  const gateway = await startGateway(t, { tenants })
  const { token, id } = await give(gateway, { usd: 1, subject: 'visitor 7' })
  t.match(token, /^fgt_[0-9a-f-]{36}_[\w-]{43}$/)
  t.equal((await ask(gateway, 'POST', '/generate', token, { prompt: 'a' }, { origin: PAGE })).status, 200)
  t.equal((await ask(gateway, 'POST', '/fal/fal-ai/imagen4/preview/ultra', token.replace(`${id}_`, `${id}:`), { prompt: 'b' })).status, 200)
  t.match(await ask(gateway, 'GET', '/tokens/self', token), { status: 200, body: { id, subject: 'visitor 7', pictures: 3, pictures_left: 1, usd: 1, usd_left: 0.88 } })
  t.match(await ask(gateway, 'GET', '/tokens', key('studio')), { status: 200, body: { tokens: [{ id }], next_cursor: null } })
  t.notOk('token' in (await ask(gateway, 'GET', '/tokens/self', token)).body, 'the secret is told once')
})

t.test('fifty connections that race with a token for three pictures buy exactly three', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { maxInFlight: 50 })] } })
  const { token } = await give(gateway)
  const replies = await Promise.all(Array.from({ length: 50 }, async (_, n) => await ask(gateway, 'POST', '/generate', token, { prompt: `wish ${n}` })))
  t.equal(replies.filter(({ status }) => status === 200).length, 3)
  t.equal(replies.filter(({ status, body }) => status === 402 && body['code'] === 'token-exhausted').length, 47)
  t.equal(gateway.sandbox.bill.billedUnits, 3)
})

t.test('each misuse has its code', async t => {
  const gateway = await startGateway(t, { tenants })
  const { token, id } = await give(gateway, { allow: { aspect_ratio: ['1:1'] }, origins: [PAGE] })
  const wish = { prompt: 'a' }
  const refused = async (credential: string, body: unknown, headers?: Readonly<Record<string, string>>) => {
    const reply = await ask(gateway, 'POST', '/generate', credential, body, headers)
    return `${reply.status} ${String(reply.body['code'])}`
  }
  t.equal(await refused(`fgt_${id}_forged`, wish), '401 key-unknown')
  t.equal(await refused('fgt_nobody_secret', wish), '401 key-unknown')
  t.equal(await refused(token, wish, { origin: 'https://a.shop.example' }), '403 origin-not-allowed', 'the tenant\'s, and not the token\'s')
  t.equal(await refused(token, { ...wish, aspect_ratio: '16:9' }), '403 not-allowed')
  t.equal(await refused(token, wish, { 'falgate-cache': 'refresh' }), '403 not-allowed')
  t.equal(await refused(token, wish, { 'falgate-cache': 'bypass' }), '403 not-allowed')
  t.equal(await refused((await give(gateway, { usd: 0.01 })).token, wish), '402 token-exhausted')
  t.equal(await refused((await give(gateway, { cache: ['bypass'] })).token, wish, { 'falgate-cache': 'bypass' }), '200 undefined')
  for (const [method, path] of [['POST', '/tokens'], ['GET', '/tokens'], ['DELETE', `/tokens/${id}`], ['GET', '/usage']] as const) {
    t.match(await ask(gateway, method, path, token, method === 'POST' ? { pictures: 1 } : undefined), { status: 403, body: { code: 'not-allowed' } }, `${method} ${path}`)
  }
  t.match(await ask(gateway, 'DELETE', `/tokens/${id}`, key('agency')), { status: 404, body: { code: 'no-such-token' } })
})

t.test('a token sees its own generations, and nobody else does but itself', async t => {
  const gateway = await startGateway(t, { tenants })
  const [one, other] = [await give(gateway), await give(gateway)]
  t.equal((await ask(gateway, 'POST', '/generate', one.token, { prompt: 'a' })).status, 200)
  t.match((await ask(gateway, 'GET', '/generations', one.token)).body, { generations: [{}] })
  t.match((await ask(gateway, 'GET', '/generations', other.token)).body, { generations: { length: 0 } })
})

t.test('a dry run with a token tells what is left in it, and not what its tenant has left', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 5, per: 'day' } })] } })
  const dry = { 'falgate-dry-run': '1' }
  t.match((await ask(gateway, 'POST', '/generate', key('studio'), { prompt: 'a' }, dry)).body, { budget: { left_usd: 5 } })
  t.match((await ask(gateway, 'POST', '/generate', (await give(gateway)).token, { prompt: 'a' }, dry)).body, { would: 'buy', budget: null })
  t.match((await ask(gateway, 'POST', '/generate', key('studio'), { prompt: 'a' }, dry)).body, { token: null })
  const { token } = await give(gateway, { usd: 0.1 })
  t.match((await ask(gateway, 'POST', '/generate', token, { prompt: 'a' }, dry)).body, { would: 'buy', token: { pictures_left: 3, usd_left: 0.1 } })
  t.equal((await ask(gateway, 'POST', '/generate', token, { prompt: 'a' })).status, 200)
  t.match((await ask(gateway, 'POST', '/generate', token, { prompt: 'b' }, dry)).body, { would: 'refuse', problem: { code: 'token-exhausted' }, token: { pictures_left: 2, usd_left: 0.04 } })
})

t.test('a revoked token ends, its open event streams too, and an expired one says so', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { callLimit: { max: 1_000_000, windowSeconds: 60 } })] }, sandbox: { concurrency: 0 } })
  const { token, id } = await give(gateway)
  const submitted = await ask(gateway, 'POST', '/generations', token, { prompt: 'a' })
  const stream = await fetch(`${gateway.url}/generations/${String(submitted.body['id'])}/events`, { headers: { authorization: `Bearer ${token}` } })
  t.equal(stream.status, 200)
  const told = stream.text()
  t.match(await ask(gateway, 'DELETE', `/tokens/${id}`, key('studio')), { status: 204 })
  t.match(await told, /ended, because the key is not in force any more/)
  let reply = await ask(gateway, 'GET', '/models', token)
  while (reply.status === 200) reply = await ask(gateway, 'GET', '/models', token)
  t.match(reply, { status: 401, body: { code: 'token-revoked' } })

  const short = await give(gateway, { expires_in: 1 })
  reply = await ask(gateway, 'GET', '/models', short.token)
  while (reply.status === 200) reply = await ask(gateway, 'GET', '/models', short.token)
  t.match(reply, { status: 401, body: { code: 'token-expired' } })
})
