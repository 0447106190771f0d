// One line for each request, and its metrics, when its connection is done with it.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { LineLog } from '../logger.ts'
import type { Metrics } from '../metrics.ts'
import { formatUsd } from '../money.ts'
import { traceFacts } from '../trace-context.ts'
import { CALLER_GONE } from './answer.ts'

/** Callers' mistakes are information, ours are errors; what was served is information, too. */
export function logRequest (request: FastifyRequest, reply: FastifyReply, isDelivered: boolean, log: LineLog, metrics: Metrics): void {
  const { facts } = request
  const { route } = facts
  const method = request.is404 ? 'other' : request.method // strangers choose methods, and each label is kept
  const durationMs = reply.elapsedTime
  // Before anything was written the code of the answer is only Fastify's default.
  const statusCode = isDelivered || reply.raw.headersSent ? reply.statusCode : CALLER_GONE
  metrics.httpDuration(route, method, statusCode, durationMs / 1000)
  if (facts.code !== null) metrics.refused(facts.caller?.tenant.id ?? '', facts.code)

  if (facts.config.isProbe === true && statusCode !== 500) return

  const line = {
    request_id: request.id,
    method: request.method,
    route,
    status: statusCode,
    // The answer did not reach its caller, or not as a whole.
    aborted: isDelivered ? undefined : true,
    code: facts.code ?? undefined,
    // Which page it was, for the operator who is asked to list it.
    origin: facts.code === 'origin-not-allowed' ? request.headers.origin?.slice(0, 200) : undefined,
    tenant: facts.caller?.tenant.id,
    key_id: facts.caller?.keyId,
    token_id: facts.caller?.token?.id,
    subject: facts.caller?.token?.label ?? undefined,
    ignored: facts.ignored.length === 0 ? undefined : facts.ignored,
    dry_run: facts.isDryRun ? true : undefined,
    source: facts.source ?? undefined,
    generation_id: facts.generationId ?? undefined,
    cost_usd: facts.cost === null ? undefined : formatUsd(facts.cost),
    saved_usd: facts.saved === null ? undefined : formatUsd(facts.saved),
    duration_ms: Math.round(durationMs * 10) / 10,
    prompt: facts.prompt?.prompt,
    prompt_sha256: facts.prompt?.prompt_sha256,
    prompt_characters: facts.prompt?.prompt_characters,
    err: facts.cause
  }
  if (facts.trace !== null) Object.assign(line, traceFacts(facts.trace))
  if (statusCode === 500) log.error(line, 'request')
  else log.info(line, 'request')
}
