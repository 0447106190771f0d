// Which web pages may use a tenant's key: CORS by the tenants' `origins`. An origin is a fence, not a lock, because other programs can say what they like.

import cors from '@fastify/cors'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { falAnswerHeaders, falHeaders } from '../fal-wire/headers.ts'
import type { TenantBook } from '../tenants/book.ts'
import { answerHeaders, requestHeaders } from './headers.ts'
import { callerOf } from './request-facts.ts'

const sent = [
  'authorization', 'content-type', 'traceparent', ...Object.values(requestHeaders),
  // What fal's JavaScript client sends from a page, also where it is refused or left out: the answer says so better than the browser.
  falHeaders.targetUrl, falHeaders.queuePriority, falHeaders.startTimeout, falHeaders.startTimeoutOld, falHeaders.runnerHint, falHeaders.objectLifecycle, falHeaders.storeIo
]

/** What scripts may read besides the few headers that they always may. */
const read = [...Object.values(answerHeaders), ...falAnswerHeaders]

/** A preflight has no key yet, so it is answered for every origin that some tenant lists. Has to be registered before authentication. */
export async function answerPreflights (scope: FastifyInstance, tenants: () => TenantBook): Promise<void> {
  await scope.register(cors, {
    origin: (origin, done) => { done(null, origin !== undefined && isListed(tenants(), origin)) },
    methods: ['GET', 'POST', 'PUT'],
    allowedHeaders: sent,
    exposedHeaders: read,
    maxAge: 600,
    hideOptionsRoute: true
  })
}

function isListed (book: TenantBook, origin: string): boolean {
  for (const { origins } of book.tenants.values()) if (origins.includes(origin)) return true
  return false
}

/** A tenant that lists origins is used from those, from the gateway's own pages, and by programs that name none. */
export function foreignOriginRefuser (publicUrl: string | null): (request: FastifyRequest) => void {
  const publicOrigin = publicUrl === null ? null : new URL(publicUrl).origin

  return request => {
    const { origin } = request.headers
    const { origins } = callerOf(request).tenant
    if (origin === undefined || origins.length === 0 || origins.includes(origin)) return
    if (origin === publicOrigin || origin === `${request.protocol}://${request.host}`) return
    throw new Problem('origin-not-allowed')
  }
}
