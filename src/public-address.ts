// Which addresses of the internet may be spoken to where somebody outside names the host: nothing of this machine or of the networks behind it.

import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'

/** The code of an error by which a connection is refused because its host has such an address. */
export const PRIVATE_ADDRESS = 'PRIVATE_ADDRESS'

/** RFC 6052, section 2.1: the last 32 bits are an address of IPv4, which a gateway of the network speaks to. */
const nat64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96')
/** RFC 4291, section 2.4: what is given out of IPv6 to be reached by everybody. */
const global = ipaddr.IPv6.parseCIDR('2000::/3')

/**
 * Can an address be reached by everybody? False for what is no address. An address of IPv4 that stands in one of IPv6 is judged as the one that is spoken to;
 * tunnels (6to4, Teredo), documentation and whatever else is set apart are not public.
 */
export function isPublicAddress (text: string): boolean {
  if (!ipaddr.isValid(text)) return false
  const address = ipaddr.process(text)
  if (address instanceof ipaddr.IPv4) return address.range() === 'unicast'
  if (address.match(nat64)) return isPublicAddress(ipaddr.fromByteArray(address.toByteArray().slice(12)).toString())
  return address.match(global) && address.range() === 'unicast'
}

/**
 * Looks a host name up as `node:net` does, and fails when one of its addresses is not public. The connection is made to an address that was looked at here, so a
 * name that leads elsewhere when it is asked again gains nothing. Hosts that are written as an address are never looked up: see `isPublicHost`.
 */
export const lookUpPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, found) => {
    const [first] = found ?? []
    if (error !== null || first === undefined) return callback(error ?? refused(), '', 0)
    if (!found.every(({ address }) => isPublicAddress(address))) return callback(refused(), '', 0)
    if (options.all === true) callback(null, found)
    else callback(null, first.address, first.family)
  })
}

/** May a host of a URL be spoken to, as far as that can be told without looking it up? `hostname` as `URL` has it. */
export function isPublicHost (hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '')
  return !ipaddr.isValid(bare) || isPublicAddress(bare)
}

function refused (): NodeJS.ErrnoException {
  return Object.assign(new Error('The host has an address that is not public.'), { code: PRIVATE_ADDRESS })
}
