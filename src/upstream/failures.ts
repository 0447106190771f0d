// What fal's errors mean to our callers. The sentences are ours: fal's texts may speak of the account and its money,
// and only the lines about a refused input are passed on, without the offending values.

import type { FieldFault } from '../errors.ts'
import type { ErrorLine, FalError } from '../fal-wire/error-body.ts'
import type { Failure } from '../generation/generation.ts'
import { headerOf, type Answer } from './exchange.ts'

const MAX_LINES = 20
const MAX_MESSAGE_CHARACTERS = 500
const MAX_NAME_CHARACTERS = 100
const MAX_CTX_CHARACTERS = 1_000
const MAX_RETRY_AFTER_MS = 3_600_000

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
export function refusalOf (status: number, error: FalError | null): Failure {
  if (status === 401 || status === 403) return accountBlocked
  if (status === 404 && namesMissingApplication(error)) return retired
  return status === 422 ? refusedInput(error) : refusedRequest
}

/** Why a generation failed whose result is this error. */
export function failureOf (status: number, error: FalError): Failure {
  if (status === 422) return refusedInput(error)
  if (status === 504 || error.types.some(type => TIMEOUTS.has(type))) return timedOut
  return failed
}

function refusedInput (error: FalError | null): Failure {
  const refusesContent = error?.types.some(type => REFUSED_CONTENT.has(type)) === true
  const failure: Failure = refusesContent
    ? { code: 'content-refused', detail: 'The model refused to make this picture.' }
    : { code: 'invalid-input', detail: 'The model did not accept the input.' }
  const errors = error === null ? [] : faultsOf(error)
  return errors.length === 0 ? failure : { ...failure, errors }
}

/** fal's lines, at most 20; a text in place of lines is one line about the whole body, as fal's JavaScript client has it. */
function faultsOf (error: FalError): FieldFault[] {
  if (error.text !== null) return [{ path: '', message: shortened(error.text, MAX_MESSAGE_CHARACTERS), code: shortened(error.types[0] ?? 'value_error', MAX_NAME_CHARACTERS) }]
  return error.lines.slice(0, MAX_LINES).map(faultOf)
}

function faultOf (line: ErrorLine): FieldFault {
  const fault: FieldFault = {
    path: pointerOf(line.loc),
    message: shortened(line.msg, MAX_MESSAGE_CHARACTERS),
    code: shortened(line.type, MAX_NAME_CHARACTERS)
  }
  return line.ctx !== undefined && JSON.stringify(line.ctx).length <= MAX_CTX_CHARACTERS ? { ...fault, ctx: line.ctx } : fault
}

/** `["body", "images", 0]` → `/images/0` (RFC 6901). */
function pointerOf (loc: ErrorLine['loc']): string {
  const steps = loc[0] === 'body' ? loc.slice(1) : loc
  return steps.map(step => '/' + shortened(String(step), MAX_NAME_CHARACTERS).replaceAll('~', '~0').replaceAll('/', '~1')).join('')
}

/** `toWellFormed` because the cut may fall inside a surrogate pair. */
function shortened (text: string, maxCharacters: number): string {
  return text.slice(0, maxCharacters).toWellFormed()
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
