// A company whose machines reach fal through a proxy: the gateway as a process, a proxy that makes tunnels, and the sandbox behind TLS.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { createModels } from '../../src/models/models.ts'
import { makeCertificate } from '../support/fal/certificate.ts'
import { CENTRAL_KEY, parseObject, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { listenFor, tie } from '../support/listen.ts'
import { documentModel, modelFile } from '../support/model-files.ts'
import { cliFile } from '../support/paths.ts'
import { answering, freePort, start, type Env } from '../support/processes.ts'
import { pixel } from '../support/pixel.ts'
import { startSandbox, type RunningSandbox } from '../support/sandbox.ts'

interface Scene {
  readonly sandbox: RunningSandbox
  /** What the proxy was asked for: `CONNECT host:port`, and the credentials. */
  readonly asked: readonly string[]
  readonly generate: () => Promise<Response>
  /** Asks for the file itself, which the gateway reads where the upstream has it. */
  readonly picture: () => Promise<Response>
  /** Sends a picture along, for a storage behind TLS. */
  readonly edit: () => Promise<Response>
  /** What came to that storage. */
  readonly stored: readonly string[]
  readonly storagePort: number
  /** Ends the gateway, and gives what it logged. */
  readonly end: () => Promise<string>
}

/** A model that takes a picture. */
const editor = { endpointId: 'acme/single', input: { type: 'object', required: ['prompt'], properties: { prompt: { type: 'string' }, image_url: { type: 'string' } } } }

/** A name of the sandbox that nobody but the proxy can resolve. */
const MIRROR = 'mirror.invalid'

/** `refusal`: what the proxy answers in place of a tunnel. */
async function open (t: Test, env: Env = {}, refusal: number | null = null): Promise<Scene> {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY], publicUrl: `https://${MIRROR}/sandbox`, models: createModels([builtInModels.default, documentModel(editor)]) })
  const { caFile, certFile, keyFile } = makeCertificate(t, t.testdir({}), [MIRROR])
  const sockets = new Set<Socket>()
  const joined = (one: Socket, other: Socket): void => {
    tie(sockets, one, other)
    one.pipe(other).pipe(one)
  }
  const tls = createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, socket => { joined(socket, connect(Number(new URL(sandbox.base).port), '127.0.0.1')) })
  const tlsPort = await listenFor(t, tls, sockets)

  const stored: string[] = []
  const storage = createHttpsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) => {
    request.resume().on('end', () => {
      stored.push(`${request.method} ${request.url}`)
      response.end(request.method === 'PUT' ? '' : JSON.stringify({ upload_url: `https://localhost:${storagePort}/put`, file_url: 'https://files.example/a.png' }))
    })
  })
  storage.on('connection', (socket: Socket) => { sockets.add(socket.on('error', () => {})) })
  const storagePort = await listenFor(t, storage, sockets)

  const asked: string[] = []
  const proxy = createServer((_request, response) => { response.writeHead(405).end() })
  proxy.on('connect', (request, client: Socket) => {
    asked.push(`CONNECT ${request.url} ${request.headers['proxy-authorization'] ?? ''}`)
    if (refusal !== null) {
      client.end(`HTTP/1.1 ${refusal} No\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    const [host, port] = request.url?.split(':') ?? []
    const target = connect(host === MIRROR ? tlsPort : Number(port), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      joined(client, target)
    })
  })
  const proxyPort = await listenFor(t, proxy, sockets)

  const tenantsFile = join(dirname(caFile), 'tenants.json')
  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('studio')] }))
  const modelsDir = join(dirname(caFile), 'models')
  const { name, text } = modelFile(editor)
  mkdirSync(modelsDir)
  writeFileSync(join(modelsDir, name), text)
  const port = String(await freePort())
  const running = start(t, [cliFile, 'serve'], {
    PORT: port,
    NODE_ENV: 'production',
    FAL_KEY: CENTRAL_KEY,
    // A name that only the proxy can resolve.
    FAL_QUEUE_URL: `https://localhost:${tlsPort}/sandbox/queue`,
    FAL_REST_URL: `https://localhost:${storagePort}`,
    UPLOADS: 'on',
    MODELS_DIR: modelsDir,
    MODEL_CHECK_HOURS: '0',
    TENANTS_FILE: tenantsFile,
    NODE_EXTRA_CA_CERTS: caFile,
    HTTPS_PROXY: `http://gate:pa%20ss@127.0.0.1:${proxyPort}`,
    NO_PROXY: 'other.example',
    ...env
  })
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/readyz`)
  return {
    sandbox,
    asked,
    generate: async () => await fetch(`${base}/generate`, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: '{"prompt":"x"}' }),
    picture: async () => await fetch(`${base}/v1/images/generations`, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: '{"prompt":"x","response_format":"b64_json"}' }),
    edit: async () => {
      const body = new FormData()
      body.append('prompt', 'x')
      body.append('model', editor.endpointId)
      body.append('image', new Blob([pixel()]), 'a.png')
      return await fetch(`${base}/v1/images/edits`, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}` }, body })
    },
    stored,
    storagePort,
    end: async () => {
      running.child.kill('SIGINT')
      return (await running.ended).stdout
    }
  }
}

t.test('fal is reached through a tunnel of the proxy, each submit over one of its own, and the proxy sees nothing but the host', async t => {
  const { sandbox, asked, generate, end } = await open(t)
  for (let n = 0; n < 3; n++) t.equal((await generate()).status, 200)
  t.equal(sandbox.bill.accepted, 3)
  const credentials = `Basic ${Buffer.from('gate:pa ss').toString('base64')}`
  t.ok(asked.length > 3, 'three submits, and at least one connection for the rest')
  for (const line of asked) t.match(line, new RegExp(`^CONNECT localhost:\\d+ ${credentials}$`))
  t.notMatch(await end(), /pa%20ss|pa ss/)
})

t.test('files of an upstream that only the proxy reaches are read through it, too', async t => {
  const { picture } = await open(t, { FAL_QUEUE_URL: `https://${MIRROR}/sandbox/queue` })
  const answer = await picture()
  t.equal(answer.status, 200)
  t.match(await answer.json(), { data: [{ b64_json: String }] })
})

for (const except of ['localhost', 'a.example, .LOCALHOST', '*']) {
  t.test(`what NO_PROXY names is reached without it: ${except}`, async t => {
    const { asked, generate } = await open(t, { NO_PROXY: except })
    t.equal((await generate()).status, 200)
    t.same(asked, [])
  })
}

t.test('a proxy that makes no tunnel is told by its answer; nothing was sent, so nothing is in doubt', async t => {
  const { sandbox, asked, generate, end } = await open(t, { QUEUE_SECONDS: '1' }, 407)
  const answer = await generate()
  t.match({ status: answer.status, ...parseObject(await answer.text()) }, { status: 503 })
  t.ok(asked.length > 0)
  t.equal(sandbox.bill.submits, 0)
  t.match(await end(), /"error":"PROXY_407"/)
})

t.test('files of callers go through the proxy, too: where it is asked where they go, and where they are sent', async t => {
  const { sandbox, asked, stored, storagePort, edit } = await open(t)
  const reply = await edit()
  t.equal(reply.status, 200, await reply.text())
  t.same(stored, ['POST /storage/upload/initiate?storage_type=fal-cdn-v3', 'PUT /put'])
  t.equal(asked.filter(line => line.startsWith(`CONNECT localhost:${storagePort} `)).length, 2)
  t.equal(sandbox.bill.accepted, 1)
})
