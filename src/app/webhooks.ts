// Webhooks: what signs and sends them, and the keys that receivers are shown.

import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { DeliverHook, DueHook, HookOutcome } from '../generation/hooks.ts'
import type { Metrics } from '../metrics.ts'
import { lookUpPublic } from '../public-address.ts'
import type { Tenant, TenantBook } from '../tenants/book.ts'
import { readWebhookSecrets } from '../tenants/webhooks.ts'
import { createConnector } from '../upstream/way.ts'
import { looksOf } from '../watched.ts'
import { createDeliver } from '../webhooks/deliver.ts'
import type { PublicJwk } from '../webhooks/fal-signature.ts'
import { createSend } from '../webhooks/send.ts'
import { followFiles } from './files.ts'
import { readSigningKeys, trialKeys } from './webhook-keys.ts'

export interface Webhooks {
  readonly deliver: DeliverHook
  /** The public keys of what signs in fal's form, the one that signs now first; none: nothing does. */
  readonly publicKeys: () => readonly PublicJwk[]
  /** Follows the file of keys, where there is one. */
  readonly start: () => void
  readonly stop: () => void
  /** Reads that file again. */
  readonly reload: () => Promise<void>
}

export interface WebhooksOptions {
  readonly config: Config
  readonly tenants: () => TenantBook
  readonly bodyOf: (hook: DueHook) => Buffer
  readonly log: Logger
  readonly metrics: Metrics
  /** The pauses between tries; about two hours in all by default. */
  readonly pausesMs?: readonly number[] | undefined
}

const CONNECT_MS = 10_000

/** Rejects with a sentence that says what is wrong with the file of keys. */
export async function openWebhooks ({ config, tenants, bodyOf, log, metrics, pausesMs }: WebhooksOptions): Promise<Webhooks> {
  const { webhookKeyFile, proxy } = config
  const read = await readSigningKeys(webhookKeyFile)
  if (!read.ok) throw new Error(read.faults.join('; '))
  let keys = webhookKeyFile === null ? trialKeys(config) : read.value

  function tellTried ({ generation, tenant, url, form, event, tries }: DueHook, outcome: HookOutcome): void {
    metrics.webhookTry(outcome.kind === 'again' ? 'failed' : outcome.kind)
    // What stands behind the host may be a secret.
    const facts = { generation_id: generation, tenant, host: new URL(url).host, form, event, tries: tries + 1 }
    if (outcome.kind === 'delivered') log.info(facts, 'webhook delivered')
    else if (outcome.kind === 'again') log.warn({ ...facts, reason: outcome.error, next_ms: outcome.pauseMs }, 'webhook not delivered, it is tried again')
    else log.error({ ...facts, reason: outcome.error }, 'webhook given up')
  }

  const followed = followFiles({ what: 'keys of webhooks', files: [webhookKeyFile], read: async () => await readSigningKeys(webhookKeyFile), take: read => { keys = read }, log })
  return {
    deliver: createDeliver({
      tenants,
      secretsOf: createSecrets(log),
      signingKey: () => keys[0] ?? null,
      bodyOf,
      send: createSend({
        connect: {
          // Through a proxy it is the proxy that looks names up, and the list of hosts alone decides.
          public: createConnector({ proxy, timeoutMs: CONNECT_MS, lookup: lookUpPublic }),
          here: createConnector({ proxy: null, timeoutMs: CONNECT_MS })
        }
      }),
      onTried: tellTried,
      now: Date.now,
      pausesMs
    }),
    publicKeys: () => keys.map(({ jwk }) => jwk),
    start: followed.start,
    stop: followed.stop,
    reload: followed.reload
  }
}

/** The secrets of tenants as their files have them now. Of a file that cannot be used any more those that it had stay in force, which is told once. */
function createSecrets (log: Pick<Logger, 'error'>): (tenant: Tenant) => Promise<readonly Buffer[] | null> {
  const known = new Map<string, { readonly looks: string, readonly secrets: readonly Buffer[] | null }>()

  async function inFile (tenant: string, file: string): Promise<readonly Buffer[] | null> {
    const before = known.get(file)
    const looks = await looksOf(file).then(({ looks }) => looks, () => 'unreadable')
    if (before?.looks === looks) return before.secrets
    const read = await readWebhookSecrets(file)
    if (!read.ok) log.error({ tenant, fault: read.fault }, 'secrets of webhooks refused, the old ones stay in force')
    const secrets = read.ok ? read.secrets : before?.secrets ?? null
    known.set(file, { looks, secrets })
    return secrets
  }

  return async ({ id, webhooks: { secrets } }) => secrets === null ? null : secrets.kind === 'published' ? secrets.secrets : await inFile(id, secrets.file)
}
