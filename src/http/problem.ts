// From whatever was thrown to `application/problem+json` (RFC 9457). Nothing else writes error bodies on native routes; those of `/fal` are written in `fal/render.ts`.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Problem, problems, type ProblemCode } from '../errors.ts'
import { RefusedByRate } from '../generation/request/problems.ts'
import { faultsOf } from '../models/faults.ts'
import { formatUsd } from '../money.ts'
import { answerHeaders } from './headers.ts'
import { addPurchaseLimit } from './rate-limit-headers.ts'

/** Fastify's own errors that a caller can cause. All others are ours. */
const fastifyErrors: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'not-json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad-request',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed-json',
  FST_ERR_BAD_URL: 'bad-request',
  FST_ERR_MAX_PARAM_LENGTH: 'uri-too-long',
  FST_ERR_ASYNC_CONSTRAINT: 'bad-request'
}

/** When to come again, where nothing better is known. */
const usualRetryAfterSeconds: Readonly<Record<number, number>> = { 429: 5, 503: 5, 504: 5 }

/** Fastify's error handler. */
export function sendProblem (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const problem = tellProblem(error, request, reply)
  reply.code(problem.status).type('application/problem+json').send(JSON.stringify(bodyOf(problem, request.id)))
}

/** Notes a failure for the log and says in headers what all doors say of it. */
export function tellProblem (error: FastifyError, request: FastifyRequest, reply: FastifyReply): Problem {
  const problem = problemOf(error)
  request.facts.code = problem.code
  request.facts.cause = problem.facts.cause
  if (problem.facts.generationId !== undefined) request.facts.generationId = problem.facts.generationId
  for (const [name, value] of Object.entries(headersOf(problem))) reply.header(name, value)
  if (problem instanceof RefusedByRate) addPurchaseLimit(reply, problem.rate)
  return problem
}

/** The public face of anything thrown: an allow-list, the rest is `internal` with the request id. */
export function problemOf (error: FastifyError | Problem): Problem {
  if (error instanceof Problem) return error
  if (error.validation !== undefined) {
    return error.validationContext === 'body'
      ? new Problem('invalid-input', { errors: faultsOf(error.validation), detail: 'See `errors` for each field.' })
      : new Problem('bad-query', { errors: faultsOf(error.validation), detail: 'See `errors` for each parameter.' })
  }
  const code = fastifyErrors[error.code] ?? (isCallersFault(error) ? 'bad-request' : 'internal')
  return code === 'internal' ? new Problem(code, { cause: error }) : new Problem(code)
}

/** Does Fastify itself lay it at the caller's door? */
function isCallersFault ({ code, statusCode }: FastifyError): boolean {
  return code?.startsWith('FST_ERR_') && statusCode !== undefined && statusCode >= 400 && statusCode < 500
}

/** The body of RFC 9457, with our members beside the standard ones. */
export function bodyOf (problem: Problem, requestId: string): Record<string, unknown> {
  const { code, status, facts } = problem
  return {
    type: `urn:falgate:problem:${code}`,
    title: problems[code].title,
    status,
    ...(facts.detail === undefined ? {} : { detail: facts.detail }),
    code,
    request_id: requestId,
    ...(facts.errors === undefined ? {} : { errors: facts.errors }),
    ...(facts.generationId === undefined ? {} : { generation_id: facts.generationId }),
    ...(facts.cost === undefined ? {} : { cost_usd: Number(formatUsd(facts.cost)) })
  }
}

function headersOf (problem: Problem): Record<string, string> {
  const { facts } = problem
  const retryAfterSeconds = facts.retryAfterSeconds ?? usualRetryAfterSeconds[problem.status]
  return {
    ...facts.headers,
    ...(problem.status === 401 ? { [answerHeaders.wwwAuthenticate]: 'Bearer realm="falgate"' } : {}),
    ...(retryAfterSeconds === undefined ? {} : { [answerHeaders.retryAfter]: String(Math.ceil(retryAfterSeconds)) }),
    ...(facts.generationId === undefined ? {} : { [answerHeaders.generation]: facts.generationId })
  }
}
