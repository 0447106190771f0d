// A Redis as commands meet it: `check` looks at it, operators open the ledger in it. No gateway is started.

import type { Config, RedisAccess } from '../config.ts'
import { Problem } from '../errors.ts'
import type { FalKey } from '../fal-keys.ts'
import { createOperators, type Operators } from '../generation/operators.ts'
import type { StoreFault, StoreFaultChange } from '../store-faults.ts'
import { redisAt } from '../store/redis/clients.ts'
import type { MovingPlace } from '../store/moving/entry.ts'
import { inspect, type Inspected } from '../store/redis/inspect.ts'
import { createRedisLedger } from '../store/redis/ledger.ts'
import { Unusable } from '../store/redis/redis-errors.ts'
import { stopping } from '../store/redis/server.ts'
import type { OwnAccount, UpstreamAccount } from '../upstream-account.ts'
import { readOverview, type Overview, type OverviewAsked } from './overview.ts'
import { timesOf } from './store-terms.ts'

const LOOK_WITHIN_MS = 3000

/** How long one call of an export or an import may take: nobody waits for it but the command. */
const MOVE_WITHIN_MS = 10_000

/** A Redis as the settings reach it, with the password and the certificates of their files. */
export interface RedisToLookAt { readonly redis: RedisAccess, readonly url: string, readonly ca: string | null }

/** Looks at a Redis as a process of these accounts would find it; see {@link inspect}. */
export async function inspectRedis ({ redis, url, ca }: RedisToLookAt, accounts: readonly UpstreamAccount[], { isThorough = false } = {}): Promise<Inspected> {
  return await inspect(redisAt({ url, ca }, redis), { namespace: redis.namespace, accounts, withinMs: LOOK_WITHIN_MS, isThorough })
}

/** Does it keep a gateway from buying? Everything else is worth a word. */
export function stopsBuying (fault: StoreFault, { unsafe }: Pick<RedisAccess, 'unsafe'>): boolean {
  return fault === 'replica' || fault === 'wrong-kind' || fault === 'foreign' || (stopping.includes(fault) && !unsafe)
}

/** Why a Redis was not reached, and what to do. */
export function notReached (cause: unknown): string {
  const sentence = unreachable(cause)
  return isRefusal(cause) ? sentence : `${sentence}. Start it, or say in REDIS_URL where it is: until then a gateway buys nothing`
}

/** The accounts that a process of this configuration has keys of; `null`: it has those of the sandbox. */
export function accountsOf ({ account }: Pick<Config, 'account'>, keys: readonly FalKey[] | null): readonly UpstreamAccount[] {
  return keys?.map(({ name }) => ({ kind: account.kind, name })) ?? [account]
}

/** What a look at the Redis of a configuration shows: faults with which nothing would be bought, and what is worth a word. Nothing is written there. */
export async function lookAtRedis ({ config, redisUrl, redisCa, falKeys }: { readonly config: Config, readonly redisUrl: string | null, readonly redisCa: string | null, readonly falKeys: readonly FalKey[] | null }): Promise<{ readonly faults: readonly string[], readonly warnings: readonly string[] }> {
  const { redis } = config
  if (redisUrl === null || redis === null) return { faults: [], warnings: [] }
  const found = await inspectRedis({ redis, url: redisUrl, ca: redisCa }, accountsOf(config, falKeys))
  if (!found.isReached) return { faults: [notReached(found.cause)], warnings: [] }
  const all = [...found.faults]
  return {
    faults: all.filter(([fault]) => stopsBuying(fault, redis)).map(([, sentence]) => sentence),
    warnings: all.filter(([fault]) => !stopsBuying(fault, redis)).map(([, sentence]) => sentence)
  }
}

/** Operators' commands on the ledger of a Redis. */
export interface OpenedOperators extends Operators {
  /** Rejects with one sentence while Redis cannot be reached. */
  readonly overview: (asked: OverviewAsked) => Promise<Overview>
  /** What is wrong when the environment names another account than the ledger's, as far as it was reached. */
  readonly foreign: () => string | null
}

/** Where operators find their ledger. `accounts`: whose the environment says that it should be; `null`: it does not say. */
export interface OperatorsPlace { readonly config: Config, readonly redisUrl: string, readonly redisCa: string | null, readonly accounts: readonly OwnAccount[] | null }

/** The ledger of a Redis as operators use it, once `connect` has reached it. That rejects with one sentence after some seconds, and goes on trying until `close`. */
export function operatorsAt ({ config, redisUrl, redisCa, accounts }: OperatorsPlace): OpenedOperators & { readonly connect: () => Promise<void> } {
  const { cluster = false, sentinels = null, namespace = 'fg' } = config.redis ?? {}
  let foreign: string | null = null
  const onFault = ({ fault, isThere, sentence }: StoreFaultChange): void => { if (fault === 'foreign') foreign = isThere ? sentence : null }
  const ledger = createRedisLedger({ url: redisAt({ url: redisUrl, ca: redisCa }, { cluster, sentinels }), namespace, times: timesOf(config), ...(accounts === null ? {} : { accounts: () => accounts }), takesEmpty: false, onFault })
  return {
    ...createOperators(ledger),
    connect: async () => { await ledger.connect().catch(told) },
    overview: async asked => await readOverview(ledger, asked).catch(told),
    foreign: () => foreign
  }
}

/** The ledger of a Redis as it is moved as a whole, reached. Rejects with one sentence when it cannot be. */
export async function openMovingRedis ({ config, redisUrl, redisCa }: OperatorsPlace): Promise<MovingPlace & { readonly close: () => Promise<void> }> {
  const { cluster = false, sentinels = null, namespace = 'fg' } = config.redis ?? {}
  const ledger = createRedisLedger({ url: redisAt({ url: redisUrl, ca: redisCa }, { cluster, sentinels }), namespace, times: timesOf(config), takesEmpty: false, deadlineMs: MOVE_WITHIN_MS })
  try {
    await ledger.connect()
  } catch (error) {
    await ledger.close()
    return told(error)
  }
  return { ...ledger.moving, close: ledger.close }
}

/** The same, reached. Rejects with one sentence when it cannot be. */
export async function openOperators (place: OperatorsPlace): Promise<OpenedOperators> {
  const operators = operatorsAt(place)
  try {
    await operators.connect()
  } catch (error) {
    await operators.close()
    throw error
  }
  return operators
}

function told (error: unknown): never {
  throw error instanceof Problem ? new Error(unreachable(error)) : error
}

/** Did Redis answer that it will not have this user, or this database? Everything else may pass. */
function isRefusal (cause: unknown): boolean {
  return cause instanceof Unusable || (cause instanceof Error && /^(NOAUTH|WRONGPASS|NOPERM)\b/.test(cause.message))
}

/** Why a Redis cannot be used, in one sentence that names the setting. */
function unreachable (error: unknown): string {
  const cause = error instanceof Problem ? error.facts.cause : error
  if (cause instanceof Unusable) return cause.message.startsWith('REDIS_') ? cause.message : `REDIS_URL: ${cause.message}`
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  // Where a name has several addresses, Node tells the code alone.
  const reason = cause instanceof Error && cause.message !== '' ? cause.message : code
  return `REDIS_URL: the ledger there cannot be reached${reason === '' ? '' : `: ${reason}`}`
}
