// Host names that are not the gateway's. The demo key is published, so that any web page could use it on a gateway that it reaches: one on the visitor's own
// machine is reached by a page that lets its own name point there, and for the browser both are then the same origin.

import { isIP } from 'node:net'
import { Problem } from '../errors.ts'
import { hostNameIn } from './host-name.ts'

/** What is said to a request with this Host header; `null` where it may go on. */
export type HostRefuser = (host: string | undefined) => Problem | null

/** Takes `localhost`, addresses and these names. The Host header counts and nothing else: it is the only one that a page cannot choose. */
export function foreignHostRefuser (names: readonly string[]): HostRefuser {
  const known = new Set(['localhost', ...names])
  return host => {
    // Browsers always name one.
    if (host === undefined) return null
    const name = hostNameIn(host)
    if (known.has(name) || isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0) return null
    return new Problem('wrong-host', { detail: 'As long as the gateway takes the published demo key, it answers to localhost, to IP addresses and to the host of PUBLIC_URL. Set PUBLIC_URL, or TENANTS_FILE for keys of your own.' })
  }
}
