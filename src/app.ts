// The composition root: config → store, upstream, core, doors; by hand, in order.

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as startTimer } from 'node:timers'
import { setTimeout } from 'node:timers/promises'
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from './config.ts'
import { Problem } from './errors.ts'
import type { Guard as SharedGuard, Ledger, LedgerTimes } from './generation/ports.ts'
import { leftOf, monthOf } from './generation/budgets.ts'
import { LOOK_AGAIN_MS } from './generation/doubt.ts'
import { createFollow } from './generation/follow.ts'
import { createGuard, worstOf } from './generation/guard.ts'
import { createObserver } from './generation/observe.ts'
import { createOperators, type Operators } from './generation/operators.ts'
import { createPresence } from './generation/presence.ts'
import { createPriceRules } from './generation/price-rules.ts'
import { createRequests } from './generation/request.ts'
import { createResultCache } from './generation/result-cache.ts'
import { createRunner, renewalMsOf } from './generation/runner.ts'
import { createWatch } from './generation/watch.ts'
import type { Readiness } from './http/ops.ts'
import { buildOpsServer, buildServer } from './http/server.ts'
import { newId } from './ids.ts'
import { createLogger, createTroubleLog, describePrompt, standardOutput } from './logger.ts'
import { createMetrics } from './metrics.ts'
import type { Models } from './models/models.ts'
import { createSandbox, type Sandbox } from './sandbox/plugin.ts'
import { createMemoryLedger } from './store/memory/ledger.ts'
import { clusterAt, Unusable } from './store/redis/connection.ts'
import { inspect } from './store/redis/inspect.ts'
import { createRedisLedger, type RedisLedgerOptions } from './store/redis/ledger.ts'
import { stopping } from './store/redis/server.ts'
import type { StoreFault, StoreFaultNews } from './store-faults.ts'
import type { BudgetLimit, TenantBook } from './tenants.ts'
import { loadFalKey } from './tenants/load.ts'
import { watchTenants } from './tenants/watch.ts'
import type { UpstreamAccount } from './upstream-account.ts'
import { createUpstream, SUBMIT_TIMEOUT_MS } from './upstream/queue.ts'

export interface AppOptions {
  readonly config: Config
  /** What is on offer. */
  readonly models: Models
  /** Made for the same models. */
  readonly tenants: TenantBook
  /** The central key at the start; `null` for the sandbox. */
  readonly falKey: string | null
  /** The address of Redis with its password; `null`: the store is in this process. */
  readonly redisUrl: string | null
  readonly version: string
  /** The pauses before each look at a result that could not be used; those of rule 25 by default. */
  readonly lookAgainMs?: readonly number[]
}

/** A gateway that listens. */
export interface RunningApp {
  readonly log: Logger
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string
  /** Reads the tenants file and the key file again. Never rejects: what is faulty is logged and the old stays. */
  readonly reload: () => Promise<void>
  /** Drains: callers wait `waitMs` at most, and every submit is answered. Then closes everything. See {@link longestCloseMs}. Twice is harmless. */
  readonly close: () => Promise<void>
}

/** What the sandbox mounted here takes for a key. */
const SANDBOX_KEY = 'sandbox'

/** Starts the gateway. Rejects when it cannot listen, when the ledger that it reaches is another account's, or when the Redis there refuses the database. */
export async function startApp (options: AppOptions): Promise<RunningApp> {
  const { config, models, version } = options
  const replica = randomUUID()
  let tenants = options.tenants
  let falKey = options.falKey ?? SANDBOX_KEY
  /** Requests under way may still carry the one before. */
  let formerFalKey = falKey
  let sandboxUrl = ''
  let state: Readiness['state'] = 'starting'

  const log = createLogger({ level: config.logLevel, destination: standardOutput(), secrets: () => options.falKey === null ? [] : [falKey, formerFalKey] })
  const metrics = createMetrics({ version })
  const troubleLog = createTroubleLog(log)
  /** That the store is unfit, or another account's, was told when it was found, and holds for everything that is tried meanwhile. */
  const trouble: typeof troubleLog = (doing, error) => { if (!(error instanceof Problem && (error.code === 'store-unfit' || error.code === 'foreign-ledger'))) troubleLog(doing, error) }
  const onRollback = (error: Error): void => {
    metrics.ledgerRollback()
    log.error({ err: error }, 'the ledger went back in time; what no living replica held is gone')
  }
  const onRestored = (generations: number, contested: number): void => {
    metrics.ledgerRollback()
    metrics.namesContested(contested)
    log.error({ generations, contested }, 'the ledger went back in time; generations held here were put back')
  }

  const onClaimsHeld = (forMs: number): void => {
    log.warn({ for_ms: forMs }, 'Redis was started again or failed over: nothing is bought until the replicas have put back what it may have lost, for one lease at most')
  }

  // store and upstream
  const times = timesOf(config)
  let isStoreUp = options.redisUrl === null
  const storeFaults = new Set<StoreFault>()
  const onFault = ({ fault, isThere, sentence }: StoreFaultNews): void => {
    if (isThere) storeFaults.add(fault)
    else storeFaults.delete(fault)
    metrics.storeFault(fault, isThere)
    if (!isThere) log.info({ fault }, `over: ${sentence}`)
    else if (fault === 'not-persistent') log.warn({ fault }, sentence)
    else log.error({ fault }, sentence)
  }
  const store = openStore(options, {
    times,
    onRollback,
    onFault,
    onTrouble: trouble,
    onState: isUp => {
      isStoreUp = isUp
      metrics.redisUp(isUp)
    }
  })
  const { ledger } = store
  const refusal = await store.meet()
  if (refusal !== null) {
    await ledger.close()
    throw new Error(refusal)
  }
  const sandbox = config.falQueueUrl === null ? createSandbox(models, { log: (facts, message) => { log.debug(facts, message) }, ...(config.publicUrl === null ? {} : { publicUrl: `${config.publicUrl}/sandbox` }) }) : null
  const upstream = createUpstream({
    models,
    queueUrl: () => config.falQueueUrl ?? `${sandboxUrl}/queue`,
    key: () => falKey,
    onRequest: metrics.upstreamRequest,
    log
  })

  // core
  const guard = createGuard(ledger, config.guard, error => { trouble('asking the guard', error) })
  const watch = createWatch(ledger, error => { trouble('looking at awaited generations', error) }, { renewalMs: renewalMsOf(times) })
  const follow = createFollow({ ledger, watch, onTrouble: trouble })
  const presence = createPresence(replica)
  const stopAnswering = ledger.answerOpen(replica, presence.isOpen)
  const runner = createRunner({ ledger, upstream, watch, guard, schemaVersionOf: endpointId => models.find(endpointId)?.schemaVersion, times, replica, slots: config.falConcurrency, lookAgainMs: options.lookAgainMs ?? LOOK_AGAIN_MS, newId, ...createObserver(log, metrics, ledger.now), onRestored, onClaimsHeld, onTrouble: trouble })
  const requests = createRequests({
    ledger,
    cache: createResultCache(config.cacheMemoryBytes),
    watch,
    companyBudget: () => tenants.companyBudget,
    priceOf: model => tenants.priceOf(model.endpointId),
    priceRules: createPriceRules(models.all.map(({ endpointId }) => endpointId), model => tenants.priceRuleOf(model), (model, rule, ledgerRule) => {
      log.error({ model, price_rule: rule, ledger_price_rule: ledgerRule }, 'the prices of this process are older than the ledger\'s: nothing of this model is bought here until its tenants file has those of the others; to go back to earlier prices on purpose raise pricesRevision there')
    }),
    resultTtlMs: config.resultTtlMs,
    draining: () => state === 'draining',
    newId,
    onTrouble: trouble
  })

  // doors
  const readiness = (): Readiness => ({ state, store: isStoreUp ? 'up' : 'down', store_faults: [...storeFaults], upstream: guard.state, guards: guard.closed.map(guardFacts) })
  const server = await buildServer({
    log,
    metrics,
    models,
    tenants: () => tenants,
    version,
    readiness,
    opsHere: config.opsPort === null,
    trustProxy: config.trustProxy,
    tls: config.tls === null ? null : { cert: readFileSync(config.tls.certFile), key: readFileSync(config.tls.keyFile) },
    sandbox: config.tls === null ? sandbox?.plugin ?? null : null,
    requests,
    ledger,
    follow,
    events: { beatMs: config.eventBeatMs, stallMs: config.eventStallMs },
    presence,
    waitMs: config.waitMs,
    publicUrl: config.publicUrl,
    addresses: { generation: id => `${config.publicUrl ?? ''}/generations/${id}` },
    describePrompt: prompt => describePrompt(prompt, config.logPrompts),
    onTrouble: trouble
  })
  const opsServer = config.opsPort === null ? null : await buildOpsServer({ log, metrics, readiness })

  const warnOf = ({ version, warnings }: TenantBook): void => { for (const warning of warnings) log.warn({ version }, `tenants file: ${warning}`) }
  warnOf(tenants)
  const tenantsWatch = config.tenantsFile === null
    ? null
    : watchTenants({
      file: config.tenantsFile,
      version: tenants.version,
      models,
      isReal: config.fal.kind !== 'sandbox',
      onChange: book => {
        tenants = book
        log.info({ version: book.version, tenants: book.tenants.size }, 'tenants file in force')
        warnOf(book)
      },
      onRefused: faults => { log.error({ faults }, 'tenants file refused, the old one stays in force') }
    })
  metrics.onCollect(async () => {
    try {
      return await sharedFacts()
    } catch (error) {
      trouble('reading facts for the metrics', error)
      throw error
    }
  })

  const url = await server.listen({ host: config.host, port: config.port })
  // Behind TLS the sandbox has a plain listener of its own, since nobody vouches here for the certificate.
  const sandboxServer = sandbox !== null && config.tls !== null ? await listenToSandbox(sandbox, log, { host: '127.0.0.1', port: 0 }) : null
  sandboxUrl = sandboxServer === null ? `${url}/sandbox` : sandboxServer.url
  await opsServer?.listen({ host: config.host, port: config.opsPort ?? 0 })
  const contact = store.connect(() => state === 'starting').then(() => {
    if (state !== 'starting') return
    runner.start()
    state = 'ready'
    log.info({ version, url, replica }, 'ready')
  })
  if (options.redisUrl === null) await contact

  async function reload (): Promise<void> {
    await tenantsWatch?.reload()
    const read = await loadFalKey(config.fal)
    if (!read.ok) log.error({ fault: read.fault }, 'key file refused, the old key stays in force')
    else if (read.key !== null && read.key !== falKey) [falKey, formerFalKey] = [read.key, falKey]
    // An operator who asks for this has a new key, or has paid.
    await guard.tryAgain()
  }

  let closing: Promise<void> | null = null
  async function close (): Promise<void> {
    closing ??= drainAndClose()
    await closing
  }

  async function drainAndClose (): Promise<void> {
    state = 'draining'
    tenantsWatch?.close()
    // Who only listens goes on elsewhere; who cannot is waited for.
    follow.drain()
    const endMs = performance.now() + config.waitMs
    // Load balancers and clients with open connections get the time to hear of it.
    const isHeard = setTimeout(config.production ? MIN_DRAIN_MS : 0)
    // A submit that is cut off is money that nobody can account for, so none is begun that could not be answered while callers are waited for anyway.
    const lastClaims = startTimer(() => { runner.stopClaiming() }, Math.max(0, config.waitMs - SUBMIT_TIMEOUT_MS))
    await untilIdle(() => watch.waiting > 0 || follow.staying > 0, config.waitMs)
    clearTimeout(lastClaims)
    await isHeard
    await runner.stop(Math.max(MIN_STOP_GRACE_MS, endMs - performance.now()))
    if (runner.held > 0) log.warn({ generations: runner.held }, 'generations under way end with this process')
    follow.close()
    watch.close()
    stopAnswering()
    await Promise.all([closeServer(server), opsServer === null ? null : closeServer(opsServer)])
    await upstream.close()
    if (sandboxServer !== null) await closeServer(sandboxServer.server)
    await ledger.close()
  }

  async function sharedFacts () {
    const { waiting, atUpstream, places, unknownOpen, unknownOldestMs, asideBytes } = await ledger.gauges()
    const guards = await ledger.guards()
    // A tenant's reservations are told for its budget's period, or for the month when it has none.
    const limits = new Map<string, BudgetLimit>([...tenants.tenants.values()].map(tenant => [tenant.id, tenant.budget ?? monthOf(tenant)]))
    if (tenants.companyBudget !== null) limits.set('*', tenants.companyBudget)
    const balances = await ledger.balances([...limits].map(([owner, { per }]) => ({ owner, per })))
    const limited = balances.filter(({ owner }) => owner === '*' || (tenants.tenants.get(owner)?.budget ?? null) !== null)
    return {
      waiting,
      slotsUsed: atUpstream,
      slots: config.falConcurrency,
      slotsOpen: Math.min(config.falConcurrency, places ?? config.falConcurrency),
      budgetLeft: new Map(limited.map(balance => [balance.owner, leftOf(limits.get(balance.owner)?.limit ?? 0, balance)])),
      held: new Map(balances.map(({ owner, held }) => [owner, held])),
      unknownOpen,
      unknownOldestSeconds: unknownOldestMs === null ? 0 : Math.max(0, ledger.now() - unknownOldestMs) / 1000,
      largeResultBytes: asideBytes,
      upstreamState: worstOf(guards)
    }
  }

  return { log, url, reload, close }
}

function timesOf ({ resultTtlMs, queueMs, runMs, leaseMs, largeResultBytes }: Config): LedgerTimes {
  return { resultTtlMs, queueMs, runMs, leaseMs, largeResultBytes }
}

/** A guard that is not ok, as operators read it. */
function guardFacts ({ scope, state, sinceMs, retryAtMs }: SharedGuard) {
  return { scope, state, since: new Date(sinceMs).toISOString(), retry_at: state === 'price-unsure' ? null : new Date(retryAtMs).toISOString() }
}

type StoreOptions = Pick<RedisLedgerOptions, 'times' | 'onRollback' | 'onState'> & Required<Pick<RedisLedgerOptions, 'onFault' | 'onTrouble'>>

interface Store {
  readonly ledger: Ledger
  /**
   * Begins to connect. Resolves at the first contact or the first trouble, with the sentence to refuse a start with where the ledger is another account's, or
   * Redis does not give the database. When the store is away, that is found out later: the process goes on then, and buys nothing.
   */
  readonly meet: () => Promise<string | null>
  /** Resolves at the first contact, or when that is not wanted any more. Never rejects. */
  readonly connect: (isWanted: () => boolean) => Promise<void>
}

function openStore ({ config, redisUrl }: AppOptions, options: StoreOptions): Store {
  if (redisUrl === null || config.redis === null) return { ledger: createMemoryLedger({ times: options.times, account: config.account }), meet: async () => null, connect: async () => {} }
  const { cluster, namespace, unsafe } = config.redis
  let refusal: string | null = null
  let isMet = (): void => {}
  const met = new Promise<void>(resolve => { isMet = resolve })
  const ledger = createRedisLedger({
    ...options,
    url: cluster ? clusterAt(redisUrl) : redisUrl,
    namespace,
    account: config.account,
    isUnsafe: unsafe,
    onFault: news => {
      options.onFault(news)
      if (news.fault === 'foreign') refusal = news.isThere ? news.sentence : null
    },
    onTrouble: (doing, error) => {
      options.onTrouble(doing, error)
      if (error instanceof Unusable && error.isSetting) refusal = error.message
      isMet()
    }
  })
  return {
    ledger,
    meet: async () => {
      await Promise.race([met, ledger.connect().catch(() => {})]) // told by onTrouble
      return refusal
    },
    connect: async isWanted => {
      let isConnected = false
      while (!isConnected && isWanted()) isConnected = await ledger.connect().then(() => true, () => false) // told by onTrouble
    }
  }
}

/**
 * The longest that `close` may take, for callers that kill a process which does not end by itself. Callers have their time; a submit has its own, however short
 * that one is, and after it the look for a request id that an error named, the writing of what was heard, and the closing of listeners and connections.
 */
export function longestCloseMs (waitMs: number): number {
  return Math.max(waitMs, SUBMIT_TIMEOUT_MS) + CLOSE_MARGIN_MS
}

const CLOSE_MARGIN_MS = 18_000

/** The shortest drain in production. */
const MIN_DRAIN_MS = 1000
/** How long what is under way may take at least, at the end. */
const MIN_STOP_GRACE_MS = 2000
const IDLE_POLL_MS = 20
/** How long answers that are being written may take at the end. */
const LAST_ANSWERS_MS = 500

/** Closes a listener; connections that have never sent a request would keep it open until they time out. */
async function closeServer (server: FastifyInstance): Promise<void> {
  const impatience = new AbortController()
  setTimeout(LAST_ANSWERS_MS, undefined, { signal: impatience.signal }).then(() => { server.server.closeAllConnections() }, () => {})
  await server.close()
  impatience.abort()
}

/** Resolves when nobody waits any more, or the time is up. */
async function untilIdle (isBusy: () => boolean, timeoutMs: number): Promise<void> {
  const untilMs = performance.now() + timeoutMs
  while (isBusy() && performance.now() < untilMs) await setTimeout(IDLE_POLL_MS)
}

/** What a look at the Redis of a configuration shows: faults that `serve` could not live with, and what is worth a word. Nothing is written there. */
export async function lookAtRedis ({ config, redisUrl }: Pick<AppOptions, 'config' | 'redisUrl'>): Promise<{ readonly faults: readonly string[], readonly warnings: readonly string[] }> {
  if (redisUrl === null || config.redis === null) return { faults: [], warnings: [] }
  const { cluster, namespace, unsafe } = config.redis
  const found = await inspect(cluster ? clusterAt(redisUrl) : redisUrl, namespace, config.account, LOOK_WITHIN_MS)
  if (!found.isReached) {
    const sentence = unreachable(found.cause)
    return isRefusal(found.cause) ? { faults: [sentence], warnings: [] } : { faults: [], warnings: [sentence] }
  }
  const isFault = (fault: StoreFault): boolean => fault === 'replica' || fault === 'foreign' || (stopping.includes(fault) && !unsafe)
  const all = [...found.faults]
  return {
    faults: all.filter(([fault]) => isFault(fault)).map(([, sentence]) => sentence),
    warnings: all.filter(([fault]) => !isFault(fault)).map(([, sentence]) => sentence)
  }
}

const LOOK_WITHIN_MS = 3000

/** Did Redis answer that it will not have this user, or this database? Everything else may pass. */
function isRefusal (cause: unknown): boolean {
  return cause instanceof Unusable || (cause instanceof Error && /^(NOAUTH|WRONGPASS|NOPERM)\b/.test(cause.message))
}

/** Why a Redis cannot be used, in one sentence that names the setting. */
function unreachable (error: unknown): string {
  const cause = error instanceof Problem ? error.facts.cause : error
  if (cause instanceof Unusable) return cause.message.startsWith('REDIS_URL') ? cause.message : `REDIS_URL: ${cause.message}`
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  // Where a name has several addresses, Node tells the code alone.
  const reason = cause instanceof Error && cause.message !== '' ? cause.message : code
  return `REDIS_URL: the ledger there cannot be reached${reason === '' ? '' : `: ${reason}`}`
}

/**
 * The ledger of a Redis as operators use it, and what is wrong with that when the environment names another account than the ledger's (`account`; `null`: it
 * names none). Rejects with one sentence when it cannot be reached.
 */
export async function openOperators ({ config, redisUrl, account }: Pick<AppOptions, 'config'> & { readonly redisUrl: string, readonly account: UpstreamAccount | null }): Promise<Operators & { readonly foreign: string | null }> {
  const times = timesOf(config)
  const { cluster = false, namespace = 'fg' } = config.redis ?? {}
  let foreign: string | null = null
  const onFault = ({ fault, sentence }: StoreFaultNews): void => { if (fault === 'foreign') foreign = sentence }
  const ledger = createRedisLedger({ url: cluster ? clusterAt(redisUrl) : redisUrl, namespace, times, account, takesEmpty: false, onFault })
  try {
    await ledger.connect()
  } catch (error) {
    await ledger.close()
    throw new Error(unreachable(error))
  }
  return { ...createOperators(ledger), foreign }
}

/** Starts the sandbox alone, as a stand-in for fal that other teams may test against. */
export async function startSandbox ({ config, models }: Pick<AppOptions, 'config' | 'models'>): Promise<RunningApp> {
  const log = createLogger({ level: config.logLevel, destination: standardOutput() })
  const sandbox = createSandbox(models, { log: (facts, message) => { log.info(facts, message) } })
  const { server, url } = await listenToSandbox(sandbox, log, config)
  return { log, url, reload: async () => {}, close: () => closeServer(server) }
}

async function listenToSandbox (sandbox: Sandbox, log: Logger, { host, port }: Pick<Config, 'host' | 'port'>): Promise<{ readonly server: FastifyInstance, readonly url: string }> {
  const loggerInstance: FastifyBaseLogger = log
  const server = Fastify({ loggerInstance, logController: new LogController({ disableRequestLogging: true }), forceCloseConnections: 'idle' })
  server.get('/healthz', async () => 'ok')
  await server.register(sandbox.plugin)
  return { server, url: await server.listen({ host, port }) }
}
