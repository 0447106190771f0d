// The documentation and validation of fal's doors. What fal documents itself is not repeated; what differs is said.

import { Type } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import { falHeaders } from '../../fal-wire/headers.ts'
import type { Model } from '../../models/model.ts'
import type { ModelComponents } from '../model-schemas.ts'
import { nameOf } from '../operation-ids.ts'

export const RequestParams = Type.Object({ id: Type.String({ description: 'The `request_id` of the submit.' }) })

export const StatusQuery = Type.Object({ logs: Type.Optional(Type.String({ description: '`1` or `true`: with log lines.' })) }, { additionalProperties: true })

/** The body of every error: fal's, and `message` beside it. */
export const FalErrorSchema = Type.Object({
  // Without a type: what a choice of a text and a list becomes in Java does not compile.
  detail: Type.Unsafe<unknown>({ description: 'A text, or for a refused input a list of `{loc, msg, type}`.' }),
  message: Type.String(),
  error_type: Type.Optional(Type.String({ description: 'fal\'s name for it, or else the code of the problem with underscores.' }))
}, { title: 'FalError', additionalProperties: true })

export const FalQueueStatusSchema = Type.Object({
  status: Type.Unsafe<string>({ type: 'string', enum: ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'] }),
  request_id: Type.String(),
  response_url: Type.String(),
  status_url: Type.String(),
  cancel_url: Type.String(),
  queue_position: Type.Optional(Type.Integer({ minimum: 0 })),
  logs: Type.Unsafe<unknown>({ anyOf: [{ type: 'array', items: { type: 'object', additionalProperties: true } }, { type: 'null' }] }),
  metrics: Type.Object({}, { additionalProperties: true }),
  error: Type.Optional(Type.String()),
  error_type: Type.Optional(Type.String())
}, { title: 'FalQueueStatus', additionalProperties: true })

/** RFC 7517, with keys as RFC 8037 has them. */
export const FalWebhookKeysSchema = Type.Object({
  keys: Type.Array(Type.Object({ kty: Type.String(), crv: Type.String(), x: Type.String(), kid: Type.String(), use: Type.String(), alg: Type.String() }))
}, { title: 'FalWebhookKeys' })

const AnyObject = Type.Object({}, { additionalProperties: true })

const documented = { tags: ['fal'], security: [{ key: [] }] }

const unitsHeader = { [falHeaders.billableUnits]: { type: 'string', description: 'What this request was billed; `0` for what was stored, joined, replayed or adopted.' } }
const idHeader = { [falHeaders.requestId]: { type: 'string', description: 'The id of the request.' } }

function answers (content: object, description: string, headers: object = {}): Record<string, unknown> {
  return {
    200: Type.Unsafe<unknown>({ description, headers: { ...idHeader, ...headers }, content: { 'application/json': { schema: content } } }),
    ...failures
  }
}

const failures = { default: Type.Unsafe<unknown>({ description: 'An error in fal\'s shape.', content: { 'application/json': { schema: Type.Ref('FalError') } } }) }

/** The same for another spelling of the address, which the document does not show. */
export function hiddenSchema (schema: FastifySchema): FastifySchema & { readonly hide: true } {
  return { ...schema, hide: true }
}

export function runSchema (model: Model, { falInput, output }: ModelComponents): FastifySchema {
  return {
    ...documented,
    operationId: `fal_run_${nameOf(model.endpointId)}`,
    summary: `fal.run: ${model.title}`,
    description: 'A synchronous call as at `https://fal.run`, for clients that were written for fal. Fields that the model does not have are left out.',
    body: Type.Ref(falInput),
    response: answers(output === null ? AnyObject : Type.Ref(output), 'The model\'s output, byte for byte.', unitsHeader)
  }
}

/** The same for a model that has a document of its own. */
export const anyRunSchema: FastifySchema = {
  ...documented,
  operationId: 'fal_run',
  summary: 'fal.run: any model on offer',
  description: 'A synchronous call as at `https://fal.run`, for clients that were written for fal; their queue is at `/fal/queue/{endpoint id}`. Fields that the model does not have are left out.',
  body: AnyObject,
  response: answers(AnyObject, 'The model\'s output, byte for byte.', unitsHeader)
}

export function submitSchema (model: Model, { falInput }: ModelComponents): FastifySchema {
  return {
    ...documented,
    operationId: `fal_submit_${nameOf(model.endpointId)}`,
    summary: `queue.fal.run: submit to ${model.title}`,
    description: 'As at `https://queue.fal.run`. `x-fal-queue-priority: low` waits behind the tenant\'s other requests, `x-fal-request-start-timeout` bounds the time that it waits for a slot; webhooks are not offered.',
    body: Type.Ref(falInput),
    response: answers(Type.Ref('FalQueueStatus'), 'The id of the request, and the addresses to come back to.')
  }
}

/** The same for a model that has a document of its own. */
export const anySubmitSchema: FastifySchema = {
  ...documented,
  operationId: 'fal_submit',
  summary: 'queue.fal.run: submit to any model on offer',
  description: 'As at `https://queue.fal.run`. The answer names the addresses of status, result and cancel; they are those of the app id, as at fal.',
  body: AnyObject,
  response: answers(Type.Ref('FalQueueStatus'), 'The id of the request, and the addresses to come back to.')
}

export function statusSchema (named: string): FastifySchema {
  return {
    ...documented,
    operationId: `fal_status_${nameOf(named)}`,
    summary: 'queue.fal.run: status',
    params: RequestParams,
    querystring: StatusQuery,
    response: {
      ...answers(Type.Ref('FalQueueStatus'), 'It has ended.'),
      202: Type.Unsafe<unknown>({ description: 'It waits or runs.', content: { 'application/json': { schema: Type.Ref('FalQueueStatus') } } })
    }
  }
}

export function streamSchema (named: string): FastifySchema {
  return {
    ...documented,
    operationId: `fal_stream_status_${nameOf(named)}`,
    summary: 'queue.fal.run: status, as server-sent events',
    description: 'An event for every change, with the log lines that are new; ends after `COMPLETED`.',
    params: RequestParams,
    querystring: StatusQuery,
    response: { 200: Type.Unsafe<unknown>({ description: 'Events with a status each.', content: { 'text/event-stream': { schema: { type: 'string' } } } }), ...failures }
  }
}

export function resultSchema (named: string): FastifySchema {
  return {
    ...documented,
    operationId: `fal_result_${nameOf(named)}`,
    summary: 'queue.fal.run: result',
    params: RequestParams,
    response: answers({ type: 'object', additionalProperties: true }, 'The model\'s output, byte for byte.', unitsHeader)
  }
}

export function cancelSchema (named: string): FastifySchema {
  return {
    ...documented,
    operationId: `fal_cancel_${nameOf(named)}`,
    summary: 'queue.fal.run: cancel',
    params: RequestParams,
    response: { 202: Type.Unsafe<unknown>({ description: 'Cancelled, or fal was asked to stop.', type: 'object', additionalProperties: true }), ...failures }
  }
}

export const proxySchema: FastifySchema & { readonly hide: true } = { hide: true }
