// What may be replaced while the process runs: the central key, the models and the tenants.

import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import { secretsOf } from '../censor.ts'
import type { Config } from '../config.ts'
import type { LoadedModels } from '../models/load.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { mostUsedFirst, warmUp } from '../models/warm-up.ts'
import { watchModels } from '../models/watch.ts'
import type { TenantBook } from '../tenants/book.ts'
import { loadFalKey } from '../tenants/load.ts'
import { watchTenants, type TenantsWatch } from '../tenants/watch.ts'
import type { Watched } from '../watched.ts'

export interface CentralKey {
  readonly now: () => string
  /** What must appear in no log and no answer: requests under way may still carry the key before. */
  readonly secrets: () => readonly string[]
  /** Reads the key file again. What is faulty is logged, and the old key stays. Never rejects. */
  readonly reload: (log: Logger) => Promise<void>
}

/** `initial`: the key at the start, or `null` for the sandbox: then one is made up, and a sandbox in this process takes it and no other. */
export function createCentralKey (fal: Config['fal'], initial: string | null): CentralKey {
  let key = initial ?? randomBytes(24).toString('base64url')
  // Longest first: a key is found before its part is.
  let secrets = secretsOf(key)
  return {
    now: () => key,
    secrets: () => secrets,
    reload: async log => {
      const read = await loadFalKey(fal)
      if (!read.ok) log.error({ fault: read.fault }, 'key file refused, the old key stays in force')
      else if (read.key !== null && read.key !== key) {
        secrets = [...secretsOf(read.key), ...secretsOf(key)]
        key = read.key
      }
    }
  }
}

export interface ModelsInForce {
  readonly now: () => ModelBook
  /** The files that they were made of; `null`: there is no folder. */
  readonly loaded: () => LoadedModels | null
  /** Follows the folder from now on, where there is one. */
  readonly start: () => void
  /** Compiles ahead from now on what is on offer, and what will be: once the gateway is ready, which is not to wait for it. */
  readonly warmUp: () => void
  /** Nothing changes any more. Twice is harmless. */
  readonly stop: () => void
  /** Reads the folder again. What is faulty is logged, and the old models stay. Never rejects. */
  readonly reload: () => Promise<void>
}

export interface ModelsInForceOptions {
  /** What comes with falgate. */
  readonly builtIn: ModelBook
  /** What was loaded at the start; `null` without a folder. */
  readonly initial: LoadedModels | null
  /** How often each model was used lately, by endpoint id. May reject. */
  readonly usesLately: () => Promise<ReadonlyMap<string, number>>
  /** Others are on offer now. */
  readonly onChange: () => void
}

export function createModelsInForce ({ models: { dir, default: defaultId } }: Pick<Config, 'models'>, log: Logger, { builtIn, initial, usesLately, onChange }: ModelsInForceOptions): ModelsInForce {
  let loaded = initial
  let watched: Watched | null = null
  let isWarm = false
  let warming = new AbortController()
  warn()

  /** What was compiled stays so: only new models are left to do. */
  function startWarming (): void {
    warming.abort()
    warming = new AbortController()
    warm(warming.signal).catch((error: unknown) => { log.error({ err: error }, 'models are compiled when they are needed') })
  }

  /** The default comes first where nothing is known: requests without a name are for it. */
  async function warm (signal: AbortSignal): Promise<void> {
    const { default: usual, all } = loaded?.book ?? builtIn
    // What was used is a matter of the order alone.
    const uses = await usesLately().catch(() => new Map<string, number>())
    await warmUp(mostUsedFirst([usual, ...all.filter(model => model !== usual)], uses), { signal })
  }

  function warn (): void {
    for (const warning of loaded?.warnings ?? []) log.warn(`models: ${warning}`)
  }

  return {
    now: () => loaded?.book ?? builtIn,
    loaded: () => loaded,
    start: () => {
      if (dir === null || loaded === null) return
      watched = watchModels({
        builtIn,
        dir,
        defaultId,
        loaded,
        onChange: changed => {
          const before = loaded?.book ?? builtIn
          loaded = changed
          const added = changed.book.all.filter(({ endpointId }) => before.find(endpointId) === undefined)
          const removed = before.all.filter(({ endpointId }) => changed.book.find(endpointId) === undefined)
          log.info({ models: changed.book.all.length, added: idsOf(added), removed: idsOf(removed) }, 'models in force')
          warn()
          if (isWarm) startWarming()
          onChange()
        },
        onRefused: faults => { log.error({ faults }, 'models refused, the old ones stay in force') }
      })
    },
    warmUp: () => {
      isWarm = true
      startWarming()
    },
    stop: () => {
      isWarm = false
      warming.abort()
      watched?.close()
    },
    reload: async () => { await watched?.look(true) }
  }
}

/** Of many, the first. */
function idsOf (models: readonly Model[]): readonly string[] {
  return models.slice(0, 20).map(({ endpointId }) => endpointId)
}

export interface TenantsInForce {
  readonly now: () => TenantBook
  /** Follows the tenants file from now on, where there is one. */
  readonly start: () => void
  /** Nothing changes any more. Twice is harmless. */
  readonly stop: () => void
  /** Reads the file again. What is faulty is logged, and the old tenants stay. Never rejects. */
  readonly reload: () => Promise<void>
  /** Holds the file against other models: one that was refused because of a model is taken when that is there. Never rejects. */
  readonly modelsChanged: () => Promise<void>
}

/** `initial`: the tenants at the start, whose warnings are told at once. */
export function createTenantsInForce ({ tenantsFile, fal }: Pick<Config, 'tenantsFile' | 'fal'>, models: () => ModelBook, initial: TenantBook, log: Logger): TenantsInForce {
  let book = initial
  let watch: TenantsWatch | null = null
  warn()

  function warn (): void {
    for (const warning of book.warnings) log.warn({ version: book.version }, `tenants file: ${warning}`)
  }

  return {
    now: () => book,
    start: () => {
      if (tenantsFile === null) return
      watch = watchTenants({
        file: tenantsFile,
        version: book.version,
        models,
        isReal: fal.kind !== 'sandbox',
        onChange: changed => {
          book = changed
          log.info({ version: book.version, tenants: book.tenants.size }, 'tenants file in force')
          warn()
        },
        onRefused: faults => { log.error({ faults }, 'tenants file refused, the old one stays in force') }
      })
    },
    stop: () => { watch?.close() },
    reload: async () => { await watch?.reload() },
    modelsChanged: async () => { await watch?.modelsChanged() }
  }
}
