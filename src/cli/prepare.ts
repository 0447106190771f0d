// Everything that has to be sound before a start, so that all faults are told at once.

import { readCertificate, readRedisReach } from '../app/files.ts'
import { falKindIn, parseConfig, type Config } from '../config.ts'
import { loadModels, type LoadedModels } from '../models/load.ts'
import type { ModelBook } from '../models/models.ts'
import type { TenantBook } from '../tenants/book.ts'
import { faultsOfTenants, loadFalKey, loadTenants } from '../tenants/load.ts'
import type { UpstreamAccount } from '../upstream-account.ts'

/** A configuration with the files it names. `loaded`: the models on offer; `warnings`: what looks like a slip in the environment. */
export interface Prepared { readonly config: Config, readonly warnings: readonly string[], readonly loaded: LoadedModels, readonly tenants: TenantBook, readonly falKey: string | null, readonly redisUrl: string | null, readonly redisCa: string | null }

/** Where the tenants are, `null` for the demo tenant, and whether their keys spend real money. */
export interface TenantsPlace { readonly tenantsFile: string | null, readonly isReal: boolean }

/** Reads the environment and its files, for a gateway that offers these models and those of its folder; nothing is started. */
export async function prepare (env: Readonly<Record<string, string | undefined>>, builtIn: ModelBook): Promise<{ readonly ok: true, readonly prepared: Prepared } | { readonly ok: false, readonly faults: readonly string[] }> {
  const parsed = parseConfig(env)
  // Models and tenants are independent of the other faults, so their own are told with them.
  const [dir, defaultId, tenantsFile] = parsed.ok ? [parsed.config.models.dir, parsed.config.models.default, parsed.config.tenantsFile] : [pathIn(env, 'MODELS_DIR'), null, pathIn(env, 'TENANTS_FILE')]
  const isReal = parsed.ok ? parsed.config.fal.kind !== 'sandbox' : falKindIn(env) === 'fal'
  const models = await loadModels({ builtIn, dir, defaultId })
  // Where models are faulty, everything that the tenants file says of them would look wrong: only the rest of it is told.
  const tenants = models.ok ? await loadTenants({ tenantsFile, models: models.loaded.book, isReal }) : { ok: false as const, faults: await faultsOfTenants({ tenantsFile, isReal }) }
  const faults = [...models.ok ? [] : models.faults, ...tenants.ok ? [] : tenants.faults]
  if (!parsed.ok) return { ok: false, faults: [...parsed.faults, ...faults] }
  const { config } = parsed
  const [falKey, redis, certificate] = await Promise.all([loadFalKey(config.fal), readRedisReach(config.redis), readCertificate(config.tls)])
  if (models.ok && tenants.ok && falKey.ok && redis.ok && certificate.ok) return { ok: true, prepared: { config, warnings: parsed.warnings, loaded: models.loaded, tenants: tenants.book, falKey: falKey.key, redisUrl: redis.value?.url ?? null, redisCa: redis.value?.ca ?? null } }
  return { ok: false, faults: [...faults, ...(falKey.ok ? [] : [falKey.fault]), ...(redis.ok ? [] : redis.faults), ...(certificate.ok ? [] : certificate.faults)] }
}

function pathIn (env: Readonly<Record<string, string | undefined>>, name: string): string | null {
  const path = env[name]?.trim() ?? ''
  return path === '' ? null : path
}

/**
 * What commands about models need: the folder, and fal's catalogue. The key is read where there is one; without it no price is asked for. Of the tenants only the
 * file is named: whatever stands in it is no reason not to do what was asked for.
 */
export async function prepareModels (env: Readonly<Record<string, string | undefined>>): Promise<{ readonly ok: true, readonly config: Config, readonly key: string | null, readonly tenants: TenantsPlace } | { readonly ok: false, readonly faults: readonly string[] }> {
  const kind = falKindIn(env)
  // A real key would need tenants, which have nothing to do with this.
  const parsed = parseConfig({ ...env, ...kind === null ? { FAL_KEY: 'sandbox' } : {}, TENANTS_FILE: kind === 'fal' ? 'none' : undefined, REDIS_URL: undefined, REDIS_PASSWORD_FILE: undefined, REDIS_CA_FILE: undefined, REDIS_SENTINELS: undefined, REDIS_CLUSTER: undefined, REDIS_UNSAFE: undefined, TLS_CERT_FILE: undefined, TLS_KEY_FILE: undefined })
  if (!parsed.ok) return parsed
  const key = await loadFalKey(parsed.config.fal)
  return key.ok ? { ok: true, config: parsed.config, key: key.key, tenants: { tenantsFile: pathIn(env, 'TENANTS_FILE'), isReal: kind === 'fal' } } : { ok: false, faults: [key.fault] }
}

/**
 * The part of the configuration that operators' commands need: the ledger's, and nothing about tenants or TLS, and of fal whose ledger it should be. Where the
 * environment says nothing of that, any will do.
 */
export async function prepareOperators (env: Readonly<Record<string, string | undefined>>): Promise<{ readonly ok: true, readonly config: Config, readonly redisUrl: string, readonly redisCa: string | null, readonly account: UpstreamAccount | null } | { readonly ok: false, readonly faults: readonly string[] }> {
  const parsed = parseConfig({ ...env, FAL_KEY: 'sandbox', FAL_KEY_FILE: undefined, TENANTS_FILE: undefined, TLS_CERT_FILE: undefined, TLS_KEY_FILE: undefined })
  if (!parsed.ok) return parsed
  const redis = await readRedisReach(parsed.config.redis)
  if (!redis.ok) return redis
  if (redis.value === null) return { ok: false, faults: ['REDIS_URL: not set; without it the ledger lives inside the gateway\'s own process, and no other can read it', ...parsed.warnings] }
  const kind = falKindIn(env)
  return { ok: true, config: parsed.config, redisUrl: redis.value.url, redisCa: redis.value.ca, account: kind === null ? null : { ...parsed.config.account, kind } }
}
