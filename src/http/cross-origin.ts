// Which web pages may use a tenant's key: CORS by the tenants' `origins`. An origin is a fence, not a lock, because other programs can say what they like.

import cors from '@fastify/cors'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { falAnswerHeaders, falHeaders } from '../fal-wire/headers.ts'
import type { TenantBook } from '../tenants/book.ts'
import { matchesOrigin } from '../tenants/origins.ts'
import { answerHeaders, requestHeaders } from './headers.ts'
import { callerOf } from './request-facts.ts'

const sent = [
  'authorization', 'content-type', 'traceparent', 'tracestate', ...Object.values(requestHeaders),
  // What fal's JavaScript client sends from a page, also where it is refused or left out: the answer says so better than the browser.
  falHeaders.targetUrl, falHeaders.queuePriority, falHeaders.startTimeout, falHeaders.startTimeoutOld, falHeaders.runnerHint, falHeaders.objectLifecycle, falHeaders.storeIo,
  // What OpenAI's clients send, where they run in a page.
  'openai-organization', 'openai-project', ...['lang', 'package-version', 'os', 'arch', 'runtime', 'runtime-version', 'timeout', 'read-timeout', 'async', 'helper-method'].map(name => `x-stainless-${name}`)
]

/** What scripts may read besides the few headers that they always may. */
const read = [...Object.values(answerHeaders), ...falAnswerHeaders]

/** A preflight has no key yet, so it is answered for every origin that some tenant lists. Has to be registered before authentication. */
export async function answerPreflights (scope: FastifyInstance, tenants: () => TenantBook): Promise<void> {
  // The plugin would leave it to authentication, which a preflight never passes: the page would not learn why.
  scope.addHook('onRequest', (request, _reply, done) => {
    const { origin } = request.headers
    const isPreflight = request.method === 'OPTIONS' && origin !== undefined && request.headers['access-control-request-method'] !== undefined
    done(isPreflight && !isListed(tenants(), origin) ? new Problem('origin-not-allowed', { detail: `No tenant lists ${quoted(origin)} in its origins, so that browsers keep the pages of that origin from calling.` }) : undefined)
  })
  await scope.register(cors, {
    origin: (origin, done) => { done(null, origin !== undefined && isListed(tenants(), origin)) },
    methods: ['GET', 'POST', 'PUT', 'DELETE'],
    allowedHeaders: sent,
    exposedHeaders: read,
    maxAge: 600,
    hideOptionsRoute: true
  })
}

function isListed (book: TenantBook, origin: string): boolean {
  for (const { origins } of book.tenants.values()) if (origins.some(listed => matchesOrigin(listed, origin))) return true
  return false
}

/** An origin as browsers write it is short and plain; anybody else may have sent anything. */
function quoted (origin: string): string {
  return JSON.stringify(origin.slice(0, 200))
}

/** Lets a page of a listed origin read an answer that is given before the plugin has seen the request. */
export function letPageRead (request: FastifyRequest, reply: FastifyReply, tenants: TenantBook): void {
  const { origin } = request.headers
  reply.header('vary', 'Origin')
  if (origin === undefined || !isListed(tenants, origin)) return
  reply.header('access-control-allow-origin', origin)
  reply.header('access-control-expose-headers', read.join(', '))
}

/** A tenant that lists origins is used from those, from the gateway's own pages, and by programs that name none. */
export function foreignOriginRefuser (publicUrl: string | null): (request: FastifyRequest) => void {
  const publicOrigin = publicUrl === null ? null : new URL(publicUrl).origin

  return request => {
    const { origin } = request.headers
    if (origin === undefined) return
    const { tenant, token } = callerOf(request)
    const isOfTenant = isIn(tenant.origins, origin)
    if (isOfTenant && (token === null || isIn(token.origins, origin))) return
    if (origin === publicOrigin || origin === `${request.protocol}://${request.host}`) return
    throw new Problem('origin-not-allowed', { detail: isOfTenant ? `This token was not given out for pages of ${quoted(origin)}.` : `The tenant of this key does not list ${quoted(origin)} in its origins.` })
  }
}

/** A list without origins names none that it keeps out. */
function isIn (origins: readonly string[], origin: string): boolean {
  return origins.length === 0 || origins.some(listed => matchesOrigin(listed, origin))
}
