// What an environment and its files say, part by part: a start needs all of them, and a look for what is wrong takes those that are sound.

import { falKindIn, parseConfig, type Config } from '../config.ts'
import type { FalKey } from '../fal-keys.ts'
import { loadModels, type LoadedModels } from '../models/load.ts'
import type { ModelBook } from '../models/models.ts'
import type { TenantBook } from '../tenants/book.ts'
import { faultsOfTenants, loadFalKeys, loadTenants } from '../tenants/load.ts'
import { readCertificate, readRedisReach, type RedisReach } from './files.ts'
import { readBucketKeys, readLinkKeys } from './media-place.ts'
import { readSigningKeys } from './webhook-keys.ts'

/** What an environment and its files say, as far as each part of it is sound. `null`: it is not. */
export interface Parts {
  readonly faults: readonly string[]
  readonly config: Config | null
  readonly warnings: readonly string[]
  readonly loaded: LoadedModels | null
  readonly tenants: TenantBook | null
  /** `keys: null`: there are none, with the sandbox. */
  readonly falKeys: { readonly keys: readonly FalKey[] | null } | null
  /** `reach: null`: there is no Redis. */
  readonly redis: { readonly reach: RedisReach | null } | null
}

/** Reads the environment and its files, for a gateway that offers these models and those of its folder; nothing is started. All faults are told at once. */
export async function readParts (env: Readonly<Record<string, string | undefined>>, builtIn: ModelBook): Promise<Parts> {
  const parsed = parseConfig(env)
  // Models and tenants are independent of the other faults, so their own are told with them.
  const [dir, defaultId, tenantsFile] = parsed.ok ? [parsed.config.models.dir, parsed.config.models.default, parsed.config.tenantsFile] : [pathIn(env, 'MODELS_DIR'), null, pathIn(env, 'TENANTS_FILE')]
  const isReal = parsed.ok ? parsed.config.fal.kind !== 'sandbox' : falKindIn(env) === 'fal'
  const models = await loadModels({ builtIn, dir, defaultId })
  // Where models are faulty, everything that the tenants file says of them would look wrong: only the rest of it is told.
  const tenants = models.ok ? await loadTenants({ tenantsFile, models: models.loaded.book, isReal }) : { ok: false as const, faults: await faultsOfTenants({ tenantsFile, isReal }) }
  const faults = [...models.ok ? [] : models.faults, ...tenants.ok ? [] : tenants.faults]
  const parts = { loaded: models.ok ? models.loaded : null, tenants: tenants.ok ? tenants.book : null }
  if (!parsed.ok) return { faults: [...parsed.faults, ...faults], config: null, warnings: [], ...parts, falKeys: null, redis: null }
  const { config, warnings } = parsed
  const [falKeys, redis, certificate, linkKeys, signingKeys, bucketKeys] = await Promise.all([loadFalKeys(config), readRedisReach(config.redis), readCertificate(config.tls), readLinkKeys(config.media?.keyFile ?? null), readSigningKeys(config.webhookKeyFile), config.media?.at.kind === 'bucket' ? readBucketKeys(config.media.at.keys) : { ok: true } as const])
  return {
    faults: [...faults, ...(falKeys.ok ? [] : falKeys.faults), ...(redis.ok ? [] : redis.faults), ...(certificate.ok ? [] : certificate.faults), ...(linkKeys.ok ? [] : linkKeys.faults), ...(signingKeys.ok ? [] : signingKeys.faults), ...(bucketKeys.ok ? [] : bucketKeys.faults)],
    config,
    warnings,
    ...parts,
    falKeys: falKeys.ok ? { keys: falKeys.keys } : null,
    redis: redis.ok ? { reach: redis.value } : null
  }
}

/** The path that a variable names, whatever else is wrong with its environment; `null`: none. */
export function pathIn (env: Readonly<Record<string, string | undefined>>, name: string): string | null {
  const path = env[name]?.trim() ?? ''
  return path === '' ? null : path
}
