// A receiver of webhooks, on loopback: what it was sent, and what it answers.

import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { Certificate } from './fal/certificate.ts'
import { parseObject } from './gateway.ts'
import { listenFor, tie } from './listen.ts'
import { until } from './until.ts'

export interface ReceivedHook {
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** As it came. */
  readonly raw: string
  readonly json: Record<string, unknown>
}

export interface Receiver {
  /** As a tenant lists it: `127.0.0.1:<port>`. */
  readonly host: string
  /** An address of it. */
  readonly url: string
  readonly received: readonly ReceivedHook[]
  /** Waits until so many have come, and gives them. */
  readonly until: (count: number) => Promise<readonly ReceivedHook[]>
}

/** `answer`: 204 by default; `ordinal` counts from 1. With a certificate it speaks TLS. It ends with the test. */
export async function startReceiver (t: Test, answer: (response: ServerResponse, ordinal: number) => void = response => { response.writeHead(204).end() }, certificate?: Certificate): Promise<Receiver> {
  const received: ReceivedHook[] = []
  const sockets = new Set<Socket>()
  const listener: RequestListener = async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
    const raw = Buffer.concat(chunks).toString()
    received.push({ url: request.url ?? '', headers: request.headers, raw, json: parseObject(raw) })
    answer(response, received.length)
  }
  const server = certificate === undefined ? createServer(listener) : createHttpsServer({ cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) }, listener)
  server.on('connection', socket => { sockets.add(socket) })
  const host = `127.0.0.1:${await listenFor(t, server, sockets)}`
  return { host, url: `http://${host}/hook?team=studio`, received, until: async count => await until(() => received.length >= count && received, { what: `${count} webhooks have come` }) }
}

/** The headers by which the published verifiers check one. */
export function signatureOf ({ headers }: ReceivedHook): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => typeof value === 'string' ? [[name, value]] : []))
}

/** An egress proxy, on loopback: it makes tunnels to what these names lead to, and refuses all others. */
export async function startEgress (t: Test, places: Readonly<Record<string, number>>): Promise<{ readonly url: string, readonly asked: readonly string[] }> {
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((_request, response) => { response.writeHead(400).end() })
  server.on('connect', (request, client: Socket) => {
    asked.push(request.url ?? '')
    const port = places[request.url ?? '']
    if (port === undefined) {
      client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
      return
    }
    const target = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      client.pipe(target).pipe(client)
    })
    tie(sockets, client, target)
  })
  return { url: `http://127.0.0.1:${await listenFor(t, server, sockets)}`, asked }
}
