// What fal says, as data: ordinary answers and the documented errors. The words and shapes are those of fal's
// "Model Errors" and "Request Error Types" pages and of recorded answers; where those are silent it is said so.

import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { missingEndpoint } from '../fal-wire/endpoint-id.ts'
import { errorUrl } from '../fal-wire/error-body.ts'
import { falHeaders } from '../fal-wire/headers.ts'
import { queueWords } from '../fal-wire/status.ts'

/** One HTTP answer before it is sent. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer
  /** An ingress that never reached fal's gateway knows no request id, and clients tell the two apart by that. */
  readonly fromIngress?: boolean
}

/** What a call comes to: an answer, or one that is written to the socket bit by bit. */
export type Outcome = Answer | ((raw: ServerResponse) => Promise<void>)

/** An entry of the `detail` list of a model error. */
export interface Detail {
  readonly loc: readonly (string | number)[]
  readonly msg: string
  readonly type: string
  readonly url?: string
  readonly ctx?: Readonly<Record<string, unknown>>
  readonly input?: unknown
}

/** `body` as it is when it is text (then it is JSON already, seeds of any size included), else as JSON. */
export function json (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body)
  }
}

/** An error with a text as its `detail`, as accounts and routing make it. */
export function detail (status: number, text: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return json(status, { detail: text }, headers)
}

/** A request-level error: fal's own machinery, not the model. */
export function requestError (status: number, type: string, text: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return json(status, { detail: text, error_type: type }, { [falHeaders.errorType]: type, ...headers })
}

/** An error of the model. Its units are `0`, because fal's app server bills nothing for a failed check. */
export function modelError (status: number, details: readonly Detail[]): Answer {
  return json(status, { detail: details }, { [falHeaders.billableUnits]: '0' })
}

/** A request id that is not known, or whose result is gone. */
export function notFound (): Answer {
  return json(404, { status: queueWords.notFound })
}

/** A path that an application does not have; `text` names it. */
export function pathNotFound (text: string): Answer {
  return detail(404, text, { [falHeaders.billableUnits]: '0' })
}

const transient = { [falHeaders.needsRetry]: '1' }

const prompt = ['body', 'prompt']

function oneDetail (status: number, type: string, msg: string, loc: readonly string[] = ['body']): Answer {
  return modelError(status, [{ loc, msg, type, url: errorUrl(type) }])
}

const nginxPage = '<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n' +
  '<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n'

/** Every error that can be asked for by name, in fal's words where it has some. Those with a list as `detail` come from the model. */
export const errorAnswers = {
  unauthorized: detail(401, 'No user found for Key ID and Secret'),
  locked: detail(403, 'User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.'),
  application_not_found: detail(404, missingEndpoint('fal-ai/imagen4', []).text),
  result_expired: notFound(),
  // Of fal's 429 only the type and the header are documented; that the body is a text is our choice.
  concurrent_requests_limit: requestError(429, 'concurrent_requests_limit', 'Too many concurrent requests', transient),
  bad_request: requestError(400, 'bad_request', 'Bad request'),
  internal_error: requestError(500, 'internal_error', 'Internal error'),
  runner_server_error: requestError(500, 'runner_server_error', 'Runner server error'),
  runner_incomplete_response: requestError(502, 'runner_incomplete_response', 'Runner sent an incomplete response', transient),
  runner_connection_error: requestError(503, 'runner_connection_error', 'Could not connect to the runner', transient),
  runner_disconnected: requestError(503, 'runner_disconnected', 'The runner disconnected', transient),
  runner_scheduling_failure: requestError(503, 'runner_scheduling_failure', 'No runner could be scheduled', transient),
  startup_timeout: requestError(504, 'startup_timeout', 'The runner did not start in time', transient),
  request_timeout: requestError(504, 'request_timeout', 'The request timed out', transient),
  user_timeout: requestError(504, 'request_timeout', 'The request did not start in time', { [falHeaders.timeoutType]: 'user' }),
  client_cancelled: requestError(499, 'client_cancelled', 'The request was cancelled'),
  nginx: { status: 503, headers: { 'content-type': 'text/html' }, body: nginxPage, fromIngress: true },
  content_policy_violation: oneDetail(422, 'content_policy_violation', 'The content could not be processed because it was flagged by a content checker.', prompt),
  no_media_generated: oneDetail(422, 'no_media_generated', 'No media was generated.', prompt),
  internal_server_error: oneDetail(500, 'internal_server_error', 'Internal server error'),
  generation_timeout: oneDetail(504, 'generation_timeout', 'Generation timed out'),
  downstream_service_error: oneDetail(400, 'downstream_service_error', 'Downstream service error'),
  downstream_service_unavailable: oneDetail(500, 'downstream_service_unavailable', 'Downstream service unavailable')
} as const satisfies Readonly<Record<string, Answer>>

export type ErrorName = keyof typeof errorAnswers

/** Something in front of fal that answers in its place: nothing here is of fal's form, and none of it knows a request id. */
function notFals (status: number, contentType: string, body: string | Buffer, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { 'content-type': contentType, ...headers }, body, fromIngress: true }
}

/** Every answer that can be asked for by name and is none of fal's, although its status may be right. */
export const oddAnswers = {
  html: notFals(200, 'text/html', '<html><body>Welcome</body></html>'),
  object: notFals(200, 'application/json', '{}'),
  empty: notFals(200, 'application/json', ''),
  gzip: notFals(200, 'application/json', gzipSync('{}'), { 'content-encoding': 'gzip' }),
  not_found: notFals(404, 'application/json', '{"message":"no Route matched with those values"}'),
  gone_away: notFals(499, 'text/plain', '')
} as const satisfies Readonly<Record<string, Answer>>

export type OddName = keyof typeof oddAnswers

export function isErrorName (text: string): text is ErrorName {
  return Object.hasOwn(errorAnswers, text)
}
