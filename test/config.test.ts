// The environment is read as documented, and every fault is told at once without its value.

import { inspect } from 'node:util'
import t from 'tap'
import { parseConfig, type Config } from '../src/config.ts'
import type { Sentinels } from '../src/setting-kinds.ts'
import { variables } from '../src/settings.ts'

type Env = Readonly<Record<string, string>>

function configOf (env: Env): Config {
  const read = parseConfig(env)
  if (!read.ok) throw new Error(read.faults.join('\n'))
  return read.config
}

function faultsOf (env: Env): readonly string[] {
  const read = parseConfig(env)
  return read.ok ? [] : read.faults
}

t.test('nothing set: the sandbox on the loopback address, with the documented defaults', async t => {
  t.same(configOf({}), {
    production: false,
    fal: { kind: 'sandbox' },
    account: { kind: 'sandbox', name: 'main' },
    falQueueUrl: null,
    uploads: null,
    proxy: null,
    redis: null,
    disk: null,
    media: null,
    webhookKeyFile: null,
    tenantsFile: null,
    models: {
      dir: null,
      default: null,
      catalogueUrl: 'https://fal.ai/api/openapi/queue/openapi.json',
      apiUrl: 'https://api.fal.ai/v1',
      checkMs: 86_400_000
    },
    sandboxControl: false,
    host: '127.0.0.1',
    port: 8080,
    opsPort: null,
    publicUrl: null,
    falHosts: null,
    trustProxy: false,
    tls: null,
    keepAliveMs: 72_000,
    falConcurrency: 10,
    waitMs: 55_000,
    drainDelayMs: 0,
    resultTtlMs: 518_400_000,
    falFilesMs: 604_800_000,
    twinMs: 60_000,
    queueMs: 900_000,
    runMs: 3_600_000,
    leaseMs: 15_000,
    cacheMemoryBytes: 67_108_864,
    largeResultBytes: 268_435_456,
    breaker: { failuresToOpen: 5, openMs: 10_000, blockedMs: 30_000, retiredMs: 600_000 },
    events: { heartbeatMs: 15_000, idleTimeoutMs: 30_000 },
    logLevel: 'info',
    logFormat: 'json',
    googleProject: null,
    logPrompts: 'hash'
  })
})

t.test('the documented defaults, written out, mean the same as nothing', async t => {
  const env = Object.fromEntries(variables.flatMap(({ name, default: fallback }) => fallback === null ? [] : [[name, fallback]]))
  t.same(configOf(env), configOf({}))
})

t.test('in production a process that leaves works on for five seconds, unless told otherwise', async t => {
  t.equal(configOf({ FAL_KEY: 'sandbox', NODE_ENV: 'production' }).drainDelayMs, 5000)
  t.equal(configOf({ FAL_KEY: 'sandbox', NODE_ENV: 'production', DRAIN_DELAY_SECONDS: '0' }).drainDelayMs, 0)
})

t.test('an empty variable counts as unset, and blanks around a value as absent', async t => {
  t.same(configOf(Object.fromEntries(variables.map(({ name }) => [name, ' ']))), configOf({}))
  t.equal(configOf({ PORT: ' 9000\n' }).port, 9000)
})

t.test('every variable is read', async t => {
  const config = configOf({
    FAL_KEY_FILE: '/run/key',
    FAL_ACCOUNT: 'studio-2',
    FAL_QUEUE_URL: 'http://127.0.0.1:9/base/',
    FAL_REST_URL: 'http://127.0.0.1:9/rest/',
    UPLOADS: 'on',
    STORE: 'disk',
    DATA_DIR: '/d',
    IMAGE_DATA_DIR: '/data',
    TENANTS_FILE: '/etc/tenants.json',
    MODELS_DIR: '/etc/models',
    DEFAULT_MODEL: 'acme/painter',
    MEDIA_URL: 's3://pictures/of/falgate?endpoint=https://s3.example:9000/&region=here',
    MEDIA_CREDENTIALS_FILE: '/run/bucket',
    AWS_ACCESS_KEY_ID: 'beside',
    AWS_SECRET_ACCESS_KEY: 'the',
    AWS_SESSION_TOKEN: 'file',
    MEDIA_KEY_FILE: '/run/links',
    MEDIA_LINK_SECONDS: '3600',
    MEDIA_HOSTS: 'Files.Example',
    MEDIA_WAIT_SECONDS: '3',
    MEDIA_FILE_BYTES: '5000',
    MEDIA_MAX_BYTES: '2000000',
    MEDIA_DAYS: '3',
    WEBHOOK_KEY_FILE: '/run/webhooks',
    FAL_CATALOGUE_URL: 'https://mirror.example/documents',
    FAL_API_URL: 'https://mirror.example/v1/',
    MODEL_CHECK_HOURS: '2',
    SANDBOX_CONTROL: 'on',
    HOST: '::',
    PORT: '0',
    OPS_PORT: '9464',
    PUBLIC_URL: 'https://pictures.example/',
    FAL_HOSTS: 'fal.example',
    TRUST_PROXY: '10.0.0.0/8, ::1',
    TLS_CERT_FILE: '/c',
    TLS_KEY_FILE: '/k',
    KEEP_ALIVE_SECONDS: '620',
    FAL_CONCURRENCY: '0',
    WAIT_SECONDS: '1',
    DRAIN_DELAY_SECONDS: '3',
    RESULT_TTL_SECONDS: '2',
    FAL_FILES_SECONDS: '90',
    TWIN_SECONDS: '0',
    QUEUE_SECONDS: '3',
    RUN_SECONDS: '4',
    CACHE_MEMORY_BYTES: '1048576',
    LARGE_RESULT_BYTES: '0',
    BREAKER_FAILURES: '7',
    BREAKER_OPEN_SECONDS: '8',
    BREAKER_BLOCKED_SECONDS: '9',
    BREAKER_RETIRED_SECONDS: '10',
    EVENT_HEARTBEAT_SECONDS: '5',
    EVENT_IDLE_TIMEOUT_SECONDS: '6',
    LEASE_SECONDS: '5',
    LOG_LEVEL: 'warn',
    LOG_FORMAT: 'google',
    GOOGLE_CLOUD_PROJECT: 'pictures-prod',
    LOG_PROMPTS: 'off',
    NODE_ENV: 'production'
  })
  t.same(config, {
    production: true,
    fal: { kind: 'key-file', file: '/run/key' },
    account: { kind: 'fal', name: 'studio-2' },
    falQueueUrl: 'http://127.0.0.1:9/base',
    uploads: { restUrl: 'http://127.0.0.1:9/rest' },
    proxy: null,
    redis: null,
    disk: { folder: '/d', hasToBeMount: true },
    media: { at: { kind: 'bucket', bucket: { name: 'pictures', prefix: 'of/falgate', endpoint: 'https://s3.example:9000', region: 'here' }, keys: { kind: 'file', file: '/run/bucket' } }, keyFile: '/run/links', linkMs: 3_600_000, hosts: ['files.example'], waitMs: 3000, maxFileBytes: 5000, maxBytes: 2_000_000, keepMs: 3 * 86_400_000 },
    webhookKeyFile: '/run/webhooks',
    tenantsFile: '/etc/tenants.json',
    models: {
      dir: '/etc/models',
      default: 'acme/painter',
      catalogueUrl: 'https://mirror.example/documents',
      apiUrl: 'https://mirror.example/v1',
      checkMs: 7_200_000
    },
    sandboxControl: true,
    host: '::',
    port: 0,
    opsPort: 9464,
    publicUrl: 'https://pictures.example',
    falHosts: ['fal.example'],
    trustProxy: '10.0.0.0/8,::1',
    tls: { certFile: '/c', keyFile: '/k' },
    keepAliveMs: 620_000,
    falConcurrency: 0,
    waitMs: 1000,
    drainDelayMs: 3000,
    resultTtlMs: 2000,
    falFilesMs: 90_000,
    twinMs: 0,
    queueMs: 3000,
    runMs: 4000,
    cacheMemoryBytes: 1_048_576,
    largeResultBytes: 0,
    breaker: { failuresToOpen: 7, openMs: 8000, blockedMs: 9000, retiredMs: 10_000 },
    events: { heartbeatMs: 5000, idleTimeoutMs: 6000 },
    leaseMs: 5000,
    logLevel: 'warn',
    logFormat: 'google',
    googleProject: 'pictures-prod',
    logPrompts: 'off'
  })
})

t.test('the key is shown to fal\'s API, and with another catalogue only to the API that is named beside it', async t => {
  t.equal(configOf({ FAL_CATALOGUE_URL: 'https://mirror.example/documents' }).models.apiUrl, null)
  t.equal(configOf({ FAL_API_URL: 'https://mirror.example/v1' }).models.apiUrl, 'https://mirror.example/v1')
})

t.test('files of callers go to fal, or to the sandbox here, and with another queue only to where it is said that they go', async t => {
  const real = { FAL_KEY: 'a:b', TENANTS_FILE: '/t', UPLOADS: 'on' }
  t.same(configOf(real).uploads, { restUrl: 'https://rest.fal.ai' })
  t.same(configOf({ UPLOADS: 'on' }).uploads, { restUrl: null }, 'the sandbox in this process')
  t.match(faultsOf({ ...real, FAL_QUEUE_URL: 'https://mirror.example/queue' }), [/^UPLOADS, FAL_REST_URL: /])
  t.match(faultsOf({ UPLOADS: 'on', FAL_KEY: 'sandbox', FAL_QUEUE_URL: 'http://sandbox.example/queue' }), [/^UPLOADS, FAL_REST_URL: /])
  t.same(configOf({ ...real, FAL_QUEUE_URL: 'https://mirror.example/queue', FAL_REST_URL: 'https://rest.fal.ai' }).uploads, { restUrl: 'https://rest.fal.ai' })
  t.equal(configOf({ FAL_KEY: 'sandbox', FAL_QUEUE_URL: 'http://sandbox.example/queue' }).uploads, null, 'who does not want it need not say where')
})

t.test('all faults are told at once, by name and without values', async t => {
  const marker = 'SeCrEt"\\'
  const names = variables.map(({ name }) => name).filter(name => !['FAL_KEY_FILE', 'TENANTS_FILE', 'MODELS_DIR', 'TLS_CERT_FILE', 'TLS_KEY_FILE', 'REDIS_PASSWORD_FILE', 'REDIS_CA_FILE', 'DATA_DIR', 'IMAGE_DATA_DIR', 'MEDIA_DIR', 'MEDIA_KEY_FILE', 'MEDIA_CREDENTIALS_FILE', 'WEBHOOK_KEY_FILE', 'AWS_SESSION_TOKEN'].includes(name))
  const faults = faultsOf(Object.fromEntries(names.map(name => [name, marker])))
  for (const name of names) t.equal(faults.filter(fault => fault.startsWith(name + ':')).length, 1, `one fault for ${name}`)
  t.notMatch(faults.join('\n'), 'SeCrEt')
})

t.test('numbers outside their range and other spellings of numbers are faults', async t => {
  for (const text of ['-1', '65536', '1e3', '0x10', '80.5', '٣']) t.match(faultsOf({ PORT: text }), ['PORT: expected a whole number from 0 to 65535'], text)
  t.match(faultsOf({ CACHE_MEMORY_BYTES: '0' }), [/^CACHE_MEMORY_BYTES/])
})

t.test('bases of URLs carry no credentials, query or fragment', async t => {
  for (const text of ['ftp://a', 'https://u:p@a', 'https://a/?b', 'https://a/#b', 'a.example', 'https://']) t.match(faultsOf({ PUBLIC_URL: text }), [/^PUBLIC_URL: expected a URL/], text)
})

t.test('forwarding headers are believed as TRUST_PROXY says, and never by a count of hops', async t => {
  t.equal(configOf({ TRUST_PROXY: 'on' }).trustProxy, true)
  t.equal(configOf({ TRUST_PROXY: 'off' }).trustProxy, false)
  for (const text of ['1', 'true', '10.0.0.0/33', 'proxy.example', '10.0.0.0/8/1', '10.0.0.1,']) t.match(faultsOf({ TRUST_PROXY: text }), [/^TRUST_PROXY/], text)
})

t.test('the word sandbox and no key at all mean the sandbox; in production it has to be said', async t => {
  t.same(configOf({ FAL_KEY: 'sandbox' }).fal, { kind: 'sandbox' })
  t.same(configOf({ FAL_KEY: 'sandbox', NODE_ENV: 'production' }).fal, { kind: 'sandbox' })
  t.match(faultsOf({ NODE_ENV: 'production' }), [/^FAL_KEY: not set; .* sandbox, or set FAL_KEY_FILE$/])
  t.equal(configOf({ FAL_KEY: 'sandbox', FAL_QUEUE_URL: 'http://sandbox.example' }).falQueueUrl, 'http://sandbox.example', 'a sandbox that runs elsewhere')
})

t.test('a real key needs tenants, and is shown by nothing that prints the configuration', async t => {
  t.match(faultsOf({ FAL_KEY: 'abc:def' }), ['TENANTS_FILE: not set; it is required with a real fal key'])
  t.match(faultsOf({ FAL_KEY_FILE: '/k' }), ['TENANTS_FILE: not set; it is required with a real fal key'])
  const config = configOf({ FAL_KEY: 'abc:def', TENANTS_FILE: '/t' })
  t.equal(config.falQueueUrl, 'https://queue.fal.run')
  t.equal(config.fal.kind === 'key' ? config.fal.key() : '', 'abc:def')
  t.notMatch(inspect(config, { depth: null, showHidden: true }) + JSON.stringify(config), 'abc:def')
})

t.test('the address of Redis is shown by nothing that prints the configuration', async t => {
  t.equal(configOf({}).redis, null)
  const config = configOf({ REDIS_URL: 'rediss://user:pass@a.example:6380/0', REDIS_CLUSTER: 'on', REDIS_NAMESPACE: 'staging' })
  t.match(config.redis, { cluster: true, namespace: 'staging', passwordFile: null, unsafe: false })
  t.equal(configOf({ REDIS_URL: 'redis://a.example', REDIS_UNSAFE: 'on' }).redis?.unsafe, true)
  t.equal(config.redis?.url(), 'rediss://user:pass@a.example:6380/0')
  t.notMatch(inspect(config, { depth: null, showHidden: true }) + JSON.stringify(config), 'user:pass')
})

t.test('a Redis URL names a database by its number or not at all; whatever else could mean another one, or end a password early, is a fault', async t => {
  for (const path of ['', '/', '/0', '/7', '/99']) t.equal(configOf({ REDIS_URL: 'redis://a.example:6379' + path }).redis?.url(), 'redis://a.example:6379' + (path === '/' ? '' : path))
  const secret = 'sEcReT'
  const refused = [
    '/1/2', '/abc', '/-1', '/01', '/1.0', '/1e3', '/ 1', '//1', '/1234567890', '/%31', '?', '?db=3', '/0?db=3', '#', '/0#1', `/${secret}`
  ].map(tail => 'redis://a.example:6379' + tail)
  // The rest of a password behind a sign that is not encoded.
  for (const sign of ['#', '?', '/', '%']) refused.push(`redis://user:12${sign}${secret}@a.example`, `redis://:${secret}${sign}${secret}@a.example`)
  for (const url of refused) {
    const faults = faultsOf({ REDIS_URL: url })
    t.match(faults, [/^REDIS_URL: expected .* #, \?, \/ and % in user and password are written %23, %3F, %2F and %25$/], url)
    t.notMatch(faults.join(), new RegExp(`${secret}|12`), 'not even a part of it is repeated')
  }
  t.equal(configOf({ REDIS_URL: 'redis://user:1%232%3F3%2F4%25@a.example/5' }).redis?.url(), 'redis://user:1%232%3F3%2F4%25@a.example/5')
  t.same(faultsOf({ REDIS_URL: 'redis://a.example/1', REDIS_CLUSTER: 'on' }), ['REDIS_URL, REDIS_CLUSTER: a Redis Cluster has no database but 0'])
})

t.test('the proxy is read in small letters, too, and its address is shown by nothing that prints the configuration', async t => {
  for (const name of ['HTTPS_PROXY', 'https_proxy']) {
    const config = configOf({ [name]: 'http://user:pass@proxy.example:3128', [name.startsWith('h') ? 'no_proxy' : 'NO_PROXY']: 'a.example, .b.example' })
    t.equal(config.proxy?.url(), 'http://user:pass@proxy.example:3128')
    t.equal(config.proxy?.except, 'a.example, .b.example')
    t.notMatch(inspect(config, { depth: null, showHidden: true }) + JSON.stringify(config), 'user:pass')
  }
  for (const text of ['proxy.example:3128', 'socks5://proxy.example', 'http://proxy.example/path', 'http://proxy.example/?a', 'http://a:%@proxy.example']) t.match(faultsOf({ HTTPS_PROXY: text }), [/^HTTPS_PROXY: expected a URL such as/], text)
})

t.test('a network that is none is a fault of NO_PROXY: it would never be matched', async t => {
  for (const text of ['10.0.0.0/8', 'fd00::/8, ::1', '[::1]:8443,a.example']) t.equal(configOf({ HTTPS_PROXY: 'http://proxy.example', NO_PROXY: text }).proxy?.except, text)
  for (const text of ['10.0.0.0/33', 'a.example/8', '10.0.0.0/', 'fd00::/129', '10/8', 'a.example, 1.2.3.4/8/9']) t.match(faultsOf({ NO_PROXY: text }), [/^NO_PROXY: expected names of hosts/], text)
})

t.test('settings that contradict each other are faults', async t => {
  t.match(faultsOf({ FAL_KEY: 'sandbox', FAL_KEY_FILE: '/k', TENANTS_FILE: '/t' }), ['FAL_KEY, FAL_KEY_FILE: set one of them, not both'])
  t.match(faultsOf({ TLS_CERT_FILE: '/c' }), ['TLS_CERT_FILE, TLS_KEY_FILE: set both or none'])
  t.match(faultsOf({ PORT: '9464', OPS_PORT: '9464' }), ['OPS_PORT: has to differ from PORT'])
  t.match(faultsOf({ REDIS_PASSWORD_FILE: '/p' }), ['REDIS_URL: not set, but other settings for Redis are'])
  t.match(faultsOf({ REDIS_SENTINELS: 'a.example:26379' }), ['REDIS_URL: not set, but other settings for Redis are'])
  t.match(faultsOf({ REDIS_URL: 'redis://main', REDIS_SENTINELS: 'a.example:26379', REDIS_CLUSTER: 'on' }), ['REDIS_SENTINELS, REDIS_CLUSTER: a Redis Cluster needs no Sentinels; set one of them'])
  t.match(faultsOf({ REDIS_CA_FILE: '/ca' }), ['REDIS_URL: not set, but other settings for Redis are'])
  t.match(faultsOf({ REDIS_URL: 'redis://a.example', REDIS_CA_FILE: '/ca' }), ['REDIS_URL, REDIS_CA_FILE: certificates are for an address that begins with rediss://'])
  t.match(faultsOf({ REDIS_CLUSTER: 'on' }), ['REDIS_URL: not set, but other settings for Redis are'])
  t.match(faultsOf({ REDIS_UNSAFE: 'on' }), ['REDIS_URL: not set, but other settings for Redis are'])
})

t.test('a variable that looks like a setting with a slip in its name is a warning that names the setting', async t => {
  const warningsOf = (env: Env): readonly string[] => {
    const read = parseConfig(env)
    return read.ok ? read.warnings : read.faults
  }
  for (const [slip, meant] of [['FAL_CONCURENCY', 'FAL_CONCURRENCY'], ['FAL_KYE', 'FAL_KEY'], ['REDIS_URI', 'REDIS_URL'], ['TENANT_FILE', 'TENANTS_FILE'], ['WAIT_SECOND', 'WAIT_SECONDS'], ['LOG_LEVLE', 'LOG_LEVEL'], ['public_url', 'PUBLIC_URL'], ['MODEL_DIR', 'MODELS_DIR']] as const) {
    t.same(warningsOf({ [slip]: 'SeCrEt' }), [`${slip}: is no setting of falgate; did you mean ${meant}?`])
    t.same(warningsOf({ [slip]: ' ' }), [], 'an empty one is as good as unset')
  }
  t.same(warningsOf({ REDIS_URI: 'x', REDIS_URL: 'redis://a.example' }), [], 'it is somebody else\'s where the setting is there, too')
  const others = ['PATH', 'HOSTNAME', 'HOSTS', 'PORTS', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'APP_PORT', 'API_PORT', 'REDIS_PORT', 'REDIS_HOST', 'REDIS_SERVICE_HOST', 'FAL_KEY_ID', 'FAL_KEY_SECRET', 'NODE_OPTIONS', 'NODE_PATH', 'LOG_FILE', 'SSL_CERT_FILE', 'X'.repeat(1000)]
  t.same(warningsOf(Object.fromEntries(others.map(name => [name, '1']))), [], 'names of others are left alone')
})

t.test('a setting that is missing is told together with the name under which it may be there', async t => {
  t.same(faultsOf({ FAL_KEY: 'abc:def', TENANT_FILE: '/t' }), ['TENANTS_FILE: not set; it is required with a real fal key', 'TENANT_FILE: is no setting of falgate; did you mean TENANTS_FILE?'])
})

t.test('a value with quotes around it, with its name in front, or with a reference in place of it is a fault, whatever setting it is of', async t => {
  for (const name of ['FAL_KEY', 'TENANTS_FILE', 'REDIS_URL', 'PORT', 'LOG_LEVEL']) {
    for (const text of ['$SeCrEt', `$${name}`, `$\{${name}}`, '$' + '{SeCrEt:-}', '$(cat SeCrEt)']) t.match(faultsOf({ [name]: text }), [new RegExp(`^${name}: holds a reference to a variable`)], text)
    for (const text of ['"SeCrEt"', '\'SeCrEt\'', '`SeCrEt`', '""']) t.match(faultsOf({ [name]: text }), [new RegExp(`^${name}: stands in quotes`)], text)
    for (const text of [`${name}=SeCrEt`, `export ${name}=SeCrEt`, `${name} = SeCrEt`]) t.match(faultsOf({ [name]: text }), [new RegExp(`^${name}: repeats its own name`)], text)
    t.notMatch(faultsOf({ [name]: `${name}=SeCrEt` }).join(), 'SeCrEt')
  }
  t.same(configOf({ TENANTS_FILE: '/a/$b=\'c\'' }).tenantsFile, '/a/$b=\'c\'', 'signs that belong to a value stay')
})

t.test('another spelling of production, and of sandbox, is a fault: it would switch off what the word is for', async t => {
  for (const text of ['prod', 'Production', 'PRODUCTION', 'produciton', 'live']) t.same(faultsOf({ NODE_ENV: text }), ['NODE_ENV: expected one of production, development, test'])
  for (const text of ['development', 'test']) t.equal(configOf({ NODE_ENV: text }).production, false)
  t.match(faultsOf({ FAL_KEY: 'Sandbox', TENANTS_FILE: '/t' }), ['FAL_KEY: the word sandbox has small letters'])
})

t.test('Sentinels are named with their ports, several of them apart by commas, and what they all need stands in front', async t => {
  const sentinelsIn = (text: string): Sentinels | null | undefined => configOf({ REDIS_URL: 'redis://main', REDIS_SENTINELS: text }).redis?.sentinels
  const hosts = [{ host: 'a.example', port: 26_379 }, { host: '10.0.0.1', port: 5000 }, { host: '::1', port: 26_379 }]
  const written = 'a.example:26379, 10.0.0.1:5000,[::1]:26379'
  for (const [front, isTls, username, password] of [['', false, null, null], ['redis://', false, null, null], ['rediss://', true, null, null], ['rediss://:p%40ss%2F@', true, null, 'p@ss/'], ['redis://us%3Aer:p@', false, 'us:er', 'p']] as const) {
    const read = sentinelsIn(front + written)
    t.match(read, { hosts, isTls, username }, front)
    t.equal(read?.password(), password)
    t.notMatch(inspect(read, { depth: null, showHidden: true }) + JSON.stringify(read), 'p@ss')
  }
  const wrong = ['a.example', 'a.example:0', 'a.example:65536', 'a:1,', ':1', 'redis://a.example', 'a b:1', ':p@a.example:1', 'http://a.example:1', 'redis://user@a.example:1', 'redis://:%@a.example:1', 'redis://:p@a.example:1,redis://:p@b.example:1', 'redis://:p@a:1/0']
  for (const text of wrong) t.match(faultsOf({ REDIS_URL: 'redis://main', REDIS_SENTINELS: text }), [/^REDIS_SENTINELS: expected hosts with ports/], text)
  t.equal(configOf({ REDIS_URL: 'redis://main', REDIS_SENTINELS: 'rediss://a.example:1', REDIS_CA_FILE: '/ca' }).redis?.caFile, '/ca')
})
