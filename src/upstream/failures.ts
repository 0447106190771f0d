// What fal's errors mean to our callers. The sentences are ours: fal's texts may speak of the account and its money,
// and only the lines about a refused input are passed on, without the offending values, without our key, and not where they speak of the account.

import { startOf, type Censor } from '../censor.ts'
import type { FieldFault } from '../errors.ts'
import type { ErrorLine, FalError } from '../fal-wire/error-body.ts'
import type { Failure } from '../generation/generation.ts'
import { headerOf, type Answer } from './exchange.ts'

const MAX_LINES = 20
const MAX_MESSAGE_CHARACTERS = 500
const MAX_NAME_CHARACTERS = 100
const MAX_CTX_CHARACTERS = 1_000
const MAX_RETRY_AFTER_MS = 3_600_000

/** Words of the account and its money, which are the operator's. */
const OF_ACCOUNT = /\b(?:accounts?|balance|billing|billed|credits?|dashboard|invoices?|payments?|quotas?|top up|user is locked|api[ -]?keys?)\b/i
const UNTOLD = 'was not accepted'

/** Types that mean the picture itself was refused. Which of them Imagen uses is not documented, so both count. */
const REFUSED_CONTENT = new Set(['content_policy_violation', 'no_media_generated'])
const TIMEOUTS = new Set(['generation_timeout', 'request_timeout', 'startup_timeout'])

export const unreachable: Failure = { code: 'upstream-unavailable', detail: 'The upstream could not be reached; nothing was bought.' }
export const busy: Failure = { code: 'upstream-unavailable', detail: 'The upstream takes no more work at the moment; nothing was bought.' }
export const accountBlocked: Failure = { code: 'upstream-account-blocked', detail: 'The upstream does not accept work at the moment; nothing was bought.' }
const retired: Failure = { code: 'model-retired', detail: 'The model is no longer offered upstream.' }
const timedOut: Failure = { code: 'upstream-timeout', detail: 'The model did not finish in time.' }
const failed: Failure = { code: 'upstream-failed', detail: 'It made no picture.' }
const refusedRequest: Failure = { code: 'upstream-failed', detail: 'The upstream refused the request.' }

/** Why a submit that was answered with this 4xx was refused for good. */
export function refusalOf (status: number, error: FalError | null, censor: Censor): Failure {
  if (status === 401 || status === 403) return accountBlocked
  if (status === 404 && namesMissingApplication(error)) return retired
  return status === 422 ? refusedInput(error, censor) : refusedRequest
}

/** Why a generation failed whose result is this error. */
export function failureOf (status: number, error: FalError, censor: Censor): Failure {
  if (status === 422) return refusedInput(error, censor)
  if (status === 504 || error.types.some(type => TIMEOUTS.has(type))) return timedOut
  return failed
}

function refusedInput (error: FalError | null, censor: Censor): Failure {
  const refusesContent = error?.types.some(type => REFUSED_CONTENT.has(type)) === true
  const failure: Failure = refusesContent
    ? { code: 'content-refused', detail: 'The model refused to make this picture.' }
    : { code: 'invalid-input', detail: 'The model did not accept the input.' }
  const errors = error === null ? [] : faultsOf(error, censor)
  return errors.length === 0 ? failure : { ...failure, errors }
}

/** fal's lines, at most 20; a text in place of lines is one line about the whole body, as fal's JavaScript client has it. */
function faultsOf (error: FalError, censor: Censor): FieldFault[] {
  if (error.text !== null) return [{ path: '', message: messageOf(error.text, censor), code: nameOf(error.types[0] ?? 'value_error', censor) }]
  return error.lines.slice(0, MAX_LINES).map(line => faultOf(line, censor))
}

function faultOf (line: ErrorLine, censor: Censor): FieldFault {
  const fault: FieldFault = {
    path: pointerOf(line.loc, censor),
    message: messageOf(line.msg, censor),
    code: nameOf(line.type, censor)
  }
  return line.ctx !== undefined && isTold(JSON.stringify(line.ctx), censor) ? { ...fault, ctx: line.ctx } : fault
}

/** Limits and the like: whole, or not at all. */
function isTold (ctx: string, censor: Censor): boolean {
  return ctx.length <= MAX_CTX_CHARACTERS && !OF_ACCOUNT.test(ctx) && censor(ctx) === ctx
}

function messageOf (text: string, censor: Censor): string {
  return OF_ACCOUNT.test(text) ? UNTOLD : startOf(text, MAX_MESSAGE_CHARACTERS, censor)
}

function nameOf (text: string, censor: Censor): string {
  return startOf(text, MAX_NAME_CHARACTERS, censor)
}

/** `["body", "images", 0]` → `/images/0` (RFC 6901). */
function pointerOf (loc: ErrorLine['loc'], censor: Censor): string {
  const steps = loc[0] === 'body' ? loc.slice(1) : loc
  return steps.map(step => '/' + nameOf(String(step), censor).replaceAll('~', '~0').replaceAll('/', '~1')).join('')
}

/** fal's 404 for an application that is gone; other 404s are about a path or a request. */
function namesMissingApplication (error: FalError | null): boolean {
  return error?.text != null && /^application\b.*\bnot found/is.test(error.text)
}

/**
 * `Retry-After` in milliseconds, at most an hour, or null. A date is held against the answer's own `Date`,
 * because two machines' clocks are never compared.
 */
export function retryAfterMsOf (answer: Pick<Answer, 'headers'>): number | null {
  const text = headerOf(answer, 'retry-after')?.trim() ?? ''
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.parse(headerOf(answer, 'date') ?? '')
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}
