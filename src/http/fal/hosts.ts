// Host names at which the gateway is fal itself: some clients take a bare host, others join the paths of our addresses to a host of their own.

import proxyAddr from '@fastify/proxy-addr'
import type { FastifyRequest } from 'fastify'
import { hostNameIn } from '../host-name.ts'

/** What is known of a request before it is routed. */
export interface RawRequest {
  readonly url?: string | undefined
  readonly headers: Record<string, string | string[] | undefined>
  readonly socket?: { readonly remoteAddress?: string | undefined }
}

/** Whose forwarded headers are believed, by the address of the peer. */
export type Trust = (address: string, hop: number) => boolean

export interface FalHosts {
  /** What a request at one of these hosts means among the addresses below fal's doors; `null`: it came to another host. */
  readonly addressOf: (raw: RawRequest) => string | null
  /** The address of such a host, without a slash at its end; `null` at other hosts. */
  readonly originOf: (request: Pick<FastifyRequest, 'protocol' | 'host'>) => string | null
  /** Base of the queue's addresses at the host that the caller uses, without a slash at its end; `null` at other hosts. */
  readonly queueBaseOf: (request: Pick<FastifyRequest, 'protocol' | 'host'>) => string | null
}

/** What stands at the front of the name of fal's queue. */
const QUEUE = 'queue.'

/** The same reading of TRUST_PROXY for everything that asks: nobody's (false), everybody's (true), or those of these addresses. */
export function trustIn (trustProxy: boolean | string): Trust | false {
  if (trustProxy === false) return false
  return trustProxy === true ? () => true : proxyAddr.compile(trustProxy.split(','))
}

/**
 * `names`: for each `fal.example` fal's synchronous paths are at the root of that host, its queue at the root of `queue.fal.example` and below `/queue` of the
 * first. `publicUrl` tells whether callers use https where nothing in a request does.
 */
export function createFalHosts (names: readonly string[], { trust, publicUrl }: { readonly trust: Trust | false, readonly publicUrl: string | null }): FalHosts {
  const prefixes = new Map(names.flatMap(name => [[name, ''], [QUEUE + name, '/queue']] as const))
  const isPublicHttps = publicUrl?.startsWith('https:') ?? false
  const prefixAt = (host: string): string | undefined => prefixes.get(hostNameIn(host))

  const originOf: FalHosts['originOf'] = ({ protocol, host }) =>
    prefixes.size === 0 || prefixAt(host) === undefined ? null : `${isPublicHttps ? 'https' : protocol}://${host}`

  return {
    addressOf: raw => {
      if (prefixes.size === 0) return null
      const prefix = prefixAt(hostOf(raw, trust))
      const { url = '/' } = raw
      // Pictures of the sandbox are no calls: fal has them at a host of its own.
      return prefix === undefined || url.startsWith('/sandbox/files/') ? null : prefix + url
    },
    originOf,
    queueBaseOf: request => {
      const origin = originOf(request)
      return origin === null ? null : `${origin}${prefixAt(request.host) === '' ? '/queue' : ''}`
    }
  }
}

/** The host that the caller named, as `request.host` tells it later: a proxy that is believed says it, the last of several, unless it says nothing. */
function hostOf ({ headers, socket }: RawRequest, trust: Trust | false): string {
  const forwarded = headers['x-forwarded-host']
  if (trust !== false && typeof forwarded === 'string' && forwarded !== '' && trust(socket?.remoteAddress ?? '', 0)) return forwarded.split(',').at(-1)?.trim() ?? ''
  const host = headers['host']
  return typeof host === 'string' ? host : ''
}
