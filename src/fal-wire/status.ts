// The status object of fal's queue: what submit, status and status stream answer. Built by the sandbox, read by the upstream client.

import { Type, type Static } from '@sinclair/typebox'

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
