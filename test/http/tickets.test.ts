// Tickets for `EventSource`: one opens the events of one generation once, and no key or token is taken from an address.

import t from 'tap'
import { EventSource } from 'undici'
import { useTicket } from '../../src/http/tickets.ts'
import { createTokenCallers } from '../../src/http/token-callers.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { bookOf, key, parseObject, startGateway, tenant, type Gateway } from '../support/gateway.ts'

const PAGE = 'https://studio.example'
const tenants = { tenants: [tenant('studio', { origins: [PAGE, 'https://other.example'] }), tenant('agency')] }

async function ask (gateway: Gateway, method: string, path: string, credential: string | null, body?: unknown, headers: Readonly<Record<string, string>> = {}) {
  const response = await fetch(gateway.url + path, {
    method,
    headers: { ...(credential === null ? {} : { authorization: `Bearer ${credential}` }), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') === true
  return { status: response.status, text, body: isJson ? parseObject(text) : {} }
}

async function begin (gateway: Gateway, credential: string): Promise<string> {
  return String((await ask(gateway, 'POST', '/generations', credential, { prompt: 'a' })).body['id'])
}

async function ticketFor (gateway: Gateway, id: string, credential: string): Promise<string> {
  const { status, body } = await ask(gateway, 'POST', `/generations/${id}/ticket`, credential)
  if (status !== 201) throw new Error(JSON.stringify(body))
  return String(body['events_url'])
}

async function give (gateway: Gateway, wish: Readonly<Record<string, unknown>> = {}): Promise<{ readonly token: string, readonly id: string }> {
  const { body } = await ask(gateway, 'POST', '/tokens', key('studio'), { pictures: 3, ...wish })
  return { token: String(body['token']), id: String(body['id']) }
}

t.test('EventSource follows a generation to its picture with a ticket, of a key or of a browser token', async t => {
  const gateway = await startGateway(t, { tenants })
  for (const credential of [key('studio'), (await give(gateway)).token]) {
    const source = new EventSource(gateway.url + await ticketFor(gateway, await begin(gateway, credential), credential))
    t.teardown(() => { source.close() })
    const last = await new Promise<Record<string, unknown>>((resolve, reject) => {
      source.addEventListener('error', () => { reject(new Error('the stream could not be opened')) })
      source.addEventListener('generation', event => {
        const told = parseObject(String(Reflect.get(event, 'data')))
        if (told['status'] === 'succeeded') resolve(told)
      })
    })
    source.close()
    t.match(last, { output: { images: [{}] } })
  }
})

t.test('of many who come with one ticket one is let in, and nobody afterwards', async t => {
  const gateway = await startGateway(t, { tenants })
  const url = await ticketFor(gateway, await begin(gateway, key('studio')), key('studio'))
  const replies = await Promise.all(Array.from({ length: 20 }, async () => await ask(gateway, 'GET', url, null)))
  t.equal(replies.filter(({ status }) => status === 200).length, 1)
  t.equal(replies.filter(({ status, body }) => status === 401 && body['code'] === 'ticket-unknown').length, 19)
  t.match(await ask(gateway, 'GET', url, null), { status: 401, body: { code: 'ticket-unknown', detail: /once, within 60 seconds/ } })
})

t.test('a ticket is for its own generation, its own origins, and whoever may see the generation', async t => {
  const gateway = await startGateway(t, { tenants })
  const { token } = await give(gateway, { origins: [PAGE] })
  const [one, other] = [await begin(gateway, token), await begin(gateway, token)]
  const swapped = (await ticketFor(gateway, one, token)).replace(one, other)
  t.match(await ask(gateway, 'GET', swapped, null), { status: 401, body: { code: 'ticket-unknown' } })
  t.match(await ask(gateway, 'GET', await ticketFor(gateway, one, token), null, undefined, { origin: 'https://other.example' }), { status: 403, body: { code: 'origin-not-allowed' } })
  t.equal((await ask(gateway, 'GET', await ticketFor(gateway, one, token), null, undefined, { origin: PAGE })).status, 200)
  for (const stranger of [key('agency'), key('studio'), (await give(gateway)).token]) t.match(await ask(gateway, 'POST', `/generations/${one}/ticket`, stranger), { status: 404, body: { code: 'no-such-generation' } })
  t.match(await ask(gateway, 'GET', `/generations/${one}?ticket=${'x'.repeat(43)}`, null), { status: 401, body: { code: 'key-missing' } }, 'it opens nothing but events')
  for (const made of ['fgs_' + 'x'.repeat(43), 'x', '', 'fgs_' + '\u{1f41f}'.repeat(43)]) {
    t.match(await ask(gateway, 'GET', `/generations/${one}/events?ticket=${encodeURIComponent(made)}`, null), { status: 401, body: { code: 'ticket-unknown' } }, made)
  }
  const [ticket] = (await ticketFor(gateway, one, token)).split('=').slice(-1)
  t.match(await ask(gateway, 'GET', `/generations/${one}/events?ticket=${ticket}&ticket=${ticket}`, null), { status: 401, body: { code: 'key-missing' } }, 'two are none')
})

t.test('the ticket of a token that was revoked opens nothing, and a stream that it opened ends with the token', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { callLimit: { max: 1_000_000, windowSeconds: 60 } })] }, sandbox: { concurrency: 0 } })
  const { token, id } = await give(gateway)
  const generation = await begin(gateway, token)
  const [opened, kept] = [await ticketFor(gateway, generation, token), await ticketFor(gateway, generation, token)]
  const stream = await fetch(gateway.url + opened)
  t.equal(stream.status, 200)
  const told = stream.text()
  t.equal((await ask(gateway, 'DELETE', `/tokens/${id}`, key('studio'))).status, 204)
  t.match(await told, /ended, because the key is not in force any more/)
  while ((await ask(gateway, 'GET', '/models', token)).status === 200);
  t.match(await ask(gateway, 'GET', kept, null), { status: 401, body: { code: 'token-revoked' } })
})

t.test('a stream goes on behind the place that its address names', async t => {
  const gateway = await startGateway(t, { tenants })
  const id = await begin(gateway, key('studio'))
  const { text } = await ask(gateway, 'GET', await ticketFor(gateway, id, key('studio')), null)
  const last = [...text.matchAll(/^id: (.*)$/gm)].at(-1)?.[1] ?? ''
  t.match(last, /\.succeeded$/)
  t.equal((await ask(gateway, 'GET', `${await ticketFor(gateway, id, key('studio'))}&last_event_id=${last}`, null)).status, 204)
})

t.test('a key or token in an address is refused with a sentence, whatever it is called, on every route that wants one', async t => {
  const gateway = await startGateway(t, { tenants })
  const { token } = await give(gateway)
  const before = gateway.sandbox.bill.accepted
  for (const credential of [key('studio'), token, token.replace(/_(?=[^_]{43}$)/, ':')]) {
    for (const [method, path] of [['GET', '/generations'], ['POST', '/generate'], ['GET', '/generations/x/events'], ['POST', '/fal/fal-ai/imagen4/preview/ultra'], ['GET', '/usage']] as const) {
      for (const header of [null, credential]) {
        const refused = await ask(gateway, method, `${path}?anything=${encodeURIComponent(credential)}`, header, method === 'POST' ? { prompt: 'a' } : undefined)
        t.equal(refused.status, 400, `${method} ${path}`)
        t.match(refused.text, /write addresses down/)
        t.notOk(refused.text.includes(credential))
      }
    }
  }
  t.equal(gateway.sandbox.bill.accepted, before)
  t.match(await ask(gateway, 'GET', '/generations?api_key=something', null), { status: 401, body: { code: 'key-missing', detail: /in the address is not taken/ } })
  t.match(await ask(gateway, 'GET', '/generations', null), { status: 401, body: { detail: 'Send `Authorization: Bearer <key>`.' } })
  t.equal((await ask(gateway, 'GET', '/models?token=', key('studio'))).status, 200, 'a name alone refuses nobody who sent a key')
})

t.test('made-up tickets are refused without a question to the ledger, and a ticket goes below the base path that its caller reached', async t => {
  const gateway = await startGateway(t, { tenants, env: { TRUST_PROXY: '127.0.0.1' } })
  const id = await begin(gateway, key('studio'))
  const { body } = await ask(gateway, 'POST', `/generations/${id}/ticket`, key('studio'), undefined, { 'x-forwarded-prefix': '/pictures' })
  const url = String(body['events_url'])
  t.ok(url.startsWith(`/pictures/generations/${id}/events?ticket=fgs_`), url)
  const [, secret = ''] = /=fgs_(.*)$/.exec(url) ?? []
  const book = bookOf(tenants, builtInModels)
  let asked = 0
  const ledger = { takeTicket: async () => { asked++; return await Promise.resolve(null) } }
  const tokens = createTokenCallers({ token: async () => await Promise.resolve(null), now: Date.now })
  const other = secret.endsWith('A') ? 'B' : 'A'
  for (const [ticket, generation] of [[`fgs_${'x'.repeat(43)}`, id], [`fgs_${secret.slice(0, -1)}${other}`, id], [`fgs_${secret}`, id.replace(/^./, '1')], ['', id]] as const) {
    await t.rejects(useTicket(ticket, generation, book, tokens, ledger), { code: 'ticket-unknown' })
  }
  t.equal(asked, 0)
  await t.rejects(useTicket(`fgs_${secret}`, id, book, tokens, ledger), { code: 'ticket-unknown' })
  t.equal(asked, 1, 'one that a key gave out is asked about')
})
