// What works without a listener: ledger, upstream, circuit breaker, what waits and what is looked after, and the requests of callers.

import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { modelClosed, Problem } from '../errors.ts'
import { LOOK_AGAIN_MS } from '../generation/doubt.ts'
import type { DeliverHook } from '../generation/hooks.ts'
import type { Ledger } from '../generation/ledger.ts'
import type { Prices } from '../generation/request/call.ts'
import { createFileLooks, type LookAtFiles } from '../generation/request/file-looks.ts'
import { createPriceRules } from '../generation/request/price-rules.ts'
import { createRequests, type Requests } from '../generation/request/request.ts'
import { createResultCache } from '../generation/request/result-cache.ts'
import { createBreakers, type Breakers } from '../generation/run/breakers.ts'
import type { FileKeeper } from '../generation/run/keep-files.ts'
import { renewalMsOf } from '../generation/run/lease-keeper.ts'
import { createObserver } from '../generation/run/observe.ts'
import { createRunner, type Runner } from '../generation/run/runner.ts'
import { createFollow, type Follow } from '../generation/watch/follow.ts'
import { createPresence, type Presence } from '../generation/watch/presence.ts'
import { createWatch, type Watch } from '../generation/watch/watch.ts'
import { newId } from '../ids.ts'
import type { Metrics } from '../metrics.ts'
import { takesSeed, type Model, type ModelInput } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { highestPriceOf, type TenantBook } from '../tenants/book.ts'
import type { OnTrouble } from '../trouble.ts'
import type { Tracing } from '../tracing.ts'
import type { OwnAccount } from '../upstream-account.ts'
import { createUpstreams, type Upstreams } from '../upstream/queue.ts'
import { timesOf, type Store } from './store-terms.ts'

export interface CoreOptions {
  readonly config: Config
  /** What is on offer now. */
  readonly models: () => ModelBook
  /** Where everything is kept. */
  readonly store: Store
  readonly log: Logger
  readonly metrics: Metrics
  readonly tracing: Tracing
  /** The tenants that are in force now. */
  readonly tenants: () => TenantBook
  /** The accounts that generations may be bought with now; the same list as long as nothing changes. */
  readonly accounts: () => readonly OwnAccount[]
  /** The key that fal takes now, of an account as rows name it (`null`: of rows that name none); `null`: it is not here. */
  readonly falKeyOf: (account: string | null) => string | null
  /** What no text of fal's may tell a tenant: those keys, and those before. */
  readonly falSecrets: () => readonly string[]
  /** Base of the upstream's queue; asked for each request. */
  readonly queueUrl: () => string
  /** Base of the files of the sandbox here; `null`: there is none. */
  readonly madeHere: () => string | null
  readonly isDraining: () => boolean
  /** What stores the files of outputs; `null`: they stay where they are. */
  readonly files: FileKeeper | null
  /** Looks whether the files of a stored result are still where its output says. */
  readonly lookAtFiles: LookAtFiles
  /** Makes one delivery of a webhook. */
  readonly deliverHook: DeliverHook
  /** The pauses before each look at a result that could not be used; those of rule 25 by default. */
  readonly lookAgainMs?: readonly number[] | undefined
  readonly onTrouble: OnTrouble
}

export interface Core extends Pick<Store, 'health' | 'connect' | 'renew'> {
  /** The name of this process in leases. */
  readonly replica: string
  readonly ledger: Ledger
  readonly upstreams: Upstreams
  readonly breakers: Breakers
  readonly watch: Watch
  readonly follow: Follow
  readonly presence: Presence
  readonly requests: Requests
  readonly runner: Runner
  /** The ledger was reached, or is away; other replicas may ask which callers wait here. Rejects with why this ledger cannot be used. */
  readonly meet: () => Promise<void>
  /** Ends whatever waits for, or follows, a generation here. Twice is harmless. */
  readonly endReaders: () => void
}

/** Nothing is started: nothing here has a timer or a connection before it is used, but for the ledger's. */
export function createCore (options: CoreOptions): Core {
  const { config, models, log, metrics, tracing, tenants, store, onTrouble } = options
  const replica = randomUUID()
  const times = timesOf(config)
  const { ledger } = store
  const upstreams = createUpstreams({ models, queueUrl: options.queueUrl, keyOf: options.falKeyOf, secrets: options.falSecrets, madeHere: options.madeHere, keepsFiles: options.files !== null, onRequest: metrics.upstreamRequest, proxy: config.proxy, log, tracing })
  const breakers = createBreakers(ledger, config.breaker, onTrouble)
  const watch = createWatch(ledger, error => { onTrouble('read-awaited', error) }, { renewalMs: renewalMsOf(times) })
  const follow = createFollow({ ledger, watch, onTrouble })
  const presence = createPresence(replica)
  let stopAnswering = (): void => {}

  const runner = createRunner({
    ledger,
    upstreamOf: upstreams.of,
    hasOtherAccounts: () => options.accounts().length > 1,
    watch,
    breakers,
    cacheVersionOf: endpointId => {
      const model = models().find(endpointId)
      return model !== undefined && takesSeed(model) ? model.cacheVersion : undefined
    },
    times,
    replica,
    slots: config.falConcurrency,
    lookAgainMs: options.lookAgainMs ?? LOOK_AGAIN_MS,
    files: options.files,
    deliverHook: options.deliverHook,
    newId,
    ...createObserver(log, metrics, tracing, ledger.now),
    onRestored: (generations, contested) => {
      metrics.ledgerRollback()
      metrics.namesContested(contested)
      log.error({ generations, contested }, 'the ledger went back in time; generations held here were put back')
    },
    onClaimsPaused: forMs => {
      log.warn({ for_ms: forMs }, 'Redis was started again or failed over: nothing is bought until the replicas have put back what it may have lost, for one lease at most')
    },
    onRemoved: ({ files, bytes }) => {
      metrics.mediaRemoved(files)
      if (files > 0) log.info({ files, bytes }, 'stored files that nothing refers to are removed')
    },
    onSilent: (silent, generations) => {
      log.warn({ silent_replica: silent, generations }, 'a replica went silent; what it followed at fal is followed here')
    },
    onTrouble
  })

  const cache = createResultCache(config.cacheMemoryBytes)
  const unlistenCache = ledger.listen(cache.hear)
  const requests = createRequests({
    ledger,
    admit: runner.admit,
    cache,
    looks: createFileLooks({
      ledger,
      look: options.lookAtFiles,
      filesLastMs: config.falFilesMs,
      onDead: ({ purchase, model }) => { log.info({ generation_id: purchase, model }, 'files of a stored result are gone at fal: it is bought again when somebody asks for it') }
    }),
    watch,
    companyBudget: () => tenants().companyBudget,
    pricesOf: (model, sent) => pricesOf(model, sent, tenants()),
    priceRules: createPriceRules(models().all, model => tenants().priceRuleOf(model), (model, rule, ledgerRule) => {
      log.error({ model, price_rule: rule, ledger_price_rule: ledgerRule }, 'the prices of this process are older than the ledger\'s: nothing of this model is bought here until its tenants file has those of the others; to go back to earlier prices on purpose raise pricesRevision there')
    }),
    resultTtlMs: config.resultTtlMs,
    twinMs: config.twinMs,
    draining: options.isDraining,
    tracing,
    newId,
    onTrouble
  })

  return {
    replica,
    ledger,
    upstreams,
    breakers,
    watch,
    follow,
    presence,
    requests,
    runner,
    health: store.health,
    connect: store.connect,
    renew: store.renew,
    meet: async () => {
      await store.meet()
      stopAnswering = ledger.answerOpen(replica, presence.isOpen)
    },
    endReaders: () => {
      follow.close()
      watch.close()
      unlistenCache()
      stopAnswering()
    }
  }
}

/** What a call costs at most, and one of its units, where it may be bought. */
function pricesOf (model: Model, sent: ModelInput, book: TenantBook): Prices {
  if (!model.isOpen) throw modelClosed()
  const highest = highestPriceOf(book, model, sent)
  if (!highest.ok) throw new Problem('price-unknown', { detail: `For this input ${highest.fault}.` })
  return { price: highest.price, unitPrice: highest.unitPrice ?? 0, how: highest.how }
}
