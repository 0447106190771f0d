// How a job ends: with the model's output, with the model's error, or because fal ended it.

import { Type } from '@sinclair/typebox'
import { falHeaders } from '../fal-wire/headers.ts'
import { guardOf } from '../schema.ts'
import type { Answer } from './answers.ts'

export interface JobEnd {
  /** What the result answers from now on. */
  readonly answer: Answer
  /** Units that are billed when it ends so. */
  readonly units: number
  /** The files of the answer are to be inside it when it is read, in place of their addresses. */
  readonly holdsFiles?: boolean
  /** What the status of a failed job says besides `COMPLETED`. */
  readonly error?: { readonly text: string, readonly type: string }
}

const isRequestErrorBody = guardOf(Type.Object({ detail: Type.String(), error_type: Type.String() }))
const isModelErrorBody = guardOf(Type.Object({ detail: Type.Array(Type.Object({ type: Type.String() }), { minItems: 1 }) }))

/** The end of a job whose result is this error. */
export function failedEnd (answer: Answer): JobEnd {
  return { answer, units: 0, error: statusError(answer) }
}

/** The same end, billed differently: `units` as many, and with or without the header that says so. */
export function billedAs (end: JobEnd, units: number, named: boolean): JobEnd {
  const headers: Record<string, string> = { ...end.answer.headers, [falHeaders.billableUnits]: String(units) }
  if (!named) delete headers[falHeaders.billableUnits]
  return { ...end, units, answer: { ...end.answer, headers } }
}

/** The same end with a first picture of that many bytes inside the output, in place of its address. */
export function withInside (end: JobEnd, bytes: number): JobEnd {
  const start = 'data:image/png;base64,'
  const inside = start + 'A'.repeat(Math.max(0, bytes - start.length))
  return { ...end, answer: { ...end.answer, body: String(end.answer.body).replace(/"url":"[^"]*"/, `"url":"${inside}"`) } }
}

/** For a request error fal documents text and type; of a model's error it says neither, so the first type of the list is our choice. */
function statusError (answer: Answer): { readonly text: string, readonly type: string } {
  const body: unknown = JSON.parse(String(answer.body))
  if (isRequestErrorBody(body)) return { text: body.detail, type: body.error_type }
  const text = `Invalid status code: ${answer.status}`
  return { text, type: isModelErrorBody(body) ? body.detail[0]?.type ?? '' : 'runner_server_error' }
}
