// One line for each request, and its metrics.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { isProblemCode } from '../errors.ts'
import type { Metrics } from '../metrics.ts'
import { formatUsd } from '../money.ts'
import { traceIdOf } from './request-facts.ts'

/** Callers' mistakes are information, ours are errors; what was served is information, too. */
export function logRequest (request: FastifyRequest, reply: FastifyReply, log: Logger, metrics: Metrics): void {
  const { facts } = request
  const route = request.routeOptions.url ?? 'none'
  const { statusCode } = reply
  const durationMs = reply.elapsedTime
  metrics.httpDuration(route, request.method, statusCode, durationMs / 1000)
  if (facts.code !== null && isProblemCode(facts.code)) metrics.refused(facts.caller?.tenant.id ?? '', facts.code)

  const line = {
    request_id: request.id,
    trace_id: traceIdOf(request.headers['traceparent']),
    method: request.method,
    route,
    status: statusCode,
    code: facts.code ?? undefined,
    tenant: facts.caller?.tenant.id,
    key_id: facts.caller?.keyId,
    source: facts.source ?? undefined,
    generation_id: facts.generationId ?? undefined,
    cost_usd: facts.cost === null ? undefined : formatUsd(facts.cost),
    duration_ms: Math.round(durationMs * 10) / 10,
    ...facts.prompt,
    err: facts.cause
  }
  if (statusCode === 500) log.error(line, 'request')
  else log.info(line, 'request')
}
