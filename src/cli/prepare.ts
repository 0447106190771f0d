// Everything that has to be sound before a start, so that all faults are told at once.

import { readRedisReach } from '../app/files.ts'
import type { MovingAt } from '../app/moving.ts'
import { pathIn, readParts } from '../app/parts.ts'
import type { OperatorsPlace } from '../app/reach-redis.ts'
import { falKindIn, parseConfig, type Config, type DiskAccess } from '../config.ts'
import type { FalKey } from '../fal-keys.ts'
import { folderLooks, loadModels, type LoadedModels } from '../models/load.ts'
import type { ModelBook } from '../models/models.ts'
import type { TenantBook } from '../tenants/book.ts'
import { loadFalKeys, loadTenants } from '../tenants/load.ts'
import type { OwnAccount, UpstreamAccount } from '../upstream-account.ts'
import { looksOf } from '../watched.ts'

/** A configuration with the files it names. `loaded`: the models on offer; `warnings`: what looks like a slip in the environment. */
export interface Prepared { readonly config: Config, readonly warnings: readonly string[], readonly loaded: LoadedModels, readonly tenants: TenantBook, readonly falKeys: readonly FalKey[] | null, readonly redisUrl: string | null, readonly redisCa: string | null }

/** Where the tenants are, `null` for the demo tenant, and whether their keys spend real money. */
export interface TenantsPlace { readonly tenantsFile: string | null, readonly isReal: boolean }

/** Everything that has to be sound before a start, or all faults at once. */
export async function prepare (env: Readonly<Record<string, string | undefined>>, builtIn: ModelBook): Promise<{ readonly ok: true, readonly prepared: Prepared } | { readonly ok: false, readonly faults: readonly string[] }> {
  const { faults, config, warnings, loaded, tenants, falKeys, redis } = await readParts(env, builtIn)
  if (faults.length > 0 || config === null || loaded === null || tenants === null || falKeys === null || redis === null) return { ok: false, faults }
  return { ok: true, prepared: { config, warnings, loaded, tenants, falKeys: falKeys.keys, redisUrl: redis.reach?.url ?? null, redisCa: redis.reach?.ca ?? null } }
}

/**
 * What commands about models need: the folder, and fal's catalogue. The key is read where there is one; without it no price is asked for. Of the tenants only the
 * file is named: whatever stands in it is no reason not to do what was asked for.
 */
export async function prepareModels (env: Readonly<Record<string, string | undefined>>): Promise<{ readonly ok: true, readonly config: Config, readonly key: string | null, readonly tenants: TenantsPlace } | { readonly ok: false, readonly faults: readonly string[] }> {
  const kind = falKindIn(env)
  // A real key would need tenants, which have nothing to do with this.
  const parsed = parseConfig({ ...env, ...kind === null ? { FAL_KEY: 'sandbox' } : {}, TENANTS_FILE: kind === 'fal' ? 'none' : undefined, REDIS_URL: undefined, REDIS_PASSWORD_FILE: undefined, REDIS_CA_FILE: undefined, REDIS_SENTINELS: undefined, REDIS_CLUSTER: undefined, REDIS_UNSAFE: undefined, STORE: undefined, DATA_DIR: undefined, TLS_CERT_FILE: undefined, TLS_KEY_FILE: undefined })
  if (!parsed.ok) return parsed
  const read = await loadFalKeys(parsed.config)
  // What fal publishes is the same for every account.
  return read.ok ? { ok: true, config: parsed.config, key: read.keys?.[0]?.key ?? null, tenants: { tenantsFile: pathIn(env, 'TENANTS_FILE'), isReal: kind === 'fal' } } : read
}

/**
 * The part of the configuration that operators' commands need: the ledger's, and nothing about tenants or TLS, and of fal whose ledger it should be. Where the
 * environment says nothing of that, any will do.
 */
export async function prepareOperators (env: Readonly<Record<string, string | undefined>>): Promise<({ readonly ok: true, readonly disk: null } & OperatorsPlace) | { readonly ok: true, readonly config: Config, readonly disk: DiskAccess, readonly accounts: OperatorsPlace['accounts'] } | { readonly ok: false, readonly faults: readonly string[] }> {
  const kind = falKindIn(env)
  const isOnDisk = kind === 'fal' && ['REDIS_URL', 'STORE', 'DATA_DIR'].every(name => pathIn(env, name) === null)
  const parsed = parseConfig({ ...env, ...isOnDisk ? { STORE: 'disk' } : {}, FAL_KEY: 'sandbox', FAL_KEY_FILE: undefined, TENANTS_FILE: undefined, TLS_CERT_FILE: undefined, TLS_KEY_FILE: undefined })
  if (!parsed.ok) return parsed
  const accountsNow = async (): Promise<OperatorsPlace['accounts']> => kind === null ? null : await accountsIn(env, { ...parsed.config.account, kind })
  if (parsed.config.disk !== null) return { ok: true, config: parsed.config, disk: parsed.config.disk, accounts: await accountsNow() }
  const redis = await readRedisReach(parsed.config.redis)
  if (!redis.ok) return redis
  if (redis.value === null) return { ok: false, faults: ['REDIS_URL, DATA_DIR: neither is set; without them the ledger lives inside the gateway\'s own process, and no other can read it', ...parsed.warnings] }
  return { ok: true, disk: null, config: parsed.config, redisUrl: redis.value.url, redisCa: redis.value.ca, accounts: await accountsNow() }
}

/** What `export` and `import` need: the place of the ledger. */
export async function prepareMoving (env: Readonly<Record<string, string | undefined>>): Promise<{ readonly ok: true, readonly at: MovingAt } | { readonly ok: false, readonly faults: readonly string[] }> {
  const read = await prepareOperators(env)
  if (!read.ok) return read
  return { ok: true, at: read.disk === null ? { kind: 'redis', ...read } : { kind: 'folder', folder: read.disk.folder, config: read.config } }
}

/** The accounts that an environment names: those of its key file, or where that cannot be read here the one that a bare key would be of. */
async function accountsIn (env: Readonly<Record<string, string | undefined>>, account: UpstreamAccount): Promise<readonly OwnAccount[]> {
  const file = pathIn(env, 'FAL_KEY_FILE')
  if (account.kind === 'sandbox' || file === null) return [account]
  const read = await loadFalKeys({ fal: { kind: 'key-file', file }, account })
  return read.ok && read.keys !== null ? read.keys.map(({ name, slots }) => ({ kind: account.kind, name, ...slots === null ? {} : { slots } })) : [account]
}

/** The tenants whose money operators look at; `null` where they are not known. `notes`: why not, or why they are not those of the file as it is now. */
export interface TenantsSeen { readonly book: TenantBook | null, readonly notes: readonly string[] }

/**
 * Gives the tenants as they are now, each time it is called: their file and those of models are read again when they changed. What is refused leaves
 * the tenants before in force, as in a gateway. Without a file there is the demo tenant, unless a real key says otherwise. Calls come one after the other, and never reject.
 */
export function followTenants (env: Readonly<Record<string, string | undefined>>, builtIn: ModelBook): () => Promise<TenantsSeen> {
  const tenantsFile = pathIn(env, 'TENANTS_FILE')
  const dir = pathIn(env, 'MODELS_DIR')
  const isReal = falKindIn(env) === 'fal'
  if (tenantsFile === null && isReal) return async () => ({ book: null, notes: ['TENANTS_FILE: not set, so budgets are not known, and only tenants are shown that wait or have failed'] })
  let seen: TenantsSeen & { readonly looks: string | null } = { looks: null, book: null, notes: [] }

  return async () => {
    // From before the files are read: a write in between makes the next call read again.
    const looks = await looksOfFiles(tenantsFile, dir)
    if (looks !== null && looks === seen.looks) return seen
    const models = await loadModels({ builtIn, dir, defaultId: null })
    const read = models.ok ? await loadTenants({ tenantsFile, models: models.loaded.book, isReal }) : models
    seen = read.ok
      ? { looks, book: read.book, notes: [] }
      : { looks, book: seen.book, notes: [`budgets are ${seen.book === null ? 'not known' : 'those of before'}: ${read.faults[0] ?? ''}`] }
    return seen
  }
}

/** What these look like without being read; `null` where that is not to be had. */
async function looksOfFiles (tenantsFile: string | null, dir: string | null): Promise<string | null> {
  try {
    const [file, folder] = await Promise.all([tenantsFile === null ? null : looksOf(tenantsFile), dir === null ? null : folderLooks(dir)])
    return `${file?.looks} ${folder?.text}`
  } catch {
    return null
  }
}
