// fal's two hosts, played at host names of the gateway: for clients that take a bare host, or join our paths to a host of their own.

import t from 'tap'
import { request } from 'undici'
import { parseConfig } from '../../../src/config.ts'
import { configOf, parseObject, startGateway, STUDIO_KEY, type Gateway } from '../../support/gateway.ts'
import { until } from '../../support/until.ts'

const MODEL = 'fal-ai/imagen4/preview/ultra'
const APP = 'fal-ai/imagen4'

interface Asked { readonly host: string, readonly method?: 'GET' | 'POST' | 'PUT' | 'OPTIONS', readonly body?: object, readonly headers?: Readonly<Record<string, string>> }
interface Told { readonly status: number, readonly text: string, readonly json: () => Record<string, unknown>, readonly headers: Readonly<Record<string, unknown>> }

async function ask (gateway: Gateway, path: string, { host, method = 'GET', body, headers = {} }: Asked): Promise<Told> {
  const answer = await request(gateway.url + path, {
    method,
    headers: { host, authorization: `Key ${STUDIO_KEY}`, ...body === undefined ? {} : { 'content-type': 'application/json' }, ...headers },
    body: body === undefined ? null : JSON.stringify(body)
  })
  const text = await answer.body.text()
  return { status: answer.statusCode, text, json: () => parseObject(text), headers: answer.headers }
}

t.test('synchronous calls are at the root of the host, and the queue at the root of its own or below /queue', async t => {
  const gateway = await startGateway(t, { env: { FAL_HOSTS: 'fal.example, other.example' } })
  const body = { prompt: 'a bicycle', seed: 7 }
  const made = await ask(gateway, `/${MODEL}`, { host: 'fal.example', method: 'POST', body })
  t.equal(made.status, 200, made.text)
  t.match(made.json(), { images: [{ url: String }], seed: 7 })
  t.equal((await ask(gateway, `/${MODEL}/`, { host: 'OTHER.example:8443', method: 'POST', body })).text, made.text, 'names are blind to case, and ports do not count')

  for (const [host, path, base] of [['queue.fal.example', '', 'http://queue.fal.example'], ['queue.fal.example:8443', '', 'http://queue.fal.example:8443'], ['fal.example', '/queue', 'http://fal.example/queue']] as const) {
    const submitted = await ask(gateway, `${path}/${MODEL}`, { host, method: 'POST', body })
    const { request_id: id, ...addresses } = submitted.json()
    const at = `${base}/${APP}/requests/${String(id)}`
    t.match(addresses, { response_url: at, status_url: `${at}/status`, cancel_url: `${at}/cancel` }, 'addresses are those of the host that was asked')
    await until(async () => (await ask(gateway, `${path}/${APP}/requests/${String(id)}/status?logs=1`, { host })).status === 200)
    t.equal((await ask(gateway, `${path}/${APP}/requests/${String(id)}`, { host })).text, made.text)
    t.match((await ask(gateway, `${path}/${APP}/requests/${String(id)}/status/stream`, { host })).text, /^data: /)
    t.equal((await ask(gateway, `${path}/${APP}/requests/${String(id)}/cancel`, { host, method: 'PUT' })).status, 400)
  }
})

t.test('nothing but fal is at these hosts, and what is not there is told in fal\'s words', async t => {
  const gateway = await startGateway(t, { env: { FAL_HOSTS: 'fal.example' } })
  for (const host of ['fal.example', 'queue.fal.example', 'fal.example.', 'FAL.EXAMPLE:80']) {
    for (const path of ['/', '/generate', '/docs', '/openapi.json', '/metrics', '/readyz', '/models', '/fal/' + MODEL, '/api/fal/proxy', '/proxy', '/sandbox/control/bill']) {
      for (const method of ['GET', 'POST'] as const) {
        const answer = await ask(gateway, path, { host, method, ...method === 'POST' ? { body: { prompt: 'x' } } : {} })
        t.ok([400, 404, 405].includes(answer.status), `${method} ${host}${path}: ${answer.status}`)
        t.match(answer.json(), { detail: /./ })
      }
    }
  }
  const run = await ask(gateway, `/${MODEL}?prompt=x`, { host: 'fal.example' })
  t.equal(run.status, 405, 'what looks at an address ahead of need would buy a picture')
  t.match(run.json(), { detail: /./, error_type: String })
  t.equal(run.headers['allow'], 'POST')
  t.equal((await ask(gateway, `/${MODEL}`, { host: 'fal.example', method: 'POST', body: { prompt: 'x' }, headers: { authorization: 'Key wrong' } })).status, 401)

  for (const host of ['gateway.example', 'xfal.example', 'run.fal.example', 'fal.example.evil.example', '']) {
    t.equal((await ask(gateway, `/${MODEL}`, { host, method: 'POST', body: { prompt: 'x' } })).status, 404, `no host of fal: ${host}`)
    t.equal((await ask(gateway, '/openapi.json', { host })).status, 200)
  }
})

t.test('a host that a proxy tells of counts only when that proxy is believed', async t => {
  const call = { host: 'internal:8080', method: 'POST', body: { prompt: 'x', seed: 1 }, headers: { 'x-forwarded-host': 'queue.fal.example', 'x-forwarded-proto': 'https' } } as const
  const careful = await startGateway(t, { env: { FAL_HOSTS: 'fal.example' } })
  t.equal((await ask(careful, `/${MODEL}`, call)).status, 404)
  const elsewhere = await startGateway(t, { env: { FAL_HOSTS: 'fal.example', TRUST_PROXY: '192.0.2.1' } })
  t.equal((await ask(elsewhere, `/${MODEL}`, call)).status, 404)
  for (const trusted of ['on', '192.0.2.1,127.0.0.0/8']) {
    const trusting = await startGateway(t, { env: { FAL_HOSTS: 'fal.example', TRUST_PROXY: trusted } })
    const submitted = await ask(trusting, `/${MODEL}`, call)
    t.match(submitted.json()['status_url'], /^https:\/\/queue\.fal\.example\/fal-ai\/imagen4\/requests\//)
    t.equal((await ask(trusting, `/${MODEL}`, { ...call, headers: { 'x-forwarded-host': 'queue.fal.example, gateway.example' } })).status, 404, 'the nearest proxy is the one that is believed')
    t.equal((await ask(trusting, `/${MODEL}`, { ...call, host: 'fal.example', headers: { 'x-forwarded-host': '' } })).status, 200, 'a proxy that tells nothing leaves the Host that came')
  }
  const told = await startGateway(t, { env: { FAL_HOSTS: 'fal.example', PUBLIC_URL: 'https://ai.example' } })
  t.match((await ask(told, `/${MODEL}`, { ...call, host: 'queue.fal.example', headers: {} })).json()['status_url'], /^https:\/\/queue\.fal\.example\//, 'where TLS ends in front and nothing says so, PUBLIC_URL does')
})

t.test('names of hosts that cannot be, or that are the gateway\'s own, are faults', async t => {
  t.same(configOf({ FAL_HOSTS: 'Fal.Example,fal.example,b' }).falHosts, ['fal.example', 'b'])
  for (const text of ['https://fal.example', 'fal.example:443', '127.0.0.1', 'a b', '-a', ',']) t.match(parseConfig({ FAL_HOSTS: text }), { ok: false, faults: [/^FAL_HOSTS: expected host names/] }, text)
  for (const url of ['https://fal.example', 'http://queue.fal.example:81/x']) t.match(parseConfig({ FAL_HOSTS: 'fal.example', PUBLIC_URL: url }), { ok: false, faults: [/^FAL_HOSTS: the host of PUBLIC_URL/] })
  for (const text of ['fal.example,queue.fal.example', 'queue.fal.example,fal.example']) {
    t.match(parseConfig({ FAL_HOSTS: text }), { ok: false, faults: ['FAL_HOSTS: queue.fal.example is the queue of fal.example without being listed; leave it out'] }, 'at a name that is both, a submit would be a synchronous call')
  }
})
