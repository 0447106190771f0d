// The address at which a caller reaches the gateway, as the base of those that it is given.

import type { FastifyRequest } from 'fastify'
import type { FalHosts } from './fal/hosts.ts'
import type { PrefixOf } from './forwarded-prefix.ts'

/** What an address below it begins with: no slash at its end. */
export type BaseUrl = (request: FastifyRequest) => string

/** HTTP/1.0 needs no Host header, and balancers' checks send none: what is left is the address at which the request came in. */
function ownHost ({ socket: { localAddress = 'localhost', localPort = 80 } }: FastifyRequest): string {
  return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`
}

/** `publicUrl`; `null`: as the caller reached the gateway, as far as can be told. At a host that is fal itself it is always that host. */
export function createBaseUrl ({ publicUrl, falHosts, prefixOf }: { readonly publicUrl: string | null, readonly falHosts: FalHosts, readonly prefixOf: PrefixOf }): BaseUrl {
  let isWarned = false
  /** The base that was made last. Nearly all callers reach the gateway in the same way, so most requests find it here. */
  let last = { protocol: '', host: '', base: '' }

  return request => {
    const atFal = falHosts.originOf(request)
    if (atFal !== null) return atFal
    if (publicUrl !== null) return publicUrl
    if (!isWarned && request.protocol === 'http' && request.headers['x-forwarded-proto'] === 'https') {
      isWarned = true
      request.log.warn('a proxy ends TLS in front of this process, and the addresses that /fal hands out begin with http:// all the same: set PUBLIC_URL, or TRUST_PROXY')
    }
    const { protocol } = request
    const host = request.host === '' ? ownHost(request) : request.host
    if (protocol !== last.protocol || host !== last.host) last = { protocol, host, base: `${protocol}://${host}` }
    return last.base + prefixOf(request)
  }
}
