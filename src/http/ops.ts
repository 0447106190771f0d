// `/healthz`, `/readyz` and `/metrics`: what orchestrators and Prometheus ask. On the public port the state is a bare word.

import type { FastifyInstance } from 'fastify'
import type { Metrics } from '../metrics.ts'
import type { StoreFault } from '../store-faults.ts'
import { answerHeaders } from './headers.ts'

/** The state of a process as its operators see it. */
export interface Readiness {
  /** `starting` until the store was reached once; `draining` after a signal to stop. */
  readonly state: 'ready' | 'starting' | 'draining'
  readonly store: 'up' | 'down'
  /** What is wrong with the Redis of the ledger, when it was last reached. */
  readonly store_faults: readonly StoreFault[]
  /** The worst that holds of the upstream's breakers. */
  readonly upstream: string
  /** Those that are not ok: `*` for the account, or a model; without a time of the next try where an operator has to open it. Times are RFC 3339, on the ledger's clock. */
  readonly breakers: readonly { readonly scope: string, readonly state: string, readonly since: string, readonly retry_at: string | null }[]
}

export interface OpsDeps {
  readonly metrics: Metrics
  readonly readiness: () => Readiness
  /** With details: on a port of its own. Without: where strangers can ask. */
  readonly details: boolean
}

export function opsRoutes (app: FastifyInstance, { metrics, readiness, details }: OpsDeps): void {
  const hidden = { schema: { hide: true } }

  app.get('/healthz', hidden, async () => 'ok')

  app.get('/readyz', hidden, async (_request, reply) => {
    const now = readiness()
    reply.code(now.state === 'ready' ? 200 : 503)
    if (now.state !== 'ready') reply.header(answerHeaders.retryAfter, '1')
    return details ? now : now.state
  })

  app.get('/metrics', hidden, async (_request, reply) => {
    return reply.type(metrics.contentType).send(await metrics.render())
  })
}
