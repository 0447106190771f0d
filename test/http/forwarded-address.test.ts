// What a proxy that is believed says of its address, and what is made of it when that is no address: many proxies pass on what a client sent.

import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { callAt } from '../support/host-call.ts'

const QUEUE = '/fal/queue/fal-ai/imagen4/preview/ultra'

t.test('under TRUST_PROXY addresses are made of a protocol of the web and of a host, with the rest as if it had not been said', async t => {
  const { url } = await startGateway(t, { env: { TRUST_PROXY: 'on' } })
  const base = async (headers: Readonly<Record<string, string>>): Promise<string> => {
    const reply = await callAt(url, { path: QUEUE, host: 'own.example', body: { prompt: 'a heron', seed: 1 }, headers })
    return String(reply.json()['status_url']).split('/fal/queue/')[0] ?? ''
  }

  for (const [protocol, made] of [['https', 'https'], ['HTTPS', 'https'], ['http', 'http'], ['http, https', 'https']] as const) t.equal(await base({ 'x-forwarded-proto': protocol }), `${made}://own.example`, protocol)
  for (const protocol of ['gopher', 'javascript', 'https://other.example/?', 'https:', 'wss', '', 'https, gopher']) t.equal(await base({ 'x-forwarded-proto': protocol }), 'http://own.example', protocol)

  for (const host of ['ai.example', 'ai.example:8443', 'ai_1.example', '10.0.0.1:80', '[::1]:8443', 'localhost']) t.equal(await base({ 'x-forwarded-host': host }), `http://${host}`, host)
  t.equal(await base({ 'x-forwarded-host': 'first.example, last.example' }), 'http://last.example')
  for (const host of ['ai.example/path', 'user@ai.example', 'ai.example:99999', 'ai.example:', 'ai.example?x', 'ai example', '-', '"', '<b>', '[::1', '[1:2]', '1.2.3.999', 'first.example, a/b', `${'a'.repeat(300)}.example`]) {
    t.equal(await base({ 'x-forwarded-host': host }), 'http://own.example', host)
  }
})

t.test('a host of fal\'s clients is looked for where an odd one was said', async t => {
  const { url } = await startGateway(t, { env: { TRUST_PROXY: 'on', FAL_HOSTS: 'fal.example' } })
  const call = { path: '/fal-ai/imagen4/preview/ultra', host: 'fal.example', body: { prompt: 'a heron', seed: 1 } }
  t.equal((await callAt(url, { ...call, headers: { 'x-forwarded-host': 'other.example/x' } })).status, 200)
  t.equal((await callAt(url, { ...call, headers: { 'x-forwarded-host': 'other.example' } })).status, 404)
})
