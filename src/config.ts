// The configuration: what an environment says, checked and normalised. `settings.ts` has the settings themselves.

import { mistakeIn, namesMistaken } from './environment.ts'
import { databaseIn, type BucketAddress } from './setting-kinds.ts'
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

/** Where the files of results are kept, and how. `keyFile`: `null`, one is made in the folder. */
export interface MediaAccess extends Omit<Values['media'], 'folder' | 'bucket' | keyof BucketKeys | 'credentialsFile'> {
  readonly at: { readonly kind: 'folder', readonly folder: string } | { readonly kind: 'bucket', readonly bucket: BucketAddress, readonly keys: BucketKeysAt }
}

/** Who may use a bucket. `sessionToken`: of keys that are valid for a while. */
export interface BucketKeys { readonly accessKeyId: string, readonly secretAccessKey: string, readonly sessionToken: string | null }

/** Where they stand. Behind a function, since a configuration may be shown. */
export type BucketKeysAt = { readonly kind: 'keys', readonly keys: () => BucketKeys } | { readonly kind: 'file', readonly file: string }

/** All that can be set: the settings, and what follows from several of them. */
export interface Config extends Omit<Values, 'fal' | 'uploads' | 'models' | 'media' | 'proxy' | 'redis' | 'store' | 'tls' | 'drainDelayMs' | 'nodeEnv'> {
  readonly production: boolean
  /** How long work is still taken after load balancers were told to send no more. */
  readonly drainDelayMs: number
  readonly fal: FalAccess
  /** Whose money it is, for the ledger, where the key has no name of its own. */
  readonly account: UpstreamAccount
  /** Base of the upstream queue, without a trailing slash; `null`: the sandbox inside this process. */
  readonly falQueueUrl: string | null
  /** How files of callers come to where the upstream reads them; `null`: they do not. `restUrl`: without a trailing slash; `null`: the sandbox inside this process. */
  readonly uploads: { readonly restUrl: string | null } | null
  /** `apiUrl`: where prices are asked with the central key; `null`: nowhere. */
  readonly models: Omit<Values['models'], 'apiUrl'> & { readonly apiUrl: string | null }
  /** `null`: files stay where the upstream has them. */
  readonly media: MediaAccess | null
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

/** fal keeps files for at least seven days. */
const FILES_AT_FAL_MS = 604_800_000

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

  const { fal: falSettings, uploads, models, media: mediaSettings, proxy: { url: proxyUrl, except }, redis: redisSettings, store, tls: tlsSettings, drainDelayMs, nodeEnv, ...others } = readSettings(settings, read)
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

  function mediaAccess (): MediaAccess | null {
    const { folder, bucket, accessKeyId, secretAccessKey, sessionToken, credentialsFile, ...how } = mediaSettings
    if (folder !== null && bucket !== null) faults.push('MEDIA_DIR, MEDIA_URL: set one of them, not both')
    if (bucket !== null && how.keyFile === null) faults.push('MEDIA_KEY_FILE: not set; with MEDIA_URL name a file with a key that all replicas sign links with, such as `openssl rand -hex 32` makes it')
    if (folder === null && bucket === null && (how.keyFile !== null || how.hosts !== null || how.maxBytes !== null || credentialsFile !== null) && !isSet(settings.media.folder) && !isSet(settings.media.bucket)) faults.push('MEDIA_DIR, MEDIA_URL: neither is set, but other settings for stored files are')
    if (folder !== null) return { at: { kind: 'folder', folder }, ...how }
    if (bucket === null) return null
    if (credentialsFile !== null) return { at: { kind: 'bucket', bucket, keys: { kind: 'file', file: credentialsFile } }, ...how }
    if (accessKeyId === null || secretAccessKey === null) faults.push('MEDIA_CREDENTIALS_FILE: not set; with MEDIA_URL name a file with the keys to the bucket, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
    return { at: { kind: 'bucket', bucket, keys: { kind: 'keys', keys: () => ({ accessKeyId: accessKeyId ?? '', secretAccessKey: secretAccessKey ?? '', sessionToken }) } }, ...how }
  }

  const fal = falAccess()
  const { account, queueUrl, restUrl } = falSettings
  // The sandbox under any other address is one that runs elsewhere and is shared.
  const falQueueUrl = fal.kind === 'sandbox' && queueUrl === settings.fal.queueUrl.fallback ? null : queueUrl

  function uploadAccess (): Config['uploads'] {
    if (!uploads) return null
    // The key, and files of callers, are shown to nobody for a guess.
    if (queueUrl !== settings.fal.queueUrl.fallback && !isSet(settings.fal.restUrl)) faults.push('UPLOADS, FAL_REST_URL: with another FAL_QUEUE_URL set FAL_REST_URL to where files are given to that upstream, or leave UPLOADS out')
    return { restUrl: falQueueUrl === null && restUrl === settings.fal.restUrl.fallback ? null : restUrl }
  }

  const config: Config = {
    ...others,
    production,
    drainDelayMs: drainDelayMs ?? (production ? PRODUCTION_DRAIN_DELAY_MS : 0),
    fal,
    account: { kind: fal.kind === 'sandbox' ? 'sandbox' : 'fal', name: account },
    falQueueUrl,
    uploads: uploadAccess(),
    // The catalogue of somebody else may be all that can be reached from here, and the key is shown to nobody for a guess.
    models: { ...models, apiUrl: isSet(settings.models.apiUrl) || models.catalogueUrl === settings.models.catalogueUrl.fallback ? models.apiUrl : null },
    media: mediaAccess(),
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
  if (config.resultTtlMs > FILES_AT_FAL_MS && config.media === null) faults.push('RESULT_TTL_SECONDS: more than 604800 needs MEDIA_DIR or MEDIA_URL, since fal may not have the files any more by then')
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
