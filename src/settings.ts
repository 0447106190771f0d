// Every setting, once: its variable, default, kind and meaning. `Config`, the tables in docs/configuration.md and `.env.example` are made of this table.

import { bucket, days, endpointId, googleProject, host, hostNames, hosts, hours, integer, line, namespace, onOff, proxies, proxyUrl, redisUrl, secret, seconds, sentinels, webUrl, word, type Kind } from './setting-kinds.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = typeof logLevels[number]

/** Where the ledger is: in the process, in a folder, or in Redis. */
export const storeKinds = ['memory', 'disk', 'redis'] as const
export type StoreKind = typeof storeKinds[number]

/** What a line of the log calls its level and its message. */
export const logFormats = ['json', 'google'] as const
export type LogFormat = typeof logFormats[number]

export const promptLoggings = ['off', 'hash', 'full'] as const
export type PromptLogging = typeof promptLoggings[number]

/** What NODE_ENV is by convention. Another spelling of `production` would switch its rules off without a word. */
const nodeEnvs = ['production', 'development', 'test'] as const

/** What documentation tells about a variable. */
export interface Variable {
  readonly name: string
  /** As somebody would write it; `null` when unset is a state of its own. */
  readonly default: string | null
  readonly meaning: string
  /** Completes "expected …"; never holds a value. */
  readonly expects: string
}

/** A variable, and what it is in the configuration: the value of its text, or `fallback` when it is not set. */
export interface Setting<Value> extends Variable {
  readonly parse: (text: string) => Value | null
  readonly fallback: Value
}

/** The settings in the order of their documentation. Fields are named as in `Config`, with units at the end; what is in a group is used together. */
export const settings = {
  fal: {
    key: optional('FAL_KEY', secret(), 'The central fal key, or the word `sandbox`. Unset: the sandbox, but with `NODE_ENV=production` a fault'),
    keyFile: optional('FAL_KEY_FILE', line(), 'A file with the central key, instead of `FAL_KEY`; or with several, a line for each account: `<name> <key>`, perhaps with `concurrency=<number>` behind it. Read again on SIGHUP'),
    account: defaulted('FAL_ACCOUNT', 'main', namespace(), 'Your name for the account at fal that the key belongs to, where its file has none. A ledger belongs to the sandbox or to fal, and to the accounts that its gateways have, with whatever keys'),
    queueUrl: defaulted('FAL_QUEUE_URL', 'https://queue.fal.run', webUrl(), 'Base of the upstream queue'),
    restUrl: defaulted('FAL_REST_URL', 'https://rest.fal.ai', webUrl(), 'Base of where files are given to fal, which `UPLOADS=on` does, with the central key. With another `FAL_QUEUE_URL` it has to be said, too')
  },
  uploads: defaulted('UPLOADS', 'off', onOff(), 'Whether pictures that callers send along (`POST /v1/images/edits`) go to fal\'s storage, where models read them. fal is asked to keep them for a day'),
  proxy: {
    url: optional('HTTPS_PROXY', proxyUrl(), 'The proxy through which fal is reached, and its catalogue. Also read in small letters. It makes a tunnel and sees no request; addresses that begin with `http://` are reached without it'),
    except: defaulted('NO_PROXY', 'localhost', hosts(), 'What is reached without that proxy: names with all that is below them and addresses, with a port or without, and networks such as `10.0.0.0/8`, which mean addresses and no names, apart by commas; `*` is all. Also read in small letters')
  },
  store: {
    kind: optional('STORE', word(storeKinds), 'Where everything is kept: `redis`, `disk` (the folder of `DATA_DIR`) or `memory`, which ends with the process. Unset: `redis` with `REDIS_URL`, else `disk` with a real key or with `DATA_DIR`, else `memory`'),
    folder: optional('DATA_DIR', line(), 'The folder in which one process keeps everything, on a disk of this machine. Unset: with `STORE=disk` `./falgate-data`, in the image `/data`'),
    imageFolder: optional('IMAGE_DATA_DIR', line(), 'Set by the image alone: what `DATA_DIR` is there when it is unset. With a real key the folder has to be a mount, since what lies in the container goes with it')
  },
  redis: {
    url: optional('REDIS_URL', redisUrl(), 'The Redis that replicas share, and the number of its database when that is not 0'),
    passwordFile: optional('REDIS_PASSWORD_FILE', line(), 'A file with the password for Redis, when it does not stand in the URL; read again when it changes, and on SIGHUP'),
    caFile: optional('REDIS_CA_FILE', line(), 'Certificates (PEM) of who vouches for that of Redis, and of Sentinels, in place of those that the system believes; read again like the password'),
    sentinels: optional('REDIS_SENTINELS', sentinels(), 'The Sentinels that know where the primary is, with their own password and `rediss://` in front where they need that. `REDIS_URL` has then the name that they know it by in place of a host: `redis://main`'),
    cluster: defaulted('REDIS_CLUSTER', 'off', onOff(), 'Whether that address is a node of a Redis Cluster'),
    namespace: defaulted('REDIS_NAMESPACE', 'fg', namespace(), 'The tag of all keys in that Redis: gateways with different ones know nothing of each other'),
    unsafe: defaulted('REDIS_UNSAFE', 'off', onOff(), 'Whether to buy also with a Redis that may lose the books: one that throws keys away when it is full, or is older than 7')
  },
  tenantsFile: optional('TENANTS_FILE', line(), 'The tenants, their keys and limits; required with a real key. With the sandbox and no file there is a demo tenant with the key `fg_demo_sandbox`'),
  models: {
    dir: optional('MODELS_DIR', line(), 'A folder with one file for each model beside the built-in one, which `falgate model add` writes; looked at every five seconds and on SIGHUP'),
    default: optional('DEFAULT_MODEL', endpointId(), 'The model that `POST /generate` means. Unset: the built-in one'),
    catalogueUrl: defaulted('FAL_CATALOGUE_URL', 'https://fal.ai/api/openapi/queue/openapi.json', webUrl(), 'Where fal publishes the documents of its models; `?endpoint_id=` is added'),
    apiUrl: defaulted('FAL_API_URL', 'https://api.fal.ai/v1', webUrl(), 'Base of the API that `falgate model add` asks for prices, with the central key. With another `FAL_CATALOGUE_URL` it is asked only when this is set, too'),
    checkMs: defaulted('MODEL_CHECK_HOURS', '24', hours(0, 720), 'How often, with a real key, the files of models are compared with what fal publishes now; `0`: never')
  },
  sandboxControl: defaulted('SANDBOX_CONTROL', 'off', onOff(), 'Whether faults of the sandbox in a gateway can be set, and its bill be read, with a key that is printed at the start'),
  host: defaulted('HOST', '127.0.0.1', host(), 'Address to listen on'),
  port: defaulted('PORT', '8080', integer(0, 65_535), 'Port to listen on; `0` takes a free one'),
  opsPort: optional('OPS_PORT', integer(0, 65_535), 'When set, `/metrics`, `/healthz` and `/readyz` are served on this port and only there'),
  publicUrl: optional('PUBLIC_URL', webUrl(), 'Base of the URLs that are handed out. Unset: taken from the request'),
  falHosts: optional('FAL_HOSTS', hostNames(), 'Host names at which the gateway is fal itself, comma separated: with `fal.example` its models are at the root of that host, its queue at the root of `queue.fal.example`, and nothing else is there'),
  /** Nobody's (false), everybody's (true), or those of these addresses (comma separated). */
  trustProxy: defaulted('TRUST_PROXY', 'off', proxies(), 'Whose `X-Forwarded-*` headers are believed: `off`, `on` (everybody\'s) or addresses'),
  tls: {
    certFile: optional('TLS_CERT_FILE', line(), 'Certificate chain (PEM), to serve https without a proxy; read again when it changes, and on SIGHUP'),
    keyFile: optional('TLS_KEY_FILE', line(), 'Private key (PEM) of that certificate')
  },
  keepAliveMs: defaulted('KEEP_ALIVE_SECONDS', '72', seconds(1, 3600), 'How long a connection may idle before the gateway closes it; more than what a proxy in front keeps its own for, so that no request meets a connection that is being closed'),
  falConcurrency: defaulted('FAL_CONCURRENCY', '10', integer(0, 10_000), 'Generations in progress at fal at once, all replicas together; `0` stops buying'),
  waitMs: defaulted('WAIT_SECONDS', '55', seconds(1, 3600), 'How long a synchronous call waits before it is answered 504 `still-running`'),
  drainDelayMs: optional('DRAIN_DELAY_SECONDS', seconds(0, 600), 'How long after SIGTERM work is still taken while `/readyz` says 503 already. A load balancer that checks it twice in this time hands out no refusal. Unset: 5 with `NODE_ENV=production`, else 0. Ctrl-C never waits for it'),
  resultTtlMs: defaulted('RESULT_TTL_SECONDS', '518400', seconds(1, 31_536_000), 'Life of a finished generation and of its result in the cache; an hour at most for one that cost nothing. fal keeps pictures for at least 7 days, so more than 604800 needs `MEDIA_DIR` or `MEDIA_URL`'),
  falFilesMs: defaulted('FAL_FILES_SECONDS', '604800', seconds(60, 31_536_000), 'How long fal keeps the files of this account, as its settings at fal say. A stored result that is older is looked at (`HEAD`, once in ten minutes) before it is handed out: one whose files are gone is bought again'),
  twinMs: defaulted('TWIN_SECONDS', '60', seconds(0, 3600), 'How long after its end a picture is also that of equal requests without seed and key, for tenants with `twins: "join"`; `0`: only until its end'),
  media: {
    folder: optional('MEDIA_DIR', line(), 'A folder, for several replicas one that they share, in which the files of results are kept, so that they outlive fal\'s addresses: answers have signed links to `/media/…` in their place. Unset, like `MEDIA_URL`: files stay where they are'),
    bucket: optional('MEDIA_URL', bucket(), 'The same in a bucket of S3 or of what speaks its protocol: `s3://bucket/prefix?region=…`, elsewhere than at AWS with `&endpoint=https://…`. The bucket stays private'),
    credentialsFile: optional('MEDIA_CREDENTIALS_FILE', line(), 'A file with the keys to that bucket as AWS\' tools write it (`aws_access_key_id = …`, `aws_secret_access_key = …`, perhaps `aws_session_token = …`; of several profiles the first). Read again when it changes, and on SIGHUP'),
    accessKeyId: optional('AWS_ACCESS_KEY_ID', secret(), 'The key to that bucket, where no file has it'),
    secretAccessKey: optional('AWS_SECRET_ACCESS_KEY', secret(), 'Its secret'),
    sessionToken: optional('AWS_SESSION_TOKEN', line(), 'What belongs to keys that are valid for a while'),
    keyFile: optional('MEDIA_KEY_FILE', line(), 'A file with the keys that links are signed with, one a line: the first signs, all are believed. Read again when it changes, and on SIGHUP. Required with `MEDIA_URL`; else made in the folder'),
    linkMs: defaulted('MEDIA_LINK_SECONDS', '604800', seconds(60, 31_536_000), 'How long a link works at least; every answer has fresh ones'),
    hosts: optional('MEDIA_HOSTS', hostNames(), 'Hosts beside those of fal\'s CDN whose files are kept, too, each with all that is below it'),
    waitMs: defaulted('MEDIA_WAIT_SECONDS', '10', seconds(0, 300), 'How long a result waits for its files. What is not there by then keeps fal\'s address in the answer, and is tried again'),
    maxFileBytes: defaulted('MEDIA_FILE_BYTES', '1073741824', integer(1024, 2 ** 40), 'The longest file that is kept'),
    maxBytes: optional('MEDIA_MAX_BYTES', integer(1_048_576, 2 ** 49), 'What all kept files may take. From nine tenths of it on those that nothing refers to go before `MEDIA_DAYS`; when it is full, new files keep fal\'s addresses and are tried again. Unset: whatever the place has'),
    keepMs: defaulted('MEDIA_DAYS', '7', days(0, 3650), 'How long a file is kept that no generation refers to any more, from when the last link to it ended; a ledger that is restored from a backup of that age still finds its files')
  },
  webhookKeyFile: optional('WEBHOOK_KEY_FILE', line(), 'A file with the Ed25519 private keys (PEM) that webhooks of `/fal` are signed with: the first signs, all are shown at `/fal/.well-known/jwks.json`. Read again when it changes, and on SIGHUP. Unset: `fal_webhook` is refused, but in a trial with the sandbox a key is made that ends with the process'),
  queueMs: defaulted('QUEUE_SECONDS', '900', seconds(1, 86_400), 'How long a generation may wait here for a free slot'),
  runMs: defaulted('RUN_SECONDS', '3600', seconds(1, 86_400), 'How long a generation may run at fal'),
  cacheMemoryBytes: defaulted('CACHE_MEMORY_BYTES', '67108864', integer(1_048_576, 2 ** 40), 'Bound of the in-process layer of the cache'),
  largeResultBytes: defaulted('LARGE_RESULT_BYTES', '268435456', integer(0, 2 ** 40), 'What results above 256 KiB, which are kept for an hour, may take of the store together. With less than 64 MiB left no request for pictures inside the result (`sync_mode: true`) is taken'),
  /** When buying stops because of what fal answers, and for how long. */
  breaker: {
    failuresToOpen: defaulted('BREAKER_FAILURES', '5', integer(1, 1000), 'After this many failures of fal in a row, on all replicas together, nothing is bought for a while; for one tenant only, when it alone meets them after its requests went out'),
    openMs: defaulted('BREAKER_OPEN_SECONDS', '10', seconds(1, 3600), 'How long nothing is bought then, until one generation tries whether fal works again'),
    blockedMs: defaulted('BREAKER_BLOCKED_SECONDS', '30', seconds(1, 3600), 'The same, after fal did not accept the account: wrong key, no balance. SIGHUP lets one try at once'),
    retiredMs: defaulted('BREAKER_RETIRED_SECONDS', '600', seconds(1, 86_400), 'The same, after fal did not know the model any more')
  },
  events: {
    heartbeatMs: defaulted('EVENT_HEARTBEAT_SECONDS', '15', seconds(1, 3600), 'How often an event stream on which nothing happens sends a comment; less than the idle time of what stands in front of the gateway'),
    idleTimeoutMs: defaulted('EVENT_IDLE_TIMEOUT_SECONDS', '30', seconds(1, 3600), 'After this long without reading any of what was sent a reader of an event stream is dropped')
  },
  leaseMs: defaulted('LEASE_SECONDS', '15', seconds(1, 3600), 'After this long without a sign of life another replica takes a generation over'),
  logLevel: defaulted('LOG_LEVEL', 'info', word(logLevels), 'How much is logged'),
  logFormat: defaulted('LOG_FORMAT', 'json', word(logFormats), 'What a line calls its level and its message: `level` and `msg`, or `severity` and `message` with the severities of Google Cloud Logging'),
  googleProject: optional('GOOGLE_CLOUD_PROJECT', googleProject(), 'With `LOG_FORMAT=google`, the project that traces are kept in: lines name trace and span as Google Cloud Logging reads them'),
  logPrompts: defaulted('LOG_PROMPTS', 'hash', word(promptLoggings), 'How prompts appear in logs: not at all, as SHA-256 and length, or in full'),
  nodeEnv: optional('NODE_ENV', word(nodeEnvs), '`production` refuses to start without `FAL_KEY` or `FAL_KEY_FILE`')
} as const

/** The values of a setting, or of a group of them. */
export type ValuesOf<Group> = Group extends { readonly fallback: infer Value } ? Value : { readonly [Name in keyof Group]: ValuesOf<Group[Name]> }

/** Every variable that falgate reads, in the order of its documentation. */
export const variables: readonly Variable[] = settingsIn(settings)

/** Reads a group of settings, each by `read`. */
export function readSettings<Group extends object> (group: Group, read: <Value>(setting: Setting<Value>) => Value): ValuesOf<Group> {
  const values = Object.entries(group).map(([name, member]) => [name, isSetting(member) ? read(member) : readSettings(member, read)])
  return Object.fromEntries(values) as ValuesOf<Group> // each value was read by its setting
}

function settingsIn (group: object): readonly Setting<unknown>[] {
  return Object.values<object>({ ...group }).flatMap(member => isSetting(member) ? [member] : settingsIn(member))
}

function isSetting (member: object): member is Setting<unknown> {
  return 'fallback' in member
}

function optional<Value> (name: string, kind: Kind<Value>, meaning: string): Setting<Value | null> {
  return { name, default: null, fallback: null, meaning, ...kind }
}

/** `text`: the default as somebody would write it. */
function defaulted<Value> (name: string, text: string, kind: Kind<Value>, meaning: string): Setting<Value> {
  const fallback = kind.parse(text)
  if (fallback === null) throw new Error(`the default of ${name} is not ${kind.expects}`)
  return { name, default: text, fallback, meaning, ...kind }
}
