// The status object of fal's queue: what submit, status and status stream answer. Built by the sandbox and the gateway's own queue, read by the upstream client.

import { Type, type Static } from '@sinclair/typebox'
import { requestUrls } from './endpoint-id.ts'

/** fal knows no failed or cancelled state: a failed request is `COMPLETED`, and its result carries the error. */
export const queueStates = ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'] as const

const Log = Type.Object({
  message: Type.String(),
  timestamp: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  level: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  source: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  labels: Type.Optional(Type.Unknown())
})

/** As tolerant as the official clients: they need `status` and, after a submit, `request_id`. */
export const QueueStatus = Type.Object({
  status: Type.Unsafe<typeof queueStates[number]>({ type: 'string', enum: [...queueStates] }),
  request_id: Type.Optional(Type.String()),
  response_url: Type.Optional(Type.String()),
  status_url: Type.Optional(Type.String()),
  cancel_url: Type.Optional(Type.String()),
  queue_position: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  logs: Type.Optional(Type.Union([Type.Array(Log), Type.Null()])),
  metrics: Type.Optional(Type.Unknown()),
  error: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  error_type: Type.Optional(Type.Union([Type.String(), Type.Null()]))
})

export type QueueStatus = Static<typeof QueueStatus>
export type QueueLog = Static<typeof Log>

/** What a status object tells. */
export interface QueueFacts {
  /** Base of the queue's addresses as the caller knows it, without a trailing slash. */
  readonly queueBase: string
  readonly endpointId: string
  readonly requestId: string
  readonly state: QueueStatus['status']
  /** Requests ahead of it; told while it waits. */
  readonly position: number
  /** `null` when they were not asked for. */
  readonly logs: readonly QueueLog[] | null
  /** Told once it is completed; `null` when it is not known. */
  readonly inferenceSeconds: number | null
  /** Why it failed, once it has. */
  readonly error?: { readonly text: string, readonly type: string } | undefined
}

/** The status object with every field that some client wants: Python's stops without `queue_position`, and later without `logs`. */
export function statusObjectOf ({ queueBase, endpointId, requestId, state, position, logs, inferenceSeconds, error }: QueueFacts): QueueStatus {
  const urls = requestUrls(queueBase, endpointId, requestId)
  return {
    status: state,
    request_id: requestId,
    response_url: urls.response,
    status_url: urls.status,
    cancel_url: urls.cancel,
    logs: logs === null ? null : [...logs],
    metrics: state === 'COMPLETED' && inferenceSeconds !== null ? { inference_time: inferenceSeconds } : {},
    ...(state === 'IN_QUEUE' ? { queue_position: position } : {}),
    ...(state !== 'COMPLETED' || error === undefined ? {} : { error: error.text, error_type: error.type })
  }
}

/** A status object as an event of the status stream. */
export function statusEvent (status: QueueStatus): string {
  return `data: ${JSON.stringify(status)}\n\n`
}

/** The comment by which fal shows that a status stream lives. */
export const PING = 'ping'

/** The HTTP status of a status object. */
export function codeOfState (state: QueueStatus['status']): 200 | 202 {
  return state === 'COMPLETED' ? 200 : 202
}

/** Logs are asked for with `1` or `true`, by whichever client. */
export function wantsLogs (logs: string | null | undefined): boolean {
  return logs === '1' || logs === 'true'
}

/** What the queue answers beside status objects. */
export const queueWords = {
  notFound: 'NOT_FOUND',
  cancelling: 'CANCELLATION_REQUESTED',
  completed: 'ALREADY_COMPLETED'
} as const

/** What the result of a request is that has not ended. Vercel's AI SDK looks for these very words. */
export const IN_PROGRESS_TEXT = 'Request is still in progress'
