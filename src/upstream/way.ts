// The way to fal: straight, or through the proxy of a company, which makes a tunnel (CONNECT) and does not see what goes through it.

import { ClientRequest, request as requestHttp, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { Socket, type LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import { networkIn } from '../network.ts'

/** A proxy, and where it is not used. */
export interface Proxy {
  /** With user and password, if it wants them. */
  readonly url: () => string
  /** As NO_PROXY has it: names with all that is below them and addresses, with a port or without, and networks, apart by commas or blanks; `*` is all. */
  readonly except: string
}

export interface WayOptions {
  readonly proxy: Proxy | null
  /** For each connection: to the proxy, and from there on. */
  readonly timeoutMs: number
  /** Asks of the other side, while it is silent, whether it is still there; `true` unless it is said. */
  readonly keepAlive?: boolean
  /** How a host name is looked up that is reached straight; as the system does it by default. */
  readonly lookup?: LookupFunction
  readonly signal?: AbortSignal
}

/** What is being connected, to be given up. */
export type Connecting = Socket | ClientRequest

/** Like undici's, whose connectors give back what they connect, which its types do not say. */
export type Connector = (target: buildConnector.Options, callback: buildConnector.Callback) => unknown

/** Makes connections to fal. Its callback is called when fal itself is reached: before that, nothing of a request can have been sent there. */
export function createConnector ({ proxy, timeoutMs, keepAlive = true, lookup, signal }: WayOptions): Connector {
  // It remembers TLS sessions, so that a new connection need not shake hands in full.
  const straight = buildConnector({ timeout: timeoutMs, keepAlive, ...(lookup === undefined ? {} : { lookup }), ...(signal === undefined ? {} : { signal }) })
  if (proxy === null) return straight
  return (target, callback) => {
    if (target.protocol !== 'https:' || isExcepted(target, proxy.except)) return straight(target, callback)
    return openTunnel(proxy.url(), target, timeoutMs, signal, (error, socket) => {
      if (socket === null) callback(error ?? new Error('no tunnel'), null)
      else straight({ ...target, httpSocket: socket }, callback)
    })
  }
}

/** Is it what a connector gives back? */
export function isConnecting (given: unknown): given is Connecting {
  return given instanceof Socket || given instanceof ClientRequest
}

function openTunnel (proxyUrl: string, { hostname, port }: buildConnector.Options, timeoutMs: number, signal: AbortSignal | undefined, callback: (error: Error | null, socket: Socket | null) => void): ClientRequest {
  const proxy = new URL(proxyUrl)
  const credentials = proxy.username === '' ? null : Buffer.from(`${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`).toString('base64')
  const authority = `${hostname}:${port === '' ? 443 : port}`
  let end = (error: Error | null, socket: Socket | null): void => {
    end = () => {}
    clearTimeout(timer)
    callback(error, socket)
  }
  const request = (proxy.protocol === 'https:' ? requestHttps : requestHttp)({
    host: withoutBrackets(proxy.hostname),
    port: proxy.port === '' ? (proxy.protocol === 'https:' ? 443 : 80) : Number(proxy.port),
    method: 'CONNECT',
    path: authority,
    headers: { host: authority, ...(credentials === null ? {} : { 'proxy-authorization': `Basic ${credentials}` }) },
    agent: false,
    ...(signal === undefined ? {} : { signal })
  })
  const timer = setTimeout(() => { request.destroy(failure('PROXY_TIMEOUT')) }, timeoutMs)

  request.on('connect', (response: IncomingMessage, socket: Socket, head: Buffer) => {
    if (response.statusCode === 200 && head.length === 0) return end(null, socket)
    // fal says nothing before it is spoken to.
    socket.destroy()
    end(failure(response.statusCode === 200 ? 'PROXY_SPOKE' : `PROXY_${response.statusCode}`), null)
  })
  request.on('response', response => {
    response.destroy()
    end(failure(`PROXY_${response.statusCode}`), null)
  })
  request.on('error', error => {
    const code = 'code' in error ? String(error.code) : 'UNNAMED'
    end(code.startsWith('PROXY_') ? error : failure(`PROXY_${code}`), null)
  })
  request.end()
  return request
}

/** By its code, which is all that is logged of it. */
function failure (code: string): Error {
  return Object.assign(new Error('The proxy made no tunnel.'), { code })
}

/** Is what NO_PROXY has meant by this target? A network means addresses, and no names that have them: these are looked up by the proxy. */
export function isExcepted ({ hostname, port }: Pick<buildConnector.Options, 'hostname' | 'port'>, except: string): boolean {
  const host = withoutBrackets(hostname.toLowerCase())
  return except.toLowerCase().split(/[\s,]+/).some(entry => {
    if (entry === '') return false
    if (entry === '*') return true
    // An address of IPv6 without brackets has colons, and no port.
    const network = networkIn(entry)
    if (network !== null) return network(host)
    const [, name = entry, itsPort] = /^(.+):(\d+)$/.exec(entry) ?? []
    if (itsPort !== undefined && itsPort !== (port === '' ? '443' : port)) return false
    const bare = withoutBrackets(name.replace(/^\*?\./, ''))
    return host === bare || host.endsWith(`.${bare}`) || networkIn(bare)?.(host) === true
  })
}

function withoutBrackets (host: string): string {
  return host.replace(/^\[|\]$/g, '')
}
