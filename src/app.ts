// The composition root: a gateway out of its core and its doors, by hand; how it starts, and how it stops.

import type { Logger } from 'pino'
import { createCore } from './app/core.ts'
import { createDoors, type Doors, type SandboxControl } from './app/doors.ts'
import { createDrain, endings } from './app/drain.ts'
import { createDriftWatch } from './app/drift.ts'
import { followFiles, readCertificate, readRedisReach } from './app/files.ts'
import { atOnce, createLifecycle, type Act, type Step } from './app/lifecycle.ts'
import { createCentralKeys, createModelsInForce, createTenantsInForce } from './app/reloadable.ts'
import { readModelUses, readSharedFacts } from './app/shared-facts.ts'
import { createDeadLinks } from './app/dead-links.ts'
import { openMedia } from './app/media.ts'
import { openStore } from './app/store.ts'
import { openSentFiles } from './app/sent-files.ts'
import { createWayToFiles, type OwnBase } from './app/way-to-files.ts'
import { openWebhooks } from './app/webhooks.ts'
import { createCatalogue } from './catalogue/catalogue.ts'
import { withoutSecrets, type Censor } from './censor.ts'
import { storeKindOf, type Config } from './config.ts'
import { entryOf, Problem } from './errors.ts'
import type { FalKey } from './fal-keys.ts'
import { createLineLog, createLogger, createTroubleLog, standardOutput } from './logger.ts'
import { createFileReader } from './media/read-file.ts'
import { createMetrics } from './metrics.ts'
import { MAX_DOCUMENT_BYTES } from './models/document.ts'
import type { LoadedModels } from './models/load.ts'
import type { ModelBook } from './models/models.ts'
import { settings } from './settings.ts'
import type { TenantBook } from './tenants/book.ts'
import { openTracing } from './tracing.ts'
import type { OnTrouble } from './trouble.ts'

export interface AppOptions {
  readonly config: Config
  /** What comes with falgate. */
  readonly models: ModelBook
  /** The same and what was added to it, where there is a folder of models. */
  readonly loaded?: LoadedModels | null
  /** Made for the models on offer. */
  readonly tenants: TenantBook
  /** The central keys at the start, by account; `null` for the sandbox. */
  readonly falKeys: readonly FalKey[] | null
  /** The address of Redis with its password; `null`: the store is not there. */
  readonly redisUrl: string | null
  /** Who vouches for its certificate (PEM), where that is not said by the system. */
  readonly redisCa?: string | null
  readonly version: string
  /** What looks like a slip in the environment; logged at the start. */
  readonly warnings?: readonly string[]
  /** The pauses before each look at a result that could not be used; those of rule 25 by default. */
  readonly lookAgainMs?: readonly number[]
  /** The pauses between tries of a webhook; about two hours in all by default. */
  readonly webhookPausesMs?: readonly number[]
  /** How long a start waits for a store that is away; a second by default. */
  readonly awaitStoreMs?: number
}

/** A gateway that listens. */
export interface RunningApp {
  readonly log: Logger
  /** Takes the central key out of a text that is said beside the log. */
  readonly censor: Censor
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string
  /** Where faults of the sandbox in this process are set, and the key for it; `null` where nobody may. */
  readonly sandboxControl: SandboxControl | null
  /** Reads the models, the tenants file and the files of keys, certificates and passwords again. Never rejects: what is faulty is logged and the old stays. */
  readonly reload: () => Promise<void>
  /**
   * Drains: callers wait `waitMs` at most, and every submit is answered. Then closes everything. Before that it works on for `drainDelayMs`, while `/readyz`
   * says that it is going, unless it `isHurried`. See `longestCloseMs`. Twice is harmless.
   */
  readonly close: (options?: { readonly isHurried?: boolean }) => Promise<void>
}

/** The longest file that is sent inside an answer. */
const MAX_READ_BYTES = 32 * 1024 * 1024

/** A start is told of when it takes this long. */
const START_LIMIT_MS = 10_000

/**
 * Starts the gateway. Rejects when it cannot listen, when the ledger that it reaches is another account's, when the Redis there refuses the database, or when the folder
 * of the ledger is another process's or cannot be read; nothing is left then.
 */
export async function startApp (options: AppOptions): Promise<RunningApp> {
  const { config, redisUrl, version } = options
  const keys = createCentralKeys(config, options.falKeys)
  const lines = { format: config.logFormat, googleProject: config.googleProject, destination: standardOutput(), secrets: keys.secrets }
  const log = createLogger({ level: config.logLevel, ...lines })
  for (const warning of options.warnings ?? []) log.warn(`environment: ${warning}`)
  if (config.fal.kind !== 'sandbox' && storeKindOf(config) === 'memory') log.warn('STORE=memory, with a real key: paid pictures, budgets and idempotency keys end with this process')
  const metrics = createMetrics({ version })
  const tracing = openTracing(version)
  const lifecycle = createLifecycle(log)
  const book = createModelsInForce(config, log, {
    builtIn: options.models,
    initial: options.loaded ?? null,
    usesLately: async () => await readModelUses(core.ledger),
    onChange: () => { tenants.modelsChanged() }
  })
  const models = book.now
  const tenants = createTenantsInForce(config, models, options.tenants, log)

  const onTrouble = untoldTrouble(createTroubleLog(log))
  const way = createWayToFiles(config, () => ownBasesOf(config, doors))
  const media = await openMedia({ config, way, expectFile: async (...given) => await store.ledger.expectFile(...given), log, metrics })
  const deadLinks = createDeadLinks(models, way)
  const reader = createFileReader({ ...way, maxBytes: MAX_READ_BYTES, stored: media?.files ?? null })
  const sent = await openSentFiles({ config, keys, sandbox: () => ({ told: doors.sandboxFilesBase ?? doors.sandboxFilesHere, reached: doors.sandboxFilesHere }), log, metrics })
  const webhooks = await openWebhooks({ config, tenants: tenants.now, bodyOf: hook => doors.hookBody(hook), log, metrics, pausesMs: options.webhookPausesMs })
  const store = await openStore({ config, redisUrl, redisCa: options.redisCa, accounts: keys.accounts, log, metrics, onTrouble, awaitStoreMs: options.awaitStoreMs })

  const core = createCore({
    config,
    models,
    store,
    log,
    metrics,
    tracing,
    tenants: tenants.now,
    accounts: keys.accounts,
    falKeyOf: keys.of,
    falSecrets: keys.secrets,
    queueUrl: () => config.falQueueUrl ?? doors.sandboxQueueUrl,
    madeHere: () => doors.sandboxFilesBase,
    files: media?.keeper ?? null,
    lookAtFiles: deadLinks.look,
    deliverHook: webhooks.deliver,
    isDraining: () => lifecycle.state === 'draining' && !drain.takesWork(),
    lookAgainMs: options.lookAgainMs,
    onTrouble
  })
  const doors = createDoors({ config, models, version, log, requestLog: createLineLog(log, lines), metrics, tracing, tenants: tenants.now, state: () => lifecycle.state, core, onTrouble, accounts: keys.accounts, media: media?.files ?? null, publicKeys: webhooks.publicKeys, readFile: async (address, signal) => await reader.read(way.reached(address), signal), sentFiles: sent.files, sandboxKey: keys.of(null) ?? '' })
  const { ledger, runner, breakers } = core
  const drain = createDrain(config, core, log)

  const certificate = followFiles({
    what: 'certificate',
    files: config.tls === null ? [] : [config.tls.certFile, config.tls.keyFile],
    read: async () => await readCertificate(config.tls),
    take: pair => { if (pair !== null) doors.showCertificate(pair) },
    log
  })
  const redisAccess = followFiles({
    what: 'access to Redis',
    files: [config.redis?.passwordFile ?? null, config.redis?.caFile ?? null],
    read: async () => await readRedisReach(config.redis),
    take: reach => { if (reach !== null) core.renew(reach) },
    log
  })

  const { catalogueUrl, checkMs } = config.models
  // The sandbox has no documents of its own, and nobody buys what would be wrong.
  const drift = config.fal.kind === 'sandbox' || config.models.dir === null || checkMs === 0
    ? null
    : createDriftWatch({
      files: () => book.loaded()?.files.values() ?? [],
      catalogue: createCatalogue({ documentUrl: catalogueUrl, bodyLimitBytes: MAX_DOCUMENT_BYTES, proxy: config.proxy }),
      ledger,
      everyMs: checkMs,
      log,
      onDrift: metrics.modelDrift,
      onTrouble
    })

  metrics.onCollect(async () => {
    try {
      return await readSharedFacts(ledger, tenants.now(), config, keys.accounts())
    } catch (error) {
      onTrouble('read-metrics', error)
      throw error
    }
  })

  const starting = (waitsFor: string, run: Act['run']): Act => ({ waitsFor, limitMs: START_LIMIT_MS, run })

  /** Without Redis that is at once; with one that is away the gateway listens meanwhile. */
  async function startRunner (): Promise<void> {
    const contact = core.connect(() => lifecycle.state === 'starting').then(() => {
      if (!lifecycle.becomeReady()) return
      runner.start()
      book.warmUp()
      log.info({ version, url: doors.url, replica: core.replica }, 'ready')
    })
    if (redisUrl === null) await contact
  }

  // Started from the first to the last, stopped from the last to the first.
  const steps: readonly Step[] = [
    {
      name: 'ledger',
      start: starting('the first contact with the store, or its trouble for a second', core.meet),
      stop: { waitsFor: 'connections to the store to end', limitMs: endings.ledgerMs, run: ledger.close }
    },
    {
      name: 'sandbox',
      start: starting('its listener', doors.openSandbox),
      stop: { waitsFor: 'its last answers', limitMs: endings.sandboxMs, run: doors.closeSandbox }
    },
    ...media === null ? [] : [{ name: 'stored files', start: atOnce(media.start), stop: { waitsFor: 'connections to where files come from to end', limitMs: endings.upstreamMs, run: media.close } }],
    { name: 'files for answers', stop: { waitsFor: 'connections to where files come from to end', limitMs: endings.upstreamMs, run: reader.close } },
    { name: 'keys of webhooks', start: atOnce(webhooks.start), stop: atOnce(webhooks.stop) },
    { name: 'upstream', stop: { waitsFor: 'connections to fal to end', limitMs: endings.upstreamMs, run: async () => { await Promise.all([core.upstreams.close(), deadLinks.close(), sent.close()]) } } },
    {
      name: 'listeners',
      start: starting('the ports', doors.open),
      stop: { waitsFor: 'the last answers', limitMs: endings.listenersMs, run: doors.close }
    },
    // Streams would keep the listeners from closing.
    { name: 'readers', stop: atOnce(core.endReaders) },
    { name: 'runner', start: starting('the store that is in this process', startRunner), stop: drain.runner },
    { name: 'callers', stop: drain.callers },
    { name: 'tenants file', start: atOnce(tenants.start), stop: atOnce(tenants.stop) },
    { name: 'certificate', start: atOnce(certificate.start), stop: atOnce(certificate.stop) },
    { name: 'access to Redis', start: atOnce(redisAccess.start), stop: atOnce(redisAccess.stop) },
    { name: 'models', start: atOnce(book.start), stop: atOnce(book.stop) },
    ...drift === null ? [] : [{ name: 'model check', start: atOnce(drift.start), stop: { waitsFor: 'a document of fal to be let go', limitMs: endings.upstreamMs, run: drift.stop } }],
    { name: 'balancers', stop: drain.balancers }
  ]
  await lifecycle.start(steps)

  async function reload (): Promise<void> {
    await book.reload()
    await tenants.reload()
    await keys.reload(log)
    await certificate.reload()
    await redisAccess.reload()
    await media?.reload()
    await webhooks.reload()
    // An operator who asks for this has a new key, or has paid.
    await breakers.tryAgain()
  }

  async function close ({ isHurried = false } = {}): Promise<void> {
    if (isHurried) drain.hurry()
    await lifecycle.stop()
  }

  return { log, censor: text => withoutSecrets(text, keys.secrets()), url: doors.url, sandboxControl: doors.sandboxControl, reload, close }
}

/** Where an upstream that is not fal itself has its files: they are fetched from there, wherever that is. */
function ownBasesOf ({ falQueueUrl }: Config, { sandboxFilesBase, sandboxFilesHere }: Doors): readonly OwnBase[] {
  if (sandboxFilesBase !== null) return [{ told: sandboxFilesBase, reached: sandboxFilesHere }]
  if (falQueueUrl === null || falQueueUrl === settings.fal.queueUrl.fallback) return []
  const { origin } = new URL(falQueueUrl)
  return [{ told: origin, reached: origin }]
}

/** What lasts, such as a store that is unfit or another account's, was told when it was found. */
function untoldTrouble (tell: OnTrouble): OnTrouble {
  return (operation, error) => {
    if (!(error instanceof Problem && entryOf(error.code).isLasting === true)) tell(operation, error)
  }
}
