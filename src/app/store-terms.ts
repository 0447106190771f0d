// What the store is to a gateway, wherever everything is kept.

import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Ledger, LedgerTimes } from '../generation/ledger.ts'
import type { Readiness } from '../http/ops.ts'
import type { Metrics } from '../metrics.ts'
import type { Credentials } from '../store/redis/clients.ts'
import type { OnTrouble } from '../trouble.ts'
import type { OwnAccount } from '../upstream-account.ts'

export interface StoreOptions {
  readonly config: Config
  /** The address of Redis with its password; `null`: the store is not there. */
  readonly redisUrl: string | null
  /** Who vouches for its certificate (PEM), where that is not said by the system. */
  readonly redisCa?: string | null | undefined
  /** The accounts that it buys with now; the same list as long as nothing changes. */
  readonly accounts: () => readonly OwnAccount[]
  readonly log: Logger
  readonly metrics: Metrics
  readonly onTrouble: OnTrouble
  /** How long a start waits for a store that is away; a second by default. */
  readonly awaitStoreMs?: number | undefined
}

export interface Store {
  readonly ledger: Ledger
  /** Connections to Redis are made with these from now on. */
  readonly renew: (given: Credentials) => void
  /**
   * Begins to connect. Resolves at the first contact, or a second after the start where there was trouble; rejects where the ledger is another account's, or
   * Redis does not give the database. When the store is away, that is found out later: the process goes on then, and buys nothing.
   */
  readonly meet: () => Promise<void>
  /** Resolves at the first contact, or when that is not wanted any more. Never rejects. */
  readonly connect: (isWanted: () => boolean) => Promise<void>
  /** How it stands with it now. */
  readonly health: () => Pick<Readiness, 'store' | 'store_kind' | 'store_faults'>
}

/** Durations and bounds of the ledger in this configuration. */
export function timesOf ({ resultTtlMs, queueMs, runMs, leaseMs, largeResultBytes }: Config): LedgerTimes {
  return { resultTtlMs, queueMs, runMs, leaseMs, largeResultBytes }
}
