// What may be replaced while the process runs: the central key, the models and the tenants.

import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { LoadedModels } from '../models/load.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { watchModels } from '../models/watch.ts'
import { warmUp } from '../models/warm-up.ts'
import type { TenantBook } from '../tenants/book.ts'
import { loadFalKey } from '../tenants/load.ts'
import { watchTenants, type TenantsWatch } from '../tenants/watch.ts'
import type { Watched } from '../watched.ts'

/** What the sandbox mounted here takes for a key. */
const SANDBOX_KEY = 'sandbox'

export interface CentralKey {
  readonly now: () => string
  /** What must not appear in a log: requests under way may still carry the key before. */
  readonly secrets: () => readonly string[]
  /** Reads the key file again. What is faulty is logged, and the old key stays. Never rejects. */
  readonly reload: (log: Logger) => Promise<void>
}

/** `initial`: the key at the start, or `null` for the sandbox. */
export function createCentralKey (fal: Config['fal'], initial: string | null): CentralKey {
  let key = initial ?? SANDBOX_KEY
  let former = key
  return {
    now: () => key,
    secrets: () => initial === null ? [] : [key, former],
    reload: async log => {
      const read = await loadFalKey(fal)
      if (!read.ok) log.error({ fault: read.fault }, 'key file refused, the old key stays in force')
      else if (read.key !== null && read.key !== key) [key, former] = [read.key, key]
    }
  }
}

export interface ModelsInForce {
  readonly now: () => ModelBook
  /** The files that they were made of; `null`: there is no folder. */
  readonly loaded: () => LoadedModels | null
  /** Follows the folder from now on, where there is one. */
  readonly start: () => void
  /** Nothing changes any more. Twice is harmless. */
  readonly stop: () => void
  /** Reads the folder again. What is faulty is logged, and the old models stay. Never rejects. */
  readonly reload: () => Promise<void>
}

/** `builtIn`: what comes with falgate; `initial`: what was loaded at the start, `null` without a folder; `onChange`: others are on offer now. */
export function createModelsInForce ({ models: { dir, default: defaultId } }: Pick<Config, 'models'>, builtIn: ModelBook, initial: LoadedModels | null, log: Logger, onChange: () => void): ModelsInForce {
  let loaded = initial
  let watched: Watched | null = null
  let warming = new AbortController()
  warn()

  /** What was compiled stays so: only new models are left to do. The default is first, which requests without a name are for. */
  function warm ({ default: usual, all }: ModelBook): void {
    warming.abort()
    warming = new AbortController()
    warmUp([usual, ...all], { signal: warming.signal }).catch((error: unknown) => { log.error({ err: error }, 'models are compiled when they are needed') })
  }

  function warn (): void {
    for (const warning of loaded?.warnings ?? []) log.warn(`models: ${warning}`)
  }

  return {
    now: () => loaded?.book ?? builtIn,
    loaded: () => loaded,
    start: () => {
      warm(loaded?.book ?? builtIn)
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
          warm(changed.book)
          onChange()
        },
        onRefused: faults => { log.error({ faults }, 'models refused, the old ones stay in force') }
      })
    },
    stop: () => {
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
