// One delivery that is due: whether its host may still be called, its body, its signature, one try, and what becomes of it.

import type { DeliverHook, DueHook, HookOutcome } from '../generation/hooks.ts'
import type { Tenant, TenantBook } from '../tenants/book.ts'
import { wayOf } from '../tenants/webhooks.ts'
import { falSignatureHeaders, type SigningKey } from './fal-signature.ts'
import { pauseAfter } from './pauses.ts'
import type { Send, Sent } from './send.ts'
import { standardHeaders } from './standard.ts'

export interface DeliverDeps {
  /** The tenants in force now: a host that was taken from one is not called any more. */
  readonly tenants: () => Pick<TenantBook, 'tenants'>
  /** A tenant's secrets as they are now; `null`: it has none that can be read. */
  readonly secretsOf: (tenant: Tenant) => Promise<readonly Buffer[] | null>
  /** The key that signs in fal's form; `null`: there is none. */
  readonly signingKey: () => SigningKey | null
  readonly bodyOf: (hook: DueHook) => Buffer
  readonly send: Send
  /** Told of each try, and of what is given up without one. */
  readonly onTried: (hook: DueHook, outcome: HookOutcome) => void
  readonly now: () => number
  /** The pauses between tries; about two hours in all by default. */
  readonly pausesMs?: readonly number[] | undefined
}

export function createDeliver ({ tenants, secretsOf, signingKey, bodyOf, send, onTried, now, pausesMs }: DeliverDeps): DeliverHook {
  async function attempt (hook: DueHook, stopped: AbortSignal): Promise<Sent> {
    const tenant = tenants().tenants.get(hook.tenant)
    if (tenant === undefined) return { kind: 'refused', why: 'no-such-tenant' }
    const address = new URL(hook.url)
    const way = wayOf(address, tenant.webhooks.hosts)
    if (way === null) return { kind: 'refused', why: 'host-not-listed' }
    const body = bodyOf(hook)
    const headers = await signed(hook, tenant, body)
    // An operator can bring it back.
    return headers === null ? { kind: 'failed', why: 'no-secret', retryAfterMs: null } : await send({ address, way, headers, body }, stopped)
  }

  async function signed (hook: DueHook, tenant: Tenant, body: Buffer): Promise<Readonly<Record<string, string>> | null> {
    const atMs = now()
    if (hook.form === 'fal') {
      const key = signingKey()
      return key === null ? null : falSignatureHeaders({ requestId: hook.generation, userId: tenant.id, atMs, body }, key)
    }
    const secrets = await secretsOf(tenant)
    return secrets === null ? null : standardHeaders({ id: messageId(hook), atMs, body }, secrets)
  }

  return async (hook, stopped) => {
    const sent = await attempt(hook, stopped)
    if (sent.kind !== 'taken' && stopped.aborted) return null
    const outcome = outcomeOf(sent, hook.tries, pausesMs)
    onTried(hook, outcome)
    return outcome
  }
}

/** The same for each try of one event. */
export function messageId ({ id, event }: Pick<DueHook, 'id' | 'event'>): string {
  return `${id}_${event}`
}

function outcomeOf (sent: Sent, failedBefore: number, pausesMs?: readonly number[]): HookOutcome {
  if (sent.kind === 'taken') return { kind: 'delivered' }
  const pauseMs = sent.kind === 'refused' ? null : pauseAfter(failedBefore, sent.retryAfterMs, pausesMs)
  return pauseMs === null ? { kind: 'given-up', error: sent.why } : { kind: 'again', pauseMs, error: sent.why }
}
