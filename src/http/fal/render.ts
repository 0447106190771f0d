// What fal's clients are told: errors in fal's shapes, with statuses that make none of them repeat what must not be repeated, and the state of a request.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { entryOf, isOfLedger, problems, type FieldFault, type Problem, type ProblemCode } from '../../errors.ts'
import { missingEndpoint } from '../../fal-wire/endpoint-id.ts'
import { addressOfType, type ErrorBody, type ErrorLine } from '../../fal-wire/error-body.ts'
import { falHeaders } from '../../fal-wire/headers.ts'
import { queueWords, statusObjectOf, type QueueLog, type QueueStatus } from '../../fal-wire/status.ts'
import { unitsBilled } from '../../generation/bill.ts'
import type { Generation } from '../../generation/generation.ts'
import { hasEnded, statusOf } from '../../generation/phases.ts'
import { problemOfGeneration } from '../../generation/request/problems.ts'
import type { LogLine } from '../../generation/upstream.ts'
import type { ModelBook } from '../../models/models.ts'
import { answerHeaders } from '../headers.ts'
import { tellProblem } from '../problem.ts'

/** Statuses of which fal says that the same request may be sent again. */
const transient = new Set([429, 503])

/** The error handler of fal's doors. */
export function createFalProblems (models: () => ModelBook): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => void {
  return (error, request, reply) => {
    const problem = tellProblem(error, request, reply)
    send(problem, sentenceOf(problem, request.url), request, reply)
  }

  function sentenceOf (problem: Problem, url: string): string {
    const { code } = problem
    const faults = sentenceOfFaults(problem)
    if (faults !== null) return faults
    if (code === 'no-such-route') return missingText(url)
    // fal's own sentence, and after it which one was probably meant.
    return code === 'model-unknown' ? `${missingText(url)}. ${problem.facts.detail ?? ''}` : messageOf(problem)
  }

  function missingText (url: string): string {
    return missingEndpoint(endpointIn(url), models().all.map(({ endpointId }) => endpointId)).text
  }
}

function send (problem: Problem, message: string, request: FastifyRequest, reply: FastifyReply): void {
  const status = httpStatusOf(problem, request.method)
  const body = bodyOf(problem, message)
  if (!reply.hasHeader(falHeaders.requestId)) reply.header(falHeaders.requestId, request.id)
  if (body.error_type !== undefined) reply.header(falHeaders.errorType, body.error_type)
  if (transient.has(status)) reply.header(falHeaders.needsRetry, '1')
  const { isCallersTime = false } = entryOf(problem.code).fal ?? {}
  if (isCallersTime) reply.header(falHeaders.timeoutType, 'user')
  // A client that the status tells not to repeat the request is not told when to.
  if (!transient.has(status) && !isCallersTime) reply.removeHeader(answerHeaders.retryAfter)
  reply.code(status).type('application/json').send(JSON.stringify(body))
}

/**
 * What is asked about a request while the ledger is away gets 429. At a 503 fal's Python client gives up, and a picture that was paid for with it; at a 429 both
 * clients ask again, for long enough that a store comes back.
 */
function httpStatusOf ({ code, status }: Problem, method: string): number {
  return isOfLedger(code) && method !== 'POST' ? 429 : entryOf(code).fal?.status ?? status
}

/** fal's body, and beside it `message`, which is what its JavaScript client shows. */
interface RenderedError extends ErrorBody { readonly message: string, readonly status?: string }

function bodyOf (problem: Problem, message: string): RenderedError {
  const { code, status, facts: { errors = [] } } = problem
  // Lines are about the body; what is wrong with a query has a text.
  if (errors.length > 0 && status === 422) return { detail: errors.map(lineOf), message }
  if (code === 'content-refused' || code === 'invalid-input') return { detail: [{ loc: ['body'], msg: message, type: 'value_error' }], message }
  const word = code === 'no-such-generation' ? queueWords.notFound : code === 'already-finished' ? queueWords.completed : undefined
  return { detail: message, message, error_type: errorTypeOf(code), ...(word === undefined ? {} : { status: word }) }
}

function sentenceOfFaults ({ code, facts: { errors = [] } }: Problem): string | null {
  return errors.length === 0 ? null : `${problems[code].title}. ${errors.map(sayFault).join('; ')}`
}

function messageOf ({ code, facts }: Problem): string {
  const { title } = problems[code]
  return facts.detail === undefined ? title : `${title}. ${facts.detail}`
}

/** The endpoint id in the address of a request: what stands behind the prefix of fal's doors. */
function endpointIn (url: string): string {
  const [path = ''] = url.split('?')
  return path.replace(/^\/fal\/(?:queue\/)?/, '')
}

function errorTypeOf (code: ProblemCode): string {
  return entryOf(code).fal?.type ?? code.replaceAll('-', '_')
}

function lineOf ({ path, message, code, ctx }: FieldFault): ErrorLine {
  return { loc: ['body', ...stepsOf(path)], msg: message, type: code, ...addressOfType(code), ...(ctx === undefined ? {} : { ctx: { ...ctx } }) }
}

function sayFault ({ path, message }: FieldFault): string {
  // Ours go on from the field's name; fal's are sentences.
  const joint = /^[a-z]/.test(message) ? ' ' : ': '
  return (path === '' ? 'body' : stepsOf(path).join('.')) + joint + message
}

/** A JSON pointer as fal writes places. */
function stepsOf (pointer: string): (string | number)[] {
  return pointer.split('/').slice(1).map(step => /^\d{1,9}$/.test(step) ? Number(step) : step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** How a generation that ended without a picture is told: the status and the body that its result is answered with. */
export function failureOf (row: Generation): { readonly status: number, readonly body: object } {
  const problem = problemOfGeneration(row)
  return { status: httpStatusOf(problem, 'GET'), body: bodyOf(problem, sentenceOfFaults(problem) ?? messageOf(problem)) }
}

/** What a request was billed, in fal's units, or null while nobody knows. */
export function billableUnits (row: Generation, isFree: boolean): string | null {
  if (isFree) return '0'
  return row.cost === null ? null : unitsBilled(row, row.cost)
}

/** How a generation stands, as fal's queue tells it. `logs` is null when nobody asked for them. */
export function queueStatusOf (row: Generation, { queueBase, requestId, logs }: { readonly queueBase: string, readonly requestId: string, readonly logs: readonly LogLine[] | null }): QueueStatus {
  const { startedAtMs, finishedAtMs } = row
  return statusObjectOf({
    queueBase,
    endpointId: row.model,
    requestId,
    state: stateOf(row),
    position: row.queuePosition ?? 0,
    logs: logs === null ? null : logs.map(logOf),
    inferenceSeconds: startedAtMs === null || finishedAtMs === null ? null : (finishedAtMs - startedAtMs) / 1000,
    error: errorOf(row)
  })
}

function stateOf ({ phase }: Generation): QueueStatus['status'] {
  if (hasEnded(phase)) return 'COMPLETED'
  return statusOf(phase) === 'running' ? 'IN_PROGRESS' : 'IN_QUEUE'
}

function errorOf (row: Generation): { readonly text: string, readonly type: string } | undefined {
  if (!hasEnded(row.phase) || row.phase === 'succeeded') return undefined
  const problem = problemOfGeneration(row)
  return { text: messageOf(problem), type: problem.facts.errors?.[0]?.code ?? errorTypeOf(problem.code) }
}

/** A log line with every field that some client shows. */
function logOf ({ message, timestamp, level }: LogLine): QueueLog {
  return { message, timestamp, level: level ?? 'INFO', source: 'USER', labels: {} }
}
