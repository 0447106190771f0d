// What a proxy that is believed says of the address at which its client reached it. Many proxies pass on what a client sent, so it is held to what an address can be.

/** The headers of a request that has not been looked at yet. */
type Headers = Record<string, string | string[] | undefined>

const PROTOCOL = 'x-forwarded-proto'
const HOST = 'x-forwarded-host'

/** A name or an address, perhaps with a port: no path, no user, no blank. */
const AUTHORITY = /^(?:[\w](?:[\w.-]*\w)?\.?|\[[\da-f:.]+\])(?::\d{1,5})?$/i

/** The longest name, and a port. */
const MAX_LENGTH = 260

/** Takes out what names no protocol of the web and no host, as if it had not been said. Of several proxies the last one counts, here as wherever it is read. */
export function dropOddForwarded (headers: Headers): void {
  const protocol = lastOf(headers[PROTOCOL])?.toLowerCase()
  if (protocol === 'http' || protocol === 'https') headers[PROTOCOL] = protocol
  else delete headers[PROTOCOL]
  const host = lastOf(headers[HOST])
  if (host === undefined || !isAuthority(host)) delete headers[HOST]
}

function isAuthority (host: string): boolean {
  return host.length <= MAX_LENGTH && AUTHORITY.test(host) && URL.canParse(`http://${host}`)
}

function lastOf (said: string | string[] | undefined): string | undefined {
  return typeof said === 'string' ? said.split(',').at(-1)?.trim() : undefined
}
