// The configuration: what an environment says, checked and normalised. `settings.ts` has the settings themselves.

import { mistakeIn, namesMistaken } from './environment.ts'
import { databaseIn } from './setting-kinds.ts'
import { readSettings, settings, variables, type Setting, type StoreKind, type ValuesOf } from './settings.ts'
import type { UpstreamAccount } from './upstream-account.ts'

/** How falgate comes by the central key. The key is behind a function so that no log line, `inspect` or JSON shows it. */
export type FalAccess =
  | { readonly kind: 'sandbox' }
  | { readonly kind: 'key', readonly key: () => string }
  | { readonly kind: 'key-file', readonly file: string }

type Values = ValuesOf<typeof settings>

/** Where the Redis is, and how it is used. Its address is behind a function because it may hold a password. */
export interface RedisAccess extends Omit<Values['redis'], 'url'> { readonly url: () => string }

/** The folder of a ledger on disk. `hasToBeMount`: what is elsewhere ends with the container, and real money is in it. */
export interface DiskAccess { readonly folder: string, readonly hasToBeMount: boolean }

/** All that can be set: the settings, and what follows from several of them. */
export interface Config extends Omit<Values, 'fal' | 'models' | 'proxy' | 'redis' | 'store' | 'tls' | 'drainDelayMs' | 'nodeEnv'> {
  readonly production: boolean
  /** How long work is still taken after load balancers were told to send no more. */
  readonly drainDelayMs: number
  readonly fal: FalAccess
  /** Whose money it is, for the ledger, where the key has no name of its own. */
  readonly account: UpstreamAccount
  /** Base of the upstream queue, without a trailing slash; `null`: the sandbox inside this process. */
  readonly falQueueUrl: string | null
  /** `apiUrl`: where prices are asked with the central key; `null`: nowhere. */
  readonly models: Omit<Values['models'], 'apiUrl'> & { readonly apiUrl: string | null }
  /** The proxy on the way to fal, behind a function because its address may hold a password. */
  readonly proxy: { readonly url: () => string, readonly except: string } | null
  /** The Redis that replicas share; `null`: the store is not there. */
  readonly redis: RedisAccess | null
  /** The folder in which this process keeps everything; `null`: it does not. */
  readonly disk: DiskAccess | null
  readonly tls: { readonly certFile: string, readonly keyFile: string } | null
}

/** Beside where falgate is started. */
const DATA_FOLDER = './falgate-data'

/** Two checks of most load balancers. Who develops has none, and starts again often. */
const PRODUCTION_DRAIN_DELAY_MS = 5000

/** Other programs read these in small letters, and some only so. */
const inSmallLetters = new Set<string>([settings.proxy.url.name, settings.proxy.except.name])

/**
 * Reads the configuration from an environment. All faults are named at once, and none repeats a value.
 * An empty variable counts as unset, because compose files and shells write `X=` for "not given". What is sound but looks like a slip is a warning.
 */
export function parseConfig (env: Readonly<Record<string, string | undefined>>): { readonly ok: true, readonly config: Config, readonly warnings: readonly string[] } | { readonly ok: false, readonly faults: readonly string[] } {
  const faults: string[] = []
  const valueOf = (name: string): string => env[name]?.trim() ?? ''
  const textOf = ({ name }: { readonly name: string }): string => valueOf(name) === '' && inSmallLetters.has(name) ? valueOf(name.toLowerCase()) : valueOf(name)
  const isSet = (variable: { readonly name: string }): boolean => textOf(variable) !== ''

  function read<Value> (setting: Setting<Value>): Value {
    if (!isSet(setting)) return setting.fallback
    const mistake = mistakeIn(setting.name, textOf(setting))
    const value = mistake === null ? setting.parse(textOf(setting)) : null
    if (value !== null) return value
    faults.push(`${setting.name}: ${mistake ?? `expected ${setting.expects}`}`)
    return setting.fallback
  }

  const { fal: falSettings, models, proxy: { url: proxyUrl, except }, redis: redisSettings, store, tls: tlsSettings, drainDelayMs, nodeEnv, ...others } = readSettings(settings, read)
  const production = nodeEnv === 'production'

  function tlsFiles (): Config['tls'] {
    const { certFile, keyFile } = tlsSettings
    if (certFile !== null && keyFile !== null) return { certFile, keyFile }
    if (certFile !== null || keyFile !== null) faults.push('TLS_CERT_FILE, TLS_KEY_FILE: set both or none')
    return null
  }

  function falAccess (): FalAccess {
    const { key, keyFile: file } = falSettings
    if (isSet(settings.fal.key) && file !== null) faults.push('FAL_KEY, FAL_KEY_FILE: set one of them, not both')
    if (!isSet(settings.fal.key) && file === null && production) {
      faults.push('FAL_KEY: not set; with NODE_ENV=production set it to the central fal key or to the word sandbox, or set FAL_KEY_FILE')
    }
    if (key !== null && key !== 'sandbox' && key.toLowerCase() === 'sandbox') faults.push('FAL_KEY: the word sandbox has small letters')
    if (file !== null) return { kind: 'key-file', file }
    return key === null || key === 'sandbox' ? { kind: 'sandbox' } : { kind: 'key', key: () => key }
  }

  function redisAccess (): RedisAccess | null {
    const { url, ...how } = redisSettings
    if (url !== null && how.cluster && (databaseIn(new URL(url)) ?? 0) > 0) faults.push('REDIS_URL, REDIS_CLUSTER: a Redis Cluster has no database but 0')
    if (url !== null && how.caFile !== null && new URL(url).protocol !== 'rediss:' && how.sentinels?.isTls !== true) faults.push('REDIS_URL, REDIS_CA_FILE: certificates are for an address that begins with rediss://')
    if (how.sentinels !== null && how.cluster) faults.push('REDIS_SENTINELS, REDIS_CLUSTER: a Redis Cluster needs no Sentinels; set one of them')
    if (url !== null) return { url: () => url, ...how }
    if ((how.passwordFile !== null || how.caFile !== null || how.sentinels !== null || how.cluster || how.unsafe) && !isSet(settings.redis.url)) faults.push('REDIS_URL: not set, but other settings for Redis are')
    return null
  }

  /** Where the ledger is, and what speaks against that. */
  function storeKind (isReal: boolean): StoreKind {
    const hasRedis = isSet(settings.redis.url)
    const kind = store.kind ?? (hasRedis ? 'redis' : isReal || store.folder !== null ? 'disk' : 'memory')
    if (kind === 'redis' && !hasRedis) faults.push('STORE, REDIS_URL: with STORE=redis set REDIS_URL to where that Redis is')
    if (kind !== 'redis' && hasRedis) faults.push(`STORE, REDIS_URL: with STORE=${kind} no Redis is used; leave one of them out`)
    if (kind === 'redis' && store.folder !== null) faults.push('DATA_DIR, REDIS_URL: the ledger is in one place; leave one of them out')
    if (kind === 'memory' && store.folder !== null) faults.push('STORE, DATA_DIR: with STORE=memory nothing is kept in a folder; leave one of them out')
    return kind
  }

  function diskAccess (isReal: boolean): DiskAccess | null {
    if (storeKind(isReal) !== 'disk') return null
    return { folder: store.folder ?? store.imageFolder ?? DATA_FOLDER, hasToBeMount: isReal && store.imageFolder !== null }
  }

  const fal = falAccess()
  const { account, queueUrl } = falSettings
  const config: Config = {
    ...others,
    production,
    drainDelayMs: drainDelayMs ?? (production ? PRODUCTION_DRAIN_DELAY_MS : 0),
    fal,
    account: { kind: fal.kind === 'sandbox' ? 'sandbox' : 'fal', name: account },
    // The sandbox under any other address is one that runs elsewhere and is shared.
    falQueueUrl: fal.kind === 'sandbox' && queueUrl === settings.fal.queueUrl.fallback ? null : queueUrl,
    // The catalogue of somebody else may be all that can be reached from here, and the key is shown to nobody for a guess.
    models: { ...models, apiUrl: isSet(settings.models.apiUrl) || models.catalogueUrl === settings.models.catalogueUrl.fallback ? models.apiUrl : null },
    proxy: proxyUrl === null ? null : { url: () => proxyUrl, except },
    redis: redisAccess(),
    disk: diskAccess(fal.kind !== 'sandbox'),
    tls: tlsFiles()
  }

  const publicHost = config.publicUrl === null ? null : new URL(config.publicUrl).hostname
  if (fal.kind !== 'sandbox' && !isSet(settings.tenantsFile)) faults.push('TENANTS_FILE: not set; it is required with a real fal key')
  if (publicHost !== null && (config.falHosts ?? []).some(name => publicHost === name || publicHost === `queue.${name}`)) {
    faults.push('FAL_HOSTS: the host of PUBLIC_URL is the gateway\'s own, where not only fal\'s paths are')
  }
  for (const name of config.falHosts ?? []) {
    // At its root are either synchronous calls or the queue, and a submit that is taken for the other answers with a picture instead of an id.
    if (config.falHosts?.includes(`queue.${name}`) === true) faults.push(`FAL_HOSTS: queue.${name} is the queue of ${name} without being listed; leave it out`)
  }
  if (config.opsPort === config.port && config.port !== 0) faults.push('OPS_PORT: has to differ from PORT')

  const warnings = [...namesMistaken(env, variables.map(({ name }) => name))]
  if (config.sandboxControl && config.falQueueUrl !== null) warnings.push('SANDBOX_CONTROL: has no effect, since there is no sandbox in this process')
  // What is missing may be there under a mistaken name.
  return faults.length === 0 ? { ok: true, config, warnings } : { ok: false, faults: [...faults, ...warnings] }
}

/** Where the ledger of a configuration is. */
export function storeKindOf ({ redis, disk }: Pick<Config, 'redis' | 'disk'>): StoreKind {
  return redis !== null ? 'redis' : disk !== null ? 'disk' : 'memory'
}

/** What an environment says about its upstream, whatever else is wrong with it: a real key, the sandbox, or nothing (`null`). */
export function falKindIn (env: Readonly<Record<string, string | undefined>>): 'fal' | 'sandbox' | null {
  const [key = '', file = ''] = [env[settings.fal.key.name]?.trim(), env[settings.fal.keyFile.name]?.trim()]
  if (file !== '') return 'fal'
  return key === '' ? null : key === 'sandbox' ? 'sandbox' : 'fal'
}
