// A generation as callers see it: schema for the documentation, and the JSON text, in which input and output keep their very bytes.

import { Type } from '@sinclair/typebox'
import { costToReader, type Listed } from '../generation/generation.ts'
import { hasEnded, statuses, statusOf } from '../generation/phases.ts'
import { problemOfGeneration } from '../generation/request/problems.ts'
import { formatUsd } from '../money.ts'
import { bodyOf } from './problem.ts'

const Time = Type.String({ format: 'date-time', description: 'RFC 3339, UTC.' })

export const GenerationSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  status: Type.Unsafe<string>({ type: 'string', enum: [...statuses] }),
  model: Type.String(),
  input: Type.Union([Type.Object({}, { additionalProperties: true }), Type.Null()], { description: 'With defaults filled in. Null once it ended, when it was longer than 32 KiB, or than 1 KiB and nothing was spent.' }),
  input_sha256: Type.Union([Type.String(), Type.Null()], { description: 'SHA-256 of the input as canonical JSON, in hex, where it is longer than 1 KiB.' }),
  seed: Type.Union([Type.String(), Type.Null()], { description: 'The seed\'s digits as text, because not every reader of JSON keeps large numbers.' }),
  queue_position: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { description: 'Requests ahead of this one, while it is queued.' }),
  created_at: Time,
  started_at: Type.Union([Time, Type.Null()]),
  looking_again_since: Type.Union([Time, Type.Null()], { description: 'Since when the model is done and its answer could not be used: it is looked at again, for some minutes.' }),
  finished_at: Type.Union([Time, Type.Null()]),
  cost_usd: Type.Union([Type.Number(), Type.Null()], { description: 'What it cost you, once it is known; 0 when somebody else bought it.' }),
  output: Type.Union([Type.Object({}, { additionalProperties: true }), Type.Null()], { description: 'The model\'s answer.' }),
  output_bytes: Type.Union([Type.Integer(), Type.Null()], { description: 'The size of an output above 256 KiB. Lists and events leave it out; the generation itself has it for an hour after its end.' }),
  error: Type.Unsafe<unknown>({ anyOf: [{ $ref: 'Problem#' }, { type: 'null' }] })
}, { title: 'Generation' })

export const GenerationListSchema = Type.Object({
  generations: Type.Array(Type.Unsafe<unknown>({ $ref: 'Generation#' })),
  next_cursor: Type.Union([Type.String(), Type.Null()], { description: 'The id to send as `cursor` for the next page; null on the last one.' })
}, { title: 'GenerationList' })

/** What an event tells: the input stays as it was, and may be long. */
export const GenerationEventSchema = Type.Omit(GenerationSchema, ['input'], { title: 'GenerationEvent' })

/** The generation as JSON text. */
export function generationJson (row: Listed, requestId: string): string {
  return objectJson(fieldsOf(row, requestId))
}

/** The same of one whose output is too long to be copied into a text: what stands before the output, and what behind it. */
export function generationJsonAround (row: Listed, requestId: string): readonly [before: string, after: string] {
  const fields = fieldsOf(row, requestId)
  const place = fields.findIndex(([name]) => name === 'output')
  return [objectJson(fields.slice(0, place)).slice(0, -1) + ',"output":', ',' + objectJson(fields.slice(place + 1)).slice(1)]
}

/** The same without its input. */
export function generationEventJson (row: Listed, requestId: string): string {
  return objectJson(fieldsOf(row, requestId).filter(([name]) => name !== 'input'))
}

type Fields = ReadonlyArray<readonly [name: string, json: string]>

function objectJson (fields: Fields): string {
  return `{${fields.map(([name, json]) => `"${name}":${json}`).join(',')}}`
}

function fieldsOf (row: Listed, requestId: string): Fields {
  const cost = costToReader(row)
  const failed = hasEnded(row.phase) && row.phase !== 'succeeded'
  return [
    ['id', JSON.stringify(row.id)],
    ['status', JSON.stringify(statusOf(row.phase))],
    ['model', JSON.stringify(row.model)],
    ['input', row.input ?? 'null'],
    ['input_sha256', JSON.stringify(row.inputSha256)],
    ['seed', JSON.stringify(row.seed)],
    ['queue_position', JSON.stringify(statusOf(row.phase) === 'queued' ? row.queuePosition : null)],
    ['created_at', timeJson(row.createdAtMs)],
    ['started_at', timeJson(row.startedAtMs)],
    ['looking_again_since', timeJson(row.doubtSinceMs)],
    ['finished_at', timeJson(row.finishedAtMs)],
    ['cost_usd', cost === null ? 'null' : formatUsd(cost)],
    ['output', row.output ?? 'null'],
    ['output_bytes', JSON.stringify(row.large?.bytes ?? null)],
    ['error', failed ? JSON.stringify(bodyOf(problemOfGeneration(row), requestId)) : 'null']
  ]
}

/** A page of generations as JSON text. */
export function generationListJson (rows: readonly Listed[], nextCursor: string | null, requestId: string): string {
  return `{"generations":[${rows.map(row => generationJson(row, requestId)).join(',')}],"next_cursor":${JSON.stringify(nextCursor)}}`
}

function timeJson (ms: number | null): string {
  return ms === null ? 'null' : JSON.stringify(new Date(ms).toISOString())
}
