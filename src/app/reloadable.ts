// What may be replaced while the process runs: the central keys, the models and the tenants.

import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import { secretsOf } from '../censor.ts'
import type { Config } from '../config.ts'
import type { FalKey } from '../fal-keys.ts'
import type { LoadedModels } from '../models/load.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { mostUsedFirst, warmUp } from '../models/warm-up.ts'
import { watchModels } from '../models/watch.ts'
import type { TenantBook } from '../tenants/book.ts'
import { loadFalKeys } from '../tenants/load.ts'
import { watchTenants, type TenantsWatch } from '../tenants/watch.ts'
import { accountText, UNMARKED_LEDGER, type OwnAccount } from '../upstream-account.ts'
import type { Watched } from '../watched.ts'

export interface CentralKeys {
  /** The accounts that generations may be bought with, in the order of their file; the same list as long as nothing changes. */
  readonly accounts: () => readonly OwnAccount[]
  /**
   * The key of an account, as rows name it (`null`: of rows that name none). That of one that was taken out of the file stays as long as this process: what is followed
   * here with it is followed to its end. `null`: it was never here.
   */
  readonly of: (account: string | null) => string | null
  /** What must appear in no log and no answer: requests under way may still carry the keys before. */
  readonly secrets: () => readonly string[]
  /** Reads the key file again. What is faulty is logged, and the old keys stay. Never rejects. */
  readonly reload: (log: Pick<Logger, 'info' | 'warn' | 'error'>) => Promise<void>
}

/** `initial`: the keys at the start, or `null` for the sandbox: then one is made up, and a sandbox in this process takes it and no other. */
export function createCentralKeys (config: Pick<Config, 'fal' | 'account'>, initial: readonly FalKey[] | null): CentralKeys {
  const { kind, name } = config.account
  /** By account, also of those that are not bought with any more. */
  const keys = new Map<string, string>()
  let accounts: readonly OwnAccount[] = []
  let secrets: readonly string[] = []
  take(initial ?? [{ name, key: randomBytes(24).toString('base64url'), slots: null }])

  function take (given: readonly FalKey[]): void {
    const before = [...keys.values()]
    for (const { name, key } of given) keys.set(accountText({ kind, name }), key)
    accounts = given.map(({ name, slots }) => ({ kind, name, ...(slots === null ? {} : { slots }) }))
    // Longest first: a key is found before its part is.
    secrets = [...new Set([...keys.values(), ...before])].flatMap(secretsOf).toSorted((one, other) => other.length - one.length)
  }

  return {
    accounts: () => accounts,
    of: account => {
      if (account !== null) return keys.get(account) ?? null
      const first = accounts[0]
      return keys.get(UNMARKED_LEDGER) ?? (first === undefined ? null : keys.get(accountText(first)) ?? null)
    },
    secrets: () => secrets,
    reload: async log => {
      const read = await loadFalKeys(config)
      if (!read.ok) {
        log.error({ fault: read.faults.join('; ') }, 'key file refused, the old key stays in force')
        return
      }
      if (read.keys === null) return
      const names = new Set(accounts.map(({ name }) => name))
      const added = read.keys.filter(({ name }) => !names.delete(name)).map(({ name }) => name)
      const removed = [...names]
      take(read.keys)
      if (added.length > 0) log.info({ added, accounts: accounts.length }, 'accounts of fal added')
      if (removed.length > 0) log.warn({ removed, accounts: accounts.length }, 'accounts of fal taken away: nothing is bought with them any more; what this process follows with them it follows to its end, and no other process without their keys does')
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
