// `/healthz`, `/readyz` and `/metrics`: what orchestrators and Prometheus ask. On the public port the state is a bare word.

import { promisify } from 'node:util'
import { gzip as gzipWithCallback } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import type { Metrics } from '../metrics.ts'
import type { StoreKind } from '../settings.ts'
import type { StoreFault } from '../store-faults.ts'
import { answerHeaders } from './headers.ts'

const gzip = promisify(gzipWithCallback)

/** The state of a process as its operators see it. */
export interface Readiness {
  /** `starting` until the store was reached once; `draining` after a signal to stop. */
  readonly state: 'ready' | 'starting' | 'draining'
  readonly store: 'up' | 'down'
  /** Where everything is kept: in this process, in a folder, or in Redis. */
  readonly store_kind: StoreKind
  /** What is wrong with the Redis of the ledger, when it was last reached, or with its disk. */
  readonly store_faults: readonly StoreFault[]
  /** The operator's names of the accounts at fal that are bought with. */
  readonly accounts: readonly string[]
  /** The worst that holds of the upstream's breakers. */
  readonly upstream: string
  /** Those that are not ok: of an account (`*` for the ledger's first, which is the only one of most), of a tenant or a model; without a time of the next try where an operator has to open it. Times are RFC 3339, on the ledger's clock. */
  readonly breakers: readonly { readonly scope: string, readonly account?: string, readonly state: string, readonly since: string, readonly retry_at: string | null }[]
}

export interface OpsDeps {
  readonly metrics: Metrics
  readonly readiness: () => Readiness
  /** With details: on a port of its own. Without: where strangers can ask. */
  readonly details: boolean
}

export function opsRoutes (app: FastifyInstance, { metrics, readiness, details }: OpsDeps): void {
  const hidden = { schema: { hide: true }, config: { isProbe: true } }

  app.get('/healthz', hidden, async () => 'ok')

  app.get('/readyz', hidden, async (_request, reply) => {
    const now = readiness()
    reply.code(now.state === 'ready' ? 200 : 503)
    if (now.state !== 'ready') reply.header(answerHeaders.retryAfter, '1')
    return details ? now : now.state
  })

  app.get('/metrics', hidden, async (request, reply) => {
    const text = await metrics.render()
    reply.type(metrics.contentType).header('vary', 'accept-encoding')
    // Of many tenants it is long, and names repeat.
    return takesGzip(request.headers['accept-encoding']) ? reply.header('content-encoding', 'gzip').send(await gzip(text)) : text
  })
}

/** Does an `Accept-Encoding` (RFC 9110) name gzip, and not with a weight of 0? */
export function takesGzip (header: string | string[] | undefined): boolean {
  return String(header ?? '').split(',').some(coding => {
    const [name = '', ...parameters] = coding.split(';').map(part => part.trim().toLowerCase())
    return (name === 'gzip' || name === 'x-gzip') && !parameters.some(parameter => /^q\s*=\s*0(\.0*)?$/.test(parameter))
  })
}
