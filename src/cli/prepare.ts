// Everything that has to be sound before a start, so that all faults are told at once.

import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { falKindIn, parseConfig, type Config, type RedisAccess } from '../config.ts'
import type { ModelBook } from '../models/models.ts'
import type { TenantBook } from '../tenants/book.ts'
import { loadFalKey, loadTenants, describeReadError } from '../tenants/load.ts'
import type { UpstreamAccount } from '../upstream-account.ts'

/** A configuration with the files it names. */
export interface Prepared { readonly config: Config, readonly tenants: TenantBook, readonly falKey: string | null, readonly redisUrl: string | null }

/** Reads the environment and its files, for a gateway that offers these models; nothing is started. */
export async function prepare (env: Readonly<Record<string, string | undefined>>, models: ModelBook): Promise<{ readonly ok: true, readonly prepared: Prepared } | { readonly ok: false, readonly faults: readonly string[] }> {
  const parsed = parseConfig(env)
  if (!parsed.ok) {
    // The tenants file is independent of the other faults, so its own are told with them.
    const tenants = env['TENANTS_FILE'] === undefined || env['TENANTS_FILE'] === '' ? null : await loadTenants({ tenantsFile: env['TENANTS_FILE'], models, isReal: falKindIn(env) === 'fal' })
    return { ok: false, faults: [...parsed.faults, ...(tenants === null || tenants.ok ? [] : tenants.faults)] }
  }
  const { config } = parsed
  const [tenants, falKey, redis, tlsFaults] = await Promise.all([loadTenants({ ...config, models, isReal: config.fal.kind !== 'sandbox' }), loadFalKey(config.fal), loadRedisUrl(config.redis), tlsFaultsOf(config)])
  if (tenants.ok && falKey.ok && redis.ok && tlsFaults.length === 0) return { ok: true, prepared: { config, tenants: tenants.book, falKey: falKey.key, redisUrl: redis.url } }
  return { ok: false, faults: [...(tenants.ok ? [] : tenants.faults), ...(falKey.ok ? [] : [falKey.fault]), ...(redis.ok ? [] : [redis.fault]), ...tlsFaults] }
}

/**
 * The part of the configuration that operators' commands need: the ledger's, and nothing about tenants or TLS, and of fal whose ledger it should be. Where the
 * environment says nothing of that, any will do.
 */
export async function prepareOperators (env: Readonly<Record<string, string | undefined>>): Promise<{ readonly ok: true, readonly config: Config, readonly redisUrl: string, readonly account: UpstreamAccount | null } | { readonly ok: false, readonly faults: readonly string[] }> {
  const parsed = parseConfig({ ...env, FAL_KEY: 'sandbox', FAL_KEY_FILE: undefined, TENANTS_FILE: undefined, TLS_CERT_FILE: undefined, TLS_KEY_FILE: undefined })
  if (!parsed.ok) return parsed
  const redis = await loadRedisUrl(parsed.config.redis)
  if (!redis.ok) return { ok: false, faults: [redis.fault] }
  if (redis.url === null) return { ok: false, faults: ['REDIS_URL: not set; without it the ledger lives inside the gateway\'s own process, and no other can read it'] }
  const kind = falKindIn(env)
  return { ok: true, config: parsed.config, redisUrl: redis.url, account: kind === null ? null : { ...parsed.config.account, kind } }
}

/** The address of Redis with its password. */
async function loadRedisUrl (redis: RedisAccess | null): Promise<{ readonly ok: true, readonly url: string | null } | { readonly ok: false, readonly fault: string }> {
  if (redis === null) return { ok: true, url: null }
  if (redis.passwordFile === null) return { ok: true, url: redis.url() }
  const url = new URL(redis.url())
  try {
    // Whatever stands in the file, a URL can hold it only encoded.
    url.password = encodeURIComponent((await readFile(redis.passwordFile, 'utf8')).trim())
  } catch (error) {
    return { ok: false, fault: `REDIS_PASSWORD_FILE: ${describeReadError(error)}` }
  }
  return url.password === '' ? { ok: false, fault: 'REDIS_PASSWORD_FILE: the file is empty' } : { ok: true, url: url.href }
}

async function tlsFaultsOf ({ tls }: Config): Promise<readonly string[]> {
  if (tls === null) return []
  const [cert, key] = await Promise.allSettled([readFile(tls.certFile), readFile(tls.keyFile)])
  if (cert.status === 'fulfilled' && key.status === 'fulfilled') return isPair(cert.value, key.value) ? [] : ['TLS_CERT_FILE, TLS_KEY_FILE: the files do not hold a certificate and its key']
  return [
    ...(cert.status === 'rejected' ? [`TLS_CERT_FILE: ${describeReadError(cert.reason)}`] : []),
    ...(key.status === 'rejected' ? [`TLS_KEY_FILE: ${describeReadError(key.reason)}`] : [])
  ]
}

function isPair (cert: Buffer, key: Buffer): boolean {
  try {
    createSecureContext({ cert, key })
    return true
  } catch {
    // What OpenSSL says is about its own insides.
    return false
  }
}
