// The ledger that a gateway works with, and what its operators are told of it.

import type { Config } from '../config.ts'
import type { StoreFault, StoreFaultChange } from '../store-faults.ts'
import { createMemoryLedger } from '../store/memory/ledger.ts'
import { redisAt, type Credentials } from '../store/redis/clients.ts'
import { createRedisLedger } from '../store/redis/ledger.ts'
import { Unusable } from '../store/redis/redis-errors.ts'
import { openDisk } from './disk-store.ts'
import { timesOf, type Store, type StoreOptions } from './store-terms.ts'

/** Opens it; one on disk is owned and read. Rejects with a sentence that says what to do when this process cannot have it. */
export async function openStore (options: StoreOptions): Promise<Store> {
  const { config, redisUrl } = options
  if (config.disk !== null) return await openDisk(options, config.disk)
  if (redisUrl !== null && config.redis !== null) return openRedis(options, config.redis, { url: redisUrl, ca: options.redisCa ?? null })
  const ledger = createMemoryLedger({ times: timesOf(config), accounts: options.accounts })
  return { ledger, renew: () => {}, meet: async () => {}, connect: async () => {}, health: () => ({ store: 'up', store_kind: 'memory', store_faults: [] }) }
}

/** A Redis that starts together with the gateway is there soon, and a call before that would be refused. */
const AWAIT_STORE_MS = 1000

function openRedis ({ config, accounts, log, metrics, onTrouble, awaitStoreMs = AWAIT_STORE_MS }: StoreOptions, { cluster, sentinels, namespace, unsafe }: NonNullable<Config['redis']>, credentials: Credentials): Store {
  const server = redisAt(credentials, { cluster, sentinels })
  const faults = new Set<StoreFault>()
  let isUp = false
  let refusal: string | null = null
  let hearTrouble = (): void => {}
  metrics.redisUp(false)

  function tellFault ({ fault, isThere, sentence }: StoreFaultChange): void {
    if (isThere) faults.add(fault)
    else faults.delete(fault)
    if (fault === 'foreign') refusal = isThere ? sentence : null
    metrics.storeFault(fault, isThere)
    if (!isThere) log.info({ fault }, `over: ${sentence}`)
    else if (fault === 'not-persistent') log.warn({ fault }, sentence)
    else log.error({ fault }, sentence)
  }

  const ledger = createRedisLedger({
    url: server,
    namespace,
    accounts,
    isUnsafe: unsafe,
    times: timesOf(config),
    onRollback: error => {
      metrics.ledgerRollback()
      log.error({ err: error }, 'the ledger went back in time; what no living replica held is gone')
    },
    onFault: tellFault,
    onTrouble: (operation, error) => {
      onTrouble(operation, error)
      if (error instanceof Unusable && error.isSetting) refusal = error.message
      hearTrouble()
    },
    onState: now => {
      isUp = now
      metrics.redisUp(now)
    }
  })

  /** Resolves after trouble that does not pass, or when there was trouble and this time is over. */
  function untilGivenUp (withinMs: number): { readonly isGivenUp: Promise<void>, readonly forget: () => void } {
    let isTime = false
    let hasTrouble = false
    let giveUp = (): void => {}
    const isGivenUp = new Promise<void>(resolve => { giveUp = resolve })
    const timer = setTimeout(() => {
      isTime = true
      if (hasTrouble) giveUp()
    }, withinMs)
    hearTrouble = () => {
      hasTrouble = true
      if (isTime || refusal !== null) giveUp()
    }
    return { isGivenUp, forget: () => { clearTimeout(timer) } }
  }

  return {
    ledger,
    renew: server.renew,
    meet: async () => {
      const { isGivenUp, forget } = untilGivenUp(awaitStoreMs)
      await Promise.race([isGivenUp, ledger.connect().catch(() => {})]) // told by onTrouble
      forget()
      if (refusal !== null) throw new Error(refusal)
    },
    connect: async isWanted => {
      let isConnected = false
      while (!isConnected && isWanted()) isConnected = await ledger.connect().then(() => true, () => false) // told by onTrouble
    },
    health: () => ({ store: isUp ? 'up' : 'down', store_kind: 'redis', store_faults: [...faults] })
  }
}
