// Which files are fetched: those of fal's CDN, of hosts that operators name, and of the upstream that they configured.

import { isPublicHost } from '../public-address.ts'

/** How the host of a file may be reached: `public`: over TLS, at addresses that everybody can reach; `ours`: at an origin that operators configured, wherever it is. */
export type WayToFile = 'public' | 'ours'

/** `null`: it is left where it is. */
export type AddressRule = (address: URL) => WayToFile | null

/** Where fal keeps what models make, with all that is below it: docs "fal CDN" (v3.fal.media, v3b.fal.media, older fal.media). */
const FAL_HOSTS: readonly string[] = ['fal.media']

export interface AddressRuleOptions {
  /** Host names beside fal's, each with all that is below it. */
  readonly hosts: readonly string[]
  /** Scheme, host and port of an upstream that is not fal's own; asked for each address. */
  readonly ownOrigins: () => readonly string[]
}

export function createAddressRule ({ hosts, ownOrigins }: AddressRuleOptions): AddressRule {
  const allowed = [...FAL_HOSTS, ...hosts.map(host => host.toLowerCase())]
  return address => {
    if (address.username !== '' || address.password !== '') return null
    if (ownOrigins().includes(address.origin)) return 'ours'
    if (address.protocol !== 'https:' || address.port !== '' || !isPublicHost(address.hostname)) return null
    return allowed.some(host => address.hostname === host || address.hostname.endsWith(`.${host}`)) ? 'public' : null
  }
}
