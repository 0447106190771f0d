// The path below which a proxy has the gateway, where the proxy takes it away and says so.

import type { FastifyRequest } from 'fastify'
import type { Trust } from './fal/hosts.ts'

/** What addresses on the gateway's host begin with, for the caller of a request: empty, or a path that begins with a slash and has none at its end. */
export type PrefixOf = (request: Pick<FastifyRequest, 'headers' | 'socket'>) => string

const NAME = 'x-forwarded-prefix'

/** Plain parts of a path. What else a caller may have sent through a proxy that passes it on would stand in the middle of addresses. */
const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+$/

const MAX_LENGTH = 512

/** Several proxies, each of which took a part away, have said their parts in the order of the whole path, as Traefik says them and Spring reads them. */
export function createPrefixOf (trust: Trust | false): PrefixOf {
  if (trust === false) return () => ''
  return ({ headers, socket }) => {
    const said = headers[NAME]
    if (typeof said !== 'string' || said.length > MAX_LENGTH || !trust(socket.remoteAddress ?? '', 0)) return ''
    const parts = said.split(',').map(part => part.trim().replace(/\/+$/, '')).filter(part => part !== '')
    return parts.every(part => PATH.test(part)) ? parts.join('') : ''
  }
}
