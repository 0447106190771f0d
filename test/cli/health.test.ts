// A gateway that lives is told from one that is away, ill or hangs.

import { once } from 'node:events'
import { createServer } from 'node:http'
import t, { type Test } from 'tap'
import { healthFault } from '../../src/cli/health.ts'
import { parseConfig } from '../../src/config.ts'
import { freePort, type Env } from '../support/processes.ts'

async function faultWith (env: Env): Promise<string | null> {
  const read = parseConfig(env)
  if (!read.ok) throw new Error(read.faults.join())
  return await healthFault(read.config)
}

/** A server whose `/healthz` answers with this status, or never with `null`. */
async function healthServer (t: Test, status: number | null): Promise<string> {
  const server = createServer((request, response) => {
    if (status !== null) response.writeHead(request.url === '/healthz' ? status : 404).end()
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const port = await freePort()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return String(port)
}

t.test('200 is life, on the address that a listener on all addresses can be reached at', async t => {
  const port = await healthServer(t, 200)
  t.equal(await faultWith({ PORT: port }), null)
  t.equal(await faultWith({ HOST: '0.0.0.0', PORT: port }), null)
})

t.test('the operators\' port is asked when there is one, in plain HTTP', async t => {
  const port = await healthServer(t, 200)
  t.equal(await faultWith({ PORT: '1', OPS_PORT: port, TLS_CERT_FILE: '/c', TLS_KEY_FILE: '/k' }), null)
})

t.test('with a certificate and no operators\' port, https is asked', async t => {
  t.match(await faultWith({ PORT: await healthServer(t, 200), TLS_CERT_FILE: '/c', TLS_KEY_FILE: '/k' }), /^no answer \(/)
})

t.test('another status, silence and absence are faults, each in words', async t => {
  t.equal(await faultWith({ PORT: await healthServer(t, 503) }), '/healthz answered 503')
  t.equal(await faultWith({ PORT: await healthServer(t, null) }), 'no answer within 2 seconds')
  t.equal(await faultWith({ PORT: String(await freePort()) }), 'no answer (ECONNREFUSED)')
})

t.test('a port that only the gateway knows cannot be asked', async t => {
  t.equal(await faultWith({ PORT: '0' }), 'the port is chosen at the start and not known here')
})
