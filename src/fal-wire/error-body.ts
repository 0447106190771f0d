// The error bodies of fal's protocol: lines for an input that a model refused, a text for everything else.
// Built by the sandbox, read by the upstream client. Source: fal's pages "Model Errors" and "Request Error Types".

import { Type, type Static } from '@sinclair/typebox'
import { guardOf } from '../schema.ts'

/** One line of a model error. `input` is the offending value, so it holds prompts: it belongs in no log and no answer. */
export const ErrorLine = Type.Object({
  loc: Type.Array(Type.Union([Type.String(), Type.Integer()])),
  msg: Type.String(),
  type: Type.String(),
  url: Type.Optional(Type.String()),
  ctx: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  input: Type.Optional(Type.Unknown())
})

/** Model errors have a list and no `error_type`, request errors a text and mostly one. */
export const ErrorBody = Type.Object({
  detail: Type.Union([Type.Array(ErrorLine), Type.String()]),
  error_type: Type.Optional(Type.String())
})

export type ErrorLine = Static<typeof ErrorLine>
export type ErrorBody = Static<typeof ErrorBody>

/** An error of fal as its client reads it. */
export interface FalError {
  /** The machine's names for it: `error_type`, or else the type of each line, without repeats. */
  readonly types: readonly string[]
  /** The text of `detail`, or null when it is a list. */
  readonly text: string | null
  readonly lines: readonly ErrorLine[]
}

const isLine = guardOf(ErrorLine)
const isPlace = guardOf(ErrorLine.properties.loc)

/** Has it what every line has? The rest of a line is dropped where it has another shape. */
const isLineAtLeast = guardOf(Type.Pick(ErrorLine, ['msg', 'type']))

/**
 * Reads the body of an error answer and its header `x-fal-error-type` (`null` when it has none).
 * Gives null when the body is not fal's: no JSON object with a `detail`, such as the HTML page of an ingress.
 * Tolerant, because several models and layers write these bodies: a line without `loc` is about the whole body, and what is no line is skipped.
 */
export function readErrorBody (body: string, errorTypeHeader: string | null): FalError | null {
  const detail = detailOf(body)
  if (typeof detail?.value === 'string') return { types: oneType(detail.errorType ?? errorTypeHeader), text: detail.value, lines: [] }
  if (!Array.isArray(detail?.value)) return null
  const lines = detail.value.flatMap(readLine)
  const named = oneType(detail.errorType ?? errorTypeHeader)
  return { types: named.length > 0 ? named : [...new Set(lines.map(line => line.type))], text: null, lines }
}

function detailOf (body: string): { readonly value: unknown, readonly errorType: string | null } | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return null
  }
  if (typeof parsed !== 'object' || parsed === null || !Object.hasOwn(parsed, 'detail')) return null
  const errorType: unknown = Reflect.get(parsed, 'error_type')
  return { value: Reflect.get(parsed, 'detail'), errorType: typeof errorType === 'string' ? errorType : null }
}

function readLine (line: unknown): ErrorLine[] {
  if (isLine(line)) return [line]
  if (!isLineAtLeast(line)) return []
  const loc: unknown = Reflect.get(line, 'loc')
  return [{ loc: isPlace(loc) ? loc : [], msg: line.msg, type: line.type }]
}

function oneType (type: string | null): string[] {
  return type === null || type === '' ? [] : [type]
}

/** The types of fal's own list that checks of an input give; others are pydantic's, or the gateway's, and come without an address. */
const documentedTypes = new Set(['greater_than_equal', 'less_than_equal', 'sequence_too_short', 'sequence_too_long', 'one_of', 'content_policy_violation', 'no_media_generated'])

/** Where fal documents this type of error, as a part of a line; empty where it does not. */
export function addressOfType (type: string): { readonly url?: string } {
  return documentedTypes.has(type) ? { url: errorUrl(type) } : {}
}

/** Where the documentation of a documented error type is. */
export function errorUrl (type: string): string {
  return `https://docs.fal.ai/errors/#${type}`
}
