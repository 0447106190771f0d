// Servers and listeners: the public one with the native routes, fal's and the sandbox, and the operators'.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Server as TlsServer } from 'node:tls'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Breaker } from '../generation/breaker-state.ts'
import type { DueHook } from '../generation/hooks.ts'
import type { MediaLinks, ReadFile, StoredFiles } from '../generation/media.ts'
import type { SentFiles } from '../generation/sent-file.ts'
import type { Addresses } from '../generation/served-output.ts'
import { createFalHosts, trustIn } from '../http/fal/hosts.ts'
import { createPrefixOf } from '../http/forwarded-prefix.ts'
import { createBaseUrl } from '../http/base-url.ts'
import { createHookBodies } from '../http/hook-bodies.ts'
import { foreignHostRefuser } from '../http/foreign-host.ts'
import { createKnownBodies } from '../http/known-bodies.ts'
import type { Readiness } from '../http/ops.ts'
import { buildOpsServer, buildServer } from '../http/server.ts'
import { describePrompt, type LineLog } from '../logger.ts'
import type { Metrics } from '../metrics.ts'
import type { ModelBook } from '../models/models.ts'
import { fieldsOf } from '../models/price-bound.ts'
import { listenToSandbox } from '../sandbox/listen.ts'
import { createSandbox } from '../sandbox/plugin.ts'
import { DEMO_KEY, DEMO_KEY_ID, type TenantBook } from '../tenants/book.ts'
import type { Tracing } from '../tracing.ts'
import { closeServer } from './close-server.ts'
import type { CertificatePair } from './files.ts'
import type { Core } from './core.ts'
import type { ProcessState } from './lifecycle.ts'
import type { OnTrouble } from '../trouble.ts'
import { accountNameIn, type UpstreamAccount } from '../upstream-account.ts'

export interface DoorsOptions {
  readonly config: Config
  /** What is on offer now. */
  readonly models: () => ModelBook
  readonly version: string
  readonly log: Logger
  readonly requestLog: LineLog
  readonly metrics: Metrics
  readonly tracing: Tracing
  readonly tenants: () => TenantBook
  /** The accounts at fal that are bought with now. */
  readonly accounts: () => readonly UpstreamAccount[]
  readonly state: () => ProcessState
  readonly core: Core
  readonly onTrouble: OnTrouble
  /** The files of results, where they are kept. */
  readonly media: StoredFiles | null
  /** Reads the files of outputs that are sent inside answers. */
  readonly readFile: ReadFile
  /** Takes the files that callers send. */
  readonly sentFiles: SentFiles
  /** The public keys of what signs webhooks of fal's form, asked for each request. */
  readonly publicKeys: () => readonly object[]
  /** What the gateway shows the sandbox in this process, where there is one. */
  readonly sandboxKey: string
}

/** The way to the switches of the sandbox in this process. */
export interface SandboxControl {
  readonly url: string
  readonly key: string
}

export interface Doors {
  /** Where callers reach the gateway, once it listens. */
  readonly url: string
  /** Base of the queue of the sandbox here, once it can be reached. */
  readonly sandboxQueueUrl: string
  /** What the addresses of its files begin with as it makes them; `null`: there is none. */
  readonly sandboxFilesBase: string | null
  /** Where this process finds them. */
  readonly sandboxFilesHere: string
  /** Where faults of the sandbox are set, and the key for it; `null` where nobody may. */
  readonly sandboxControl: SandboxControl | null
  /** What a webhook tells. */
  readonly hookBody: (hook: DueHook) => Buffer
  /** The sandbox on a listener of its own, where it needs one. */
  readonly openSandbox: () => Promise<void>
  readonly closeSandbox: () => Promise<void>
  /** Callers that connect from now on are shown this certificate. */
  readonly showCertificate: (pair: CertificatePair) => void
  /** Listens for callers and for operators. */
  readonly open: () => Promise<void>
  /** Also after `open` failed halfway. */
  readonly close: () => Promise<void>
}

type Closing = Parameters<typeof closeServer>[0]

export function createDoors ({ config, models, version, log, requestLog, metrics, tracing, tenants, state, core, onTrouble, accounts, media, readFile, sentFiles, publicKeys, sandboxKey }: DoorsOptions): Doors {
  const { ledger, breakers, follow, presence, requests } = core
  // Its port is also open to tenants and to strangers: with any key, the id of a job would be enough to read its result.
  const controlKey = config.sandboxControl ? randomBytes(24).toString('base64url') : null
  const sandbox = config.falQueueUrl === null ? createSandbox(models, { keys: [sandboxKey], controlKey, log: (facts, message) => { log.debug(facts, message) }, ...(config.publicUrl === null ? {} : { publicUrl: `${config.publicUrl}/sandbox` }) }) : null
  // Behind TLS the sandbox has a plain listener, since nobody vouches here for the certificate.
  const isMounted = config.tls === null
  const addressesAt = addressesAtOf(sandbox !== null, media?.links ?? null)
  const built: Closing[] = []
  let sandboxServer: Closing | null = null
  let publicServer: object | null = null
  let url = ''
  let sandboxUrl = ''

  const readiness = (): Readiness => ({ state: state(), ...core.health(), accounts: accounts().map(({ name }) => name), upstream: breakers.state, breakers: breakers.tripped.map(breakerFacts) })

  async function openSandbox (): Promise<void> {
    if (sandbox === null || isMounted) return
    const listening = await listenToSandbox(sandbox, log, { host: '127.0.0.1', port: 0 })
    sandboxServer = listening.server
    sandboxUrl = urlOf(listening.url)
  }

  async function open (): Promise<void> {
    const trust = trustIn(config.trustProxy)
    const falHosts = createFalHosts(config.falHosts ?? [], { trust, publicUrl: config.publicUrl })
    // PUBLIC_URL says all of it.
    const prefixOf = createPrefixOf(config.publicUrl === null ? trust : false)
    const baseUrl = createBaseUrl({ publicUrl: config.publicUrl, falHosts, prefixOf })
    const basePath = (request: Parameters<typeof prefixOf>[0]): string => config.publicUrl ?? prefixOf(request)
    const takesDemoKey = config.tenantsFile === null && tenants().find(DEMO_KEY_ID) !== undefined
    const server = await buildServer({
      log,
      requestLog,
      metrics,
      tracing,
      models,
      tenants,
      version,
      readiness,
      isDraining: () => state() === 'draining',
      opsHere: config.opsPort === null,
      trust,
      falHosts,
      baseUrl,
      prefixOf,
      keepAliveMs: config.keepAliveMs,
      demoKey: takesDemoKey ? DEMO_KEY : null,
      refuseHost: takesDemoKey ? foreignHostRefuser(namesOf(config)) : null,
      tls: config.tls === null ? null : { cert: readFileSync(config.tls.certFile), key: readFileSync(config.tls.keyFile) },
      // Its files are for everybody; behind TLS only the gateway itself reaches the rest.
      sandbox: (isMounted ? sandbox?.plugin : sandbox?.files) ?? null,
      fileAddresses: addressesAt === null ? null : request => addressesAt(baseUrl(request)),
      storedFiles: media,
      readFile,
      sentFiles,
      publicKeys,
      requests,
      ledger,
      follow,
      events: config.events,
      presence,
      waitMs: config.waitMs,
      publicUrl: config.publicUrl,
      addresses: { generation: (request, id) => `${basePath(request)}/generations/${id}`, model: (request, endpointId) => `${basePath(request)}/models/${endpointId}` },
      describePrompt: prompt => describePrompt(prompt, config.logPrompts),
      knownBodies: createKnownBodies(),
      pricedFields: model => fieldsOf(tenants().ruleOf(model)),
      onTrouble
    })
    built.push(server)
    publicServer = server.server
    const opsServer = config.opsPort === null ? null : await buildOpsServer({ log, metrics, readiness, keepAliveMs: config.keepAliveMs })
    if (opsServer !== null) built.push(opsServer)
    url = await server.listen({ host: config.host, port: config.port })
    if (isMounted) sandboxUrl = urlOf(`${url}/sandbox`)
    await opsServer?.listen({ host: config.host, port: config.opsPort ?? 0 })
  }

  return {
    get url () { return url },
    get sandboxControl () { return controlKey === null ? null : { url: `${sandboxUrl}/control`, key: controlKey } },
    get sandboxQueueUrl () { return `${sandboxUrl}/queue` },
    get sandboxFilesBase () { return sandbox === null ? null : config.publicUrl === null ? sandboxUrl : `${config.publicUrl}/sandbox` },
    get sandboxFilesHere () { return sandboxUrl },
    hookBody: createHookBodies({ addressesAt, now: Date.now }),
    openSandbox,
    showCertificate: pair => { if (publicServer instanceof TlsServer) publicServer.setSecureContext({ ...pair }) },
    closeSandbox: async () => { if (sandboxServer !== null) await closeServer(sandboxServer) },
    open,
    close: async () => { await Promise.all(built.map(closeServer)) }
  }
}

/** What is put into outputs for who reaches the gateway at a base; `null`: nothing. */
function addressesAtOf (hasSandbox: boolean, links: MediaLinks | null): ((base: string) => Addresses) | null {
  if (!hasSandbox && links === null) return null
  return base => ({
    base: hasSandbox ? `${base}/sandbox` : null,
    linkOf: links === null ? null : file => base + links.pathOf(file),
    stamp: links === null ? base : `${base} ${links.period()}`
  })
}

/** An address as requests to it name it: without the usual port. */
function urlOf (address: string): string {
  return new URL(address).href.replace(/\/$/, '')
}

/** Host names that were given to the gateway. */
function namesOf ({ publicUrl, falHosts }: Config): readonly string[] {
  return [...publicUrl === null ? [] : [new URL(publicUrl).hostname], ...(falHosts ?? []).flatMap(name => [name, `queue.${name}`])]
}

/** A breaker that is not ok, as operators read it. */
function breakerFacts ({ scope, account, state, sinceMs, retryAtMs }: Breaker): Readiness['breakers'][number] {
  return { scope, ...(account === null ? {} : { account: accountNameIn(account) }), state, since: new Date(sinceMs).toISOString(), retry_at: state === 'price-unsure' ? null : new Date(retryAtMs).toISOString() }
}
