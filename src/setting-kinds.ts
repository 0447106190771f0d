// Kinds of settings: how the text of a variable is read, and what is said of one that cannot be.

import { isIP } from 'node:net'
import { isEndpointId } from './models/endpoint-id.ts'
import { networkIn } from './network.ts'

/** A way to read a text. */
export interface Kind<Value> {
  /** Completes "expected …"; never holds a value. */
  readonly expects: string
  /** `null` when the text is not what was expected. */
  readonly parse: (text: string) => Value | null
}

/** Visible ASCII, as a header needs it; without quotes and backslashes, so that it looks the same inside JSON and can be found there. */
export function secret (): Kind<string> {
  return { expects: 'at most 512 visible characters without quotes and backslashes', parse: text => /^[!#-&(-[\]-~]{1,512}$/.test(text) ? text : null }
}

/** One line of text. */
export function line (): Kind<string> {
  return { expects: 'a text without control characters', parse: text => /^\P{Cc}+$/u.test(text) ? text : null }
}

/** What can be listened on. */
export function host (): Kind<string> {
  return { expects: 'an IP address or a host name', parse: text => isIP(text) !== 0 || /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/.test(text) ? text : null }
}

/** Names of hosts, without ports, in small letters. */
export function hostNames (): Kind<readonly string[]> {
  const parse = (text: string): readonly string[] | null => {
    const names = text.split(',').map(name => name.trim().toLowerCase()).filter(name => name !== '')
    return names.length > 0 && names.every(isHostName) ? [...new Set(names)] : null
  }
  return { expects: 'host names such as fal.example, without ports, comma separated', parse }
}

/** Not an address: nothing can stand in front of one. */
function isHostName (text: string): boolean {
  return isIP(text) === 0 && text.length <= 240 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(text)
}

/** A number in decimal digits and nothing else. */
export function integer (min: number, max: number): Kind<number> {
  const parse = (text: string): number | null => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN
    return value >= min && value <= max ? value : null
  }
  return { expects: `a whole number from ${min} to ${max}`, parse }
}

/** Whole seconds, which are milliseconds everywhere else. */
export function seconds (min: number, max: number): Kind<number> {
  const { expects, parse } = integer(min, max)
  const toMs = (value: number | null): number | null => value === null ? null : value * 1000
  return { expects, parse: text => toMs(parse(text)) }
}

/** Whole hours, which are milliseconds everywhere else. */
export function hours (min: number, max: number): Kind<number> {
  return inMs(min, max, 3_600_000)
}

/** The same of whole days. */
export function days (min: number, max: number): Kind<number> {
  return inMs(min, max, 86_400_000)
}

function inMs (min: number, max: number, unitMs: number): Kind<number> {
  const { expects, parse } = integer(min, max)
  return {
    expects,
    parse: text => {
      const value = parse(text)
      return value === null ? null : value * unitMs
    }
  }
}

/** The name of a model. */
export function endpointId (): Kind<string> {
  return { expects: 'an endpoint id such as fal-ai/nano-banana-2', parse: text => isEndpointId(text) ? text : null }
}

/** `on` or `off`. */
export function onOff (): Kind<boolean> {
  const { expects, parse } = word(['on', 'off'])
  const toBoolean = (value: 'on' | 'off' | null): boolean | null => value === null ? null : value === 'on'
  return { expects, parse: text => toBoolean(parse(text)) }
}

/** One of these words. */
export function word<const Words extends readonly string[]> (words: Words): Kind<Words[number]> {
  return { expects: `one of ${words.join(', ')}`, parse: text => words.find(word => word === text) ?? null }
}

/** A project of Google Cloud: old ones may stand below a domain. */
export function googleProject (): Kind<string> {
  return { expects: 'the id of a project, such as pictures-prod', parse: text => /^[a-z0-9][a-z0-9.:-]{1,98}$/.test(text) ? text : null }
}

/** A name that may stand in keys of a store. */
export function namespace (): Kind<string> {
  return { expects: 'at most 64 letters, digits, - and _', parse: text => /^[\w-]{1,64}$/.test(text) ? text : null }
}

/** The base of other addresses: credentials would end in logs and links, a query or fragment has no place in the middle. */
export function webUrl (): Kind<string> {
  const parse = (text: string): string | null => {
    if (!URL.canParse(text)) return null
    const { protocol, hostname, username, password, search, hash } = new URL(text)
    if (!['http:', 'https:'].includes(protocol) || hostname === '') return null
    return username + password + search + hash === '' ? text.replace(/\/+$/, '') : null
  }
  return { expects: 'a URL that starts with http:// or https://, without user, query and fragment', parse }
}

/** A bucket of S3: its name, below what its files lie, and another S3 than that of AWS. */
export interface BucketAddress { readonly name: string, readonly prefix: string, readonly endpoint: string | null, readonly region: string | null }

/** `s3://<bucket>/<prefix>?endpoint=<URL>&region=<name>`. Who may use it stands elsewhere. */
export function bucket (): Kind<BucketAddress> {
  const parse = (text: string): BucketAddress | null => {
    const [, name = '', path = '', query = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[\w.!()-]+)*)\/?(?:\?([^#]*))?$/.exec(text) ?? []
    const { endpoint = null, region = null, ...others } = Object.fromEntries(new URLSearchParams(query))
    if (name === '' || Object.keys(others).length > 0) return null
    if (endpoint !== null && (webUrl().parse(endpoint) === null || new URL(endpoint).pathname !== '/')) return null
    return { name, prefix: path.slice(1), endpoint: endpoint?.replace(/\/$/, '') ?? null, region }
  }
  return { expects: 's3://bucket, perhaps with /prefix, and with ?endpoint=https://host and &region=name for another S3 than that of AWS', parse }
}

/**
 * What a `#`, `?` or `/` in a password does when it is not encoded: every reader takes the URL to end there, with another host or database, and the rest
 * of the password stands where it is shown.
 */
export function redisUrl (): Kind<string> {
  const parse = (text: string): string | null => {
    if (!URL.canParse(text)) return null
    const url = new URL(text)
    if (!['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '' || databaseIn(url) === null) return null
    // An empty query or fragment is one, too: what follows the sign may have been lost on the way.
    return /[?#]/.test(text) || !isDecodable(url.username) || !isDecodable(url.password) ? null : text.replace(/\/+$/, '')
  }
  return { expects: 'a URL such as redis://user:password@host:6379/0, or with rediss://, whose path is a database number or nothing; #, ?, / and % in user and password are written %23, %3F, %2F and %25', parse }
}

/** A host and a port. */
export interface HostAndPort { readonly host: string, readonly port: number }

/** Where Sentinels are, and how they are asked: all of them in the same way. */
export interface Sentinels {
  readonly hosts: readonly HostAndPort[]
  readonly isTls: boolean
  readonly username: string | null
  /** Behind a function so that no log line, `inspect` or JSON shows it. */
  readonly password: () => string | null
}

/** Several hosts with their ports. In front of them may stand what a URL begins with, for all. */
export function sentinels (): Kind<Sentinels> {
  const one = (text: string): HostAndPort | null => {
    const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9][\w.-]*)):(\d{1,5})$/.exec(text) ?? []
    const [host, port] = [bracketed ?? plain, Number(digits)]
    return host !== undefined && port > 0 && port <= 65_535 ? { host, port } : null
  }
  const parse = (text: string): Sentinels | null => {
    const [, front = 'redis://', list = ''] = /^(rediss?:\/\/(?:[^@/?#\s]*@)?)?([^@]*)$/.exec(text) ?? []
    const all = list.split(',').map(part => one(part.trim()))
    const hosts = all.filter(part => part !== null)
    if (hosts.length < all.length || !URL.canParse(front + 'host')) return null
    const { protocol, username, password } = new URL(front + 'host')
    if (!isDecodable(username) || !isDecodable(password) || (username !== '' && password === '')) return null
    return { hosts, isTls: protocol === 'rediss:', username: username === '' ? null : decodeURIComponent(username), password: () => password === '' ? null : decodeURIComponent(password) }
  }
  return { expects: 'hosts with ports, such as a.example:26379,b.example:26379, and in front of the first, for all, redis://:password@ or rediss:// where that is needed; @, #, ?, / and % in user and password are written %40, %23, %3F, %2F and %25', parse }
}

/** Names, addresses and networks of hosts, as NO_PROXY has them. What looks like a network and is none would never be matched. */
export function hosts (): Kind<string> {
  const parse = (text: string): string | null => {
    const isSound = /^[\w.:*[\]/,\s-]+$/.test(text) && text.split(/[\s,]+/).every(entry => !entry.includes('/') || networkIn(entry) !== null)
    return isSound ? text : null
  }
  return { expects: 'names of hosts such as a.example, .b.example:8443, addresses, and networks such as 10.0.0.0/8, apart by commas', parse }
}

/** An HTTP proxy. Its password may hold anything, encoded. */
export function proxyUrl (): Kind<string> {
  const parse = (text: string): string | null => {
    if (!URL.canParse(text)) return null
    const { protocol, hostname, pathname, search, hash, username, password } = new URL(text)
    if (!['http:', 'https:'].includes(protocol) || hostname === '' || !/^\/?$/.test(pathname)) return null
    return search + hash === '' && isDecodable(username) && isDecodable(password) ? text : null
  }
  return { expects: 'a URL such as http://user:password@proxy.example:3128, without path and query', parse }
}

/** The database that the path of a Redis URL names, 0 when there is no path, or `null` when it names none. */
export function databaseIn ({ pathname }: URL): number | null {
  const [, digits] = /^\/(0|[1-9]\d{0,8})\/*$/.exec(pathname) ?? []
  if (digits !== undefined) return Number(digits)
  return /^\/*$/.test(pathname) ? 0 : null
}

function isDecodable (text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** No hop counts: Fastify believes nobody when given one, because a count cannot tell which peer is the immediate one. */
export function proxies (): Kind<boolean | string> {
  const parse = (text: string): boolean | string | null => {
    if (text === 'off') return false
    if (text === 'on') return true
    const ranges = text.split(',').map(range => range.trim())
    return ranges.every(isRange) ? ranges.join(',') : null
  }
  return { expects: 'off, on, or IP addresses and ranges (10.0.0.0/8), comma separated', parse }
}

function isRange (text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}
