// Addresses and networks of them, as settings have them.

import { BlockList, isIP } from 'node:net'

/** Is an address in it? What is no address, such as a name, is in none. */
export type Network = (address: string) => boolean

/** The network in a text, `10.0.0.0/8` or `fd00::/8`, or the one address that it is; `null`: it is neither. */
export function networkIn (text: string): Network | null {
  const [address = '', bits, ...more] = text.split('/')
  const family = familyOf(address)
  if (family === null || more.length > 0) return null
  const list = new BlockList()
  if (bits === undefined) list.addAddress(address, family)
  else if (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 'ipv4' ? 32 : 128)) list.addSubnet(address, Number(bits), family)
  else return null
  return other => {
    const family = familyOf(other)
    return family !== null && list.check(other, family)
  }
}

function familyOf (text: string): 'ipv4' | 'ipv6' | null {
  const version = isIP(text)
  return version === 0 ? null : version === 4 ? 'ipv4' : 'ipv6'
}
