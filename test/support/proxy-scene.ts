// What stands around a proxy in tests: servers that count what reaches them, and callers who leave.

import { createServer, type IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { once } from 'node:events'
import type { Test } from 'tap'
import { STUDIO_KEY } from './gateway.ts'
import type { FrontDoor, Pair } from './proxies.ts'

/** How long falgate keeps a connection that idles, as its default is. */
const KEPT_MS = 72_000

export const REFUSAL = { status: 503, body: '{"code":"queue-full"}', retryAfter: '7' } as const

/** Servers in place of falgate, for what falgate cannot show: how often a POST comes, and who ends a connection. Everything is answered 200, but for two paths. */
export interface StandIns {
  /** The whole POSTs that came to `/cut`, where the connection dies then, and to `/refuse`, which is `REFUSAL`. */
  readonly posts: () => readonly string[]
  /** The connections of the proxy on which `/kept` was asked. */
  readonly kept: () => readonly Socket[]
  /** Resolves when each of those has ended, with who ended it. */
  readonly untilEnded: () => Promise<readonly ('proxy' | 'server')[]>
}

export async function startStandIns (t: Test, { hosts, port, opsPort }: Pair): Promise<StandIns> {
  const posts: string[] = []
  const kept = new Map<Socket, Promise<'proxy' | 'server'>>()
  for (const host of hosts) {
    for (const at of [port, opsPort]) {
      const server = createServer({ keepAliveTimeout: KEPT_MS }, (request, response) => {
        const { socket } = request
        if (request.url === '/kept' && !kept.has(socket)) kept.set(socket, endOf(socket))
        read(request).then(() => {
          if (request.method === 'POST') posts.push(request.url ?? '')
          if (request.url === '/cut') socket.destroy()
          else if (request.url === '/refuse') response.writeHead(REFUSAL.status, { 'content-type': 'application/problem+json', 'retry-after': REFUSAL.retryAfter }).end(REFUSAL.body)
          else response.end('here')
        }, () => {})
      })
      server.listen(at, host)
      await once(server, 'listening')
      t.teardown(() => {
        server.close()
        server.closeAllConnections()
      })
    }
  }
  return { posts: () => [...posts], kept: () => [...kept.keys()], untilEnded: async () => await Promise.all(kept.values()) }
}

async function read (request: IncomingMessage): Promise<void> {
  request.resume()
  if (!request.readableEnded) await once(request, 'end')
}

async function endOf (socket: Socket): Promise<'proxy' | 'server'> {
  return await new Promise(resolve => {
    socket.once('end', () => { resolve('proxy') })
    socket.once('error', () => { resolve('proxy') })
    socket.once('close', () => { resolve('server') })
  })
}

/** Ways to ask for a picture and to leave without it. */
export const leavers: Readonly<Record<string, (door: FrontDoor, body: string, requestId: string) => () => void>> = {
  'an HTTP/1.1 connection that is closed': ({ url, ca }, body, requestId) => {
    const request = requestHttps(`${url}/generate`, { method: 'POST', ca, agent: false, headers: headersOf(requestId) })
    request.on('error', () => {}) // that of leaving
    request.end(body)
    return () => { request.destroy() }
  },
  'an HTTP/2 stream that is reset': (door, body, requestId) => {
    const { stream, session } = askByHttp2(door, body, requestId)
    return () => {
      stream.once('close', () => { session.close() })
      stream.close(8) // CANCEL
    }
  },
  'an HTTP/2 connection that is closed': (door, body, requestId) => {
    const { session } = askByHttp2(door, body, requestId)
    return () => { session.destroy() }
  }
}

function askByHttp2 ({ url, ca }: FrontDoor, body: string, requestId: string): { readonly session: ReturnType<typeof connectHttp2>, readonly stream: ReturnType<ReturnType<typeof connectHttp2>['request']> } {
  const session = connectHttp2(url, { ca })
  session.on('error', () => {}) // that of leaving
  const stream = session.request({ ':method': 'POST', ':path': '/generate', ...headersOf(requestId) })
  stream.on('error', () => {})
  stream.end(body)
  return { session, stream }
}

function headersOf (requestId: string): Readonly<Record<string, string>> {
  return { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json', 'x-request-id': requestId }
}
