// A caller that asks for it is told when its generation has ended: signed, with what `GET` shows of it, at least once and in order; and nobody is told anything at another place than their operator allows.

import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { PUBLISHED_WEBHOOK_SECRET } from '../../src/tenants/book.ts'
import { key, startGateway, startWithOwnSandbox, tenant, type Gateway, type GatewayOptions } from '../support/gateway.ts'
import { signatureOf, startReceiver, type ReceivedHook, type Receiver } from '../support/receiver.ts'
import { give } from '../support/tokens.ts'
import { until } from '../support/until.ts'

const SECRET = `whsec_${Buffer.alloc(32, 'studio').toString('base64')}`

interface Scene extends Gateway { readonly receiver: Receiver, readonly hook: Record<string, string> }

async function scene (t: Test, options: GatewayOptions & { readonly answer?: Parameters<typeof startReceiver>[1] } = {}): Promise<Scene> {
  const receiver = await startReceiver(t, options.answer)
  const folder = t.testdir({ secrets: SECRET })
  const webhooks = { webhooks: [receiver.host, 'hooks.example'], webhookSecretFile: `${folder}/secrets` }
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', webhooks), tenant('press', { cacheGroup: 'both', ...webhooks }), tenant('radio', { cacheGroup: 'both', webhooks: [receiver.host] }), tenant('mute')] }, ...options })
  return { ...gateway, receiver, hook: { 'falgate-webhook': receiver.url } }
}

/** What it tells, once the published verifier has taken it. */
function verified (hook: ReceivedHook): Record<string, unknown> {
  return Object(new Webhook(SECRET).verify(hook.raw, signatureOf(hook)))
}

t.test('a generation that ends is told of with what its own address shows, byte for byte, and signed as the published verifier wants it', async t => {
  const { generate, get, receiver, hook, url } = await scene(t)
  const reply = await generate({ prompt: 'x', seed: 1 }, { path: '/generations', headers: hook })
  t.equal(reply.status, 202)
  const id = String(reply.json()['id'])
  const [told] = await receiver.until(1)
  if (told === undefined) throw new Error('nothing')
  t.match(verified(told), { type: 'generation.succeeded', url: `${url}/generations/${id}`, data: { id, status: 'succeeded', seed: '1' } })
  const shown = await get(`/generations/${id}`)
  t.ok(told.raw.endsWith(`"data":${shown.text}}`), 'data is the generation')
  t.equal(verified(told)['timestamp'], shown.json()['finished_at'])
  t.match(told.headers, { 'content-type': 'application/json', 'webhook-id': /^hook_[0-9a-f]{32}_1$/ })
  t.equal(told.url, '/hook?team=studio')
})

t.test('a seed that JavaScript would round keeps its digits', async t => {
  const { generate, receiver, hook } = await scene(t)
  await generate('{"prompt":"x","seed":9007199254740993}', { headers: hook })
  const [told] = await receiver.until(1)
  t.match(told?.raw, /"seed":9007199254740993\}/)
})

t.test('a hit, one that joins, and a repeated key are told of under the ids that their callers were given, each once', async t => {
  const { generate, get, receiver, hook } = await scene(t)
  const input = { prompt: 'x', seed: 2 }
  const bought = await generate(input, { key: key('press'), headers: { ...hook, 'idempotency-key': 'a' } })
  await receiver.until(1)
  const again = await generate(input, { key: key('press'), headers: { ...hook, 'idempotency-key': 'a' } })
  t.equal(again.headers.get('idempotent-replayed'), 'true')
  const hit = await generate(input, { key: key('press'), path: '/generations', headers: { 'falgate-webhook': `${receiver.url}&hit` } })
  t.match(hit.headers.get('cache-status'), /hit/)
  const told = await receiver.until(2)
  const ids = told.map(({ json }) => Object(json['data'])['id'])
  t.same(ids, [bought, hit].map(({ headers }) => headers.get('falgate-generation')))
  t.equal(new Set(told.map(({ headers }) => headers['webhook-id'])).size, 2)
  for (const { json } of told) t.equal((await get(new URL(String(json['url'])).pathname, { key: key('press') })).status, 200)
  t.equal(told.length, 2, 'the repeated key is no second webhook')
})

t.test('a failure, a cancellation and an unknown outcome are told of with their problem', async t => {
  const { generate, receiver, hook, sandbox } = await scene(t)
  sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation' })
  await generate({ prompt: 'x' }, { headers: hook })
  const [failed] = await receiver.until(1)
  t.match(failed?.json, { type: 'generation.failed', data: { status: 'failed', output: null, error: { code: 'content-refused' } } })

  sandbox.faults.add({ kind: 'reset', operation: 'submit', accepted: true })
  await generate({ prompt: 'z' }, { headers: hook })
  const [, unknown] = await receiver.until(2)
  t.match(unknown?.json, { type: 'generation.unknown', timestamp: /^2\d{3}-.*Z$/, data: { status: 'unknown', finished_at: null, error: { code: 'outcome-unknown' } } })

  const closed = await scene(t, { config: { falConcurrency: 0 } })
  const id = String((await closed.generate({ prompt: 'y' }, { path: '/generations', headers: closed.hook })).json()['id'])
  await closed.post(`/generations/${id}/cancel`)
  const [cancelled] = await closed.receiver.until(1)
  t.match(cancelled?.json, { type: 'generation.cancelled', data: { id, status: 'cancelled', error: { code: 'cancelled' } } })
})

t.test('a receiver that fails twice is sent the same again, with the same id; an answer of 410 ends it', async t => {
  const { generate, receiver, hook } = await scene(t, { answer: (response, ordinal) => { response.writeHead(ordinal < 3 ? 500 : ordinal === 3 ? 204 : 410).end() } })
  await generate({ prompt: 'x', seed: 1 }, { headers: hook })
  const told = await receiver.until(3)
  t.equal(new Set(told.map(({ headers }) => headers['webhook-id'])).size, 1)
  t.equal(new Set(told.map(({ raw }) => raw)).size, 1)
  for (const one of told) t.ok(verified(one))
  await generate({ prompt: 'x', seed: 2 }, { headers: hook })
  await receiver.until(4)
  await generate({ prompt: 'x', seed: 3 }, { headers: { 'falgate-webhook': `${receiver.url}&last` } })
  await until(() => receiver.received.some(({ url }) => url.endsWith('last')))
  t.equal(receiver.received.filter(({ headers }) => headers['webhook-id'] === receiver.received[3]?.headers['webhook-id']).length, 1, 'the one that was answered 410')
})

t.test('what may not be called is refused in a sentence, and nothing is bought', async t => {
  const { generate, sandbox, receiver, url } = await scene(t)
  const refusals: readonly (readonly [address: string, status: number, detail: RegExp])[] = [
    ['hooks.example', 400, /is one address of at most 2048 characters that begins with https:\/\//],
    [`https://hooks.example/${'a'.repeat(2048)}`, 400, /at most 2048/],
    ['https://hooks.example/ a', 400, /is one address/],
    ['http://hooks.example/', 400, /has to begin with https:\/\//],
    ['ftp://hooks.example/', 400, /has to begin with https:\/\//],
    ['https://user:word@hooks.example/', 400, /may not have a user or a password/],
    ['https://hooks.example:8443/', 403, /may not have "hooks.example:8443" called: its operator lists hosts in `webhooks`/],
    ['https://other.example/', 403, /may not have "other.example" called/],
    ['https://169.254.169.254/latest', 403, /may not have "169.254.169.254" called/],
    ['https://[::1]/', 403, /may not have/],
    ['https://a.hooks.example/', 403, /may not have/]
  ]
  for (const [address, status, detail] of refusals) {
    for (const headers of [{}, { 'falgate-dry-run': '1' }]) {
      const reply = await generate({ prompt: 'x' }, { headers: { 'falgate-webhook': address, ...headers } })
      t.match({ status: reply.status, ...reply.json() }, { status, code: status === 400 ? 'bad-header' : 'not-allowed', detail }, address)
    }
  }
  const noSecret = await generate({ prompt: 'x' }, { key: key('radio'), headers: { 'falgate-webhook': receiver.url } })
  t.match(noSecret.json(), { status: 403, detail: /no secret .*webhookSecretFile/ })
  t.match((await generate({ prompt: 'x' }, { key: key('mute'), headers: { 'falgate-webhook': 'https://hooks.example/' } })).json(), { status: 403 })
  t.match((await generate({ prompt: 'x', seed: 1 }, { headers: { 'falgate-webhook': receiver.url, 'falgate-cache': 'only' } })).json(), { status: 400, detail: /do not go together/ })
  const { token } = await give({ url })
  t.match((await generate({ prompt: 'x' }, { key: token, headers: { 'falgate-webhook': receiver.url } })).json(), { status: 403, detail: /not for browser tokens/ })
  t.equal(sandbox.bill.submits, 0)
  t.same(receiver.received, [])
})

t.test('a dry run checks the address, notes nothing and tells nobody', async t => {
  const { generate, receiver, hook, sandbox } = await scene(t)
  t.match((await generate({ prompt: 'x', seed: 1 }, { headers: { ...hook, 'falgate-dry-run': '1' } })).json(), { would: 'buy' })
  await generate({ prompt: 'x', seed: 1 })
  await generate({ prompt: 'x', seed: 2 }, { headers: { 'falgate-webhook': `${receiver.url}&second` } })
  const [told] = await receiver.until(1)
  t.ok(told?.url.endsWith('second'))
  t.equal(sandbox.bill.submits, 2)
})

t.test('an output above 256 KiB is left out, and the address tells where it is', async t => {
  const { generate, get, receiver, hook, sandbox } = await scene(t)
  sandbox.faults.add({ kind: 'job', operation: 'submit', insideBytes: 300_000 })
  t.equal((await generate({ prompt: 'x' }, { headers: hook })).status, 200)
  const [told] = await receiver.until(1)
  const { data, url } = Object(told?.json)
  t.match(data, { status: 'succeeded', output: null, output_bytes: Number })
  const shown = await get(new URL(url).pathname)
  t.equal(shown.json()['output_bytes'], data.output_bytes)
  t.ok(shown.text.length > 300_000)
})

t.test('in a trial without a file this machine is told, at the addresses that are documented, with the secret that everybody knows', async t => {
  const app = await startWithOwnSandbox(t)
  const call = async (address: string) => await fetch(`${app.url}/generate`, { method: 'POST', headers: { authorization: 'Bearer fg_demo_sandbox', 'content-type': 'application/json', 'falgate-webhook': address, 'falgate-dry-run': '1' }, body: '{"prompt":"x"}' })
  for (const address of ['http://127.0.0.1:9000/', 'http://localhost:9000/hook']) t.equal((await call(address)).status, 200, address)
  for (const address of ['http://127.0.0.1:9001/', 'http://127.0.0.1/', 'https://127.0.0.1:9000/', 'http://0.0.0.0:9000/', 'http://[::1]:9000/']) t.not((await call(address)).status, 200, address)
  t.ok(PUBLISHED_WEBHOOK_SECRET.startsWith('whsec_'))
})

t.test('a process that stops lets a delivery that it has begun end', async t => {
  let answer = (): void => {}
  const gateway = await scene(t, { answer: response => { answer = () => { response.writeHead(204).end() } } })
  await gateway.generate({ prompt: 'x' }, { headers: gateway.hook })
  await gateway.receiver.until(1)
  const closed = gateway.close()
  answer()
  await closed
  t.equal(gateway.receiver.received.length, 1)
})
