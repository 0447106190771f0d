// Requests at the edge of HTTP: each gets an answer that says what is wrong, with an id that the log has, too.

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { startGateway, parseObject, STUDIO_KEY } from '../support/gateway.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'

/** Writes bytes to a port of this machine, and gives all that comes back until the other side ends. */
async function exchange (port: number, bytes: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    let said = ''
    const socket = connect(port, '127.0.0.1', () => { socket.write(bytes) })
    socket.setEncoding('utf8').on('data', chunk => { said += String(chunk) }).once('end', () => { resolve(said) }).once('error', reject)
  })
}

const bodyOf = (answer: string): Record<string, unknown> => parseObject(answer.slice(answer.indexOf('\r\n\r\n') + 4))
const idIn = (answer: string): string | undefined => /^x-request-id: (.+)\r$/im.exec(answer)?.[1]
const AUTH = `Authorization: Key ${STUDIO_KEY}\r\nContent-Type: application/json\r\n`

t.test('a body that never arrives whole is answered 408, and its connection ends', async t => {
  const gateway = await (await deploy(t)).startReplica()
  const port = Number(new URL(gateway.base).port)
  const answers = await Promise.all(['Content-Length: 100\r\n\r\n{"prompt":', 'Transfer-Encoding: chunked\r\n\r\n5\r\n{"pro\r\n'].map(async rest => await exchange(port, `POST /generate HTTP/1.1\r\nHost: x\r\n${AUTH}${rest}`)))
  for (const answer of answers) {
    t.match(answer, /^HTTP\/1\.1 408 /)
    t.match(answer, /^connection: close\r$/im)
    t.match(bodyOf(answer), { code: 'request-timeout', detail: 'The body did not arrive in time.', request_id: idIn(answer) })
  }
  await until(() => gateway.log().split('"status":408,"code":"request-timeout"').length === 3)
})

t.test('a body has no more time than a head: one that began before a head that never arrives either is not answered after it', async t => {
  const { port } = new URL((await (await deploy(t)).startReplica()).base)
  const ended: string[] = []
  const body = connect(Number(port), '127.0.0.1')
  body.setEncoding('utf8').on('end', () => { ended.push('body') })
  const begun = once(body, 'data')
  body.write(`POST /generate HTTP/1.1\r\nHost: x\r\n${AUTH}Expect: 100-continue\r\nContent-Length: 100\r\n\r\n`)
  t.match(String(await begun), /^HTTP\/1\.1 100 /)
  const bodyEnded = once(body, 'end')
  t.match(await exchange(Number(port), 'POST /generate HTTP/1.1\r\nHost: '), /^HTTP\/1\.1 408 /)
  // What the body's answer still needed is done by the time that another request has been answered.
  await exchange(Number(port), 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  ended.push('head')
  await bodyEnded
  t.same(ended, ['body', 'head'])
})

t.test('what Fastify never sees has an id and a line in the log, too', async t => {
  const gateway = await (await deploy(t)).startReplica()
  const port = Number(new URL(gateway.base).port)
  for (const [bytes, status, code] of [
    [`POST /generate HTTP/1.1\r\nHost: x\r\n${AUTH}Expect: a-miracle\r\nContent-Length: 2\r\n\r\n{}`, 417, 'expectation-failed'],
    [`GET /usage HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers-too-large'],
    ['what is this\r\n\r\n', 400, 'bad-request']
  ] as const) {
    const answer = await exchange(port, bytes)
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
    const id = idIn(answer)
    t.match(id, /^[0-9a-f-]{36}$/)
    t.match(bodyOf(answer), { status, code, request_id: id })
    await until(() => gateway.log().includes(`"request_id":"${id}","status":${status},"code":"${code}"`))
  }
})

t.test('a request with two hosts is refused, whatever they are', async t => {
  const { url } = await startGateway(t)
  for (const hosts of ['Host: a.example\r\nHost: b.example\r\n', 'Host: a.example\r\nhost: a.example\r\n']) {
    for (const head of [`POST /generate HTTP/1.1\r\n${hosts}${AUTH}`, `GET /readyz HTTP/1.1\r\n${hosts}`]) {
      const answer = await exchange(Number(new URL(url).port), `${head}Connection: close\r\nContent-Length: 0\r\n\r\n`)
      t.match(answer, /^HTTP\/1\.1 400 /)
      t.match(bodyOf(answer), { code: 'bad-request', detail: 'The request has more than one Host.' })
    }
  }
})

t.test('HTTP/1.0 without a host gets answers, and addresses at which the gateway was reached', async t => {
  const { url } = await startGateway(t)
  const port = Number(new URL(url).port)
  t.match(await exchange(port, 'GET /readyz HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /)
  const body = '{"prompt":"x"}'
  const answer = await exchange(port, `POST /fal/queue/fal-ai/imagen4/preview/ultra HTTP/1.0\r\n${AUTH}Content-Length: ${body.length}\r\n\r\n${body}`)
  t.match(String(bodyOf(answer)['status_url']), `${url}/fal/queue/fal-ai/imagen4/requests/`)
})
