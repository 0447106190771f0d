// Bodies that carry files: of models that take some, up to a bound, and a few at once.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import { createLongBodies } from '../../src/http/body-bytes.ts'
import { watchConnection } from '../../src/http/connection.ts'
import { freshFacts } from '../../src/http/request-facts.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { createModels } from '../../src/models/models.ts'
import { documentModel } from '../support/model-files.ts'
import { key, startGateway, STUDIO_KEY, tenant, type Gateway } from '../support/gateway.ts'
import { until } from '../support/until.ts'

const editor = documentModel({
  endpointId: 'acme/painter/edit',
  input: { type: 'object', required: ['prompt', 'image_url'], properties: { prompt: { type: 'string' }, image_url: { type: 'string', ui: { field: 'image' } } } },
  price: { usd: 0.02, per: 'call' }
})
const painter = documentModel({ endpointId: 'acme/painter', price: { usd: 0.02, per: 'image' } })
const models = createModels(builtInModels.all, { added: [editor, painter] })

const EDIT = { path: '/generate/acme/painter/edit' }

function bodyOf (bytes: number): string {
  const body = { prompt: 'frame it', image_url: 'data:image/png;base64,' }
  return JSON.stringify({ ...body, image_url: body.image_url + 'A'.repeat(bytes - JSON.stringify(body).length) })
}

const MIB = 1024 * 1024

async function chunked (gateway: Gateway, path: string, body: string): Promise<number> {
  const response = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' },
    body: new ReadableStream({
      start: controller => {
        for (let at = 0; at < body.length; at += 65_536) controller.enqueue(Buffer.from(body.slice(at, at + 65_536)))
        controller.close()
      }
    }),
    duplex: 'half'
  })
  await response.arrayBuffer()
  return response.status
}

t.test('a model that takes files takes bodies of up to 6 MiB, on every door, and no other model does', async t => {
  const gateway = await startGateway(t, { models })
  t.equal((await gateway.generate(bodyOf(6 * MIB), EDIT)).status, 200)
  t.equal(await chunked(gateway, EDIT.path, bodyOf(MIB)), 200)
  t.equal((await gateway.generate(bodyOf(MIB), { path: '/fal/acme/painter/edit' })).status, 200)
  t.equal((await gateway.generate(bodyOf(MIB), { path: '/fal/queue/acme/painter/edit' })).status, 200)
  t.match((await gateway.generate(bodyOf(6 * MIB + 1), EDIT)).json(), { code: 'body-too-large', detail: 'At most 6144 KiB are read here.' })
  for (const path of ['/generate', '/generate/acme/painter', '/fal/acme/painter', '/fal/queue/acme/painter', '/generate/acme/nothing']) {
    t.equal((await gateway.generate(bodyOf(MIB), { path })).status, 413, path)
  }
  t.equal(gateway.sandbox.bill.accepted, 4)
})

t.test('a default model that takes files takes them at the short addresses, too, and so does one that the query names', async t => {
  const gateway = await startGateway(t, { models: createModels(builtInModels.all, { added: [editor, painter], defaultId: editor.endpointId }) })
  for (const [path, status] of [['/generate', 200], ['/generations', 202], [`/generations?model=${editor.endpointId}`, 202], [`/generations?model=${painter.endpointId}`, 413]] as const) {
    t.equal((await gateway.generate(bodyOf(MIB), { path })).status, status, path)
  }
})

t.test('eight long bodies are read at once, one more is told when to come again, and short ones go on', async t => {
  const gateway = await startGateway(t, { models, tenants: { tenants: [tenant('studio'), tenant('press')] } })
  const open: Socket[] = []
  t.teardown(() => { for (const socket of open) socket.destroy() })
  const sent = await Promise.all(Array.from({ length: 8 }, async () => {
    const socket = await halfSent(gateway)
    open.push(socket)
    return socket
  }))
  // The ninth says how long it is, and is answered before it is read. Whether the others were seen by then, only the answer tells.
  for (;;) {
    const ninth = await gateway.generate(bodyOf(MIB), EDIT)
    if (ninth.status === 200) continue
    t.match(ninth.json(), { status: 503, code: 'large-bodies-full' })
    t.equal(ninth.headers.get('retry-after'), '1')
    break
  }
  t.equal((await gateway.generate({ prompt: 'a fair', image_url: 'https://studio.example/a.png' }, { ...EDIT, key: key('press') })).status, 200)
  sent[0]?.destroy()
  let status = 503
  while (status === 503) status = (await gateway.generate(bodyOf(MIB), EDIT)).status
  t.equal(status, 200, 'a caller that left makes room')
})

t.test('callers that left before their bodies were counted take no place for ever', async t => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const longBodies = createLongBodies()
  const told: unknown[] = []
  app.decorateRequest('facts')
  app.addHook('onRequest', (request, reply, done) => {
    request.facts = freshFacts(watchConnection(request, reply, () => {}), request.routeOptions, { route: '/', isPoll: false }, null)
    done()
  })
  app.get('/left', async request => {
    await once(request.raw.socket, 'close')
    told.push(longBodies.enter(request)?.code)
  })
  app.get('/here', async request => longBodies.enter(request)?.code ?? 'read')
  const { port } = new URL(await app.listen({ port: 0 }))
  for (let n = 0; n < 8; n++) {
    const socket = connect(Number(port), 'localhost')
    const came = once(app.server, 'request')
    socket.write('GET /left HTTP/1.1\r\nHost: gateway\r\n\r\n')
    await came
    socket.destroy()
  }
  await until(() => told.length === 8)
  t.same(told, Array.from({ length: 8 }, () => 'bad-request'))
  t.equal((await app.inject('/here')).body, 'read')
})

/** A request of which half has been sent. */
async function halfSent (gateway: Gateway): Promise<Socket> {
  const { hostname, port } = new URL(gateway.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {}) // it is cut off when the gateway closes
  const body = bodyOf(MIB)
  await new Promise<void>(resolve => {
    socket.write(`POST ${EDIT.path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${STUDIO_KEY}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, MIB / 2)}`, () => { resolve() })
  })
  return socket
}
