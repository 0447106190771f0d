// The server proxy goes exactly where fal's clients go for a model on offer, and nowhere else.

import t from 'tap'
import { key, parseObject, startGateway, STUDIO_KEY } from '../../support/gateway.ts'

const MODEL = 'fal-ai/imagen4/preview/ultra'
const id = '01a20450-0b62-7611-9b51-7a1d0c9e6f10'

const refused: Readonly<Record<string, string | null>> = {
  'no target': null,
  'an empty target': '',
  'no address': 'imagen4',
  'half an address': 'https://',
  'a broken address': 'https://[::1',
  'http to the run host': `http://fal.run/${MODEL}`,
  'http to the queue host': `http://queue.fal.run/${MODEL}`,
  'another scheme': `file:///${MODEL}`,
  'a websocket': `wss://fal.run/${MODEL}`,
  'a host that ends alike': `https://evilfal.run/${MODEL}`,
  'a host that begins alike': `https://fal.run.evil.example/${MODEL}`,
  'a host with a dot behind it': `https://fal.run./${MODEL}`,
  'a subdomain': `https://x.queue.fal.run/${MODEL}`,
  'the backup host': `https://falrun.com/${MODEL}`,
  'this machine': `https://127.0.0.1/${MODEL}`,
  'the metadata service': 'http://169.254.169.254/latest/meta-data',
  'a user in front of the host': `https://fal.run@evil.example/${MODEL}`,
  'a user for the host': `https://key:secret@fal.run/${MODEL}`,
  'another port': `https://fal.run:8443/${MODEL}`,
  'a model that is not on offer': 'https://fal.run/fal-ai/flux/dev',
  'a model that begins alike': `https://fal.run/${MODEL}-x`,
  'a model in capitals': `https://fal.run/${MODEL.toUpperCase()}`,
  'a model in percent signs': 'https://fal.run/%66al-ai/imagen4/preview/ultra',
  'a doubled slash': `https://fal.run//${MODEL}`,
  traversal: `https://fal.run/${MODEL}/../../../generations`,
  'encoded traversal': `https://fal.run/${MODEL}/%2e%2e/%2e%2e/usage`,
  'doubly encoded traversal': `https://fal.run/${MODEL}/%252e%252e/usage`,
  'encoded slashes': `https://queue.fal.run/fal-ai%2fimagen4/requests/${id}`,
  backslashes: 'https://fal.run\\..\\..\\usage',
  'the gateway\'s own queue by the run host': `https://fal.run/queue/${MODEL}`,
  'the gateway\'s own proxy': 'https://fal.run/proxy',
  'two targets': `https://fal.run/${MODEL}, https://evil.example/`,
  '10 kB': `https://fal.run/${MODEL}?x=${'x'.repeat(10_000)}`,
  'an upload': 'https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3',
  'a token': 'https://rest.fal.ai/tokens/',
  'a file': 'https://v3.fal.media/files/x.png',
  realtime: `https://fal.run/${MODEL}/realtime`,
  'a stream of the model': `https://fal.run/${MODEL}/stream`,
  'a null byte': `https://fal.run/${MODEL}%00`
}

t.test('hostile targets are refused: nothing leaves, nothing is bought, the process lives', async t => {
  const gateway = await startGateway(t)
  for (const [title, target] of Object.entries(refused)) {
    for (const path of ['/fal/proxy', '/api/fal/proxy']) {
      const reply = await gateway.generate({ prompt: 'x' }, { path, headers: target === null ? {} : { 'x-fal-target-url': target } })
      t.equal(reply.status, 400, title)
      t.match(reply.json(), { detail: /^The proxy does not go there\. \S/, message: /\S/, error_type: 'bad_request' }, title)
      t.match(reply.headers.get('x-fal-request-id'), /^[0-9a-f-]{36}$/, title)
    }
  }
  t.equal(gateway.sandbox.bill.submits, 0)
  t.equal((await gateway.get('/healthz')).status, 200)
})

t.test('refusals say what to do instead', async t => {
  const gateway = await startGateway(t)
  const said = async (target: string) => String((await gateway.generate({}, { path: '/fal/proxy', headers: { 'x-fal-target-url': target } })).json()['message'])
  t.match(await said('https://rest.fal.ai/storage/upload/initiate'), /Files are neither uploaded/)
  t.match(await said('https://rest.fal.ai/tokens/'), /Tokens .* not given out/)
  t.match(await said(`https://fal.run/${MODEL}/realtime`), /Realtime models are not offered/)
})

t.test('a known target is served as its own address is, whatever stands around the proxy\'s', async t => {
  const gateway = await startGateway(t)
  const direct = await gateway.generate({ prompt: 'x', seed: 1 }, { path: `/fal/${MODEL}` })
  for (const path of ['/fal/proxy', '/fal/proxy/', '/api/fal/proxy', '/api/fal/proxy?x=1']) {
    const reply = await gateway.generate({ prompt: 'x', seed: 1 }, { path, headers: { 'x-fal-target-url': `https://fal.run/${MODEL}` } })
    t.equal(reply.status, 200, path)
    t.equal(reply.text, direct.text)
    t.equal(reply.headers.get('x-fal-billable-units'), '0')
  }
  t.equal(gateway.sandbox.bill.accepted, 1)
})

t.test('other people\'s requests look like unknown ones, through the proxy, too, and cannot be cancelled', async t => {
  const gateway = await startGateway(t, { sandbox: { runMs: 60_000 } })
  const { request_id: mine } = parseObject((await gateway.generate({ prompt: 'x' }, { path: `/fal/queue/${MODEL}` })).text)
  const unknown: string[] = []
  for (const requestId of [String(mine), id]) {
    for (const [method, tail] of [['GET', ''], ['GET', '/status'], ['GET', '/status/stream'], ['PUT', '/cancel']] as const) {
      for (const [path, headers] of [[`/fal/queue/fal-ai/imagen4/requests/${requestId}${tail}`, {}], ['/fal/proxy', { 'x-fal-target-url': `https://queue.fal.run/fal-ai/imagen4/requests/${requestId}${tail}` }]] as const) {
        const response = await fetch(gateway.url + path, { method, headers: { authorization: `Key ${key('press')}`, ...headers } })
        t.equal(response.status, 404, `${method} ${path}`)
        unknown.push(await response.text())
      }
    }
  }
  t.equal(new Set(unknown).size, 1, 'nobody can tell them apart')
  t.match(parseObject(String(unknown[0])), { status: 'NOT_FOUND', detail: String, message: String })
  const own = await fetch(`${gateway.url}/fal/queue/fal-ai/imagen4/requests/${String(mine)}/status`, { headers: { authorization: `Key ${STUDIO_KEY}` } })
  t.equal(own.status, 202)
  await own.text()
})
