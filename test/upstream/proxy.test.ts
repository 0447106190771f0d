// A company whose machines reach fal through a proxy: the gateway as a process, a proxy that makes tunnels, and the sandbox behind TLS.

import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { makeCertificate } from '../support/fal/certificate.ts'
import { CENTRAL_KEY, parseObject, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { listenFor, tie } from '../support/listen.ts'
import { cliFile } from '../support/paths.ts'
import { answering, freePort, start, type Env } from '../support/processes.ts'
import { startSandbox, type RunningSandbox } from '../support/sandbox.ts'

interface Scene {
  readonly sandbox: RunningSandbox
  /** What the proxy was asked for: `CONNECT host:port`, and the credentials. */
  readonly asked: readonly string[]
  readonly generate: () => Promise<Response>
  /** Ends the gateway, and gives what it logged. */
  readonly end: () => Promise<string>
}

/** `refusal`: what the proxy answers in place of a tunnel. */
async function open (t: Test, env: Env = {}, refusal: number | null = null): Promise<Scene> {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const { caFile, certFile, keyFile } = makeCertificate(t)
  const sockets = new Set<Socket>()
  const joined = (one: Socket, other: Socket): void => {
    tie(sockets, one, other)
    one.pipe(other).pipe(one)
  }
  const tls = createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, socket => { joined(socket, connect(Number(new URL(sandbox.base).port), '127.0.0.1')) })
  const tlsPort = await listenFor(t, tls, sockets)

  const asked: string[] = []
  const proxy = createServer((_request, response) => { response.writeHead(405).end() })
  proxy.on('connect', (request, client: Socket) => {
    asked.push(`CONNECT ${request.url} ${request.headers['proxy-authorization'] ?? ''}`)
    if (refusal !== null) {
      client.end(`HTTP/1.1 ${refusal} No\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    const target = connect(tlsPort, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      joined(client, target)
    })
  })
  const proxyPort = await listenFor(t, proxy, sockets)

  const tenantsFile = join(dirname(caFile), 'tenants.json')
  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('studio')] }))
  const port = String(await freePort())
  const running = start(t, [cliFile, 'serve'], {
    PORT: port,
    NODE_ENV: 'production',
    FAL_KEY: CENTRAL_KEY,
    // A name that only the proxy can resolve.
    FAL_QUEUE_URL: `https://localhost:${tlsPort}/sandbox/queue`,
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
