// What OpenAI's clients are told of problems: their shape of an error, with statuses and headers by which none of them repeats what must not be repeated.
//
// Measured with the clients for Python 3.57, Node 7.59 and 6.49, Go 3.99 and Java 4.101: each sends a request up to three times after 408, 409, 429 and every status from
// 500 on, within a second and a half; `x-should-retry: false` keeps all of them from it. Node does not heed a `Retry-After` above a minute and sends after half a second; Java waits for
// eight seconds at most.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { entryOf, problems, type FieldFault, type Problem, type ProblemCode } from '../../errors.ts'
import { answerHeaders } from '../headers.ts'
import { tellProblem } from '../problem.ts'

/** OpenAI's form of an error. */
export interface OpenAiError {
  readonly error: { readonly message: string, readonly type: string, readonly param: string | null, readonly code: string }
}

/** The longest pause that clients heed. */
const MAX_PAUSE_SECONDS = 60

/** Statuses that would be misunderstood: a 409 is repeated, and a body that does not fit is a 400 there. */
const otherStatus: Readonly<Record<number, number>> = { 409: 400, 422: 400 }

const types: Readonly<Record<number, string>> = { 401: 'authentication_error', 402: 'insufficient_quota', 403: 'permission_error', 429: 'rate_limit_error' }

/** Codes for which OpenAI has words that programs know. */
const words: { readonly [Code in ProblemCode]?: string } = {
  'model-unknown': 'model_not_found',
  'key-missing': 'invalid_api_key',
  'key-unknown': 'invalid_api_key',
  'rate-limited': 'rate_limit_exceeded',
  'budget-exhausted': 'insufficient_quota'
}

/** The error handler of OpenAI's door. */
export function sendOpenAiProblem (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const problem = tellProblem(error, request, reply)
  const { again } = entryOf(problem.code)
  if (again === 'yes' || again === 'collect') capPause(reply)
  else reply.header(answerHeaders.shouldRetry, 'false').removeHeader(answerHeaders.retryAfter)
  sendOpenAi(reply.code(statusOf(problem)), JSON.stringify(openAiErrorOf(problem)))
}

/** Sends JSON text. */
export function sendOpenAi (reply: FastifyReply, json: string): FastifyReply {
  return reply.header(answerHeaders.processingMs, Math.round(reply.elapsedTime)).type('application/json').send(json)
}

export function openAiErrorOf (problem: Problem): OpenAiError {
  const { code, facts: { errors = [] } } = problem
  const status = statusOf(problem)
  return {
    error: {
      message: messageOf(problem),
      type: types[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error'),
      param: code === 'model-unknown' ? 'model' : errors[0] === undefined ? null : paramOf(errors[0]),
      code: words[code] ?? code.replaceAll('-', '_')
    }
  }
}

/** Is this the address of OpenAI's door? */
export function isOpenAiAddress (url: string): boolean {
  return /^\/v1(?:[/?]|$)/.test(url)
}

function statusOf ({ status }: Problem): number {
  return otherStatus[status] ?? status
}

/** Both headers, as each client heeds another one. */
function capPause (reply: FastifyReply): void {
  const said = Number(reply.getHeader(answerHeaders.retryAfter))
  if (!Number.isFinite(said) || said <= 0) return
  const seconds = Math.min(MAX_PAUSE_SECONDS, said)
  reply.header(answerHeaders.retryAfter, String(seconds)).header(answerHeaders.retryAfterMs, String(seconds * 1000))
}

function messageOf ({ code, facts: { detail, errors = [] } }: Problem): string {
  const { title } = problems[code]
  if (errors.length > 0) return `${title}. ${errors.map(sayFault).join('; ')}`
  return detail === undefined ? title : `${title}. ${detail}`
}

function sayFault (fault: FieldFault): string {
  const name = paramOf(fault) ?? 'body'
  return /^[a-z]/.test(fault.message) ? `${name} ${fault.message}` : `${name}: ${fault.message}`
}

/** A JSON pointer as OpenAI names parameters: `image_size.width`. */
function paramOf ({ path }: FieldFault): string | null {
  return path === '' ? null : path.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
}
