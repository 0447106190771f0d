// The configuration: one table of environment variables is the source of parsing, of the tables in docs/configuration.md and of `.env.example`.

import { isIP } from 'node:net'
import type { UpstreamAccount } from './upstream-account.ts'

/** How falgate comes by the central key. The key is behind a function so that no log line, `inspect` or JSON shows it. */
export type FalAccess =
  | { readonly kind: 'sandbox' }
  | { readonly kind: 'key', readonly key: () => string }
  | { readonly kind: 'key-file', readonly file: string }

/** Where the Redis is. Its address is behind a function because it may hold a password. */
export interface RedisAccess {
  readonly url: () => string
  readonly passwordFile: string | null
  /** The address is that of one node of a Redis Cluster. */
  readonly cluster: boolean
  /** The hash tag of all keys. */
  readonly namespace: string
  /** Buys also with a Redis that is too old or throws keys away. */
  readonly unsafe: boolean
}

/** All that can be set, checked and normalised. Units stand at the end of names. */
export interface Config {
  readonly production: boolean
  readonly fal: FalAccess
  /** Whose money it is, for the ledger. */
  readonly account: UpstreamAccount
  /** Base of the upstream queue, without a trailing slash; `null`: the sandbox inside this process. */
  readonly falQueueUrl: string | null
  /** The Redis that replicas share; `null`: the store is in this process. */
  readonly redis: RedisAccess | null
  readonly tenantsFile: string | null
  readonly host: string
  /** `0` lets the system choose. */
  readonly port: number
  /** When set, the operators' routes are there and only there. */
  readonly opsPort: number | null
  /** Base of the URLs that are handed out, without a trailing slash; `null`: taken from the request. */
  readonly publicUrl: string | null
  /** Whose `X-Forwarded-*` headers are believed: nobody's, everybody's, or those of these addresses (comma separated). */
  readonly trustProxy: boolean | string
  readonly tls: { readonly certFile: string, readonly keyFile: string } | null
  /** Generations in progress at fal at once, all replicas together; `0` stops buying. */
  readonly falConcurrency: number
  readonly waitMs: number
  readonly resultTtlMs: number
  readonly queueMs: number
  readonly runMs: number
  readonly leaseMs: number
  readonly cacheMemoryBytes: number
  readonly largeResultBytes: number
  /** When buying stops because of what fal answers, and for how long. */
  readonly breaker: { readonly failuresToOpen: number, readonly openMs: number, readonly blockedMs: number, readonly retiredMs: number }
  readonly eventHeartheartbeatMs: number
  readonly eventIdleTimeoutMs: number
  readonly logLevel: LogLevel
  readonly logPrompts: PromptLogging
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = typeof logLevels[number]

export const promptLoggings = ['off', 'hash', 'full'] as const
export type PromptLogging = typeof promptLoggings[number]

/** What documentation tells about a variable. */
export interface Variable {
  readonly name: string
  /** As somebody would write it; `null` when unset is a state of its own. */
  readonly default: string | null
  readonly meaning: string
  /** Completes "expected …"; never holds a value. */
  readonly expects: string
}

/** A way to read a text: `null` when it is not what was expected. */
interface Kind<Value> { readonly expects: string, readonly parse: (text: string) => Value | null }
interface Optional<Value> extends Variable, Kind<Value> {}
interface Defaulted<Value> extends Optional<Value> { readonly fallback: Value }

const DEFAULT_QUEUE_URL = 'https://queue.fal.run'

const table = {
  falKey: optional('FAL_KEY', secret(), 'The central fal key, or the word `sandbox`. Unset: the sandbox, but with `NODE_ENV=production` a fault'),
  falKeyFile: optional('FAL_KEY_FILE', line(), 'A file with the central key, instead of `FAL_KEY`; read again on SIGHUP'),
  falAccount: defaulted('FAL_ACCOUNT', 'main', namespace(), 'Your name for the account at fal that the key belongs to. A ledger belongs to one account, with whatever key, and to the sandbox or to fal'),
  falQueueUrl: defaulted('FAL_QUEUE_URL', DEFAULT_QUEUE_URL, webUrl(), 'Base of the upstream queue'),
  redisUrl: optional('REDIS_URL', redisUrl(), 'The Redis that replicas share, and the number of its database when that is not 0. Without it one process keeps everything in memory and forgets it at its end'),
  redisPasswordFile: optional('REDIS_PASSWORD_FILE', line(), 'A file with the password for Redis, when it does not stand in the URL'),
  redisCluster: defaulted('REDIS_CLUSTER', 'off', word(['on', 'off']), 'Whether that address is a node of a Redis Cluster'),
  redisNamespace: defaulted('REDIS_NAMESPACE', 'fg', namespace(), 'The tag of all keys in that Redis: gateways with different ones know nothing of each other'),
  redisUnsafe: defaulted('REDIS_UNSAFE', 'off', word(['on', 'off']), 'Whether to buy also with a Redis that may lose the books: one that throws keys away when it is full, or is older than 7'),
  tenantsFile: optional('TENANTS_FILE', line(), 'The tenants, their keys and limits; required with a real key. With the sandbox and no file there is a demo tenant with the key `fg_demo_sandbox`'),
  host: defaulted('HOST', '127.0.0.1', host(), 'Address to listen on'),
  port: defaulted('PORT', 8080, integer(0, 65_535), 'Port to listen on; `0` takes a free one'),
  opsPort: optional('OPS_PORT', integer(0, 65_535), 'When set, `/metrics`, `/healthz` and `/readyz` are served on this port and only there'),
  publicUrl: optional('PUBLIC_URL', webUrl(), 'Base of the URLs that are handed out. Unset: taken from the request'),
  trustProxy: optional('TRUST_PROXY', proxies(), 'Whose `X-Forwarded-*` headers are believed: `off`, `on` (everybody\'s) or addresses. Unset: `off`'),
  tlsCertFile: optional('TLS_CERT_FILE', line(), 'Certificate chain (PEM), to serve https without a proxy'),
  tlsKeyFile: optional('TLS_KEY_FILE', line(), 'Private key (PEM) of that certificate'),
  falConcurrency: defaulted('FAL_CONCURRENCY', 10, integer(0, 10_000), 'Generations in progress at fal at once, all replicas together; `0` stops buying'),
  waitSeconds: defaulted('WAIT_SECONDS', 55, integer(1, 3600), 'How long a synchronous call waits before it is answered 504 `still-running`'),
  resultTtlSeconds: defaulted('RESULT_TTL_SECONDS', 518_400, integer(1, 604_800), 'Life of a finished generation and of its result in the cache; an hour at most for one that cost nothing. fal keeps pictures for at least 7 days'),
  queueSeconds: defaulted('QUEUE_SECONDS', 900, integer(1, 86_400), 'How long a generation may wait here for a free slot'),
  runSeconds: defaulted('RUN_SECONDS', 3600, integer(1, 86_400), 'How long a generation may run at fal'),
  cacheMemoryBytes: defaulted('CACHE_MEMORY_BYTES', 67_108_864, integer(1_048_576, 2 ** 40), 'Bound of the in-process layer of the cache'),
  largeResultBytes: defaulted('LARGE_RESULT_BYTES', 268_435_456, integer(0, 2 ** 40), 'What results above 256 KiB, which are kept for an hour, may take of the store together. With less than 64 MiB left no request for pictures inside the result (`sync_mode: true`) is taken'),
  breakerFailures: defaulted('BREAKER_FAILURES', 5, integer(1, 1000), 'After this many failures of fal in a row, on all replicas together, nothing is bought for a while; for one tenant only, when it alone meets them after its requests went out'),
  breakerOpenSeconds: defaulted('BREAKER_OPEN_SECONDS', 10, integer(1, 3600), 'How long nothing is bought then, until one generation tries whether fal works again'),
  breakerBlockedSeconds: defaulted('BREAKER_BLOCKED_SECONDS', 30, integer(1, 3600), 'The same, after fal did not accept the account: wrong key, no balance. SIGHUP lets one try at once'),
  breakerRetiredSeconds: defaulted('BREAKER_RETIRED_SECONDS', 600, integer(1, 86_400), 'The same, after fal did not know the model any more'),
  eventHeartbeatSeconds: defaulted('EVENT_HEARTBEAT_SECONDS', 15, integer(1, 3600), 'How often an event stream on which nothing happens sends a comment; less than the idle time of what stands in front of the gateway'),
  eventIdleTimeoutSeconds: defaulted('EVENT_IDLE_TIMEOUT_SECONDS', 30, integer(1, 3600), 'After this long without reading any of what was sent a reader of an event stream is dropped'),
  leaseSeconds: defaulted('LEASE_SECONDS', 15, integer(1, 3600), 'After this long without a sign of life another replica takes a generation over'),
  logLevel: defaulted('LOG_LEVEL', 'info', word(logLevels), 'How much is logged'),
  logPrompts: defaulted('LOG_PROMPTS', 'hash', word(promptLoggings), 'How prompts appear in logs: not at all, as SHA-256 and length, or in full'),
  nodeEnv: optional('NODE_ENV', line(), '`production` refuses to start without `FAL_KEY` or `FAL_KEY_FILE`')
} as const

/** Every variable that falgate reads, in the order of its documentation. */
export const variables: readonly Variable[] = Object.values(table)

/**
 * Reads the configuration from an environment. All faults are named at once, and none repeats a value.
 * An empty variable counts as unset, because compose files and shells write `X=` for "not given".
 */
export function parseConfig (env: Readonly<Record<string, string | undefined>>): { readonly ok: true, readonly config: Config } | { readonly ok: false, readonly faults: readonly string[] } {
  const faults: string[] = []

  function textOf (variable: Variable): string | null {
    const text = env[variable.name]?.trim()
    return text === undefined || text === '' ? null : text
  }

  function read<Value> (variable: Optional<Value>): Value | null {
    const text = textOf(variable)
    if (text === null) return null
    const value = variable.parse(text)
    if (value === null) faults.push(`${variable.name}: expected ${variable.expects}`)
    return value
  }

  const readOr = <Value>(variable: Defaulted<Value>): Value => read(variable) ?? variable.fallback

  function tlsFiles (): Config['tls'] {
    const certFile = read(table.tlsCertFile)
    const keyFile = read(table.tlsKeyFile)
    if (certFile !== null && keyFile !== null) return { certFile, keyFile }
    if (certFile !== null || keyFile !== null) faults.push('TLS_CERT_FILE, TLS_KEY_FILE: set both or none')
    return null
  }

  function falAccess (): FalAccess {
    const key = read(table.falKey)
    const file = read(table.falKeyFile)
    if (textOf(table.falKey) !== null && file !== null) faults.push('FAL_KEY, FAL_KEY_FILE: set one of them, not both')
    if (textOf(table.falKey) === null && file === null && production) {
      faults.push('FAL_KEY: not set; with NODE_ENV=production set it to the central fal key or to the word sandbox, or set FAL_KEY_FILE')
    }
    if (file !== null) return { kind: 'key-file', file }
    return key === null || key === 'sandbox' ? { kind: 'sandbox' } : { kind: 'key', key: () => key }
  }

  function redisAccess (): RedisAccess | null {
    const url = read(table.redisUrl)
    const passwordFile = read(table.redisPasswordFile)
    const cluster = readOr(table.redisCluster) === 'on'
    const namespace = readOr(table.redisNamespace)
    const unsafe = readOr(table.redisUnsafe) === 'on'
    if (url !== null && cluster && (databaseIn(new URL(url)) ?? 0) > 0) faults.push('REDIS_URL, REDIS_CLUSTER: a Redis Cluster has no database but 0')
    if (url !== null) return { url: () => url, passwordFile, cluster, namespace, unsafe }
    if ((passwordFile !== null || cluster || unsafe) && textOf(table.redisUrl) === null) faults.push('REDIS_URL: not set, but other settings for Redis are')
    return null
  }

  const production = read(table.nodeEnv) === 'production'
  const fal = falAccess()
  const queueUrl = readOr(table.falQueueUrl)
  const config: Config = {
    production,
    fal,
    account: { kind: fal.kind === 'sandbox' ? 'sandbox' : 'fal', name: readOr(table.falAccount) },
    // The sandbox under any other address is one that runs elsewhere and is shared.
    falQueueUrl: fal.kind === 'sandbox' && queueUrl === DEFAULT_QUEUE_URL ? null : queueUrl,
    redis: redisAccess(),
    tenantsFile: read(table.tenantsFile),
    host: readOr(table.host),
    port: readOr(table.port),
    opsPort: read(table.opsPort),
    publicUrl: read(table.publicUrl),
    trustProxy: read(table.trustProxy) ?? false,
    tls: tlsFiles(),
    falConcurrency: readOr(table.falConcurrency),
    waitMs: readOr(table.waitSeconds) * 1000,
    resultTtlMs: readOr(table.resultTtlSeconds) * 1000,
    queueMs: readOr(table.queueSeconds) * 1000,
    runMs: readOr(table.runSeconds) * 1000,
    leaseMs: readOr(table.leaseSeconds) * 1000,
    cacheMemoryBytes: readOr(table.cacheMemoryBytes),
    largeResultBytes: readOr(table.largeResultBytes),
    breaker: {
      failuresToOpen: readOr(table.breakerFailures),
      openMs: readOr(table.breakerOpenSeconds) * 1000,
      blockedMs: readOr(table.breakerBlockedSeconds) * 1000,
      retiredMs: readOr(table.breakerRetiredSeconds) * 1000
    },
    eventHeartheartbeatMs: readOr(table.eventHeartbeatSeconds) * 1000,
    eventIdleTimeoutMs: readOr(table.eventIdleTimeoutSeconds) * 1000,
    logLevel: readOr(table.logLevel),
    logPrompts: readOr(table.logPrompts)
  }

  if (fal.kind !== 'sandbox' && textOf(table.tenantsFile) === null) faults.push('TENANTS_FILE: not set; it is required with a real fal key')
  if (config.opsPort === config.port && config.port !== 0) faults.push('OPS_PORT: has to differ from PORT')

  return faults.length === 0 ? { ok: true, config } : { ok: false, faults }
}

/** What an environment says about its upstream, whatever else is wrong with it: a real key, the sandbox, or nothing (`null`). */
export function falKindIn (env: Readonly<Record<string, string | undefined>>): 'fal' | 'sandbox' | null {
  const [key = '', file = ''] = [env[table.falKey.name]?.trim(), env[table.falKeyFile.name]?.trim()]
  if (file !== '') return 'fal'
  return key === '' ? null : key === 'sandbox' ? 'sandbox' : 'fal'
}

// ------------------------------------------------------------------------------------------------ kinds of values

function optional<Value> (name: string, kind: Kind<Value>, meaning: string): Optional<Value> {
  return { name, default: null, meaning, ...kind }
}

function defaulted<Value extends string | number> (name: string, fallback: Value, kind: Kind<Value>, meaning: string): Defaulted<Value> {
  return { name, default: String(fallback), fallback, meaning, ...kind }
}

/** The central key as it stands in a file, or `null` when the text cannot be one. */
export function parseFalKey (text: string): string | null {
  return secret().parse(text.trim())
}

/** Visible ASCII, as a header needs it; without quotes and backslashes, so that it looks the same inside JSON and can be found there. */
function secret (): Kind<string> {
  return { expects: 'at most 512 visible characters without quotes and backslashes', parse: text => /^[!#-&(-[\]-~]{1,512}$/.test(text) ? text : null }
}

function line (): Kind<string> {
  return { expects: 'a text without control characters', parse: text => /^\P{Cc}+$/u.test(text) ? text : null }
}

function host (): Kind<string> {
  return { expects: 'an IP address or a host name', parse: text => isIP(text) !== 0 || /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/.test(text) ? text : null }
}

function integer (min: number, max: number): Kind<number> {
  const parse = (text: string): number | null => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN
    return value >= min && value <= max ? value : null
  }
  return { expects: `a whole number from ${min} to ${max}`, parse }
}

function word<const Words extends readonly string[]> (words: Words): Kind<Words[number]> {
  return { expects: `one of ${words.join(', ')}`, parse: text => words.find(word => word === text) ?? null }
}

function namespace (): Kind<string> {
  return { expects: 'at most 64 letters, digits, - and _', parse: text => /^[\w-]{1,64}$/.test(text) ? text : null }
}

/** The base of other addresses: credentials would end in logs and links, a query or fragment has no place in the middle. */
function webUrl (): Kind<string> {
  const parse = (text: string): string | null => {
    if (!URL.canParse(text)) return null
    const { protocol, hostname, username, password, search, hash } = new URL(text)
    if (!['http:', 'https:'].includes(protocol) || hostname === '') return null
    return username + password + search + hash === '' ? text.replace(/\/+$/, '') : null
  }
  return { expects: 'a URL that starts with http:// or https://, without user, query and fragment', parse }
}

/**
 * What a `#`, `?` or `/` in a password does when it is not encoded: every reader takes the URL to end there, with another host or database, and the rest
 * of the password stands where it is shown.
 */
function redisUrl (): Kind<string> {
  const parse = (text: string): string | null => {
    if (!URL.canParse(text)) return null
    const url = new URL(text)
    if (!['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '' || databaseIn(url) === null) return null
    // An empty query or fragment is one, too: what follows the sign may have been lost on the way.
    return /[?#]/.test(text) || !isDecodable(url.username) || !isDecodable(url.password) ? null : text.replace(/\/+$/, '')
  }
  return { expects: 'a URL such as redis://user:password@host:6379/0, or with rediss://, whose path is a database number or nothing; #, ?, / and % in user and password are written %23, %3F, %2F and %25', parse }
}

/** The database that the path of a Redis URL names, 0 when there is no path, or `null` when it names none. */
function databaseIn ({ pathname }: URL): number | null {
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
function proxies (): Kind<boolean | string> {
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
