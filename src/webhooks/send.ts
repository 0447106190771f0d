// One try of a webhook: a POST on a connection of its own, bounded in time and in what is read of the answer.

import { Client, type buildConnector } from 'undici'
import { PRIVATE_ADDRESS } from '../public-address.ts'
import type { WayOfWebhook } from '../tenants/webhooks.ts'
import { retryAfterMsIn } from './pauses.ts'

/** What came of a try. `refused`: the receiver wants no more of it. `why` is a word for logs, and holds nothing of the address or of the answer. */
export type Sent = { readonly kind: 'taken' } | { readonly kind: 'refused', readonly why: string } | { readonly kind: 'failed', readonly why: string, readonly retryAfterMs: number | null }

export interface SendDeps {
  /** What makes connections, by the way that the list of hosts names. */
  readonly connect: Readonly<Record<WayOfWebhook, buildConnector.connector>>
  /** The time that one try has, 15 seconds by default. */
  readonly timeoutMs?: number
}

export interface Outgoing {
  readonly address: URL
  readonly way: WayOfWebhook
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** Sends once. Never rejects. When the signal fires the try has failed. */
export type Send = (outgoing: Outgoing, signal: AbortSignal) => Promise<Sent>

const TRY_MS = 15_000
/** Of an answer that nobody reads. A short one is read to its end, so that the receiver sees no broken connection. */
const MAX_ANSWER_BYTES = 65_536
const ANSWER_MS = 1000

/** Each try has a connection of its own: it goes to an address that was looked at for it, and nothing is kept open between tries. */
export function createSend ({ connect, timeoutMs = TRY_MS }: SendDeps): Send {
  return async ({ address, way, headers, body }, leaving) => {
    const overdue = AbortSignal.timeout(timeoutMs)
    const signal = AbortSignal.any([leaving, overdue])
    const client = new Client(address.origin, { connect: connect[way], pipelining: 0 })
    try {
      const answer = await client.request({
        path: address.pathname + address.search,
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json', 'user-agent': 'falgate' },
        body,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal
      })
      await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]) }).catch(() => {}) // the status says all
      return outcomeOf(answer.statusCode, retryAfterMsIn(answer.headers['retry-after'], Date.now()))
    } catch (error) {
      return { kind: 'failed', why: leaving.aborted ? 'stopped' : overdue.aborted ? 'timeout' : wordOf(error), retryAfterMs: null }
    } finally {
      client.destroy().catch(() => {}) // nothing is under way on it
    }
  }
}

function outcomeOf (status: number, retryAfterMs: number | null): Sent {
  if (status >= 200 && status < 300) return { kind: 'taken' }
  // Standard Webhooks: the receiver is not there any more.
  if (status === 410) return { kind: 'refused', why: 'http-410' }
  return { kind: 'failed', why: `http-${status}`, retryAfterMs: status === 429 || status === 503 ? retryAfterMs : null }
}

/** By its code: messages of errors hold addresses. */
function wordOf (error: unknown): string {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'UNNAMED'
  return code === PRIVATE_ADDRESS ? 'private-address' : code
}
