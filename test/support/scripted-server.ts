// A server that speaks HTTP badly on purpose: each test writes the bytes of its answers, or breaks the connection, by hand.

import { createServer, type AddressInfo, type Socket } from 'node:net'

export interface ReceivedRequest {
  readonly method: string
  readonly path: string
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** Counts connections from 1. */
  readonly connection: number
}

export interface Reply {
  readonly socket: Socket
  /** A whole answer; an object is sent as JSON. The connection stays open unless a header says otherwise. */
  readonly answer: (status: number, body: string | Uint8Array | object, headers?: Readonly<Record<string, string>>) => void
  /** The head of an answer of unknown length, for streams; what follows is written to `socket`. */
  readonly head: (status: number, headers?: Readonly<Record<string, string>>) => void
  readonly reset: () => void
}

export interface ScriptedServer {
  readonly url: string
  readonly requests: readonly ReceivedRequest[]
  readonly close: () => Promise<void>
}

export interface Scripts {
  /** Called once for each whole request; `ordinal` counts them from 1. */
  readonly request?: (request: ReceivedRequest, reply: Reply, ordinal: number) => void
  /** Called for each connection before anything is read. */
  readonly connection?: (socket: Socket) => void
}

/** Listens on a port of its own on loopback until the test ends. */
export async function scriptedServer (t: { readonly teardown: (close: () => Promise<void>) => void }, scripts: Scripts): Promise<ScriptedServer> {
  const requests: ReceivedRequest[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer(socket => {
    const connection = ++connections
    sockets.add(socket)
    // Head and body are written apart; Nagle's algorithm would hold the body back for 40 ms.
    socket.setNoDelay(true)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    scripts.connection?.(socket)
    let received = Buffer.alloc(0)
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      const request = parseRequest(received, connection)
      if (request === null) return
      received = Buffer.alloc(0)
      requests.push(request)
      scripts.request?.(request, replyOn(socket), requests.length)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    if (server.listening) await new Promise(resolve => server.close(resolve))
  }
  t.teardown(close)
  return { url: `http://127.0.0.1:${portOf(server.address())}`, requests, close }
}

function portOf (address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('the server does not listen')
  return address.port
}

function replyOn (socket: Socket): Reply {
  const head: Reply['head'] = (status, headers = {}) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`HTTP/1.1 ${status} Scripted\r\n${lines.join('')}\r\n`)
  }
  return {
    socket,
    head,
    answer: (status, body, headers = {}) => {
      const isBytes = typeof body === 'string' || body instanceof Uint8Array
      const bytes = Buffer.from(isBytes ? body : JSON.stringify(body))
      head(status, { 'content-type': isBytes ? 'text/plain' : 'application/json', 'content-length': String(bytes.length), ...headers })
      socket.write(bytes)
    },
    reset: () => socket.resetAndDestroy()
  }
}

/** A whole request, or null while bytes are missing. Pipelining is not expected. */
function parseRequest (bytes: Buffer, connection: number): ReceivedRequest | null {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd === -1) return null
  const [requestLine = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n')
  const headers = new Map(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
  const body = bytes.subarray(headEnd + 4)
  if (body.length < Number(headers.get('content-length') ?? 0)) return null
  const [method = '', path = ''] = requestLine.split(' ')
  return { method, path, headers, body: body.toString('utf8'), connection }
}
